"""The compiled SQL of every shipped model, to the letter.

After a wanted change: ``SQLGEN_WRITE_GOLDEN=1 pytest tests/golden``, and read the diff.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import duckdb
import pytest
import yaml

from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import SourceLayout
from sqlgen.project import project
from tests.e2e.test_resampling_docs import documented_models
from tests.support.engine import ROOT, shipped_config

HERE = Path(__file__).parent
PROJECT = project.load(ROOT / "models.yaml")
SHIPPED = tuple(PROJECT.models)
HOURLY = ("exchange", "symbol", "year", "month", "day", "hour")


def check(name: str, sql: str) -> None:
    path = HERE / name
    if os.environ.get("SQLGEN_WRITE_GOLDEN"):
        path.write_text(sql, encoding="utf-8")
    assert sql == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQLGEN_LAKE", raising=False)
    check(f"{name}.sql", Compiler(project.load(ROOT / "models.yaml")).compile(name).sql)


def test_hourly_ndjson() -> None:
    layouts = {"ccxt_trades": SourceLayout("ndjson", HOURLY)}
    check("trades_features.hourly_ndjson.sql", Compiler(PROJECT, layouts).compile("trades_features").sql)


def test_checks_of_a_source_and_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQLGEN_LAKE", raising=False)
    shipped = yaml.safe_load((ROOT / "models.yaml").read_text())
    shipped["sources"]["ccxt_trades"]["checks"] = [
        {"check": "not_null", "columns": ["price", "amount"]},
        {"check": "range", "columns": "price", "max": 1_000_000, "on_fail": "drop"},
        {"check": "unique", "columns": "trade_id", "on_fail": "drop"},
        {"check": "monotonic"},
        {"check": "max_gap", "seconds": 300, "on_fail": "warn"},
        {"check": "predicate", "sql": "price * amount < 1e9", "name": "plausible_value"},
    ]
    shipped["models"] = {"trades_features": shipped["models"]["trades_features"] | {"options": {"windows": [60]}}}
    shipped["models"]["trades_features"]["checks"] = [
        {"check": "range", "columns": ["buy_trade_ratio_60s"], "min": 0, "max": 1, "on_fail": "fail"},
        {"check": "positive", "columns": ["vwap_60s", "volume_60s"]},
    ]
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(shipped, sort_keys=False))
    check("trades_features.checks.sql", Compiler(project.load(tmp_path / "models.yaml")).compile("trades_features").sql)


DOCUMENTED = tuple(documented_models())
WITH_SYMBOLS = "trades_features.symbol_columns"


@pytest.mark.parametrize("name", [*DOCUMENTED, WITH_SYMBOLS])
def test_templates_that_no_shipped_model_uses(name: str, tmp_path: Path) -> None:
    """As docs/resampling.md uses them, and the one option that adds columns."""
    config = shipped_config(Path("lake"))
    config["models"] |= documented_models()
    if name == WITH_SYMBOLS:
        config["models"]["trades_features"]["options"]["symbol_columns"] = True
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    check(f"{name}.sql", Compiler(project.load(tmp_path / "models.yaml")).compile(name.split(".")[0]).sql)


def test_order_book_of_a_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQLGEN_LAKE", raising=False)
    example = re.search(r"```yaml\n(version.*?)```", (ROOT / "docs/order-books.md").read_text(), re.DOTALL)
    assert example is not None
    (tmp_path / "models.yaml").write_text(example.group(1))
    layouts = {"bybit_updates": SourceLayout("ndjson", ("exchange", "symbol", "date"))}
    compiler = Compiler(project.load(tmp_path / "models.yaml"), layouts)
    check("bybit_book.sql", compiler.compile("bybit_book").sql)
    columns = compiler.compile("bybit_book").descriptions
    assert {"bid_levels", "ask_size_19", "feed_reset", "held_messages"} <= columns.keys()


@pytest.mark.parametrize("name", [*SHIPPED, *DOCUMENTED, WITH_SYMBOLS, "trades_features.checks", "bybit_book"])
def test_the_files_are_tidy(name: str) -> None:
    for line in (HERE / f"{name}.sql").read_text(encoding="utf-8").splitlines():
        assert line == line.rstrip(), line
        assert "\t" not in line
        assert len(line) <= 140, line


def test_duckdb_parses_every_file() -> None:
    for path in sorted(HERE.glob("*.sql")):
        statements = duckdb.extract_statements(path.read_text(encoding="utf-8"))
        attach, use, *views, last = [statement.type for statement in statements]
        assert (attach, use) == (duckdb.StatementType.ATTACH, duckdb.StatementType.SET), path.name
        assert last == duckdb.StatementType.COPY, path.name
        assert set(views) == {duckdb.StatementType.CREATE}, path.name
