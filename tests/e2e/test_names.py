"""Names of files, folders and symbols are data: whatever they hold, each is read once, as what it is."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from sqlgen import connect
from sqlgen.compile.scope import SourceLayout
from sqlgen.lake.partitions import ambiguous_folders, hive_pairs
from sqlgen.lake.storage import list_files
from sqlgen.lake.walk import Walk
from sqlgen.plan.missing import notes
from sqlgen.sources.sourcefiles import SourceFiles
from sqlgen.templating.quoting import exact_path
from tests.e2e.test_safety import PASS
from tests.support.engine import sqlgen
from tests.support.scratch import BTC, DAY1, DAY2, ETH, Scratch

FILES = [
    "data[1]",
    "data1",
    "a*",
    "ab",
    "x?y",
    "xzy",
    "[!a]",
    "[a-z]",
    "b",
    "100%",
    "a{b}",
    "q'",
    '"q"',
    " s ",
    "ü",
    "a=b",
    "%41",
]
SYMBOLS = [
    *("A[1]", "A1", "100%", "a{b}", "x?y", "xzy", "A=B", "A*", "it's", '"q"', " lead", "trail ", ".dot", "_under", "ü"),
    *(
        "a\nb",
        "a\rb",
        "a\r\nb",
        "a\x85b",
        "a\u2028b",
        "a\tb  ",
        "a\x0bb",
        "--x",
        "a%2Fb",
        "$x$",
        "E'",
        "\U0001f600",
        "NULL",
    ),
]


@pytest.fixture
def passing(scratch: Scratch) -> Scratch:
    """One model, ``costs``, that passes trades on."""
    return _passing(scratch)


def _passing(project: Scratch) -> Scratch:
    project.config["models"].pop("pairs", None)
    project.template("costs.sql.j2", PASS)
    project.save()
    return project


Rows = list[tuple[str, float]]


def _published(project: Scratch) -> Rows:
    files = f"{exact_path(project.lake / 'out/costs')}/**/*.parquet"
    query = "SELECT symbol, price FROM read_parquet(?, hive_types = {'symbol': VARCHAR})"
    return sorted(duckdb.execute(query, [files]).fetchall())


def _compiled(project: Scratch, monkeypatch: pytest.MonkeyPatch) -> Rows:
    """What the compiled file writes, run as it says."""
    outcome = project.sqlgen("compile")
    assert outcome.code == 0, outcome.err
    monkeypatch.chdir(project.folder)
    with duckdb.connect() as connection:
        connection.execute((project.folder / "target/compiled/costs.sql").read_text())
        query = """
            SELECT symbol, price FROM read_parquet(
                'target/tables/costs/**/*.parquet', hive_types = {'symbol': VARCHAR}, hive_partitioning = true
            )
        """
        return sorted(connection.execute(query).fetchall())


def _views(project: Scratch) -> tuple[Rows, Rows]:
    """What the views of the source and of the model give."""
    with connect(project.file) as connection:
        source, model = (
            sorted(connection.execute(f"SELECT symbol, price FROM {name}").fetchall()) for name in ("raw", "costs")
        )
        return source, model


def _agree(project: Scratch, monkeypatch: pytest.MonkeyPatch, expected: Rows) -> None:
    project.run()
    assert _published(project) == expected
    assert _compiled(project, monkeypatch) == expected
    assert _views(project) == (expected, expected)
    assert project.plan() == {}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["parquet", "ndjson"])
def test_names_of_files(passing: Scratch, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    for price, name in enumerate(FILES, 1):
        passing.trades(BTC, DAY1, [float(price)], name=name, suffix=suffix)
    _agree(passing, monkeypatch, [(BTC, float(price)) for price in range(1, len(FILES) + 1)])


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["parquet", "ndjson"])
def test_names_of_symbols_in_folders(passing: Scratch, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    for price, symbol in enumerate(SYMBOLS, 1):
        passing.trades(symbol, DAY1, [float(price)], suffix=suffix)
    unquoted = {"a%2Fb": "a/b"}
    expected = sorted((unquoted.get(symbol, symbol), float(price)) for price, symbol in enumerate(SYMBOLS, 1))
    _agree(passing, monkeypatch, expected)


@pytest.mark.slow
def test_names_of_symbols_in_rows(passing: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = passing.lake / "raw/ccxt/trades"
    folder.mkdir(parents=True)
    symbols = [*SYMBOLS, "a/b", "a\\b", "..", "a\\"]
    values = ", ".join(f"({price}::DOUBLE, ?)" for price in range(1, len(symbols) + 1))
    duckdb.execute(
        "COPY (SELECT 1767268800000 AS timestamp, 1767268800000 AS collected_at, 'x' AS trade_id, 'buy' AS side,"
        f" price, 1.0::DOUBLE AS amount, 'binance' AS exchange, symbol FROM (VALUES {values}) AS t (price, symbol))"
        f" TO '{folder}/rows.parquet' (FORMAT parquet)",
        symbols,
    )
    _agree(passing, monkeypatch, sorted((symbol, float(price)) for price, symbol in enumerate(symbols, 1)))


@pytest.mark.parametrize("name", ["proj[1]", "pr*oj", "it's {x} 100%", "ü\u2028n"])
def test_names_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for other in ("proj1", "pr--oj"):
        _passing(Scratch(tmp_path / other)).trades(BTC, DAY1, [99.0])
    project = _passing(Scratch(tmp_path / name))
    project.config["lake"] = "la[k]e/lake"
    project.save()
    project.trades(BTC, DAY1, [1.0])
    (project.folder / "la[k]e").mkdir()
    project.lake.rename(project.folder / "la[k]e" / "lake")
    (project.folder / "lake").symlink_to("la[k]e/lake")
    (project.folder / "lake2").mkdir()
    _agree(project, monkeypatch, [(BTC, 1.0)])


def test_patterns_match_what_they_say(passing: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    passing.config["sources"]["raw"] |= {"pattern": "[{symbol}]?{date}/{exchange}.parquet"}
    passing.save()
    for price, symbol in enumerate(("AB", "A"), 1):
        file = passing.trades(symbol, DAY1, [float(price)]) / "data.parquet"
        target = passing.lake / f"raw/ccxt/trades/[{symbol}]?{DAY1}/binance.parquet"
        target.parent.mkdir()
        file.rename(target)
    _agree(passing, monkeypatch, [("A", 2.0), ("AB", 1.0)])


# Folders and files that can be no data


@pytest.mark.slow
def test_strange_things_are_told_and_passed_over(passing: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    day = passing.trades(BTC, DAY1, [1.0])
    passing.trades(ETH, DAY2, [2.0])
    symbol = day.parent
    for date in ("2026-02-30", "0001-01-01", "9999-12-31", "x", "2026-W01-1", ""):
        passing.trades(BTC, DAY1, [9.0], name=f"n{date}")
        (symbol / f"date={date}").mkdir()
        (day / f"n{date}.parquet").rename(symbol / f"date={date}" / "data.parquet")
    (day / "dangling.parquet").symlink_to("nowhere.parquet")
    (day / "self.parquet").symlink_to("self.parquet")
    (symbol / "loop").symlink_to("..")
    (symbol / "up").symlink_to(passing.lake)
    (symbol / "again").symlink_to(day)
    os.mkfifo(day / "pipe.parquet")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(day)
        server.bind("socket.parquet")
    Path(os.fsdecode(os.fsencode(symbol) + b"/date=\xff")).mkdir()
    (day / "back\\slash.parquet").write_bytes(b"x")
    outcome = passing.sqlgen("run")
    assert outcome.code == 0, outcome.out + outcome.err
    assert _published(passing) == [(BTC, 1.0), (ETH, 2.0)]
    said = " ".join(outcome.out.split())
    for text in (
        "date=2026-02-30: 2026-02-30 is no date between 1990 and 2100. Rename or remove it",
        "date=x: x is no date",
        "date=2026-W01-1: 2026-W01-1 is no date",
        "dangling.parquet is a broken link. Fix or remove it",
        "self.parquet is a broken link",
        "loop is a link into the same folder",
        "up is a link to a folder that it lies in. Remove it",
    ):
        assert text.replace(" ", "") in said.replace(" ", ""), said
    assert passing.plan() == {}
    for command in ("plan", "compile", "catalog", "ls"):
        assert passing.sqlgen(command).code == 0
    assert _views(passing) == ([(BTC, 1.0), (ETH, 2.0)],) * 2
    assert _compiled(passing, monkeypatch) == [(BTC, 1.0), (ETH, 2.0)]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("year=2026/month=13/day=1/hour=0", "2026-13-01 is no date between 1990 and 2100"),
        ("year=2026/month=1/day=x/hour=0", "2026-01-0x is no date"),
        ("year=2026/month=1/day=2/hour=x", "hour=x is no hour"),
        ("year=2026/month=1/day=2/hour=24", "hour=24 is no hour"),
        ("year=2026/month=1/day=2/hour=__HIVE_DEFAULT_PARTITION__", "names no hour"),
    ],
)
def test_strange_hours(passing: Scratch, keys: str, problem: str) -> None:
    passing.trades(BTC, DAY1, [1.0], layout="ymdh")
    passing.trades(BTC, DAY2, [2.0], layout="ymdh")
    symbol = passing.raw(BTC, DAY1).parent
    (symbol / keys).parent.mkdir(parents=True, exist_ok=True)
    (symbol / "year=2026/month=1/day=2/hour=12").rename(symbol / keys)
    outcome = passing.sqlgen("run", "--json")
    assert outcome.code == 0, outcome.err
    assert any(problem in note for note in outcome.json["notes"]), outcome.json["notes"]
    assert _published(passing) == [(BTC, 1.0)]
    assert _views(passing) == ([(BTC, 1.0)],) * 2
    assert passing.plan() == {}


@pytest.mark.parametrize("key", ["exchange", "symbol", "date"])
def test_folders_of_no_value(passing: Scratch, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files without an exchange, symbol or date are in no partition: of runs, views and compiled SQL."""
    passing.trades(BTC, DAY1, [1.0])
    passing.trades(ETH, DAY2, [2.0])
    place = passing.raw(ETH, DAY2).relative_to(passing.lake)
    parts = [f"{key}=__HIVE_DEFAULT_PARTITION__" if part.startswith(key) else part for part in place.parts]
    target = passing.lake.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    (passing.lake / place).rename(target)
    outcome = passing.sqlgen("run", "--json")
    assert outcome.code == 0, outcome.err
    assert any(f"names no {key}" in note for note in outcome.json["notes"]), outcome.json["notes"]
    assert _published(passing) == [(BTC, 1.0)]
    assert _views(passing) == ([(BTC, 1.0)],) * 2
    assert _compiled(passing, monkeypatch) == [(BTC, 1.0)]


