"""`sqlgen inspect`: files of every adapter are recognised, and what it prints works when it is pasted."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml

from sqlgen.detect.trial import adapters
from sqlgen.templating.templates import Library
from tests.support.engine import Outcome, published, sqlgen
from tests.support.lakes import write_rows
from tests.support.realdata import data_file
from tests.support.streams import BOOKS, TRADES, UPDATES
from tests.support.unknown import DATES, FOLDERS, MODELS, ROWS, books, trades
from tests.support.vendors import ccxt, tardis
from tests.support.vendors.files import save, truncated
from tests.support.vendors.tables import broken_line, repeated, with_delimiter

SHIPPED = adapters(Library())
THERE = [adapter for adapter in FOLDERS if adapter.strip() in SHIPPED]
T0 = int(dt.datetime(2026, 1, 5, 10, tzinfo=dt.UTC).timestamp() * 1000)
KEYS = {"exchange": "x", "symbol": "A-B", "date": dt.date(2026, 1, 5)}


def inspect(*arguments: object, code: int = 0) -> dict[str, Any]:
    """The findings as data; the exit code must be ``code``."""
    outcome = sqlgen("inspect", *arguments, "--json")
    assert outcome.code == code, outcome.out + outcome.err
    return outcome.json


def only(found: dict[str, Any]) -> dict[str, Any]:
    [finding] = found["findings"]
    return finding


def run_pasted(folder: Path, found: dict[str, Any], kinds: dict[str, str]) -> Outcome:
    """Run a model over each of the sources that `inspect` printed, by their kinds."""
    config = {"version": 1, "lake": found["lake"], **yaml.safe_load(found["yaml"]), "models": {}}
    for source, kind in kinds.items():
        template, entry = MODELS[kind]
        model = {"sql": template, "inputs": {entry: source}, "output": {"path": f"out/{source}"}}
        config["models"][source] = model | ({"udfs": "book"} if kind == "updates" else {})
    (folder / "models.yaml").write_text(yaml.safe_dump(config))
    return sqlgen("run", folder / "models.yaml")


@pytest.mark.slow
def test_what_is_printed_works_when_pasted(tmp_path: Path) -> None:
    """A folder of each adapter, each inspected alone, and one run over all that is printed."""
    lake = tmp_path / "lake"
    printed: dict[str, Any] = {}
    wanted: dict[str, dict[str, Any]] = {}
    for number, adapter in enumerate(THERE):
        FOLDERS[adapter](lake / f"unknown{number}")
        adapter = adapter.strip()
        found = inspect(lake / f"unknown{number}", "--lake", lake, "--full")
        finding = only(found)
        [place] = [at for at, choice in enumerate(finding["choices"]) if choice["adapter"] == adapter]
        assert finding["choices"][place]["sure"] == ("likely" if adapter.startswith("generic/") else "certain")
        contents = finding["contents"][place]
        assert contents["rows"] > 0, adapter
        assert contents["untimed"] == contents["unreadable"] == 0, adapter
        [entry] = [entry for entry in yaml.safe_load(found["yaml"])["sources"].values() if entry["adapter"] == adapter]
        name = f"of_{adapter.replace('/', '_')}_{number}"
        printed[name], wanted[name] = entry, contents
    pasted = {"lake": str(lake), "yaml": yaml.safe_dump({"sources": printed})}
    outcome = run_pasted(tmp_path, pasted, {name: contents["kind"] for name, contents in wanted.items()})
    assert outcome.code == 0, outcome.out + outcome.err
    for name, contents in wanted.items():
        table = published(lake / "out" / name)
        assert table.num_rows == contents["rows"] or contents["kind"] == "updates", name
        assert {str(date) for date in table["date"].to_pylist()} == set(DATES), name
        assert set(zip(table["exchange"].to_pylist(), table["symbol"].to_pylist(), strict=True)) == {
            (row["exchange"], row["symbol"]) for row in contents["keys"]
        }, name


def test_every_adapter_has_a_folder_here() -> None:
    streams = {"binance/depth_spot", "binance/depth_futures", "coinbase/level2", "binance/depth_archive"}
    streams |= {name.split()[0] for name in (*UPDATES, *TRADES, *BOOKS)}  # see test_streams.py
    streams |= {"databento/mbo", "databento/bbo", "databento/cmbp1", "databento/ohlcv"}
    events = {"databento/orders", "lobster/orders"}  # they read the files of others, and are not proposed
    assert set(SHIPPED) - streams - events <= set(FOLDERS)


@pytest.mark.slow
def test_the_counts_are_right(tmp_path: Path) -> None:
    rows = [{**KEYS, "timestamp": T0 + 1000 * i, "bids": [(100, 1)], "asks": [(101, 1)]} for i in range(20)]
    rows[3] |= {"bids": [(102, 1)]}  # crossed
    rows[4] |= {"bids": [(101, 1)]}  # locked
    rows[5] |= {"asks": []}
    rows[6] |= {"bids": [], "asks": []}
    rows[7] = rows[8]
    rows[10]["timestamp"], rows[11]["timestamp"] = rows[11]["timestamp"], rows[10]["timestamp"]
    for row in rows[15:]:
        row["timestamp"] += 400_000
    rows[19] |= {"timestamp": 5}  # no time
    write_rows(tmp_path, "orderbook", rows)
    finding = only(inspect(tmp_path, "--lake", tmp_path))
    [contents] = finding["contents"]
    summary = contents["summary"]
    assert contents["kind"] == "book"
    counts = ("rows", "crossed", "locked", "one_sided", "empty", "repeated_rows", "out_of_order")
    assert [summary[name] for name in counts] == [19, 1, 1, 1, 1, 1, 1]
    assert contents["untimed"] == 1
    assert summary["most_levels"] == 1
    assert summary["median_spread_bps"] == pytest.approx(1e4 / 100.5)
    assert summary["resolution"] == "s"
    assert summary["first"] == "2026-01-05 10:00:00"
    assert summary["last"] == "2026-01-05 10:06:58"
    assert contents["gaps"] == 1
    [gap] = contents["longest_gaps"]
    assert (gap["start"], gap["end"], gap["seconds"]) == ("2026-01-05 10:00:14", "2026-01-05 10:06:55", 401.0)


def test_the_counts_of_trades_are_right(tmp_path: Path) -> None:
    rows = [
        {**KEYS, "timestamp": T0 + 500 * i, "trade_id": str(i), "side": "buy", "price": 5.0, "amount": 1.0}
        for i in range(10)
    ]
    rows[2] |= {"side": None}
    rows[3] |= {"price": 0.0}
    rows[4] |= {"amount": None, "trade_id": "3"}
    rows[5] |= {"side": "sell"}
    write_rows(tmp_path, "trades", rows)
    summary = only(inspect(tmp_path, "--lake", tmp_path))["contents"][0]["summary"]
    counts = ("rows", "price_null", "amount_null", "side_null", "buys", "repeated_trade_ids", "out_of_order")
    assert [summary[name] for name in counts] == [10, 1, 1, 1, 8, 1, 0]
    assert summary["resolution"] == "ms"


@pytest.mark.slow
def test_several_kinds_in_one_folder(tmp_path: Path) -> None:
    for adapter in ("tardis/trades", "tardis/book_snapshot_5"):
        FOLDERS[adapter](tmp_path / "tardis")
    found = inspect(tmp_path)
    assert sorted(entry["adapter"] for entry in found["sources"].values()) == [
        "tardis/book_snapshot_5",
        "tardis/trades",
    ]
    for finding in found["findings"]:
        assert finding["layout"]["files"] == 4
        assert finding["layout"]["symbols"] == ["BTCUSDT", "ETHUSDT"]
        assert (finding["layout"]["first_date"], finding["layout"]["last_date"]) == DATES


@pytest.mark.slow
def test_books_and_trades_without_keys_in_their_names(tmp_path: Path) -> None:
    save(tmp_path / "data/all_trades.csv", tardis.trades(trades(DATES[0]), "binance", "BTCUSDT"))
    save(tmp_path / "data/all_books.csv", tardis.book_snapshot(books(DATES[0]), 5, "binance", "BTCUSDT"))
    found = inspect(tmp_path)
    assert [finding["contents"][0]["rows"] for finding in found["findings"]] == [ROWS, ROWS]
    kinds = {"tardis_trades": "trades", "tardis_book_snapshot_5": "book"}
    outcome = run_pasted(tmp_path, found, kinds)
    assert outcome.code == 0, outcome.out
    assert [published(tmp_path / "out" / source).num_rows for source in kinds] == [ROWS, ROWS]


@pytest.mark.slow
def test_a_name_that_lies(tmp_path: Path) -> None:
    save(tmp_path / "x/2025-01-06_book.csv", ccxt.ndjson(ccxt.order_books(books(DATES[0]), "A/B", "objects")))
    found = inspect(tmp_path)
    finding = only(found)
    assert finding["format"] == "ndjson"
    assert "holds ndjson; its name says csv" in finding["notes"][0]
    assert found["sources"]["ccxt_orderbook"]["format"] == "ndjson"
    assert run_pasted(tmp_path, found, {"ccxt_orderbook": "book"}).code == 0
    assert published(tmp_path / "out/ccxt_orderbook").num_rows == ROWS


def test_another_delimiter_and_a_broken_line(tmp_path: Path) -> None:
    table = with_delimiter(tardis.trades(trades(DATES[0]), "binance", "BTCUSDT"), ";")
    save(tmp_path / "x/trades.csv", broken_line(repeated(table, 3), 5))
    finding = only(inspect(tmp_path))
    [contents] = finding["contents"]
    assert finding["delimiter"] == ";"
    assert contents["unreadable"] == 1
    assert f"{tmp_path}/x/trades.csv line 7" in contents["first_unreadable"]
    assert contents["rows"] == ROWS + 1
    assert contents["summary"]["repeated_trade_ids"] == contents["summary"]["repeated_rows"] == 1


@pytest.mark.slow
def test_large_files_are_read_from_their_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlgen.detect.examine.SAMPLE_ROWS", 20)
    for suffix in ("csv.gz", "csv", "csv.zst", "csv.zip"):
        save(tmp_path / f"x/{suffix}/trades.{suffix}", tardis.trades(trades(DATES[0]), "binance", "BTCUSDT"))
    for finding in inspect(tmp_path)["findings"]:
        [contents] = finding["contents"]
        assert (contents["rows"], contents["files"], contents["cut"]) == (20, 1, 1)
    for finding in inspect(tmp_path, "--full")["findings"]:
        [contents] = finding["contents"]
        assert (contents["rows"], contents["files"], contents["cut"]) == (ROWS, 1, 0)


def test_a_sample_of_many_files(tmp_path: Path) -> None:
    for day in range(1, 31):
        if day != 13:
            shift = (dt.date(2025, 4, day) - dt.date.fromisoformat(DATES[0])).days * 86_400
            table = tardis.trades(trades(DATES[0], shift), "binance", "BTCUSDT")
            save(tmp_path / "t" / tardis.file_name("binance", "trades", f"2025-04-{day:02}", "BTCUSDT"), table)
    finding = only(inspect(tmp_path))
    assert finding["layout"]["dates"] == finding["layout"]["files"] == 29
    assert finding["layout"]["missing_dates"] == ["binance BTCUSDT 2025-04-13"]
    assert finding["contents"][0]["files"] == 3


def test_an_adapter_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "transforms_sql/sources/mine.sql.j2"
    own.parent.mkdir(parents=True)
    text = Library().source_text("sources/tardis/trades.sql.j2")[0]
    own.write_text(text.replace("'price'", "'kurs'").replace("price", "kurs").replace("AS kurs", "AS price"))
    (own.parent / "recognize.yaml").write_text('mine: {what: mine, names: ["{symbol}+{date}"], exchange: home}\n')
    table = tardis.trades(trades(DATES[0]), "binance", "BTCUSDT").text().replace("price", "kurs", 1)
    save(tmp_path / f"raw/in/DAX+{DATES[0]}.csv", table)
    (tmp_path / "models.yaml").write_text("version: 1\nlake: raw\n")
    found = inspect(tmp_path / "raw", "--project", tmp_path / "models.yaml")
    assert found["sources"] == {"mine": {"path": "in", "adapter": "mine", "pattern": "{symbol}+{date}.csv"}}
    assert only(found)["choices"][0]["sure"] == "certain"


@pytest.mark.slow
def test_published_tables_are_passed_by(tmp_path: Path) -> None:
    FOLDERS["tardis/trades"](tmp_path / "t")
    found = inspect(tmp_path)
    assert run_pasted(tmp_path, found, {"tardis_trades": "trades"}).code == 0
    again = inspect(tmp_path)
    assert again["sources"] == found["sources"]
    assert again["notes"] == ["4 folder(s) published by sqlgen were skipped"]


def test_in_a_pipe(tmp_path: Path) -> None:
    FOLDERS["tardis/trades"](tmp_path / "t")
    outcome = sqlgen("inspect", tmp_path)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0].startswith(f"{tmp_path}/t: 4 files, ")
    assert lines[1].startswith("adapter\ttardis/trades (certain): files are named as Tardis.dev trades")
    assert "symbols\t2: BTCUSDT, ETHUSDT" in lines
    assert "dates\t2025-01-06 to 2025-01-07, 2 of them" in lines
    assert "odd rows\tnone" in lines
    assert lines[lines.index("# for models.yaml") + 1 :] == [
        f"lake: {tmp_path} # the sources' paths are relative to it",
        "sources:",
        "  tardis_trades:",
        "    path: t",
        "    adapter: tardis/trades",
        "    pattern: '{exchange}_trades_{date}_{symbol}.csv.gz'",
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "a,b\n1,2\n", "no adapter reads these files"),
        ("a.csv", "nothing here\nat all\n", "is neither delimited text nor JSON"),
        ("a.json", '[{"a": 1}]', "is one JSON array. Write one object a line"),
        ("a.bin", b"\x00\x01\x02\x03" * 99, "is binary, and neither Parquet nor DBN"),
        ("a.parquet", b"PAR1 and then nothing", "cannot be read"),
        ("a.zip", b"PK\x03\x04 and then nothing", "cannot be read"),
    ],
)
def test_what_is_not_recognised(name: str, content: str | bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x" / name
    path.parent.mkdir()
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = inspect(tmp_path, code=1)
    assert found["sources"] == {}
    assert found["yaml"] == ""
    assert any(says in note for note in only(found)["notes"]), only(found)["notes"]


def test_a_gzip_without_its_suffix(tmp_path: Path) -> None:
    path = save(tmp_path / "x/a.csv.gz", tardis.trades(trades(DATES[0]), "b", "S"))
    path.rename(tmp_path / "x/a.csv")
    [note] = only(inspect(tmp_path, code=1))["notes"]
    assert note == f"{tmp_path}/x/a.csv is packed by gzip, which its name does not tell. Rename it to a.csv.gz"


def test_a_truncated_file(tmp_path: Path) -> None:
    FOLDERS["tardis/trades"](tmp_path / "t")
    for path in (tmp_path / "t").iterdir():
        truncated(path)
    finding = only(inspect(tmp_path))
    assert finding["choices"][0]["adapter"] == "tardis/trades"
    assert finding["choices"][0]["sure"] == "possible"
    assert f"{tmp_path}/t/binance_trades_2025-01-06_BTCUSDT.csv.gz cannot be read: " in finding["notes"][0]
    assert "Is it truncated?" in finding["notes"][0]


def test_files_without_content(tmp_path: Path) -> None:
    for date in DATES:
        save(tmp_path / "t" / tardis.file_name("binance", "trades", date, "BTCUSDT"), "")
    finding = only(inspect(tmp_path))
    assert finding["layout"]["empty"] == 2
    assert finding["choices"][0]["sure"] == "possible"


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    outcome = sqlgen("inspect", tmp_path / "nowhere")
    assert outcome.code == 2
    assert outcome.err == f"error: {tmp_path}/nowhere: no such file or folder\n"


def test_an_empty_folder(tmp_path: Path) -> None:
    outcome = sqlgen("inspect", tmp_path)
    assert outcome.code == 2
    assert outcome.err == f"error: {tmp_path}: no files (hidden ones are skipped)\n"


def test_a_path_outside_of_the_lake(tmp_path: Path) -> None:
    FOLDERS["tardis/trades"](tmp_path / "t")
    found = inspect(tmp_path / "t", "--lake", tmp_path / "lake")
    assert "is not under the lake" in found["notes"][0]
    assert found["lake"] == str(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "adapter", "rows"),
    [
        ("binance_BTCUSDT_trades.parquet", "generic/trades", 2001),
        ("databento_mbp10_AAPL_2024-10-21.csv.gz", "databento/mbp10", 1999),
        ("bybit_2024-12-01_XRPUSDT_ob500.data.zip", "bybit/orderbook", None),
    ],
)
def test_real_files(name: str, adapter: str, rows: int | None) -> None:
    path = data_file(name)
    if adapter not in SHIPPED:
        pytest.skip(f"no adapter {adapter}")
    finding = only(inspect(path))
    assert finding["choices"][0]["adapter"] == adapter
    assert rows is None or finding["contents"][0]["rows"] == rows


@pytest.mark.slow
def test_real_lobster_files(tmp_path: Path) -> None:
    if "lobster/orderbook" not in SHIPPED:
        pytest.skip("no adapter lobster/orderbook")
    (tmp_path / "x").mkdir()
    for kind in ("orderbook", "message"):
        path = data_file(f"AAPL_2012-06-21_34200000_57600000_{kind}_10.csv")
        (tmp_path / "x" / path.name).symlink_to(path)
    finding = only(inspect(tmp_path))
    assert [choice["adapter"] for choice in finding["choices"]] == ["lobster/orderbook", "lobster/trades"]
    assert finding["contents"][0]["rows"] == len(path.read_text().splitlines())
