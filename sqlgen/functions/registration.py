"""The kernels as DuckDB functions over ordered lists: ``vpin(list(price ORDER BY ts), ...)``.

A list is the history of one group. It passes through the kernels of a run as one batch with a fresh state; the result
is a list of the same length, for ``unnest``. Bars return the parts of trades that they consist of.
"""

from __future__ import annotations

import duckdb

from sqlgen.functions import batches
from sqlgen.functions.list_kernels import RollingImbalance, RollingMoments, RollingSquares, RollingSums
from sqlgen.functions.sqlfunction import PREFIX, Function
from sqlgen.templating.queries import query
from sqlgen.templating.quoting import quoted
from udfs import registry

_KERNELS = registry()
_SEGMENTS = _KERNELS["segments"]


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


_TRADES = ("prices", "amounts", "sides")
_BEST = ("ts", "bid_prices", "ask_prices")
_GAP = {"max_gap": "max_gap"}
_SECONDS = {"seconds": "seconds"} | _GAP
_REGIME = {"seconds": "regime_window"}
_INFORMATION = {
    "unit": "bar_unit",
    "classification": "bar_classification",
    "span": "ewma_span",
    "initial_ticks": "initial_ticks",
    "min_ticks": "min_ticks",
    "max_ticks": "max_ticks",
}
_WINDOW = (
    *("bar_end", "snapshot_count", "is_closed", "mid_price", "return", "mean_depth", "ofi"),
    *("integrated_ofi", "ofi_explained", "segment_age_s"),
)
"""Columns that do not depend on the number of levels."""
_SILENT = {"max_gap": None}
"""Trades; may be empty."""

FUNCTIONS = (
    Function(
        "vpin",
        "VPIN after each trade, 0 to 1; NULL until there are enough buckets. Without ts no gap ends a bucket",
        _TRADES,
        (_SEGMENTS, _KERNELS["vpin"]),
        batches.tape,
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
        batches.signed,
        _SECONDS,
        defaults=_SILENT,
    ),
    Function(
        "kyle_lambda",
        "Kyle's lambda at each mid: its change per signed volume, by regression over steps of one second, q/u",
        ("ts", "mids"),
        (_SEGMENTS, _KERNELS["kyle_lambda"]),
        batches.mids_and_trades,
        {"seconds": "kyle_window"} | _GAP,
        trades=("trade_ts", "amounts", "sides"),
    ),
    Function(
        "ofi",
        "Order flow imbalance of the best level since the snapshot before, u",
        batches.TOUCH,
        (_SEGMENTS, _KERNELS["ofi"]),
        batches.touch,
        _GAP,
        gives=("ofi",),
        times=True,
        fixed={"horizons": (), "ofi_price": False},
    ),
    Function(
        "mlofi",
        "Order flow imbalance of several levels, with weight exp(-decay i), u. Books are lists of {price, size}",
        ("bids", "asks"),
        (_SEGMENTS, _KERNELS["mlofi"]),
        batches.books,
        {"levels": "ofi_levels", "decay": "mlofi_decay"} | _GAP,
        gives=("mlofi",),
        times=True,
        fixed={"horizons": ()},
    ),
    Function(
        "log_return",
        "Log return since the mid before",
        ("mids",),
        (_SEGMENTS, _KERNELS["returns"]),
        batches.mids,
        _GAP,
        gives=("log_return",),
        times=True,
    ),
    Function(
        "rolling_sum",
        "Sum of the values of the last seconds, this row's too",
        ("ts", "x"),
        (_SEGMENTS, RollingSums),
        batches.series("x"),
        _SECONDS,
        gives=("sum",),
    ),
    Function(
        "rolling_mean",
        "Mean of the values of the last seconds",
        ("ts", "x"),
        (_SEGMENTS, RollingSums),
        batches.series("x"),
        _SECONDS,
        gives=("mean",),
    ),
    Function(
        "rolling_std",
        "Sample standard deviation of the values of the last seconds",
        ("ts", "x"),
        (_SEGMENTS, RollingMoments),
        batches.series("x"),
        _SECONDS,
    ),
    Function(
        "realized_volatility",
        "Square root of the sum of squared log returns of the last seconds",
        ("ts", "log_returns"),
        (_SEGMENTS, RollingSquares),
        batches.series("log_returns"),
        _SECONDS,
    ),
    Function(
        "ofi_impact",
        "Slope of log returns on order flow imbalance over the last seconds, 1/u",
        ("ts", "log_returns", "ofis"),
        (_SEGMENTS, _KERNELS["ofi_impact"]),
        batches.impact,
        {"seconds": "impact_window"} | _GAP,
        gives=("ofi_impact",),
    ),
    Function(
        "ofi_impact_r2",
        "Share of the variance of log returns that ofi_impact explains",
        ("ts", "log_returns", "ofis"),
        (_SEGMENTS, _KERNELS["ofi_impact"]),
        batches.impact,
        {"seconds": "impact_window"} | _GAP,
        gives=("ofi_impact_r2",),
    ),
    Function(
        "spread_percentile",
        "Share of the spreads of the last seconds below this one, equal ones counted half, 0 to 1",
        _BEST,
        (_SEGMENTS, _KERNELS["spread_regime"]),
        batches.spreads,
        _REGIME | _GAP,
        gives=("spread_percentile",),
    ),
    Function(
        "spread_regime",
        "'tight', 'normal' or 'wide', by spread_percentile",
        _BEST,
        (_SEGMENTS, _KERNELS["spread_regime"]),
        batches.spreads,
        _REGIME | {"tight": "tight_percentile", "wide": "wide_percentile"} | _GAP,
        gives=("spread_regime",),
    ),
    *(
        Function(
            name,
            f"Parts of trades with the number of their bar; bars are of equal {measure}",
            ("ts", *_TRADES),
            (_KERNELS[name],),
            batches.parts,
            options | _GAP,
        )
        for name, measure, options in (
            ("volume_bars", "volume", {"size": "volume_bar_size", "split": "split_trades"}),
            ("tick_bars", "numbers of trades", {"size": "tick_bar_size"}),
            ("dollar_bars", "value", {"size": "dollar_bar_size", "split": "split_trades"}),
        )
    ),
    *(
        Function(
            name,
            f"Trades with the number of their bar; a bar closes when {why}",
            ("ts", *_TRADES),
            (_KERNELS[name],),
            batches.parts,
            _INFORMATION | _GAP,
        )
        for name, why in (
            ("imbalance_bars", "bought and sold are less balanced than expected"),
            ("run_bars", "one side trades more than expected"),
        )
    ),
    Function(
        "ofi_bars",
        "Order flow imbalance by window of an epoch grid, integrated over levels. Books are lists of {price, size}",
        ("ts", "bids", "asks"),
        (_KERNELS["ofi_bars"],),
        batches.books,
        {"levels": "ofi_levels", "seconds": "ofi_window", "fit": "fit_window"} | _GAP,
        gives=_WINDOW,
    ),
)
"""All functions, in the order of listings."""