def test_a_folder_that_cannot_be_read(passing: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    passing.trades(BTC, DAY1, [1.0])
    passing.trades(BTC, DAY2, [2.0])
    passing.run()
    (passing.raw(BTC, DAY2) / "part").mkdir()
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("/part"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    passing.trades(BTC, DAY1, [1.0, 3.0])
    passing.trades(BTC, DAY2, [8.0])
    outcome = passing.sqlgen("run", "--json", "--prune")
    assert outcome.code == 1
    assert any("part cannot be read: Permission denied" in text for text in outcome.json["errors"]), outcome.json
    assert _published(passing) == [(BTC, 1.0), (BTC, 2.0), (BTC, 3.0)]


def test_what_a_walk_tells(tmp_path: Path) -> None:
    (tmp_path / "_hidden").mkdir()
    (tmp_path / "_hidden" / "x.parquet").touch()
    (tmp_path / "a.parquet").touch()
    (tmp_path / "store.parquet").symlink_to("_hidden/x.parquet")
    (tmp_path / "note.txt").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "same.parquet").symlink_to("a.parquet")
    assert sorted(file.path for file in list_files(tmp_path.parent, tmp_path.name)) == [
        f"{tmp_path.name}/a.parquet",
        f"{tmp_path.name}/store.parquet",
    ]
    walk = Walk(str(tmp_path), lambda name: name.endswith(".parquet"))
    assert len(list(walk.files())) == 2
    assert walk.skipped == [f"{tmp_path}/same.parquet is a link into the same folder, whose files are read there"]


def test_many_of_a_kind_are_told_by_their_number() -> None:
    source_files = SourceFiles(SourceLayout(), {}, skipped=tuple(f"{number} is odd" for number in range(25)))
    told = [note for note in notes("raw", source_files) if "passed over" in note]
    assert (len(told), told[0], told[-1]) == (
        21,
        "source 'raw': passed over: 0 is odd",
        "source 'raw': passed over: 5 more like these",
    )


PARTS = st.text(st.sampled_from("aZ1=?%+[]*{} .\n-2fé\\"), max_size=5).filter(lambda text: "\\" not in text)
KEYED = st.tuples(st.sampled_from(["symbol", "exchange", "Symbol", "x", "hour"]), PARTS).map("=".join)


@given(st.lists(st.one_of(KEYED, PARTS.filter(lambda part: part.strip(".") != "")), max_size=4))
def test_duckdb_reads_the_keys_that_are_not_called_odd(
    tmp_path_factory: pytest.TempPathFactory, folders: list[str]
) -> None:
    """Where folders are not odd, DuckDB finds the same values of the same keys as a listing does."""
    path = "/".join([*folders, "data.parquet"])
    ours = {key: value for key, value in hive_pairs(path).items() if key != "hour"}
    if ambiguous_folders(path, tuple(ours)) or any("\ufffd" in value for value in ours.values()) or not ours:
        return
    file = tmp_path_factory.mktemp("t") / path
    file.parent.mkdir(parents=True)
    pq.write_table(pa.table({"v": [1]}), file)
    types = ", ".join(f"'{key}': VARCHAR" for key in ours)
    query = f"SELECT {', '.join(ours)} FROM read_parquet(?, hive_partitioning = true, hive_types = {{{types}}})"
    found = duckdb.execute(query, [exact_path(file)]).fetchall()
    assert found == [tuple(ours.values())]


@pytest.mark.parametrize(
    ("name", "said"), [("price=7", "takes 'price=7' in the path"), ("a\\b", "below a folder called 'a\\b'")]
)
def test_a_lake_that_duckdb_would_misread(tmp_path: Path, name: str, said: str) -> None:
    project = _passing(Scratch(tmp_path / name))
    project.trades(BTC, DAY1, [1.0])
    outcome = project.sqlgen("run")
    assert outcome.code == 2
    assert said in outcome.err
    (tmp_path / "link").symlink_to(project.lake)
    project.config["lake"] = str(tmp_path / "link")
    project.save()
    project.run()
    assert _views(project) == ([(BTC, 1.0)],) * 2


def test_inspect_passes_over_what_can_be_no_data(passing: Scratch) -> None:
    day = passing.trades(BTC, DAY1, [1.0, 2.0], name="data[1]")
    (day / "x.csv").symlink_to("x.csv")
    os.mkfifo(day / "pipe.parquet")
    Path(os.fsdecode(os.fsencode(day) + b"/\xff.csv")).write_text("x")
    outcome = sqlgen("inspect", passing.lake / "raw")
    assert outcome.code == 0, outcome.err
    assert "3 that cannot be data were skipped, the first is" in outcome.out
    assert "2 rows (trades) of 1 file(s)" in outcome.out


NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0/\\"), min_size=1, max_size=12).filter(
    lambda name: len(name.encode()) <= 60
)


