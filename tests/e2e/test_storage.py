"""Storage: precision of columns by their units, and sizes of files."""

from __future__ import annotations

import struct
from typing import Any

import duckdb
import pytest

from sqlgen.plan import batches
from tests.support.scratch import BTC, LEDGER, Scratch

DAYS = [f"2026-01-0{day}" for day in range(1, 5)]
EXACT = {"price": "DOUBLE", "amount": "DOUBLE", "cost": "FLOAT", "odd": "DOUBLE", "seq": "BIGINT", "n": "BIGINT"}
TEMPLATE = """\
{#-
description: Costs of trades
batches: true
order_by: [ts, seq]
-#}
WITH trades AS (
    {{ inputs.trades | indent(4) }}
)
SELECT
    exchange,
    symbol,
    date,
    ts,
    seq,
    price, -- q: price
    amount, -- u: size
    price * amount / 3 AS cost, -- q*u: a third of the value
    price / 7 AS odd,
    seq + 20000001 AS n -- 1: a number that is not stored in single precision
FROM trades
"""


@pytest.fixture
def stored(scratch: Scratch) -> Scratch:
    scratch.config["models"] = {}
    scratch.template("stored.sql.j2", TEMPLATE)
    scratch.kernel(LEDGER)
    scratch.model("stored", sql="stored.sql.j2", inputs={"trades": "raw"}, output={"path": "out/stored"})
    for number, date in enumerate(DAYS):
        scratch.trades(BTC, date, [100.1 + number, 3.3, 0.1])
    return scratch


def rows(scratch: Scratch) -> list[dict[str, Any]]:
    files = f"{scratch.lake}/out/stored/**/*.parquet"
    table = duckdb.sql(f"FROM read_parquet('{files}', hive_partitioning = true) ORDER BY ts, seq").to_arrow_table()
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def types(scratch: Scratch) -> dict[str, str]:
    files = f"{scratch.lake}/out/stored/**/*.parquet"
    relation = duckdb.sql(f"FROM read_parquet('{files}')")
    return dict(zip(relation.columns, map(str, relation.types), strict=True))


def float32(value: float) -> float:
    (found,) = struct.unpack("f", struct.pack("f", value))
    return float(found)


@pytest.mark.parametrize("kernels", [(), ("ledger",)])
@pytest.mark.parametrize("units", [1, 256])
def test_features_in_single_precision_prices_and_sizes_exact(
    stored: Scratch, units: int, kernels: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MAX_UNITS", units)
    stored.model("stored", udfs=[*kernels])
    stored.run()
    double = rows(stored)
    assert types(stored)["cost"] == "DOUBLE"
    stored.model("stored", output={"float": "single"})
    assert {reason.split(";")[0] for reason in stored.plan().values()} == {
        "options changed (output.float: none -> single)"
    }
    stored.run()
    single, found = rows(stored), types(stored)
    assert {name: found[name] for name in EXACT} == EXACT
    assert found["ts"] == "TIMESTAMP_NS"
    expected = [row | {"cost": float32(row["cost"])} for row in double]
    assert [row["cost"] for row in single] == [row["cost"] for row in expected]
    exact = ("price", "amount", "odd", "n", "seq", "ts")
    assert [[row[name] for name in exact] for row in single] == [[row[name] for name in exact] for row in double]
    assert stored.plan() == {}


@pytest.mark.slow
def test_checks_merge_and_inner_partitions_store_single_precision(stored: Scratch) -> None:
    checks = [{"check": "range", "columns": ["price"], "min": 1, "on_fail": "drop"}]
    stored.model("stored", checks=checks, output={"float": "single"})
    stored.run()
    assert (types(stored)["cost"], len(rows(stored))) == ("FLOAT", 8)
    stored.model("stored", output={"mode": "merge", "key": ["seq"], "order_by": ["ts"]})
    stored.run("--full-refresh")
    stored.trades(BTC, DAYS[1], [5.0], name="late")
    stored.run()
    assert (types(stored)["cost"], len(rows(stored))) == ("FLOAT", 9)
    keys = ["exchange", "symbol", "date", "n"]
    stored.model("stored", checks=[], output={"mode": "overwrite", "key": [], "order_by": [], "partition_by": keys})
    stored.run("--full-refresh")
    assert (types(stored)["cost"], len(rows(stored))) == ("FLOAT", 13)


def test_the_compiled_file_says_what_it_does_not_do(stored: Scratch) -> None:
    stored.model("stored", output={"float": "single"})
    stored.sqlgen("compile")
    text = (stored.folder / "target/compiled/stored.sql").read_text()
    assert "float: single" in text


@pytest.mark.slow
def test_small_files_are_smaller_than_fast_ones(stored: Scratch) -> None:
    stored.trades(BTC, DAYS[0], [100 + (number * 7919 % 1000) / 100 for number in range(20_000)])
    sizes = {}
    for storage in ("fast", "balanced", "small"):
        stored.model("stored", output={"storage": storage})
        stored.run()
        sizes[storage] = sum(path.stat().st_size for path in stored.lake.glob("out/stored/**/*.parquet"))
    assert sizes["small"] <= sizes["balanced"] < 0.9 * sizes["fast"], sizes
