"""``sqlgen lake repartition``: the rows of a table in other partitions, without its inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_lake_compact import lake
from tests.support.scratch import BTC, DAY1, DAY2, ETH, LEDGER, Scratch


@pytest.fixture
def built(scratch: Scratch) -> Scratch:
    del scratch.config["models"]["pairs"]
    scratch.template("costs.sql.j2", (scratch.folder / "transforms_sql/costs.sql.j2").read_text().replace(
        "    trade_id,\n", "    trade_id,\n    CASE WHEN price > 15 THEN 'a' ELSE 'b' END AS kind,\n"
    ))  # fmt: skip
    for symbol, date, prices in ((BTC, DAY1, [10.0, 20.0]), (BTC, DAY2, [30.0]), (ETH, DAY1, [5.0, 16.0])):
        scratch.trades(symbol, date, prices)
    scratch.run()
    return scratch


def rows(project: Scratch) -> list[dict[str, Any]]:
    return sorted((dict(sorted(row.items())) for row in project.table("costs").to_pylist()), key=repr)


def folders(project: Scratch) -> list[str]:
    root = project.lake / "out/costs"
    return sorted(str(path.parent.relative_to(root)) for path in root.rglob("*.parquet"))


def by(project: Scratch, *keys: str) -> None:
    project.model("costs", output={"partition_by": [*keys]})


SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [("exchange", "date"), pytest.param(("exchange", "symbol"), marks=SLOW), pytest.param(("date",), marks=SLOW)],
)
def test_coarser_and_finer_partitions(built: Scratch, keys: tuple[str, ...]) -> None:
    """There and back, with the raw files away; then they are what a build gives."""
    before, raw = rows(built), built.lake / "raw"
    original = folders(built)
    by(built, *keys)
    told = lake(built, "repartition", "costs", "--dry-run", "--json").json
    assert folders(built) == original
    lake(built, "repartition", "costs")
    wanted = {"/".join(f"{key}={row[key]}" for key in keys) for row in before}
    assert (folders(built), rows(built)) == (sorted(wanted), before)
    assert [part["partition"] for part in told["tables"][0]["partitions"]] == sorted(wanted)
    assert built.plan() == {}
    by(built, "exchange", "symbol", "date")
    raw.rename(built.lake / "away")
    lake(built, "repartition", "costs")
    (built.lake / "away").rename(raw)
    assert (folders(built), rows(built)) == (original, before)
    built.run("--full-refresh")
    assert rows(built) == before


@pytest.mark.slow
def test_inner_partitions_with_quarantine_kernel_and_edits(built: Scratch) -> None:
    built.kernel(LEDGER)
    checks = [{"check": "range", "columns": ["cost"], "max": 29.0}]
    built.model("costs", udfs=["ledger"], checks=checks)
    built.run()
    lake(built, "delete", "costs", "--where", "cost = 10")
    before = rows(built)
    by(built, "exchange", "symbol", "date", "kind")
    lake(built, "repartition", "costs")
    assert (rows(built), built.plan()) == (before, {})
    assert all(folder.split("/")[-1].startswith("kind=") for folder in folders(built))
    assert len([*(built.lake / "out/costs_quarantine").rglob("*.parquet")]) == 1
    edited = [part["edited"] for part in lake(built, "stats", "costs", "--json").json[0]["partitions"]]
    assert sorted(map(len, edited)) == [0, 1]
    (built.lake / ".sqlgen/manifest/costs.ndjson").unlink()
    assert built.plan() == {f"costs {BTC} {DAY2}": "new"}  # which has no row that passes, and so no footer
    built.trades(BTC, DAY2, [12.0])
    built.run()
    found = [row for row in rows(built) if (row["symbol"], str(row["date"])) == (BTC, DAY2)]
    assert [row["before"] for row in found] == [20.0]


@pytest.mark.slow
def test_what_was_stale_is_built_afterwards(built: Scratch) -> None:
    built.trades(ETH, DAY1, [7.0], name="late")
    by(built, "exchange", "date")
    lake(built, "repartition", "costs")
    assert set(built.plan()) == {f"costs {DAY1}"}
    built.run()
    assert [row["cost"] for row in built.table("costs").to_pylist() if row["symbol"] == ETH] == [5.0, 7.0, 16.0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"output": {"mode": "append"}}, "which files each partition has would have to be known by other keys"),
        ({"checks": [{"check": "range", "columns": ["cost"], "max": 9.0}]}, "it has quarantined rows"),
    ],
)
def test_what_rows_alone_do_not_tell_is_refused(scratch: Scratch, fields: dict[str, Any], message: str) -> None:
    del scratch.config["models"]["pairs"]
    scratch.model("costs", **fields)
    scratch.trades(BTC, DAY1, [1.0, 10.0])
    scratch.run()
    assert "it is partitioned by (exchange, symbol, date) already" in lake(scratch, "repartition", "costs", code=2).err
    by(scratch, "exchange", "date")
    assert "Repartition it first: sqlgen lake repartition costs" in lake(scratch, "compact", "costs", code=2).err
    before = scratch.snapshot()
    assert message in lake(scratch, "repartition", "costs", code=2).err
    assert _tables(scratch, scratch.snapshot()) == _tables(scratch, before)


def _tables(project: Scratch, found: dict[str, Any]) -> dict[str, Any]:
    return {name: stat for name, stat in found.items() if Path(name).parts[:2] == ("lake", "out")}
