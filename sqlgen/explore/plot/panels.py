"""Panels of a plot, by the columns that there are."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

OHLC = ("open", "high", "low", "close")
PRICES = ("mid_price", "price", "last")
"""Columns of which candles are made, where there are no bars."""


class Panel(Struct, frozen=True):
    """One panel below the others, over the same time."""

    title: str
    columns: tuple[str, ...]
    fill: bool = False
    """Areas instead of lines."""
    bars: bool = False
    """Bars instead of lines, one upon the other."""


_PRESETS: tuple[tuple[str, tuple[tuple[str, ...], ...], str], ...] = (
    ("Order flow imbalance", (("ofi_sum_60s",), ("ofi_sum_#s",), ("ofi",)), ""),
    ("Order flow imbalance of several levels", (("mlofi_sum_60s",), ("mlofi_sum_#s",), ("mlofi",)), ""),
    ("VPIN", (("vpin",),), ""),
    ("Spread", (("spread_bps",), ("mean_spread_bps",), ("quoted_spread_bps",), ("relative_spread",), ("spread",)), ""),
    (
        "Depth",
        (
            ("total_bid_depth", "total_ask_depth"),
            ("mean_total_bid_depth", "mean_total_ask_depth"),
            ("bid_size_00", "ask_size_00"),
            ("bid_volume", "ask_volume"),
        ),
        "fill",
    ),
    ("Volume", (("trade_vol_60s",), ("volume_60s",), ("volume_#s",)), ""),
    ("Volume", (("buy_volume", "sell_volume", "unknown_volume"), ("buy_volume", "sell_volume"), ("volume",)), "bars"),
    (
        "Imbalance",
        (("total_imbalance", "tfi_60s"), ("tfi",), ("total_imbalance",), ("buy_trade_ratio_60s",), ("vol_imbalance",)),
        "",
    ),
    ("Volatility", (("annualized_vol",), ("rv_60s",), ("realized_var_300s",), ("realized_var_#s",)), ""),
    ("Kyle's lambda", (("kyle_lambda",),), ""),
)
_FEWEST = 2
"""Panels below which further columns are shown."""
_KEYS = re.compile(r"(seq|date|bar_seconds|bar_id|.*_(\d\d)|.*levels|is_.*|hour_.*|minute_.*|day_.*|segment.*)")


def price_columns(columns: Collection[str]) -> tuple[str, ...]:
    """Columns of open, high, low and close of the panel of prices; none if there is no price."""
    if {*OHLC} <= {*columns}:
        return OHLC
    price = next((name for name in PRICES if name in columns), None)
    return (price,) * 4 if price else ()


def price_lines(columns: Collection[str]) -> tuple[str, ...]:
    """Columns that are lines upon the candles."""
    if {*OHLC} <= {*columns}:
        return tuple(name for name in ("vwap",) if name in columns)
    own = next((name for name in PRICES if name in columns), "")
    return tuple(name for name in (own, "vwap_300s", "bid", "ask") if name in columns)


def panels(columns: Sequence[str], asked: Sequence[str] = ()) -> list[Panel]:
    """Panels below that of prices: of the columns that are asked for, or of those that people look at."""
    if asked:
        return [Panel(name, (name,)) for name in asked]
    found: dict[str, Panel] = {}
    for title, choices, kind in _PRESETS:
        chosen = next((names for choice in choices if (names := _present(choice, columns))), None)
        if chosen and title not in found:
            found[title] = Panel(title, chosen, kind == "fill", kind == "bars")
    if len(found) < _FEWEST:
        shown = {name for panel in found.values() for name in panel.columns} | {*price_columns(columns)}
        shown |= {*price_lines(columns)}
        others = [name for name in columns if name not in shown and not _KEYS.fullmatch(name)]
        found |= {name: Panel(name, (name,)) for name in others[:4]}
    return [*found.values()]


def _present(choice: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    """The columns of a choice, all of them; ``#`` stands for a number."""
    found = [next(_matching(name, columns), None) for name in choice]
    return tuple(name for name in found if name is not None) if None not in found else ()


def _matching(name: str, columns: Sequence[str]) -> Iterator[str]:
    pattern = re.compile(re.escape(name).replace(r"\#", r"\d+"))
    return (column for column in columns if pattern.fullmatch(column))
