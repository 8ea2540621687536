"""What window functions of SQL can say too: DuckDB over the same rows, times without ties, one segment."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pytest

from udfs.kernel import Batch, Trades
from udfs.pipeline import Pipeline

ROWS, TRADES = 20_000, 30_000
HORIZONS = (5, 60, 900)
START = 1_767_312_000_000_000_000
Arrays = dict[str, np.ndarray[Any, Any]]


def books() -> Arrays:
    """Quotes on a grid of prices; every twentieth book is crossed and has no mid."""
    rng = np.random.default_rng(1)
    mid = 10_000 + np.cumsum(rng.integers(-1, 2, ROWS))
    bid, ask = (mid - rng.integers(1, 3, ROWS)) / 10, (mid + rng.integers(0, 3, ROWS)) / 10
    valid = np.arange(ROWS) % 20 != 7
    middle = np.where(valid, (bid + ask) / 2, np.nan)
    return {
        "ts": START + np.cumsum(rng.integers(1, 400_000_000, ROWS)),
        "mid_price": middle,
        "relative_spread": (ask - bid) / middle,
        "bid_price_00": bid,
        "ask_price_00": np.where(valid, ask, bid - 0.1),
        "bid_size_00": rng.integers(1, 100, ROWS) / 10,
        "ask_size_00": rng.integers(1, 100, ROWS) / 10,
    }


def sales(rows: Arrays) -> Arrays:
    """Trades after the first row, some at the time of a row, some of unknown side."""
    rng = np.random.default_rng(2)
    times = rng.integers(rows["ts"][0] + 1, rows["ts"][-1], TRADES)
    times[::10] = rng.choice(rows["ts"][1:], len(times[::10]))
    return {
        "ts": np.sort(times),
        "amount": rng.integers(1, 1000, TRADES) / 100,
        "side": rng.integers(-1, 2, TRADES).astype(np.int8),
    }


FRAME = "(ORDER BY ts RANGE BETWEEN {ns} PRECEDING AND CURRENT ROW)"

STEPS = """
WITH valid AS (
    SELECT *, lag(COLUMNS(['mid_price', 'bid_price_00', 'bid_size_00', 'ask_price_00', 'ask_size_00']))
        OVER (ORDER BY ts) AS 'old_\\0'
    FROM rows
    WHERE mid_price IS NOT NULL
),
flows AS (
    SELECT
        ts,
        CASE
            WHEN bid_price_00 > old_bid_price_00 THEN bid_size_00
            WHEN bid_price_00 = old_bid_price_00 THEN bid_size_00 - old_bid_size_00
            WHEN bid_price_00 < old_bid_price_00 THEN -old_bid_size_00
        END AS bid_flow,
        CASE
            WHEN ask_price_00 > old_ask_price_00 THEN -old_ask_size_00
            WHEN ask_price_00 = old_ask_price_00 THEN ask_size_00 - old_ask_size_00
            WHEN ask_price_00 < old_ask_price_00 THEN ask_size_00
        END AS ask_flow,
        bid_flow - ask_flow AS ofi,
        ln(mid_price / old_mid_price) AS log_return
    FROM valid
),
steps AS (
    SELECT ts, relative_spread, ofi, log_return FROM rows LEFT JOIN flows USING (ts)
)
SELECT {columns} FROM steps ORDER BY ts
"""

TRADE_WINDOWS = """
WITH signed AS (
    SELECT ts, amount, side * amount AS signed, abs(side) * amount AS known, NULL AS row FROM trades
),
events AS (
    FROM signed UNION ALL SELECT ts, NULL, NULL, NULL, 1 FROM rows
),
windows AS (
    SELECT ts, row, {columns} FROM events
)
SELECT * EXCLUDE row FROM windows WHERE row = 1 ORDER BY ts
"""


def book_sql() -> str:
    columns = ["ofi"]
    for h in HORIZONS:
        frame = FRAME.format(ns=h * 10**9 - 1)
        columns += [
            f"sum(ofi) OVER {frame} AS ofi_sum_{h}s",
            f"avg(relative_spread) OVER {frame} AS mean_relative_spread_{h}s",
            f"sqrt(sum(log_return * log_return) OVER {frame}) AS rv_{h}s",
        ]
    return STEPS.format(columns=", ".join(columns))


def trades_sql() -> str:
    columns = []
    for h in HORIZONS:
        frame = FRAME.format(ns=h * 10**9 - 1)
        columns.append(f"sum(signed) OVER {frame} / nullif(sum(known) OVER {frame}, 0) AS tfi_{h}s")
        columns.append(f"sum(amount) OVER {frame} AS trade_vol_{h}s")
    return TRADE_WINDOWS.format(columns=", ".join(columns))


def in_duckdb(query: str, **tables: Arrays) -> Arrays:
    """The columns of a query over these tables; NaN is NULL on both sides."""
    connection = duckdb.connect()
    for name, columns in tables.items():
        connection.register(f"{name}_given", columns)
        connection.execute(f"CREATE TABLE {name} AS FROM {name}_given")
        for column, values in columns.items():
            if values.dtype == np.float64:
                connection.execute(f"UPDATE {name} SET {column} = NULL WHERE isnan({column})")
    arrays = connection.execute(query).fetchnumpy()
    return {name: np.ma.filled(values.astype(np.float64), np.nan) for name, values in arrays.items()}


def by_kernels(names: list[str], rows: Arrays, trades: Trades | None = None) -> Arrays:
    pipeline = Pipeline.of(names, {"horizons": list(HORIZONS)})
    missing = np.full(ROWS, np.nan)
    columns = {name: rows.get(name, missing) for name in pipeline.inputs}
    return pipeline.run(pipeline.start(), Batch(rows["ts"], columns, trades))


def assert_close(got: Arrays, wanted: Arrays, name: str, absolute: float) -> None:
    np.testing.assert_allclose(got[name], wanted[name], rtol=1e-9, atol=absolute, equal_nan=True, err_msg=name)
    assert np.count_nonzero(~np.isnan(wanted[name])) > ROWS // 2


def test_windows_over_books() -> None:
    rows = books()
    got, wanted = by_kernels(["ofi", "rolling"], rows), in_duckdb(book_sql(), rows=rows)
    assert len(wanted) == 1 + 3 * len(HORIZONS)
    for name in wanted:
        # The terms of a sum of flows are up to 20, and cancel.
        assert_close(got, wanted, name, 1e-9 if name.startswith("ofi") else 0.0)
    first = np.array([np.flatnonzero(~np.isnan(wanted[name]))[0] for name in ("ofi_sum_5s", "rv_5s")])
    assert (first == 1).all()


def test_windows_over_trades() -> None:
    rows = books()
    seen = sales(rows)
    trades = Trades(seen["ts"], np.full(TRADES, 100.0), seen["amount"], seen["side"])
    got, wanted = by_kernels(["tfi"], rows, trades), in_duckdb(trades_sql(), rows=rows, trades=seen)
    for name in (f"{kind}_{h}s" for h in HORIZONS for kind in ("tfi", "trade_vol")):
        assert_close(got, wanted, name, 1e-12)


@pytest.mark.parametrize("change", [1, -1])
def test_a_window_of_another_length_is_seen(change: int) -> None:
    """A nanosecond more or less takes in or leaves out rows that lie on the edge."""
    rows = books()
    rows["ts"] = START + np.arange(ROWS) * 10**9
    got = by_kernels(["ofi"], rows)
    right = in_duckdb(book_sql(), rows=rows)
    wrong = in_duckdb(book_sql().replace(f"{5 * 10**9 - 1} PREC", f"{5 * 10**9 - 1 + change * 10**9} PREC"), rows=rows)
    assert_close(got, right, "ofi_sum_5s", 1e-9)
    with pytest.raises(AssertionError):
        assert_close(got, wrong, "ofi_sum_5s", 1e-9)
