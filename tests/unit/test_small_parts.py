"""Quoting, partitions, storage, the manifest, selectors, and the direction of imports."""

from __future__ import annotations

import ast
import datetime as dt
import os
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlgen.errors import UsageError
from sqlgen.lake import storage, swap
from sqlgen.lake.partitions import Partition, hive_pairs, partition_of
from sqlgen.project import project
from sqlgen.project.selectors import select
from sqlgen.published.manifest import Manifest
from sqlgen.published.records import Published
from sqlgen.templating.quoting import RESERVED, ident, literal
from tests.support.engine import ROOT

TEXT = st.text(st.characters(blacklist_characters="\x00", blacklist_categories=("Cs",)), max_size=20)


@given(TEXT)
def test_literals_come_back_as_they_were(text: str) -> None:
    assert duckdb.execute(f"SELECT {literal(text)}").fetchall() == [(text,)]


@given(TEXT.filter(bool))
def test_identifiers_come_back_as_they_were(text: str) -> None:
    result = duckdb.execute(f"SELECT 1 AS {ident(text)}")
    assert [column[0] for column in result.description or ()] == [text]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("it's", "'it''s'"),
        (True, "TRUE"),
        (None, "NULL"),
        (3, "3"),
        (0.1, "0.1"),
        (float("inf"), "CAST('inf' AS DOUBLE)"),
        (dt.date(2026, 1, 2), "DATE '2026-01-02'"),
        (dt.datetime(2026, 1, 2, 3), "TIMESTAMP '2026-01-02 03:00:00'"),
        (["a", "b"], "['a', 'b']"),
    ],
)
def test_literal(value: object, expected: str) -> None:
    assert literal(value) == expected
    duckdb.execute(f"SELECT {expected}")


@pytest.mark.parametrize(
    ("name", "expected"), [("price", "price"), ("Price", '"Price"'), ("order", '"order"'), ('"x"', '"""x"""')]
)
def test_ident(name: str, expected: str) -> None:
    assert ident(name) == expected


def test_reserved_words_are_those_of_duckdb() -> None:
    query = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
    assert {row[0] for row in duckdb.execute(query).fetchall()} <= RESERVED


@given(TEXT.filter(lambda text: bool(text) and text != "__HIVE_DEFAULT_PARTITION__"))
def test_partition_paths_are_those_of_duckdb(symbol: str) -> None:
    partition = Partition.of(exchange="binance", symbol=symbol, date="2026-01-02")
    assert Partition.from_path(partition.path) == partition
    assert hive_pairs(partition.path + "/x.parquet") == dict(partition.values)


@pytest.mark.parametrize("symbol", ["O'REILLY\"/x", "BTC/USDT:USDT", "a b%c?d=e", "é#[*]"])
def test_duckdb_writes_the_folder_that_partition_names(symbol: str, tmp_path: Path) -> None:
    duckdb.execute(
        f"COPY (SELECT 1 AS x, {literal(symbol)} AS symbol) TO '{tmp_path}/t' (FORMAT parquet, PARTITION_BY (symbol))"
    )
    assert [path.name for path in (tmp_path / "t").iterdir()] == [Partition.of(symbol=symbol).path]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("raw/exchange=a/symbol=b/date=2026-01-02/x.parquet", "a/b/2026-01-02"),
        ("raw/exchange=a/symbol=b/year=2026/month=1/day=2/hour=13/x.parquet", "a/b/2026-01-02"),
        ("raw/exchange=a/symbol=b/year=2026/month=01/day=02/x.parquet", "a/b/2026-01-02"),
        ("raw/exchange=a/date=2026-01-02/x.parquet", None),
        ("raw/exchange=a/symbol=b/year=2026/month=1/x.parquet", None),
        ("raw/x.parquet", None),
    ],
)
def test_partition_of(path: str, expected: str | None) -> None:
    found = partition_of(hive_pairs(path))
    assert (None if found is None else "/".join(value for _, value in found.values)) == expected