FOLDERS = st.one_of(
    NAMES,
    st.text(st.sampled_from("aZ1=?%+[]*{} .\n-2fé\"'$&#;,:|<>~^@!`()\u2028\u0130\u0131"), min_size=1, max_size=6),
    st.sampled_from(
        [
            *("btc", "BTC", "ß", "SS", "İ", "%41", "%zz", "%2F", "%ff", "%C3%BC", "ü", "u\u0308", "null", "1e5"),
            *("2026-01-01", "true", "-0", "symbol=x", "..", "."),
        ]
    ),
)


@pytest.mark.slow
@settings(
    max_examples=3, phases=(Phase.explicit, Phase.generate), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(symbols=["\n", " ", "\t", "\u3000", "%20", "%0a", "x\n", "\r"])
@given(symbols=st.lists(FOLDERS, min_size=5, max_size=9, unique=True))
def test_any_names_of_hive_folders(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, symbols: list[str]
) -> None:
    """Symbols as folders name them, in any case and spelling: what is no text is told, all else is read as it is."""
    project = _passing(Scratch(tmp_path_factory.mktemp("hive") / "project"))
    project.trades(BTC, DAY1, [0.5])
    expected = [(BTC, 0.5)]
    for price, symbol in enumerate(symbols, 1):
        folder = project.trades(symbol, DAY1, [float(price)])
        if "\ufffd" in (name := unquote(symbol, errors="replace")):
            assert "".join(str(folder).split()) in "".join(project.sqlgen("plan").out.split())
        else:
            expected.append((name, float(price)))
    _agree(project, monkeypatch, sorted(expected))
    unreadable = Path(os.fsdecode(os.fsencode(project.lake / "raw/ccxt/trades/exchange=binance") + b"/symbol=\xfe"))
    shutil.copytree(project.raw(BTC, DAY1), unreadable / f"date={DAY1}")  # no text: told, and not read
    assert "passed over" in project.sqlgen("run").out
    assert _published(project) == sorted(expected)


@pytest.mark.slow
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAMES, min_size=4, max_size=8, unique_by=str.casefold), st.lists(NAMES, min_size=4, max_size=8))
def test_any_names(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, symbols: list[str], files: list[str]
) -> None:
    """Symbols of rows and names of files, whatever they are, through run, compiled file, views and folders."""
    project = _passing(Scratch(tmp_path_factory.mktemp("any") / "project"))
    folder = project.lake / "raw/ccxt/trades"
    folder.mkdir(parents=True)
    expected = []
    for number, name in enumerate(dict.fromkeys(files)):
        columns = {"timestamp": [1767268800000] * len(symbols), "collected_at": [1767268800000] * len(symbols)}
        rows = pa.table(
            columns
            | {"trade_id": ["x"] * len(symbols), "side": ["buy"] * len(symbols), "amount": [1.0] * len(symbols)}
            | {"price": [100.0 * number + place + 1 for place in range(len(symbols))]}
            | {"exchange": ["binance"] * len(symbols), "symbol": symbols}
        )
        if name[0] in "._" or name != name.strip():
            continue  # hidden
        pq.write_table(rows, folder / f"{name}.parquet")
        expected += [(symbol, 100.0 * number + place + 1) for place, symbol in enumerate(symbols)]
    if expected:
        _agree(project, monkeypatch, sorted(expected))
