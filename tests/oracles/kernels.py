"""Path-dependent book features, row by row: every value from scratch, from the rows that its definition names."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.oracles.near import Near, near_mean, near_std, near_total, near_variance, regression, root_of_squares
from tests.oracles.rows import NS, Row
from tests.oracles.segments import segment_starts, window

Series = list["float | None"]
SIDES = ("bid", "ask")
LEAST_POINTS = 30
"""Of a regression or a percentile."""


@dataclass(frozen=True)
class Options:
    """Options of the kernels over books with their defaults; others have oracles in ``kernel_*.py``."""

    max_gap: float = 300
    horizons: Sequence[int] = (5, 15, 60, 300, 900)
    ofi_levels: int = 10
    mlofi_decay: float = 0.5
    impact_window: int = 300
    regime_window: int = 300
    regime_mode: str = "percentile"
    tight_percentile: float = 0.2
    wide_percentile: float = 0.8
    tight_bps: float = 2.0
    wide_bps: float = 10.0
    slope_window: int = 60
    depth_window: int = 300


@dataclass(frozen=True)
class History:
    """Rows of one symbol in order. A row is valid when it has a mid."""

    rows: Sequence[Row]
    options: Options
    starts: Sequence[int]
    """Per row: the index of the first row of its segment."""
    before: Sequence[int | None]
    """Per valid row: the index of the valid row before it in its segment, if that is at most ``max_gap`` older."""

    def mid(self, i: int) -> float:
        mid: float = self.rows[i]["mid_price"]
        return mid

    def seconds(self, i: int, j: int) -> float:
        """From row ``j`` to row ``i``."""
        seconds: float = (self.rows[i]["ts"] - self.rows[j]["ts"]) / NS
        return seconds

    def inside(self, i: int, seconds: int) -> list[int]:
        return window(self.rows, i, self.starts[i], seconds)

    def held(self, i: int, seconds: int) -> Iterator[tuple[int, int]]:
        """Rows whose state held some time in the window that ends at row ``i``, and for how many nanoseconds."""
        end = self.rows[i]["ts"]
        begin = end - seconds * NS
        for j in range(i - 1, self.starts[i] - 1, -1):
            since, until = max(self.rows[j]["ts"], begin), self.rows[j + 1]["ts"]
            if until <= begin:
                return
            if until > since:
                yield j, until - since


def book_features(rows: Sequence[Row], trades: Sequence[Row] | None = None, **options: Any) -> list[Row]:
    """Expected kernel columns of ``rows`` (of one symbol, in order, columns of ``orderbook_hf``).

    ``trades`` (ts, price, amount, side 1, -1 or None, in order): None means that there is no trade data.
    """
    own = {field.name for field in fields(Options)}
    chosen = Options(**{name: value for name, value in options.items() if name in own})
    starts = segment_starts(rows, chosen.max_gap)
    history = History(rows, chosen, starts, [_row_before(rows, i, starts[i], chosen) for i in range(len(rows))])
    returns = [_log_return(history, i) for i in range(len(rows))]
    by_price = [_flow_by_price(history, i) for i in range(len(rows))]
    flows = [[_flow(history, i, level) for i in range(len(rows))] for level in range(chosen.ofi_levels)]
    columns = {
        "segment_age_s": [history.seconds(i, start) for i, start in enumerate(starts)],
        "log_return": returns,
        **_speeds(history),
        **_flows(history, flows),
        "ofi_price": by_price,
        **_rolling(history, returns),
        **_impact(history, returns, flows[0]),
        **_regimes(history),
    }
    for path in sorted(Path(__file__).parent.glob("kernel_*.py")):
        columns |= importlib.import_module(f"tests.oracles.{path.stem}").columns(rows, trades, **options)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _row_before(rows: Sequence[Row], i: int, start: int, options: Options) -> int | None:
    valid = [j for j in range(start, i + 1) if rows[j]["mid_price"] is not None][-2:]
    if len(valid) < 2 or valid[1] != i or rows[i]["ts"] - rows[valid[0]]["ts"] > options.max_gap * NS:
        return None
    return valid[0]


def _log_return(history: History, i: int) -> Near | None:
    j = history.before[i]
    # The quotient of the mids has a rounding error of its own.
    return Near(math.log(history.mid(i) / history.mid(j)), 5e-16) if j is not None else None


def _velocity(history: History, i: int) -> float | None:
    j = history.before[i]
    if j is None or history.seconds(i, j) <= 0:
        return None
    return (history.mid(i) - history.mid(j)) / history.seconds(i, j)


def _acceleration(history: History, i: int) -> Near | None:
    j = history.before[i]
    k = history.before[j] if j is not None else None
    now = _velocity(history, i)
    last = _velocity(history, j) if j is not None else None
    if j is None or k is None or now is None or last is None:
        return None
    half = (history.seconds(i, j) + history.seconds(j, k)) / 2
    return Near((now - last) / half, 1e-15 * (abs(now) + abs(last)) / half)


def _speeds(history: History) -> dict[str, Series]:
    rows = range(len(history.rows))
    return {
        "mid_velocity": [_velocity(history, i) for i in rows],
        "mid_accel": [_acceleration(history, i) for i in rows],
    }


def _flow(history: History, i: int, level: int) -> Near | None:
    """Order flow e of one level; None where the level is missing on a side of either row."""
    j = history.before[i]
    if j is None:
        return None
    new, old = history.rows[i], history.rows[j]
    names = [f"{side}_{field}_{level:02d}" for side in SIDES for field in ("price", "size")]
    if any(row.get(name) is None for row in (new, old) for name in names):
        return None
    bid, bid_size, ask, ask_size = (new[name] for name in names)
    bid_before, bid_size_before, ask_before, ask_size_before = (old[name] for name in names)
    if bid > bid_before:
        bid_flow = [bid_size]
    elif bid == bid_before:
        bid_flow = [bid_size, -bid_size_before]
    else:
        bid_flow = [-bid_size_before]
    if ask > ask_before:
        ask_flow = [-ask_size_before]
    elif ask == ask_before:
        ask_flow = [ask_size, -ask_size_before]
    else:
        ask_flow = [ask_size]
    return near_total([*bid_flow, *(-part for part in ask_flow)])


def _flow_by_price(history: History, i: int) -> Near | None:
    """Order flow by price; None where a side of either row is cut off before the prices that count."""
    j = history.before[i]
    if j is None:
        return None
    total: list[float] = []
    for side, sign in (("bid", 1), ("ask", -1)):
        books = [_levels(history.rows[k], side) for k in (i, j)]
        last = min((sign * max(sign * price for price in book) for book in books), key=lambda price: sign * price)
        for k, book, factor in zip((i, j), books, (sign, -sign), strict=True):
            reached = any(sign * price <= sign * last for price in book)
            if not reached and not history.rows[k][f"{side}_is_whole"]:
                return None
            total += [factor * size for price, size in book.items() if sign * price >= sign * last]
    return near_total(total)


def _levels(row: Row, side: str) -> dict[float, float]:
    """Price -> size of the levels of one side."""
    levels = ((row.get(f"{side}_price_{i:02d}"), row.get(f"{side}_size_{i:02d}")) for i in range(100))
    return {price: size for price, size in levels if price is not None and size is not None}


def _flows(history: History, flows: Sequence[Sequence[float | None]]) -> dict[str, Series]:
    columns: dict[str, Series] = {"ofi": list(flows[0])}
    columns |= {f"ofi_{level:02d}": list(flow) for level, flow in enumerate(flows) if level > 0}
    for name, decay in (("mlofi", history.options.mlofi_decay), ("ofi_multi", 0.0)):
        weights = [math.exp(-decay * level) for level in range(len(flows))]
        columns[name] = [
            near_total(weight * e for weight, e in zip(weights, levels, strict=True) if e is not None)
            for levels in zip(*flows, strict=True)
        ]
    for h in history.options.horizons:
        columns[f"ofi_sum_{h}s"] = _over(history, near_total, columns["ofi"], h)
        columns[f"mlofi_sum_{h}s"] = _over(history, near_total, columns["mlofi"], h)
    return columns


Statistic = Callable[["list[float | None]"], "float | None"]


def _over(history: History, statistic: Statistic, values: Sequence[float | None], seconds: int) -> Series:
    """A statistic of a column over the window that ends at each row."""
    return [statistic([values[j] for j in history.inside(i, seconds)]) for i in range(len(history.rows))]


def _rolling(history: History, returns: Sequence[float | None]) -> dict[str, Series]:
    def column(name: str) -> Series:
        return [row[name] for row in history.rows]

    columns: dict[str, Series] = {}
    for h in history.options.horizons:
        columns |= {
            f"mean_return_{h}s": _over(history, near_mean, returns, h),
            f"ret_std_{h}s": _over(history, near_std, returns, h),
            f"rv_{h}s": _over(history, root_of_squares, returns, h),
            f"mean_relative_spread_{h}s": _over(history, near_mean, column("relative_spread"), h),
            f"mean_relative_spread_tw_{h}s": [_time_weighted(history, i, h) for i in range(len(history.rows))],
        }
    named = {f"{side}_slope": column(f"{side}_slope_regression") for side in SIDES}
    for name, values in {**named, "cog_momentum": column("cog_vs_mid")}.items():
        h = history.options.slope_window
        columns[f"{name}_mean_{h}s"] = _over(history, near_mean, values, h)
        columns[f"{name}_std_{h}s"] = _over(history, near_std, values, h)
    h = history.options.depth_window
    columns["depth_0_5bps_sigma"] = _over(history, near_std, column("depth_0_5bps"), h)
    best = [_sum_or_none(row["bid_size_00"], row["ask_size_00"]) for row in history.rows]
    columns[f"depth_variance_{h}s"] = _over(history, near_variance, best, h)
    columns[f"depth_sigma_{h}s"] = _over(history, near_std, best, h)
    return columns


def _sum_or_none(x: float | None, y: float | None) -> float | None:
    return x + y if x is not None and y is not None else None


def _time_weighted(history: History, i: int, seconds: int) -> Near | None:
    """Mean of the relative spread, weighted with the time that each row held inside the window."""
    held = [(history.rows[j]["relative_spread"], time) for j, time in history.held(i, seconds)]
    known = [(spread, time) for spread, time in held if spread is not None]
    if not known:
        return None
    total, duration = math.fsum(spread * time for spread, time in known), sum(time for _, time in known)
    return Near(total / duration, 1e-15 * max(abs(spread) for spread, _ in known))


def _impact(history: History, returns: Sequence[float | None], flow: Sequence[float | None]) -> dict[str, Series]:
    """Regression of log return on order flow over the rows of the window that have both."""
    fits = []
    for i in range(len(history.rows)):
        inside = history.inside(i, history.options.impact_window)
        points = [(x, y) for j in inside if (x := flow[j]) is not None and (y := returns[j]) is not None]
        fits.append(regression([x for x, _ in points], [y for _, y in points], LEAST_POINTS))
    return {"ofi_impact": [slope for slope, _ in fits], "ofi_impact_r2": [fit for _, fit in fits]}


def _regimes(history: History) -> dict[str, list[Any]]:
    ticks = [_exact_spread(row) for row in history.rows]
    percentiles = [_percentile(history, i, ticks) for i in range(len(history.rows))]
    regimes = [_regime(history, i, percentiles[i]) for i in range(len(history.rows))]
    columns: dict[str, list[Any]] = {"spread_percentile": percentiles, "spread_regime": regimes}
    for name in ("tight", "wide"):
        shares = [_share(history, i, regimes, name) for i in range(len(history.rows))]
        columns[f"spread_regime_{name}_frac"] = shares
    return columns


def _exact_spread(row: Row) -> Decimal | None:
    """The spread of the prices as they are written, so that equal spreads are equal; None unless the row is valid."""
    if row["mid_price"] is None:
        return None
    return Decimal(repr(row["ask_price_00"])) - Decimal(repr(row["bid_price_00"]))


def _percentile(history: History, i: int, ticks: Sequence[Decimal | None]) -> float | None:
    """Mid-rank of a row's spread among those of the other rows of its window."""
    own = ticks[i]
    inside = history.inside(i, history.options.regime_window)[:-1]
    others = [other for j in inside if (other := ticks[j]) is not None]
    if own is None or len(others) < LEAST_POINTS:
        return None
    below, equal = sum(other < own for other in others), sum(other == own for other in others)
    return (2 * below + equal) / (2 * len(others))


def _regime(history: History, i: int, percentile: float | None) -> str | None:
    options = history.options
    if options.regime_mode == "static":
        value, tight, wide = history.rows[i]["spread_bps"], options.tight_bps, options.wide_bps
        value = value if history.rows[i]["mid_price"] is not None else None
    else:
        value, tight, wide = percentile, options.tight_percentile, options.wide_percentile
    if value is None:
        return None
    return "tight" if value <= tight else "wide" if value >= wide else "normal"


def _share(history: History, i: int, regimes: Sequence[str | None], name: str) -> float | None:
    """Time in a regime over the time in any known one, inside the window."""
    held = [(regimes[j], time) for j, time in history.held(i, history.options.regime_window)]
    known = sum(time for regime, time in held if regime is not None)
    return sum(time for regime, time in held if regime == name) / known if known else None