def test_shifted_and_projected() -> None:
    partition = Partition.of(exchange="a", symbol="b", date="2026-03-01")
    assert partition.shifted(-1)["date"] == "2026-02-28"
    assert partition.project(("exchange", "date")) == Partition.of(exchange="a", date="2026-03-01")


def test_publish_swaps_whole_folders(tmp_path: Path) -> None:
    target, staged = tmp_path / "t/unit", tmp_path / "staged"
    for content in ("old", "new"):
        staged.mkdir()
        (staged / content).write_text(content)
        swap.publish_folder(staged, target)
        assert [path.name for path in target.iterdir()] == [content]
        assert not staged.exists()
    swap.sweep(at_once=True)
    assert not list(tmp_path.glob("staged*"))


def test_publish_without_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "_renameat2", None)
    test_publish_swaps_whole_folders(tmp_path)


def test_listing_skips_hidden_and_foreign_files(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.ndjson", "c.ndjson.gz", "_d.parquet", ".e.parquet", "f.txt", "_g/x.parquet"):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    found = sorted(file.path for file in storage.list_files(tmp_path, "raw"))
    assert found == ["raw/a.parquet", "raw/b.ndjson", "raw/c.ndjson.gz"]


def record(unit: str, version: str = "v") -> Published:
    return Published(f"date={unit}", ("date",), version, "sql", "options", {"trades": "d"}, contributed=(("a", 1, 2),))


def test_the_manifest_survives_a_torn_line(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.note("m", [record("2026-01-01")])
    manifest.note("m", [record("2026-01-02")])
    manifest.note("m", [record("2026-01-02", "w")])
    manifest.note("m", [], [Partition.of(date="2026-01-01")])
    with (tmp_path / "m.ndjson").open("a") as file:
        file.write('{"unit": "date=2026-')
    assert manifest.load("m") == {Partition.of(date="2026-01-02"): record("2026-01-02", "w")}
    manifest.compact("m")
    manifest.note("m", [record("2026-01-03")])
    assert sorted(unit["date"] for unit in manifest.load("m")) == ["2026-01-02", "2026-01-03"]


def test_compacting_keeps_what_counts(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    for version in range(200):
        manifest.note("m", [record("2026-01-01", str(version))])
    manifest.compact("m")
    assert len((tmp_path / "m.ndjson").read_text().splitlines()) == 1
    assert manifest.load("m")[Partition.of(date="2026-01-01")].version == "199"


TRADE_BARS = ("trades_bars", "volume_bars", "tick_bars", "dollar_bars", "imbalance_bars", "run_bars")


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ([], [], {"ticker_features", "trades_features", "orderbook_hf", *TRADE_BARS, "orderbook_bars"}),
        (["+orderbook_bars"], [], {"orderbook_hf", "orderbook_bars"}),
        (["orderbook_hf+"], [], {"orderbook_hf", "orderbook_bars"}),
        (["trades_*"], ["tag:bars"], {"trades_features"}),
        (["tag:bars"], [], {*TRADE_BARS, "orderbook_bars"}),
        (["trades_bars,ticker_features"], [], {"trades_bars", "ticker_features"}),
    ],
)
def test_selectors(include: list[str], exclude: list[str], expected: set[str]) -> None:
    assert set(select(project.load(ROOT / "models.yaml"), include, exclude)) == expected


def test_a_selector_without_match() -> None:
    with pytest.raises(UsageError, match=r"no model matches 'trades_bar'. Did you mean 'trades_bars'\?"):
        select(project.load(ROOT / "models.yaml"), ["trades_bar"])


PACKAGES = [
    "sqlgen.errors",
    "udfs",
    "udfs.windows",
    "udfs.quotes",
    "udfs.trades",
    "udfs.orderbook",
    "sqlgen.options",
    "sqlgen.lake",
    "sqlgen.templating",
    "sqlgen.calendars",
    "sqlgen.features",
    "sqlgen.project",
    "sqlgen.compile",
    "sqlgen.published",
    "sqlgen.sources",
    "sqlgen.plan",
    "sqlgen.stream",
    "sqlgen.builders",
    "sqlgen.run",
    "sqlgen.live",
    "sqlgen.functions",
    "sqlgen.explore",
    "sqlgen.arrays",
    "sqlgen.exports",
    "sqlgen.detect.files",
    "sqlgen.detect.columns",
    "sqlgen.detect.messages",
    "sqlgen.detect",
    "sqlgen.operate",
    "sqlgen.modeltests",
    "sqlgen.sample",
    "sqlgen.cli",
    "sqlgen.__main__",
]


def package(module: str) -> str | None:
    """The entry of PACKAGES to which a module or a name in it belongs; the longest, as packages lie in packages."""
    return max((name for name in PACKAGES if f"{module}.".startswith(f"{name}.")), key=len, default=None)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.slow
def test_imports_point_one_way() -> None:
    """A package imports only from those above it in PACKAGES, at the top of a module or inside a function."""
    for path in [*(ROOT / "sqlgen").rglob("*.py"), *(ROOT / "udfs").rglob("*.py")]:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        own = package(module)
        assert own or module == "sqlgen", f"{module} is in no package of the list"
        for imported in imports(path) if own else ():
            other = package(imported)
            assert other is None or PACKAGES.index(other) <= PACKAGES.index(own), f"{module} imports {imported}"


def test_packages_are_small() -> None:
    assert len(list((ROOT / "sqlgen").glob("*.py"))) <= 6
    for folder in [ROOT / "udfs", *(ROOT / "sqlgen").rglob("*/"), *(ROOT / "udfs").rglob("*/")]:
        assert len([path for path in folder.glob("*.py") if path.stem != "__init__"]) <= 12, folder


def test_modules_are_small() -> None:
    for path in (*(ROOT / "sqlgen").rglob("*.py"), *(ROOT / "udfs").rglob("*.py")):
        assert len(path.read_text().splitlines()) <= 300, path


def sources() -> Iterator[Path]:
    """Modules of ``sqlgen`` and ``udfs``."""
    yield from (*(ROOT / "sqlgen").rglob("*.py"), *(ROOT / "udfs").rglob("*.py"))


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring, those of attributes included."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            value = getattr(statement, "value", None)
            if isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value


RELATIVE = re.compile(
    r"(Whether|What|Those|Which|How|Of|That|Where|Who|Whose|Why|When|The same|The ones?|If|As|Things)\b"
)


@pytest.mark.slow
def test_docstrings_begin_with_a_noun_or_a_verb() -> None:
    """A docstring says what the thing is or does, not "what becomes of that which"."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in sources()
        for line, text in docstrings(ast.parse(path.read_text()))
        if RELATIVE.match(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_classes_have_names_of_their_own() -> None:
    """No two classes share a name: a name means one thing."""
    found: dict[str, list[str]] = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not {name: places for name, places in found.items() if len(places) > 1}


def test_kernels_are_reached_through_their_public_face() -> None:
    """sqlgen imports what ``udfs`` exports, ``jit`` and rolling windows; it gets kernels from the registry."""
    import udfs

    known = {"udfs.jit.jit", *(f"udfs.{name}" for name in udfs.__all__)}
    for path in (ROOT / "sqlgen").rglob("*.py"):
        for imported in imports(path):
            if package(imported) in ("udfs", "udfs.windows", "udfs.quotes", "udfs.trades", "udfs.orderbook"):
                assert imported in known or imported.startswith("udfs.windows."), f"{path}: {imported}"


def test_the_lock_is_released_with_the_process(tmp_path: Path) -> None:
    from sqlgen.lake.lock import run_lock

    with run_lock(tmp_path):
        assert str(os.getpid()) in (tmp_path / "lock").read_text()
    with run_lock(tmp_path):
        pass


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    from sqlgen.lake.lock import run_lock

    other = tmp_path / "precious.txt"
    other.write_text("mine")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "lock").symlink_to(other)
    with pytest.raises(UsageError, match="lock is a link, and would be written over"), run_lock(tmp_path / "state"):
        pass
    assert other.read_text() == "mine"
