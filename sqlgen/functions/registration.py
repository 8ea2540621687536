"""The kernels as DuckDB functions over ordered lists: ``vpin(list(price ORDER BY ts), ...)``.

A list is the history of one group. It passes through the kernels of a run as one batch with a fresh state; the result
is a list of the same length, for ``unnest``. Bars return the parts of trades that they consist of.
"""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import numpy as np
from numpy.typing import NDArray

from sqlgen.functions.list_codec import Floats
from sqlgen.functions.list_kernels import RollingImbalance, RollingMoments, RollingSquares, RollingSums
from sqlgen.functions.sqlfunction import PREFIX, Function, ListArguments, Options
from sqlgen.templating.queries import query
from sqlgen.templating.quoting import quoted
from udfs import Array, Batch, Trades, registry

_KERNELS = registry()
_SEGMENTS = _KERNELS["segments"]
_DAILY = _KERNELS["vpin"].options["vpin_bucket_volume"].default


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Register the functions with a connection; may be repeated.

    In a database in memory its cursors know them too. Nothing is written to a database file.
    """
    there = {row[0] for row in connection.execute(query("functions_named", prefix=PREFIX)).fetchall()}
    # Macros stored in a file would call functions that only a registered connection has.
    in_file = connection.execute(query("in_file")).fetchall() != [(False,)]
    for function in FUNCTIONS:
        if PREFIX + function.name not in there:
            function.register(connection)
        connection.execute(function.macro(temporary=in_file))
        connection.execute(f"COMMENT ON MACRO {function.name} IS {quoted(function.doc)}")


def _times(arguments: ListArguments, of: str) -> NDArray[np.int64]:
    """The times of the rows; without any, the rows follow each other closely."""
    return np.arange(len(arguments[of])) if arguments["ts"] is None else np.asarray(arguments["ts"])


def _sides(arguments: ListArguments) -> NDArray[np.int8]:
    return np.asarray(np.nan_to_num(arguments["sides"]), np.int8)


def _tape(arguments: ListArguments, options: Options) -> Batch:
    """Trades that are rows themselves."""
    if arguments["ts"] is None and (
        options["vpin_bucket_volume"] == _DAILY or options["vpin_classification"] == "bulk"
    ):
        raise ValueError(f"ts is needed for vpin_bucket_volume := '{_DAILY}' and vpin_classification := 'bulk'")
    ts = _times(arguments, "prices")
    # A trade must not see later trades of the same time: for the kernel these come a nanosecond later.
    ranks = np.arange(len(ts))
    ts = np.maximum.accumulate(ts - ranks) + ranks
    return Batch(ts, {}, Trades(ts, arguments["prices"], arguments["amounts"], _sides(arguments)))


def _parts(arguments: ListArguments, options: Options) -> Batch:
    """Parts of trades, by bar."""
    names = {"price": "prices", "amount": "amounts", "side": "sides"}
    return Batch(arguments["ts"], {column: arguments[name] for column, name in names.items()})


def _signed(arguments: ListArguments, options: Options) -> Batch:
    return Batch(arguments["ts"], {name: arguments[name] for name in ("amounts", "sides")})


def _mids_and_trades(arguments: ListArguments, options: Options) -> Batch:
    trades = Trades(arguments["trade_ts"], np.ones(len(arguments["trade_ts"])), arguments["amounts"], _sides(arguments))
    return Batch(arguments["ts"], {"mid_price": arguments["mids"]}, trades)


def _mids(arguments: ListArguments, options: Options) -> Batch:
    return Batch(_times(arguments, "mids"), {"mid_price": arguments["mids"]})


def _mid(bid: Floats, ask: Floats) -> Floats:
    """Mid price; NaN if the book is crossed."""
    return np.where(ask >= bid, (bid + ask) / 2, np.nan)


def _level_columns(level: int) -> list[str]:
    return [f"{side}_{field}_{level:02}" for side in ("bid", "ask") for field in ("price", "size")]


def _touch(arguments: ListArguments, options: Options) -> Batch:
    """The best level of books."""
    levels = [arguments[name] for name in _TOUCH]
    columns = dict(zip(_level_columns(0), levels, strict=True))
    return Batch(_times(arguments, "bid_prices"), {**columns, "mid_price": _mid(levels[0], levels[2])})


def _books(arguments: ListArguments, options: Options) -> Batch:
    """All levels of books."""
    columns: dict[str, Array] = {}
    for i in range(options["ofi_levels"]):
        columns |= zip(_level_columns(i), (*arguments["bids"].level(i), *arguments["asks"].level(i)), strict=True)
    mid = _mid(columns["bid_price_00"], columns["ask_price_00"])
    return Batch(_times(arguments, "bids"), {**columns, "mid_price": mid})


def _spreads(arguments: ListArguments, options: Options) -> Batch:
    bid, ask = arguments["bid_prices"], arguments["ask_prices"]
    mid, spread = _mid(bid, ask), ask - bid
    return Batch(arguments["ts"], {"spread": spread, "spread_bps": 1e4 * spread / mid, "mid_price": mid})


def _impact(arguments: ListArguments, options: Options) -> Batch:
    return Batch(arguments["ts"], {"log_return": arguments["log_returns"], "ofi": arguments["ofis"]})


def _x(name: str) -> Callable[[ListArguments, Options], Batch]:
    return lambda arguments, _: Batch(arguments["ts"], {"x": arguments[name]})


_TRADES = ("prices", "amounts", "sides")
_TOUCH = ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes")
_BEST = ("ts", "bid_prices", "ask_prices")
_GAP = {"max_gap": "max_gap"}
_SECONDS = {"seconds": "seconds"} | _GAP
_REGIME = {"seconds": "regime_window"}
_SILENT = {"max_gap": None}
"""Trades; may be empty."""

FUNCTIONS = (
    Function(
        "vpin",
        "VPIN after each trade, 0 to 1; NULL until there are enough buckets. Without ts no gap ends a bucket",
        _TRADES,
        (_SEGMENTS, _KERNELS["vpin"]),
        _tape,
        {
            "bucket_volume": "vpin_bucket_volume",
            "buckets": "vpin_window_buckets",
            "classification": "vpin_classification",
        }
        | _GAP,
        times=True,
        defaults={"bucket_volume": "1.0"} | _SILENT,
    ),
    Function(
        "tfi",
        "Trade flow imbalance at each trade: (bought - sold) / (bought + sold) of the last seconds, -1 to 1",
        ("ts", "amounts", "sides"),
        (_SEGMENTS, RollingImbalance),
        _signed,
        _SECONDS,
        defaults=_SILENT,
    ),
    Function(
        "kyle_lambda",
        "Kyle's lambda at each mid: its change per signed volume, by regression over steps of one second, q/u",
        ("ts", "mids"),
        (_SEGMENTS, _KERNELS["kyle_lambda"]),
        _mids_and_trades,
        {"seconds": "kyle_window"} | _GAP,
        trades=("trade_ts", "amounts", "sides"),
    ),
    Function(
        "ofi",
        "Order flow imbalance of the best level since the snapshot before, u",
        _TOUCH,
        (_SEGMENTS, _KERNELS["ofi"]),
        _touch,
        _GAP,
        gives="ofi",
        times=True,
        fixed={"horizons": (), "ofi_price": False},
    ),
    Function(
        "mlofi",
        "Order flow imbalance of several levels, with weight exp(-decay i), u. Books are lists of {price, size}",
        ("bids", "asks"),
        (_SEGMENTS, _KERNELS["mlofi"]),
        _books,
        {"levels": "ofi_levels", "decay": "mlofi_decay"} | _GAP,
        gives="mlofi",
        times=True,
        fixed={"horizons": ()},
    ),
    Function(
        "log_return",
        "Log return since the mid before",
        ("mids",),
        (_SEGMENTS, _KERNELS["returns"]),
        _mids,
        _GAP,
        gives="log_return",
        times=True,
    ),
    Function(
        "rolling_sum",
        "Sum of the values of the last seconds, this row's too",
        ("ts", "x"),
        (_SEGMENTS, RollingSums),
        _x("x"),
        _SECONDS,
        gives="sum",
    ),
    Function(
        "rolling_mean",
        "Mean of the values of the last seconds",
        ("ts", "x"),
        (_SEGMENTS, RollingSums),
        _x("x"),
        _SECONDS,
        gives="mean",
    ),
    Function(
        "rolling_std",
        "Sample standard deviation of the values of the last seconds",
        ("ts", "x"),
        (_SEGMENTS, RollingMoments),
        _x("x"),
        _SECONDS,
    ),
    Function(
        "realized_volatility",
        "Square root of the sum of squared log returns of the last seconds",
        ("ts", "log_returns"),
        (_SEGMENTS, RollingSquares),
        _x("log_returns"),
        _SECONDS,
    ),
    Function(
        "ofi_impact",
        "Slope of log returns on order flow imbalance over the last seconds, 1/u",
        ("ts", "log_returns", "ofis"),
        (_SEGMENTS, _KERNELS["ofi_impact"]),
        _impact,
        {"seconds": "impact_window"} | _GAP,
        gives="ofi_impact",
    ),
    Function(
        "ofi_impact_r2",
        "Share of the variance of log returns that ofi_impact explains",
        ("ts", "log_returns", "ofis"),
        (_SEGMENTS, _KERNELS["ofi_impact"]),
        _impact,
        {"seconds": "impact_window"} | _GAP,
        gives="ofi_impact_r2",
    ),
    Function(
        "spread_percentile",
        "Share of the spreads of the last seconds below this one, equal ones counted half, 0 to 1",
        _BEST,
        (_SEGMENTS, _KERNELS["spread_regime"]),
        _spreads,
        _REGIME | _GAP,
        gives="spread_percentile",
    ),
    Function(
        "spread_regime",
        "'tight', 'normal' or 'wide', by spread_percentile",
        _BEST,
        (_SEGMENTS, _KERNELS["spread_regime"]),
        _spreads,
        _REGIME | {"tight": "tight_percentile", "wide": "wide_percentile"} | _GAP,
        gives="spread_regime",
    ),
    *(
        Function(
            name,
            f"Parts of trades with the number of their bar; bars are of equal {measure}",
            ("ts", *_TRADES),
            (_KERNELS[name],),
            _parts,
            options | _GAP,
        )
        for name, measure, options in (
            ("volume_bars", "volume", {"size": "volume_bar_size", "split": "split_trades"}),
            ("tick_bars", "numbers of trades", {"size": "tick_bar_size"}),
            ("dollar_bars", "value", {"size": "dollar_bar_size", "split": "split_trades"}),
        )
    ),
)
"""All functions, in the order of listings."""
