"""Blocks of the shipped templates: one more column is an override of three lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sqlgen.errors import TemplateError
from sqlgen.run.engine import Engine
from sqlgen.templating.templates import PACKAGED, Library
from tests.support.engine import ROOT
from tests.support.scratch import BTC, DAY1, Scratch

TEXT = re.compile(r"```jinja\n(.*?)```", re.DOTALL)
DOCUMENTED = TEXT.findall((ROOT / "docs/templates.md").read_text(encoding="utf-8"))


def library(tmp_path: Path, **templates: str) -> Library:
    for name, text in templates.items():
        (tmp_path / f"{name}.sql.j2").write_text(text)
    return Library(tmp_path)


def test_every_model_template_has_a_block_of_columns() -> None:
    names = [name for name in Library().names() if not name.startswith("sources/")]
    assert len(names) >= 13
    for name in names:
        text = (PACKAGED / name).read_text(encoding="utf-8")
        assert text.count("{% block columns %}\n{% endblock %}\n") == 1, name


def project(scratch: Scratch, **templates: str) -> Scratch:
    scratch.config["models"] = {}
    for name, text in templates.items():
        scratch.template(f"{name}.sql.j2", text)
        scratch.model(name, sql=f"{name}.sql.j2", inputs={"trades": "raw"}, output={"path": f"out/{name}"})
    scratch.trades(BTC, DAY1, [100.0, 102.0, 101.0, 105.0])
    return scratch


@pytest.mark.slow
def test_the_documented_overrides_run(scratch: Scratch) -> None:
    """Those of docs/templates.md, as they stand there, against values in plain Python."""
    features, bars = DOCUMENTED
    assert len(features.strip().splitlines()) == 4
    project(scratch, features=features, bars=bars)
    scratch.config["models"]["bars"]["options"] = {"bar_durations": [120], "emit_open_bars": True, "large": 101.5}
    scratch.save()
    scratch.run()
    rows = scratch.table("features").to_pylist()
    assert [row["price_bp"] for row in rows] == [1e6, 1.02e6, 1.01e6, 1.05e6]
    assert rows[0].keys() == {*_columns(scratch, "shipped/trades/features.sql.j2"), "price_bp"}
    found = scratch.table("bars").to_pylist()
    assert [(row["large_trades"], row["trade_count"]) for row in found] == [(1, 2), (1, 2)]
    told: dict[str, Any] = scratch.sqlgen("columns", "bars", "--json").json
    meanings = {column["name"]: column["meaning"] for column in told["models"]["bars"]["columns"]}
    assert meanings["large_trades"] == "trades at or above large"


def _columns(scratch: Scratch, template: str) -> list[str]:
    scratch.model("plain", sql=template, inputs={"trades": "raw"}, output={"path": "out/plain"})
    told = scratch.sqlgen("columns", "plain", "--json").json
    return [column["name"] for column in told["models"]["plain"]["columns"]]


def test_a_template_of_the_same_name_extends_the_packaged_one(scratch: Scratch) -> None:
    text = (
        '{% extends "shipped/trades/features.sql.j2" %}\n{% block columns %}\n    2 * price AS twice,\n{% endblock %}\n'
    )
    scratch.config["models"] = {}
    scratch.template("trades/features.sql.j2", text)
    scratch.model("f", sql="trades/features.sql.j2", inputs={"trades": "raw"}, output={"path": "out/f"})
    assert "    2 * price AS twice,\n" in Engine.open(scratch.file).compile(["f"])["f"].sql


def test_a_header_is_that_of_the_extended_template_where_it_says_nothing_else(tmp_path: Path) -> None:
    made = library(
        tmp_path,
        mine="{#\ndescription: Mine\noptions: {n: {type: int, default: 3, doc: x}}\n#}\n"
        '{% extends "trades/bars.sql.j2" %}\n',
        more='{% extends "mine.sql.j2" %}\n',
    )
    mine, shipped = made.header("mine.sql.j2"), made.header("trades/bars.sql.j2")
    assert (mine.description, mine.own_dates, mine.lookback) == ("Mine", True, shipped.lookback)
    assert [*mine.options] == [*shipped.options, "n"]
    assert made.header("more.sql.j2") == mine


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{% extends "trades/bars.sql.j2" %}\n{% block column %}\n{% endblock %}\n',
         "x.sql.j2:2: the extended template has no block 'column'. Did you mean 'columns'? It has: aggregates,"),
        ('{% extends "trades/bars.sql.j2" %}\n    1 AS one,\n', "x.sql.j2:2: text outside of blocks is not used"),
        ('{% extends "x.sql.j2" %}\n', "it extends itself. To extend the packaged one, write shipped/x.sql.j2"),
        ('{% extends "y.sql.j2" %}\n', "template 'y.sql.j2' not found"),
        ('{% extends "shipped/../../x.sql.j2" %}\n', "not found"),
    ],
)  # fmt: skip
def test_what_would_be_passed_over_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        library(tmp_path, x=text).header("x.sql.j2")
    assert message in str(caught.value)
