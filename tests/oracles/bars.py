"""Time bars of book mids and of trades, bin by bin."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.oracles import trades
from tests.oracles.clock import EPOCH
from tests.oracles.near import Near
from tests.oracles.rows import NS, Row, by_key
from tests.oracles.segments import (
    gap_before,
    imbalance,
    log_of,
    log_returns,
    mean,
    present,
    ratio,
    segment_starts,
    to_price,
    total,
)

BOOK_MEANS = {
    "mean_relative_spread": "relative_spread",
    "mean_imbalance_top1": "imbalance_top1",
    "mean_total_imbalance": "total_imbalance",
    "mean_microprice": "microprice",
    "mean_micro_minus_mid": "micro_minus_mid",
    "mean_total_bid_depth": "total_bid_depth",
    "mean_total_ask_depth": "total_ask_depth",
    "mean_smart_depth_imbalance": "smart_depth_imbalance",
}
TRADE_SUMS = ("volume", "dollar_volume", "trade_count", "buy_volume", "sell_volume", "unknown_volume")


@dataclass(frozen=True)
class Options:
    """Options of both bar models with their defaults."""

    bar_durations: Sequence[int] = (60, 300, 900, 3600)
    max_gap: float | None = 300
    seconds_per_year: float = 31_536_000
    fill: bool = False
    emit_open_bars: bool = False


def trade_bars(raw: Iterable[Row], **options: object) -> list[Row]:
    """Expected rows of ``trades_bars`` from raw trades."""
    rows = [
        row | {"dollar_volume": value}
        for row in map(trades.canonical, raw)
        if (value := trades.dollar_volume(row)) is not None
    ]
    return _bars(rows, "price", _trade_columns, Options(**({"max_gap": None} | options)))  # type: ignore[arg-type]


def book_bars(hf: Iterable[Row], **options: object) -> list[Row]:
    """Expected rows of ``orderbook_bars`` from rows of ``orderbook_hf``."""
    rows = [dict(row) for row in hf]
    return _bars(rows, "mid_price", _book_columns, Options(**options))  # type: ignore[arg-type]


Columns = Callable[[list[Row]], Row]


def _bars(rows: list[Row], price: str, columns: Columns, options: Options) -> list[Row]:
    out: list[Row] = []
    for key_rows in by_key(rows):
        starts = segment_starts(key_rows, options.max_gap)
        returns = log_returns(key_rows, price, starts, options.max_gap, lambda row: date_of(row["ts"]))
        gaps = gap_before(key_rows, options.max_gap)
        for row, log_return, gap in zip(key_rows, returns, gaps, strict=True):
            row |= {"_return": log_return, "_gap": gap, "_price": row[price]}
        last = key_rows[-1]["ts"]
        for duration in options.bar_durations:
            bars = _key_bars(key_rows, duration, columns, options)
            bars = _filled(bars, key_rows) if options.fill else bars
            out += [bar for bar in bars if options.emit_open_bars or bar["bar_end"] <= last]
    return sorted(out, key=lambda b: (b["exchange"], b["symbol"], b["date"], b["bar_seconds"], b["bar_start"]))


def _key_bars(rows: list[Row], duration: int, columns: Columns, options: Options) -> list[Row]:
    """Each row counts in the bar of its time, which has the date of its start, wherever the row is filed."""
    bins: dict[int, list[Row]] = {}
    step = duration * NS
    for row in rows:
        bins.setdefault(row["ts"] // step * step, []).append(row)
    bars = []
    for start, inside in sorted(bins.items()):
        middle = columns(inside)
        key = {"exchange": inside[0]["exchange"], "symbol": inside[0]["symbol"], "date": date_of(start)}
        times = {"bar_seconds": duration, "bar_start": start, "bar_end": start + step}
        bars.append({**key, **times, **middle, **_path(middle, inside, duration, options)})
    return bars


def date_of(ts: int) -> dt.date:
    """UTC date of a time in ns."""
    return EPOCH.date() + dt.timedelta(days=ts // (86_400 * NS))


def _ohlc(prices: list[float]) -> Row:
    if not prices:
        return dict.fromkeys(("open", "high", "low", "close"))
    return {"open": prices[0], "high": max(prices), "low": min(prices), "close": prices[-1]}


def _trade_columns(rows: list[Row]) -> Row:
    volume, dollars = total(row["amount"] for row in rows), total(row["dollar_volume"] for row in rows)
    buy, sell, unknown = (math.fsum(row["amount"] for row in rows if row["side"] == side) for side in (1, -1, None))
    return {
        **_ohlc([row["price"] for row in rows]),
        "volume": volume,
        "dollar_volume": dollars,
        "trade_count": len(rows),
        "buy_volume": buy,
        "sell_volume": sell,
        "unknown_volume": unknown,
        "vwap": ratio(dollars, volume),
        "tfi": imbalance(buy, sell),
    }


def _book_columns(rows: list[Row]) -> Row:
    spreads = present(row["spread"] for row in rows)
    means = {name: mean(row[column] for row in rows) for name, column in BOOK_MEANS.items()}
    return {
        **_ohlc(present(row["mid_price"] for row in rows)),
        "snapshot_count": len(rows),
        "mean_spread": mean(spreads),
        "min_spread": min(spreads, default=None),
        "max_spread": max(spreads, default=None),
        **means,
        **{f"sum_{name}": _flow(row.get(name) for row in rows) for name in ("ofi", "mlofi")},
    }


def _flow(values: Iterable[float | None]) -> Near | None:
    """A sum whose terms cancel, added up in another order."""
    known = present(values)
    return Near(math.fsum(known), 1e-13 * math.fsum(map(abs, known))) if known else None


def _path(bar: Row, rows: list[Row], duration: int, options: Options) -> Row:
    variance = total(r * r if (r := row["_return"]) is not None else None for row in rows)
    first, high, low, last = bar["open"], bar["high"], bar["low"], bar["close"]
    return {
        "realized_variance": variance,
        "return": to_price(last - first if first is not None else None, first),
        "log_return": log_of(last, first),
        "range": to_price(high - low if first is not None else None, first),
        "annualized_vol": math.sqrt(variance * options.seconds_per_year / duration) if variance is not None else None,
        "has_gap": any(row["_gap"] for row in rows),
    }


def _filled(bars: list[Row], rows: list[Row]) -> list[Row]:
    """The bars with empty ones between them, to the end of the date after the one before the silence.

    A date that neither has a partition nor lies beside one is nobody's.
    """
    built = {row["date"] + dt.timedelta(days=days) for row in rows for days in (-1, 0, 1)}
    out: list[Row] = []
    for bar in bars:
        empty = _empty_after(out[-1]) if out else bar
        until = out[-1]["date"] + dt.timedelta(days=1) if out else None
        while empty["bar_start"] < bar["bar_start"] and until is not None and empty["date"] <= until:
            if empty["date"] in built:
                out.append(empty)
            empty = _empty_after(empty)
        out.append(bar)
    return out


def _empty_after(bar: Row) -> Row:
    kept = {name: bar[name] for name in ("exchange", "symbol", "bar_seconds")} | {"date": date_of(bar["bar_end"])}
    zero = {name: 0 if name.endswith("count") else 0.0 for name in ("snapshot_count", *TRADE_SUMS) if name in bar}
    return {
        **dict.fromkeys(bar),
        **kept,
        **dict.fromkeys(("open", "high", "low", "close"), bar["close"]),
        **zero,
        **dict.fromkeys(("return", "log_return", "range"), 0.0),
        "bar_start": bar["bar_end"],
        "bar_end": bar["bar_end"] + bar["bar_seconds"] * NS,
        "has_gap": False,
    }
