"""Order book snapshots: every feature of one cleaned book, one small function per family."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tests.oracles.clock import calendar
from tests.oracles.rows import Level, Row, clean_side, key_of, output_order
from tests.oracles.segments import imbalance, ratio

DEEP = 20
"""Levels of a side that enter smart depth and the centre of gravity."""

ROUNDING = Fraction(1, 10**13)
"""Relative difference of two sums of the same sizes that may be rounding alone."""

ON_EDGE_BPS = 1e-6
"""A level that is so near to the edge of a band is on it."""


@dataclass(frozen=True)
class Options:
    """Options of ``orderbook_hf`` with their defaults."""

    max_levels: int = 20
    captured_levels: int | str | None = None
    """Levels per side that the feed sends at most, ``all``, or None: not known."""
    top_levels: int = 5
    imbalance_levels: Sequence[int] = (1, 3, 5, 10)
    bands_bps: Sequence[int] = (5, 10, 25, 50, 100)
    smart_depth_k: float = 100.0
    regression_levels: int = 10
    keep_book: bool = False


@dataclass(frozen=True)
class Book:
    """A cleaned book. ``mid`` is None unless the state is ok or locked."""

    bids: list[Level]
    asks: list[Level]
    state: str
    mid: float | None
    options: Options

    @property
    def two_sided(self) -> bool:
        return bool(self.bids and self.asks)

    @property
    def scale(self) -> float | None:
        """What distances are relative to: the mid, where it is above zero."""
        return self.mid if self.mid is not None and self.mid > 0 else None

    def distance(self, price: float, is_bid: bool) -> float:
        """Distance of a price from the mid in bps, evaluated in the form that the reference gives."""
        assert self.scale is not None
        return 1e4 * (self.scale - price) / self.scale if is_bid else 1e4 * (price - self.scale) / self.scale


def features(raw: Iterable[Row], **options: object) -> list[Row]:
    """Expected rows of ``orderbook_hf``; ``bids`` and ``asks`` of a raw row are lists of (price, size)."""
    chosen = Options(**options)  # type: ignore[arg-type]
    return output_order(snapshot(row, chosen) for row in raw)


def snapshot(raw: Row, options: Options) -> Row:
    """All columns of one row."""
    negative = bool(raw.get("negative_prices"))
    bids = clean_side(raw.get("bids"), bids=True, max_levels=options.max_levels, negative=negative)
    asks = clean_side(raw.get("asks"), bids=False, max_levels=options.max_levels, negative=negative)
    state = _state(bids or [], asks or [])
    mid = (bids[0][0] + asks[0][0]) / 2 if bids and asks and state in ("ok", "locked") else None
    book = Book(bids or [], asks or [], state, mid, options)
    key = key_of(raw)
    return {
        **key,
        **calendar(key["ts"]),
        "book_state": state,
        "bid_levels": len(bids) if bids is not None else None,
        "ask_levels": len(asks) if asks is not None else None,
        "bid_is_whole": not bids or not _may_go_on(len(bids), options) if bids is not None else None,
        "ask_is_whole": not asks or not _may_go_on(len(asks), options) if asks is not None else None,
        **_levels(book),
        **_touch(book),
        **_depth(book, seen=(bids is not None, asks is not None)),
        **_shape(book),
        **_bands(book),
        **_proxies(book),
        "bid_50pct_depth_levels": _half_depth(book.bids),
        "ask_50pct_depth_levels": _half_depth(book.asks),
        **({"bids": raw.get("bids"), "asks": raw.get("asks")} if options.keep_book else {}),
    }


def _state(bids: list[Level], asks: list[Level]) -> str:
    if not bids and not asks:
        return "empty"
    if not bids or not asks:
        return "one_sided"
    bid, ask = bids[0][0], asks[0][0]
    return "locked" if ask == bid else "crossed" if ask < bid else "ok"


def _levels(book: Book) -> Row:
    row: Row = {}
    for i in range(book.options.max_levels):
        for side, levels in (("bid", book.bids), ("ask", book.asks)):
            price, size = levels[i] if i < len(levels) else (None, None)
            row |= {f"{side}_price_{i:02d}": price, f"{side}_size_{i:02d}": size}
    return row


def _size(levels: list[Level], count: int | None = None) -> float:
    """Summed size of the best ``count`` levels, of all of them by default."""
    return math.fsum(size for _, size in levels[:count])


def _touch(book: Book) -> Row:
    (bid, bid_size), (ask, ask_size) = (levels[0] if levels else (None, None) for levels in (book.bids, book.asks))
    spread = micro = lean = None
    if bid is not None and ask is not None and bid_size is not None and ask_size is not None:
        spread = ask - bid
        micro = (bid * ask_size + ask * bid_size) / (bid_size + ask_size)
        lean = float(
            Fraction(spread) / 2 * (Fraction(bid_size) - Fraction(ask_size)) / (Fraction(bid_size) + Fraction(ask_size))
        )
    relative = ratio(spread, book.scale)
    return {
        "best_bid": bid,
        "best_ask": ask,
        "mid_price": book.mid,
        "spread": spread,
        "relative_spread": relative,
        "spread_bps": 1e4 * relative if relative is not None else None,
        "microprice": micro,
        "micro_minus_mid": lean if book.mid is not None else None,
    }


def _depth(book: Book, seen: tuple[bool, bool]) -> Row:
    row: Row = {}
    for k in book.options.imbalance_levels:
        row[f"imbalance_top{k}"] = imbalance(_size(book.bids, k), _size(book.asks, k)) if book.two_sided else None
    row["total_bid_depth"] = _size(book.bids) if seen[0] else None
    row["total_ask_depth"] = _size(book.asks) if seen[1] else None
    row["total_imbalance"] = imbalance(_size(book.bids), _size(book.asks)) if book.two_sided else None
    k = book.options.top_levels
    bid, ask = _vwap(book.bids[:k]), _vwap(book.asks[:k])
    row |= {f"vwap_bid_top{k}": bid, f"vwap_ask_top{k}": ask}
    row[f"vwap_spread_top{k}"] = ask - bid if bid is not None and ask is not None else None
    smart_bid, smart_ask = _smart(book, book.bids), _smart(book, book.asks)
    row |= {"smart_bid_depth": smart_bid, "smart_ask_depth": smart_ask}
    row["smart_depth_imbalance"] = imbalance(smart_bid, smart_ask)
    return row


def _vwap(levels: list[Level]) -> float | None:
    return ratio(math.fsum(price * size for price, size in levels), _size(levels))


def _smart(book: Book, levels: list[Level]) -> float | None:
    if book.scale is None:
        return None
    k, mid = book.options.smart_depth_k, book.scale
    return math.fsum(size * math.exp(-k * abs(price - mid) / mid) for price, size in levels[:DEEP])


def _shape(book: Book) -> Row:
    k = book.options.top_levels
    bid_slope, ask_slope = _slope(book.bids, k), _slope(book.asks, k)
    bid_decay, ask_decay = _decay(book.bids, k), _decay(book.asks, k)
    cog = _vwap(book.bids[:DEEP] + book.asks[:DEEP]) if book.two_sided else None
    both_decays = bid_decay is not None and ask_decay is not None
    return {
        f"bid_slope_top{k}": bid_slope,
        f"ask_slope_top{k}": ask_slope,
        f"slope_asymmetry_top{k}": ratio(bid_slope, ask_slope),
        "bid_slope_regression": _slope_regression(book, book.bids, True),
        "ask_slope_regression": _slope_regression(book, book.asks, False),
        "center_of_gravity": cog,
        "cog_vs_mid": 1e4 * (cog - book.scale) / book.scale if cog is not None and book.scale is not None else None,
        f"bid_depth_decay_top{k}": bid_decay,
        f"ask_depth_decay_top{k}": ask_decay,
        f"avg_depth_decay_top{k}": (bid_decay + ask_decay) / 2 if both_decays else None,  # type: ignore[operator]
        "bid_concentration": _concentration(book.bids),
        "ask_concentration": _concentration(book.asks),
    }


def _slope(levels: list[Level], k: int) -> float | None:
    return ratio(abs(levels[0][0] - levels[k - 1][0]), _size(levels, k)) if len(levels) >= k else None


def _decay(levels: list[Level], k: int) -> float | None:
    return ratio(levels[k - 1][1], levels[0][1]) if len(levels) >= k else None


def _concentration(levels: list[Level]) -> float | None:
    depth = _size(levels)
    return math.fsum((size / depth) ** 2 for _, size in levels) if levels else None


def _half_depth(levels: list[Level]) -> int | None:
    """First index at which half of the depth is reached, decided in the decimals that the sizes are written in."""
    sums = list(itertools.accumulate(Fraction(repr(float(size))) for _, size in levels))
    return next((i for i, reached in enumerate(sums) if sums[-1] / 2 - reached <= sums[-1] * ROUNDING / 2), None)


def _slope_regression(book: Book, levels: list[Level], is_bid: bool) -> float | None:
    """Least-squares slope of cumulated size on distance, over as many levels as both sides have."""
    k = min(book.options.regression_levels, len(book.bids), len(book.asks))
    if k < 3 or book.scale is None:
        return None
    x = [book.distance(price, is_bid) for price, _ in levels[:k]]
    y = [_size(levels, i + 1) for i in range(k)]
    x_mean, y_mean = math.fsum(x) / k, math.fsum(y) / k
    covariance = math.fsum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True))
    return ratio(covariance, math.fsum((a - x_mean) ** 2 for a in x))


def _within(book: Book, levels: list[Level], is_bid: bool, edges: tuple[float, float]) -> float | None:
    """Size at a distance in ``[lower, upper)`` bps; None where deeper levels may be missing."""
    if book.scale is None:
        return None
    lower, upper = (edge - ON_EDGE_BPS for edge in edges)
    if _may_go_on(len(levels), book.options) and book.distance(levels[-1][0], is_bid) < upper:
        return None
    return math.fsum(size for price, size in levels if lower <= book.distance(price, is_bid) < upper)


def _may_go_on(count: int, options: Options) -> bool:
    """True where a side of ``count`` kept levels may have more, which nobody sent or kept; not where it is empty."""
    captured = options.captured_levels
    if not count:
        return False
    return captured is None or count == options.max_levels or (captured != "all" and count >= int(captured))


def _bands(book: Book) -> Row:
    row: Row = {}
    edges = [0, *book.options.bands_bps]
    for lower, upper in itertools.pairwise(edges):
        bid = _within(book, book.bids, True, (lower, upper))
        ask = _within(book, book.asks, False, (lower, upper))
        name = f"{lower}_{upper}bps"
        row |= {f"bid_vol_band_{name}": bid, f"ask_vol_band_{name}": ask, f"imb_band_{name}": imbalance(bid, ask)}
    return row


def _proxies(book: Book) -> Row:
    """Ratios that use the depth of both sides within a fixed distance."""

    def depth(bps: float) -> float | None:
        bid = _within(book, book.bids, True, (0, bps))
        ask = _within(book, book.asks, False, (0, bps))
        return bid + ask if bid is not None and ask is not None else None

    spread = book.asks[0][0] - book.bids[0][0] if book.mid is not None else None
    return {
        "depth_0_5bps": depth(5),
        "lambda_like": ratio(spread, depth(5)),
        "amihud_like": ratio(spread, depth(10)),
        "book_convexity": ratio(depth(5), depth(50)),
    }
