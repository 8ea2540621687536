"""Sources whose keys stand in their rows: what the index of partitions depends on, and files that give none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.adapters import SHELL, Project, rows_of

DAY = 1_767_225_600_000
"""2026-01-01 in ms."""


def trades(folder: Path, text: str, name: str = "t.csv", **source: Any) -> Project:
    source = {"exchange": "x", "options": {}} | source
    project = Project.of(folder, "generic/trades", **source)
    (project.raw / name).write_text(text)
    return project


def change(project: Project, options: dict[str, Any] | None = None, **source: Any) -> None:
    """Other options of the source, and other fields of it."""
    path = project.folder / "models.yaml"
    config = yaml.safe_load(path.read_text())
    config["sources"]["raw"] |= source
    config["sources"]["raw"]["options"] |= options or {}
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def found(project: Project) -> set[tuple[str, str, str, float]]:
    return {(row["exchange"], row["symbol"], str(row["date"]), row["price"]) for row in rows_of(project.run())}


@pytest.mark.parametrize(
    ("text", "name", "first", "second", "expected"),
    [
        (
            f"ts,one,two,price,amount\n{DAY},A,B,1,1\n",
            "t.csv",
            {"options": {"columns": {"symbol": "one"}}},
            {"options": {"columns": {"symbol": "two"}}},
            ("x", "B", "2026-01-01", 1.0),
        ),
        (
            f"ts,symbol,price,amount\n{DAY},A,1,1\n",
            "t.csv",
            {},
            {"exchange": "y"},
            ("y", "A", "2026-01-01", 1.0),
        ),
        (
            f"ts,symbol,price,amount\n{DAY},A,1,1\n",
            "t.csv",
            {},
            {"symbol": "Z"},
            ("x", "Z", "2026-01-01", 1.0),
        ),
        (
            f"ts,symbol,price,amount\n{DAY},A,1,1\n",
            "t_B.csv",
            {},
            {"pattern": "t_{symbol}.csv"},
            ("x", "B", "2026-01-01", 1.0),
        ),
        (
            f"{DAY},{DAY + 86_400_000},A,1,1\n",
            "t.csv",
            {"options": {"header": False, "fields": "ts,other,symbol,price,amount"}},
            {"options": {"header": False, "fields": "other,ts,symbol,price,amount"}},
            ("x", "A", "2026-01-02", 1.0),
        ),
        (
            f"ts,later,symbol,price,amount\n{DAY},{DAY + 86_400_000},A,1,1\n",
            "t.csv",
            {},
            {"options": {"columns": {"ts": "later"}}},
            ("x", "A", "2026-01-02", 1.0),
        ),
    ],
    ids=["symbol", "exchange", "fixed symbol", "pattern", "fields", "time"],
)
def test_other_options_find_other_partitions(
    tmp_path: Path, text: str, name: str, first: dict[str, Any], second: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    project = trades(tmp_path, text, name, **first)
    before = found(project)
    assert len(before) == 1
    change(project, second.get("options"), **{key: value for key, value in second.items() if key != "options"})
    outcome = project.sqlgen("run")
    assert outcome.code == 0
    assert "the inputs of 1 published partition(s) are gone" in outcome.out + outcome.err
    assert project.sqlgen("run", "--prune").code == 0
    assert found(project) == {expected}


def test_a_quote_that_is_added_later(tmp_path: Path) -> None:
    """Without it the lines of A cannot be read, and only B is found. (Double quotes are found without it.)"""
    project = trades(tmp_path, f"symbol;ts;price;amount\nB;{DAY};1;1\n'A;B';{DAY};2;1\n", options={"delimiter": ";"})
    assert found(project) == {("x", "B", "2026-01-01", 1.0)}
    change(project, {"quote": "'"})
    assert found(project) == {("x", "B", "2026-01-01", 1.0), ("x", "A;B", "2026-01-01", 2.0)}


def test_models_that_read_one_source_with_other_keys(tmp_path: Path) -> None:
    project = trades(tmp_path, f"ts,one,two,price,amount\n{DAY},A,B,1,1\n")
    config = yaml.safe_load((tmp_path / "models.yaml").read_text())
    for name in ("one", "two"):
        options = {"columns": {"symbol": name}}
        model = {"sql": "rows.sql.j2", "inputs": {"rows": "raw"}, "output": {"path": f"out/{name}"}}
        config["models"][name] = model | {"options": options}
    del config["models"]["rows"]
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config))
    outcome = project.sqlgen("run", "--json")
    assert outcome.code == 0, outcome.out
    published = {(task["model"], task["partition"]) for task in outcome.json["tasks"] if task["rows_out"] == 1}
    assert published == {("one", "exchange=x/symbol=A/date=2026-01-01"), ("two", "exchange=x/symbol=B/date=2026-01-01")}


@pytest.mark.parametrize("pattern", ["", "t_{date}.csv"])
def test_a_file_of_which_no_row_has_a_time(tmp_path: Path, pattern: str) -> None:
    text = "ts,symbol,price,amount\n1st of May,A,1,1\n2nd of May,A,1,1\n"
    project = trades(tmp_path, text, "t_2026-05-01.csv", pattern=pattern, options={"time_unit": "text"})
    (project.raw / "t_2026-05-02.csv").write_text("ts,symbol,price,amount\n2026-05-02T10:00:00Z,A,3,1\n")
    said = " ".join(project.failure().split())
    assert "t_2026-05-01.csv: none of its 2 rows has a time that can be read" in said
    assert 'ts is "1st of May"' in said
    assert "time_unit" in said
    assert "no files" not in said


@pytest.mark.parametrize("name", ["t.csv", "t.ndjson"])
def test_rows_that_name_no_symbol(tmp_path: Path, name: str) -> None:
    """Some of a file's rows are left out and told, at each run; a file of nothing else is an error."""
    symbols, keys = ["A", "", "B", "", "A"], ("ts", "symbol", "price", "amount")
    rows = [(str(DAY + n), symbol, str(n), "1") for n, symbol in enumerate(symbols, 1)]

    def written(rows: list[tuple[str, ...]]) -> str:
        if name == "t.csv":
            return "".join(",".join(row) + "\n" for row in [keys, *rows])
        pairs = [[(key, value) for key, value in zip(keys, row, strict=True) if value] for row in rows]
        return "".join(json.dumps(dict(each)) + "\n" for each in pairs)

    project = trades(tmp_path, written(rows), name)
    expected = {("x", symbol, "2026-01-01", float(n)) for n, symbol in enumerate(symbols, 1) if symbol}
    for _ in range(2):
        outcome = project.sqlgen("run")
        assert outcome.code == 0, outcome.out + outcome.err
        assert f"{name}: 2 row(s) name no symbol: they belong to no partition" in " ".join(outcome.out.split())
        assert found(project) == expected
    (project.raw / name).write_text(written([row for row in rows if not row[1]]))
    said = " ".join(project.failure().split())
    assert ("2 row(s) name no symbol. Fill it in" if name == "t.csv" else "symbol") in said


def test_a_file_without_rows_is_no_problem(tmp_path: Path) -> None:
    project = trades(tmp_path, "ts,symbol,price,amount\n")
    (project.raw / "u.csv").write_text(f"ts,symbol,price,amount\n{DAY},A,1,1\n")
    assert found(project) == {("x", "A", "2026-01-01", 1.0)}


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    project = trades(tmp_path, f"ts,symbol,price,amount\n{DAY},A,1,1\n")
    expected = found(project)
    for damage in (b"\xff\xfe{", b"[]", b'{"x": 1}'):
        (tmp_path / "lake/.sqlgen/index.json").write_bytes(damage)
        assert found(project) == expected
    if SHELL is not None:
        assert len(rows_of(project.in_shell())) == 1
