"""Batches of kernels, made of the lists that SQL functions are called with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sqlgen.functions.list_codec import Floats
from sqlgen.functions.sqlfunction import ListArguments, Options
from udfs import Array, Batch, Trades, registry

TOUCH = ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes")
"""Lists of the best quotes."""
_DAILY = registry()["vpin"].options["vpin_bucket_volume"].default


def times_of(arguments: ListArguments, of: str) -> NDArray[np.int64]:
    """The times of the rows; without any, the rows follow each other closely."""
    return np.arange(len(arguments[of])) if arguments["ts"] is None else np.asarray(arguments["ts"])


def sides(arguments: ListArguments) -> NDArray[np.int8]:
    """Sides of trades, 0 if unknown."""
    return np.asarray(np.nan_to_num(arguments["sides"]), np.int8)


def tape(arguments: ListArguments, options: Options) -> Batch:
    """Trades that are rows themselves."""
    if arguments["ts"] is None and (
        options["vpin_bucket_volume"] == _DAILY or options["vpin_classification"] == "bulk"
    ):
        raise ValueError(f"ts is needed for vpin_bucket_volume := '{_DAILY}' and vpin_classification := 'bulk'")
    ts = times_of(arguments, "prices")
    # A trade must not see later trades of the same time: for the kernel these come a nanosecond later.
    ranks = np.arange(len(ts))
    ts = np.maximum.accumulate(ts - ranks) + ranks
    return Batch(ts, {}, Trades(ts, arguments["prices"], arguments["amounts"], sides(arguments)))


def parts(arguments: ListArguments, options: Options) -> Batch:
    """Parts of trades, by bar."""
    names = {"price": "prices", "amount": "amounts", "side": "sides"}
    return Batch(arguments["ts"], {column: arguments[name] for column, name in names.items()})


def signed(arguments: ListArguments, options: Options) -> Batch:
    """Trades with their sides."""
    return Batch(arguments["ts"], {name: arguments[name] for name in ("amounts", "sides")})


def mids_and_trades(arguments: ListArguments, options: Options) -> Batch:
    """Mid prices, and trades beside them."""
    trades = Trades(arguments["trade_ts"], np.ones(len(arguments["trade_ts"])), arguments["amounts"], sides(arguments))
    return Batch(arguments["ts"], {"mid_price": arguments["mids"]}, trades)


def mids(arguments: ListArguments, options: Options) -> Batch:
    """Mid prices."""
    return Batch(times_of(arguments, "mids"), {"mid_price": arguments["mids"]})


def mid_of(bid: Floats, ask: Floats) -> Floats:
    """Mid price; NaN if the book is crossed."""
    return np.where(ask >= bid, (bid + ask) / 2, np.nan)


def level_columns(level: int) -> list[str]:
    """Columns of a level."""
    return [f"{side}_{field}_{level:02}" for side in ("bid", "ask") for field in ("price", "size")]


def touch(arguments: ListArguments, options: Options) -> Batch:
    """The best level of books."""
    levels = [arguments[name] for name in TOUCH]
    columns = dict(zip(level_columns(0), levels, strict=True))
    return Batch(times_of(arguments, "bid_prices"), {**columns, "mid_price": mid_of(levels[0], levels[2])})


def books(arguments: ListArguments, options: Options) -> Batch:
    """All levels of books."""
    columns: dict[str, Array] = {}
    for i in range(options["ofi_levels"]):
        columns |= zip(level_columns(i), (*arguments["bids"].level(i), *arguments["asks"].level(i)), strict=True)
    mid = mid_of(columns["bid_price_00"], columns["ask_price_00"])
    return Batch(times_of(arguments, "bids"), {**columns, "mid_price": mid})


def spreads(arguments: ListArguments, options: Options) -> Batch:
    """Spreads of the best quotes."""
    bid, ask = arguments["bid_prices"], arguments["ask_prices"]
    mid, spread = mid_of(bid, ask), ask - bid
    return Batch(arguments["ts"], {"spread": spread, "spread_bps": 1e4 * spread / mid, "mid_price": mid})


def impact(arguments: ListArguments, options: Options) -> Batch:
    """Log returns and order flow."""
    return Batch(arguments["ts"], {"log_return": arguments["log_returns"], "ofi": arguments["ofis"]})


def series(name: str) -> Callable[[ListArguments, Options], Batch]:
    """Batches of one list of numbers."""
    return lambda arguments, _: Batch(arguments["ts"], {"x": arguments[name]})
