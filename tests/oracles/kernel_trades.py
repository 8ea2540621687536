"""Path-dependent features of trades at the rows of a book: trade flow, Kyle's lambda, VPIN.

VPIN's buckets are cut from one long line of lots: the trades of a segment of the book lie on it end to end, and a
bucket is the stretch from where the last one ended. A trade is split because it lies across an end.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from statistics import NormalDist
from typing import Any

from tests.oracles.near import Near, near_total, regression
from tests.oracles.rows import NS, Row
from tests.oracles.segments import gap_before, segment_starts

LEAST_STEPS = 30
KNOWN_DAYS = 20
DAY = 86_400 * NS


def valid_trades(trades: Sequence[Row]) -> list[Row]:
    """Those with a price and an amount."""
    return [trade for trade in trades if trade["price"] is not None and trade["amount"] is not None]


def columns(rows: Sequence[Row], trades: Sequence[Row] | None, **options: Any) -> dict[str, Any]:
    """Expected columns of the kernels over trades."""
    starts = segment_starts(rows, options.get("max_gap", 300))
    return {
        **trade_flow(rows, starts, trades, options.get("horizons", (5, 15, 60, 300, 900))),
        "kyle_lambda": kyle_lambda(rows, starts, trades, options.get("kyle_window", 300)),
        **vpin(rows, trades, **options),
    }


# Trade flow


def trade_flow(
    rows: Sequence[Row], starts: Sequence[int], trades: Sequence[Row] | None, horizons: Sequence[int]
) -> dict[str, list[float | None]]:
    """Volumes and imbalance of the trades of each step, and of those of each window."""
    steps = ("buy_volume", "sell_volume", "trade_volume", "tfi")
    names = [*steps, *(f"{name}_{h}s" for h in horizons for name in ("tfi", "trade_vol"))]
    columns: dict[str, list[float | None]] = {name: [] for name in names}
    placed = _by_row(rows, valid_trades(trades or []))
    live = [any(placed[: i + 1]) for i in range(len(rows))]
    for i, row in enumerate(rows):
        values: dict[str, float | None] = dict.fromkeys(columns)
        if trades is not None and starts[i] != i:
            values |= _step(placed[i])
        if trades is not None:
            since = [trade for own in placed[starts[i] + 1 : i + 1] for trade in own]
            for h in horizons:
                inside = [trade for trade in since if row["ts"] - h * NS < trade["ts"] <= row["ts"]]
                values[f"tfi_{h}s"] = _imbalance(inside)
                values[f"trade_vol_{h}s"] = (
                    near_total([0.0, *(trade["amount"] for trade in inside)]) if live[i] else None
                )
        for name, value in values.items():
            columns[name].append(value)
    return columns


def _by_row(rows: Sequence[Row], trades: Sequence[Row]) -> list[list[Row]]:
    """The trades of each row: those that it is the first row not to come before."""
    placed: list[list[Row]] = [[] for _ in rows]
    for trade in trades:
        i = next((i for i, row in enumerate(rows) if trade["ts"] <= row["ts"]), None)
        if i is not None:
            placed[i].append(trade)
    return placed


def _volume(trades: Sequence[Row], side: int) -> float:
    return math.fsum(trade["amount"] for trade in trades if trade["side"] == side)


def _step(trades: Sequence[Row]) -> dict[str, float | None]:
    return {
        "buy_volume": _volume(trades, 1),
        "sell_volume": _volume(trades, -1),
        "trade_volume": math.fsum(trade["amount"] for trade in trades),
        "tfi": _imbalance(trades),
    }


def _imbalance(trades: Sequence[Row]) -> Near | None:
    """Bought less sold over bought and sold; None where no trade has a side."""
    buy, sell = _volume(trades, 1), _volume(trades, -1)
    return Near((buy - sell) / (buy + sell), 1e-14) if buy + sell > 0 else None


# Kyle's lambda


def kyle_lambda(
    rows: Sequence[Row], starts: Sequence[int], trades: Sequence[Row] | None, seconds: int
) -> list[float | None]:
    """Slope of the change of the mid on signed volume, over the whole seconds inside the window of each row."""
    if trades is None:
        return [None for _ in rows]
    steps: dict[int, list[float]] = {}
    for trade in valid_trades(trades):
        steps.setdefault(-(-trade["ts"] // NS) * NS, []).append((trade["side"] or 0) * trade["amount"])
    volumes = {end: math.fsum(signed) for end, signed in steps.items()}
    return [_lambda(rows[starts[i] : i + 1], volumes, seconds) for i in range(len(rows))]


def _lambda(seen: Sequence[Row], volumes: Mapping[int, float], seconds: int) -> float | None:
    """``seen``: the rows of the segment up to the one that asks; ``volumes``: by the end of their second."""
    t = seen[-1]["ts"]
    times = [row["ts"] for row in seen]
    x, y = [], []
    for end in range(t // NS * NS, t - seconds * NS, -NS):
        at_start, at_end = (bisect.bisect_right(times, ts) - 1 for ts in (end - NS, end))
        mids = [seen[at]["mid_price"] if at >= 0 else None for at in (at_start, at_end)]
        if None not in mids:
            x.append(volumes.get(end, 0.0))
            y.append(mids[1] - mids[0])
    return regression(x, y, LEAST_STEPS)[0]


# VPIN


@dataclass(frozen=True)
class VpinOptions:
    """Options of ``vpin`` with their defaults."""

    enable_vpin: bool = True
    vpin_bucket_volume: str = "adv/50"
    vpin_window_buckets: int = 50
    vpin_classification: str = "aggressor"
    lot_size: float = 1e-8
    max_gap: float | None = 300
    vpin_bulk_seconds: int = 60
    vpin_bulk_bars: int = 50


@dataclass(frozen=True)
class Piece:
    """Lots that fill buckets with one sign: a trade, or (bulk) the trades of one bar."""

    ts: int
    """When they fill: the time of the trade, the end of the bar."""
    traded: int
    """Time of the trade, of the last one of the bar."""
    lots: int
    lean: Fraction
    """Bought less sold share: 1 bought, -1 sold, 0 half and half."""


@dataclass(frozen=True)
class Bucket:
    """A full bucket."""

    closed: int
    """ts of the lot that filled it."""
    lots: int
    excess: Fraction
    """Bought less sold lots."""


def vpin(rows: Sequence[Row], trades: Sequence[Row] | None, **options: Any) -> dict[str, list[float | None]]:
    """VPIN at each row, of the buckets that are full by then; no column where it is switched off."""
    own = VpinOptions.__dataclass_fields__
    chosen = VpinOptions(**{name: value for name, value in options.items() if name in own})
    if not chosen.enable_vpin:
        return {}
    if trades is None:
        return {"vpin": [None for _ in rows]}
    gap = math.inf if chosen.max_gap is None else chosen.max_gap
    starts = [row["ts"] for row, after_gap in zip(rows, gap_before(rows, gap), strict=True) if after_gap]
    full = buckets(trades, chosen, starts)
    values: list[float | None] = []
    for i in range(len(rows)):
        now = max(row["ts"] for row in rows[: i + 1])
        last = [bucket for bucket in full if bucket.closed <= now][-chosen.vpin_window_buckets :]
        enough = len(last) == chosen.vpin_window_buckets
        excess, lots = sum(abs(bucket.excess) for bucket in last), sum(bucket.lots for bucket in last)
        values.append(Near(excess / Fraction(lots), 1e-12) if enough else None)
    return {"vpin": values}


def whole_lots(amount: float, lot_size: float) -> int:
    """The nearest number of lots, half to even."""
    return round(Fraction(repr(amount)) / Fraction(repr(lot_size)))


def buckets(trades: Sequence[Row], options: VpinOptions, starts: Sequence[int] = ()) -> list[Bucket]:
    """All full buckets, in order; ``starts``: times of the first rows of segments, that of the history left out."""
    lots = [(trade, whole_lots(trade["amount"], options.lot_size)) for trade in valid_trades(trades)]
    seen = [(trade, count) for trade, count in lots if count > 0]
    size = _bucket_size(seen, options)
    full: list[Bucket] = []
    for run in _runs(seen, options, starts):
        full += _cut(run, size)
    return full


def _cut(run: Sequence[Piece], size: Callable[[int], int | None]) -> Iterator[Bucket]:
    """Cut the lots of a run, laid end to end, into buckets; the rest at the end is lost."""
    ends = [sum(piece.lots for piece in run[: i + 1]) for i in range(len(run))]
    begin, i = 0, 0
    while i < len(run):
        if begin >= ends[i]:
            i += 1
            continue
        lots = size(run[i].traded // DAY)
        if lots is None:
            begin = ends[i]
            continue
        end = begin + lots
        if end > ends[-1]:
            return
        last = next(j for j in range(i, len(run)) if ends[j] >= end)
        shares = [min(end, ends[j]) - max(begin, ends[j] - run[j].lots) for j in range(i, last + 1)]
        excess = sum((share * run[i + k].lean for k, share in enumerate(shares)), Fraction(0))
        yield Bucket(run[last].ts, lots, excess)
        begin = end


def _runs(seen: Sequence[tuple[Row, int]], options: VpinOptions, starts: Sequence[int]) -> Iterator[Sequence[Piece]]:
    """The pieces of each segment: of the trades from its first row on to before that of the next one."""
    signed = list(zip(seen, _signs(seen, options), strict=True))
    for begin, end in itertools.pairwise([-math.inf, *starts, math.inf]):
        inside = [((trade, count), sign) for (trade, count), sign in signed if begin <= trade["ts"] < end]
        if options.vpin_classification == "bulk":
            # A bar that is not over when the next segment starts is lost with the bucket.
            yield [piece for piece in _bars([one for one, _ in inside], options) if piece.ts <= end]
        else:
            yield [Piece(trade["ts"], trade["ts"], count, sign) for (trade, count), sign in inside]


def _bucket_size(seen: Sequence[tuple[Row, int]], options: VpinOptions) -> Callable[[int], int | None]:
    """Day -> lots of the buckets that are opened in it, None where they are not known yet."""
    if options.vpin_bucket_volume != "adv/50":
        fixed = whole_lots(float(options.vpin_bucket_volume), options.lot_size)
        return lambda day: fixed
    days = sorted({trade["ts"] // DAY for trade, _ in seen})
    volumes = {day: sum(count for trade, count in seen if trade["ts"] // DAY == day) for day in days}
    first = min((trade["ts"] for trade, _ in seen), default=0)
    soon = 300 if options.max_gap is None else options.max_gap
    whole = [day for day in days if day != days[0] or first - day * DAY <= soon * NS]

    def size(day: int) -> int | None:
        known = [volumes[other] for other in whole if other < day][-KNOWN_DAYS:]
        return max(1, round(Fraction(sum(known), len(known) * 50))) if known else None

    return size


def _signs(seen: Sequence[tuple[Row, int]], options: VpinOptions) -> list[Fraction]:
    """Side of each trade, else that of the tick rule, which knows no segments."""
    ticks = _tick_signs([trade["price"] for trade, _ in seen])
    told = options.vpin_classification == "aggressor"
    return [Fraction((told and trade["side"]) or tick) for (trade, _), tick in zip(seen, ticks, strict=True)]


def _tick_signs(prices: Sequence[float]) -> list[int]:
    """Sign of the last change of the price up to each trade, 0 before the first."""
    signs = []
    for i, price in enumerate(prices):
        other = next((before for before in reversed(prices[:i]) if before != price), None)
        # The last change may lie back: then the prices since are equal, and `other` is the one before it.
        signs.append(0 if other is None else 1 if price > other else -1)
    return signs


def _bars(seen: Sequence[tuple[Row, int]], options: VpinOptions) -> list[Piece]:
    """Bulk classification: one piece per bar of the epoch grid that has trades."""
    step = options.vpin_bulk_seconds * NS
    starts = sorted({trade["ts"] // step * step for trade, _ in seen})
    inside = [[(trade, count) for trade, count in seen if trade["ts"] // step * step == start] for start in starts]
    # Exact, so that equal changes are equal and their deviation is 0.
    closes = [Decimal(repr(bar[-1][0]["price"])) for bar in inside]
    changes = [None, *(closes[i] - closes[i - 1] for i in range(1, len(closes)))]
    pieces = []
    for i, start in enumerate(starts):
        earlier = [change for change in changes[max(0, i - options.vpin_bulk_bars) : i] if change is not None]
        lots = sum(count for _, count in inside[i])
        pieces.append(Piece(start + step, inside[i][-1][0]["ts"], lots, _lean(changes[i], earlier)))
    return pieces


def _lean(change: Decimal | None, earlier: Sequence[Decimal]) -> Fraction:
    """Bought less sold share of a bar whose price changed by ``change``."""
    if not change or len(earlier) < 2:
        return Fraction(0)
    exact = [Fraction(other) for other in earlier]
    mean = sum(exact, Fraction(0)) / len(exact)
    variance = sum(((other - mean) ** 2 for other in exact), Fraction(0)) / (len(exact) - 1)
    if variance == 0:
        return Fraction(0)
    return Fraction(2 * NormalDist().cdf(float(change) / math.sqrt(variance)) - 1)
