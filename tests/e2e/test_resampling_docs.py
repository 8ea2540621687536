"""docs/resampling.md: its models run on a sample lake, its query gives what it should, every option is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from sqlgen.sample import SampleSpec, write_sample
from sqlgen.templating.templates import Library
from tests.oracles import resample, trades
from tests.oracles.compare import assert_same, table_rows
from tests.oracles.symbols import columns
from tests.support.engine import ROOT, published, shipped_config, sqlgen
from tests.support.lakes import read_rows

TEXT = (ROOT / "docs/resampling.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found.group(1)


def documented_models() -> dict[str, Any]:
    """The models of the page, by name."""
    models: dict[str, Any] = yaml.safe_load(block("yaml"))["models"]
    return models


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample lake with the shipped models that are needed and those of the page."""
    folder = tmp_path_factory.mktemp("docs")
    write_sample(folder, SampleSpec(symbols=["BTC-USDT", "ETH-USDC"], days=2, rows_per_day=1500, seed=4))
    config = shipped_config(folder)
    config["models"] |= documented_models()
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    for models in (["+book_1s"], ["trades_100ms", "symbols"]):
        outcome = sqlgen("run", folder / "models.yaml", *(f"--select={name}" for name in models))
        assert outcome.code == 0, outcome.out + outcome.err
    return folder


def table(lake: Path, model: str) -> Any:
    models = shipped_config(lake)["models"] | documented_models()
    return published(lake / models[model]["output"]["path"])


@pytest.mark.slow
def test_trades_on_the_grid(lake: Path) -> None:
    options = documented_models()["trades_100ms"]["options"]
    rows = [trades.canonical(row) for row in read_rows(lake, "trades") if row["symbol"] == "BTC-USDT"]
    some = sorted(rows, key=lambda row: (row["date"], row["ts"], row["seq"]))[:300]
    end = some[-1]["ts"]
    expected = [row for row in resample.resample(some, **options) if row["ts"] <= end]
    got = table(lake, "trades_100ms").slice(0, len(expected))
    assert_same(got, expected)


@pytest.mark.slow
def test_the_book_of_every_second(lake: Path) -> None:
    """No second is missing between the first row and the last, and the flow adds up."""
    rows = [row for row in table_rows(table(lake, "book_1s")) if row["symbol"] == "BTC-USDT"]
    times = [row["ts"] for row in rows]
    assert times == list(range(times[0], times[-1] + 1, 10**9))
    assert len(times) > 100_000
    snapshots = [row for row in table_rows(table(lake, "orderbook_hf")) if row["symbol"] == "BTC-USDT"]
    assert sum(row["snapshot_count"] for row in rows) == sum(row["ts"] <= times[-1] for row in snapshots)
    flow = sum(row["ofi"] or 0 for row in snapshots if row["ts"] <= times[-1])
    assert sum(row["sum_ofi"] or 0 for row in rows) == pytest.approx(flow, rel=1e-9, abs=1e-9)
    for row in rows:
        assert (row["mid_price"] is None) >= row["is_stale"]


@pytest.mark.slow
def test_the_query(lake: Path) -> None:
    """Its tables are there under these names in the catalog."""
    assert sqlgen("catalog", lake / "models.yaml").code == 0
    with duckdb.connect() as connection:
        connection.execute((lake / "target/catalog.sql").read_text())
        rows = connection.execute(block("sql")).fetchall()
        found = connection.execute("SELECT symbol, symbol_norm, last_date FROM symbols ORDER BY ALL").fetchall()
    assert {row[0] for row in rows} == {"BTC-USD", "ETH-USD"}
    assert found == [(symbol, columns(symbol, day)["symbol_norm"], day) for symbol, _, day in found]


def test_every_option_is_named_with_its_default() -> None:
    for name, option in Library().header("resample.sql.j2").options.items():
        line = next(line for line in TEXT.splitlines() if line.startswith("| `") and f"`{name}`" in line.split("|")[1])
        default = line.split("|")[2].strip().strip("`")
        assert yaml.safe_load(default) == option.default, name
    assert "`symbol_columns: true`" in TEXT
