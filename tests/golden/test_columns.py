"""docs/columns.md, to the letter, and that every column says what it is.

After a wanted change: ``SQLGEN_WRITE_GOLDEN=1 pytest tests/golden`` (``make golden``), and read the diff.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from sqlgen.explore.columndocs import markdown
from sqlgen.explore.columns import Described, TableColumns, columns_of, references
from sqlgen.run.engine import Engine
from tests.e2e.test_resampling_docs import documented_models
from tests.support.engine import ROOT, shipped_config

FILE = ROOT / "docs/columns.md"
END_OF_HEAD = "writes it anew. -->\n\n"


@pytest.fixture(scope="module")
def engine() -> Engine:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SQLGEN_LAKE", "no-lake")
        return Engine.open(ROOT / "models.yaml")


@pytest.fixture(scope="module")
def tables(engine: Engine) -> list[TableColumns]:
    return columns_of(engine, engine.project.order)


def units() -> set[str]:
    """Units in the first table of the page."""
    rows = re.findall(r"^\| (`.*?`) \|", FILE.read_text(encoding="utf-8").partition(END_OF_HEAD)[0], re.MULTILINE)
    return {unit for row in rows for unit in re.findall(r"`(.*?)`", row)}


def undescribed(columns: tuple[Described, ...]) -> list[str]:
    known = units()
    return [column.name for column in columns if not (column.type and column.unit in known and column.meaning)]


def test_the_page_is_current(engine: Engine, tables: list[TableColumns]) -> None:
    head, end, _ = FILE.read_text(encoding="utf-8").partition(END_OF_HEAD)
    assert end, "docs/columns.md has lost the line above which its text is written by hand"
    page = head + end + markdown(engine.project, tables, references(engine.project))
    if os.environ.get("SQLGEN_WRITE_GOLDEN"):
        FILE.write_text(page, encoding="utf-8")
    assert FILE.read_text(encoding="utf-8") == page


def test_every_column_of_every_shipped_model_has_type_unit_and_meaning(tables: list[TableColumns]) -> None:
    found = {table.model: undescribed(table.columns) for table in tables}
    models = shipped_config(Path("lake"))["models"]
    assert found == {model: [] for model in models}
    few = {table.model: len(table.columns) for table in tables if len(table.columns) <= 20}
    # A model that keeps some columns only has these and its keys.
    assert few == {name: len(models[name]["columns"]) + 3 for name in few}


def test_every_paper_is_in_the_references_and_every_reference_is_cited(
    engine: Engine, tables: list[TableColumns]
) -> None:
    cited = {paper.removeprefix("cf. ") for table in tables for column in table.columns for paper in column.papers}
    assert cited == references(engine.project).keys()
    # Brackets that were meant as a paper and are not told as one would stay in the meaning.
    assert [column for table in tables for column in table.columns if "[" in column.meaning] == []


def test_templates_that_no_shipped_model_uses(tmp_path: Path) -> None:
    config = shipped_config(tmp_path / "lake")
    models = documented_models()
    models["book_1s"]["options"] |= {"columns": ["*"]}
    config["models"] |= models
    config["models"]["trades_bars"]["options"]["symbol_columns"] = True
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    tables = columns_of(Engine.open(tmp_path / "models.yaml"), [*models, "trades_bars"])
    found = {table.model: undescribed(table.columns) for table in tables}
    # The unit of an aggregate is that of its column, which its options name.
    assert found == {
        "symbols": [],
        "trades_bars": [],
        "trades_100ms": ["sum_amount"],
        "book_1s": ["mean_spread_bps", "sum_ofi", "max_spread_bps"],
    }
    carried = {column.name: column for table in tables for column in table.columns if table.model == "book_1s"}
    assert (carried["microprice"].unit, carried["microprice"].papers) == ("q", ("Gatheral 2010",))
