"""`inspect --write`: the entries and models that it adds to models.yaml load and run, and what was there stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.e2e.test_streams import CHANGES, SOLD, record
from tests.support.engine import published, sqlgen
from tests.support.streams import TRADES, UPDATES, text
from tests.support.vendors.files import save


@pytest.mark.slow
def test_a_file_is_made_and_added_to(tmp_path: Path) -> None:
    """Twice: names that are taken get a number, and comments stay."""
    okx = [*record(UPDATES["okx/books"], CHANGES), *record(TRADES["okx/trades"], SOLD)]
    (tmp_path / "lake/raw/okx").mkdir(parents=True)
    (tmp_path / "lake/raw/okx/a.ndjson").write_text(text(okx))
    file = tmp_path / "models.yaml"
    arguments = ("inspect", tmp_path / "lake/raw", "--lake", tmp_path / "lake", "--write", file)
    outcome = sqlgen(*arguments)
    assert outcome.code == 0, outcome.out + outcome.err
    assert f"added to {file}: okx_books, okx_trades" in outcome.out
    file.write_text(file.read_text().replace("sources:", "sources: # mine"))
    assert "okx_books_2, okx_trades_2" in sqlgen(*arguments).out
    assert "sources: # mine" in file.read_text()
    made = yaml.safe_load(file.read_text())
    assert made["lake"] == "lake"
    assert made["sources"]["okx_books_2"] == made["sources"]["okx_books"]
    assert len(made["models"]) == 10
    outcome = sqlgen("run", file)
    assert outcome.code == 0, outcome.out + outcome.err
    assert published(tmp_path / "lake/processed/okx_books_book").num_rows == 2 * len(CHANGES)
    assert published(tmp_path / "lake/processed/okx_trades_2_features").num_rows == 2 * len(SOLD)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("mine", "no project file, which has mappings of sources and models"),
        ("- a\n- b\n", "no project file"),
        ("sources: [a]\n", "no project file"),
        ("a: &x [*x]\n", "an anchor that contains itself"),
        ("lake: 'lake\n", "not valid YAML"),
        ("sources: {raw: {path: raw, adapter: ccxt/trades}}\nmodels: {}\n", "indented by two spaces"),
        ("sources:\n    raw: {path: raw, adapter: ccxt/trades}\n", "indented by two spaces"),
    ],
)
def test_a_file_that_nothing_can_be_added_to_stays(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "lake/raw").mkdir(parents=True)
    (tmp_path / "lake/raw/a.ndjson").write_text(text(list(record(TRADES["okx/trades"], SOLD))))
    file = tmp_path / "models.yaml"
    file.write_text(content)
    outcome = sqlgen("inspect", tmp_path / "lake", "--lake", tmp_path / "lake", "--write", file)
    assert (outcome.code, said in outcome.err) == (2, True), outcome
    assert file.read_text() == content


@pytest.mark.slow
def test_files_that_lie_in_the_lake_itself(tmp_path: Path) -> None:
    for folder in ("lake", "lake/raw"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.ndjson").write_text(text(list(record(TRADES["okx/trades"], SOLD))))
    file = tmp_path / "models.yaml"
    outcome = sqlgen("inspect", tmp_path / "lake", "--lake", tmp_path / "lake", "--write", file)
    assert f"{tmp_path}/lake is no folder below the lake {tmp_path}/lake, which a source needs" in outcome.out
    assert [*yaml.safe_load(file.read_text())["sources"]] == ["okx_trades"]


@pytest.mark.slow
def test_another_lake_and_nothing_found(tmp_path: Path) -> None:
    (tmp_path / "lake/raw/okx").mkdir(parents=True)
    (tmp_path / "lake/raw/okx/a.ndjson").write_text(text(list(record(TRADES["okx/trades"], SOLD))))
    file = tmp_path / "models.yaml"
    file.write_text("version: 1\nlake: elsewhere\nsources: {}\nmodels: {}\n")
    outcome = sqlgen("inspect", tmp_path / "lake/raw", "--lake", tmp_path / "lake", "--write", file)
    assert outcome.code == 2
    assert "has the lake" in outcome.out + outcome.err
    (tmp_path / "lake/raw/okx/a.ndjson").write_text("nothing\nat all\n")
    outcome = sqlgen("inspect", tmp_path / "lake/raw", "--lake", tmp_path / "lake", "--write", file)
    assert "nothing was recognised" in outcome.out + outcome.err
    assert file.read_text() == "version: 1\nlake: elsewhere\nsources: {}\nmodels: {}\n"


KLINES = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,x\n"
)


def _kline(minute: int, length: int, volume: float) -> str:
    start = (1_698_796_800 + 60 * minute) * 1000
    return f"{start},10.5,11,10,10.5,{volume},{start + length * 60_000 - 1},{volume * 10.5},3,1,10.5,0\n"


@pytest.mark.slow
def test_bars_of_several_lengths_symbols_and_periods_in_one_folder(tmp_path: Path) -> None:
    """A source of each length and period, that keeps the symbols of its files; nothing is read twice."""
    project = tmp_path / "mine"
    for name, length, volume in (
        ("BTCUSDT-1m-2023-11", 1, 1.0),
        ("BTCUSD_PERP-1m-2023-11", 1, 2.0),
        ("ETHUSDT-1m-2023-11-01", 1, 4.0),
        ("BTCUSDT-5m-2023-11-01", 5, 8.0),
    ):
        text = KLINES + "".join(_kline(minute, length, volume) for minute in range(0, 70, length))
        save(project / f"lake/raw/binance/{name}.csv", text)
    outcome = sqlgen("init", project, "--from", project / "lake/raw")
    assert outcome.code == 0, outcome.out + outcome.err
    outcome = sqlgen("run", project / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    config = yaml.safe_load((project / "models.yaml").read_text())
    found = {}
    for model in config["models"].values():
        for row in published(project / "lake" / model["output"]["path"]).to_pylist():
            if row["bar_seconds"] == 3600:
                pattern = config["sources"][model["inputs"]["bars"]]["pattern"]
                found[pattern.removesuffix(".csv"), row["symbol"]] = row["volume"]
    assert found == {
        ("{symbol}-1m-{year}-{month}", "BTCUSDT"): 60.0,
        ("{symbol}-1m-{year}-{month}", "BTCUSD_PERP"): 120.0,
        ("{symbol}-1m-{date}", "ETHUSDT"): 240.0,
        ("{symbol}-5m-{date}", "BTCUSDT"): 96.0,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["BTC-USDT-SWAP-trades-2025-04-19", "BTC-USDT-SWAP-2025-04-19", "BTC-USDT-SWAP2025-04-19"]
)
@pytest.mark.parametrize("named", [True, False])
def test_a_swap_whose_day_begins_elsewhere_stays_a_swap(tmp_path: Path, name: str, named: bool) -> None:
    """From 16:00 UTC of the day before: the dates of rows count, and the symbol is whole, in rows or not."""
    project = tmp_path / "mine"
    column, value = ("instrument_name,", "BTC-USDT-SWAP,") if named else ("", "")
    lines = [f"{value}{k},buy,{84_000 + k}.5,2,{1_744_992_000_123 + 8 * 3_600_000 * k}\n" for k in range(3)]
    save(project / f"lake/raw/okx/{name}.csv", f"{column}trade_id,side,price,size,created_time\n" + "".join(lines))
    outcome = sqlgen("init", project, "--from", project / "lake/raw")
    assert outcome.code == 0, outcome.out + outcome.err
    assert "sizes of BTC-USDT-SWAP count contracts" in sqlgen("inspect", project / "lake/raw").out
    outcome = sqlgen("run", project / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    rows = published(project / "lake/processed/generic_trades_features").to_pylist()
    assert sorted((row["symbol"], str(row["date"]), row["price"]) for row in rows) == [
        ("BTC-USDT-SWAP", "2025-04-18", 84_000.5),
        ("BTC-USDT-SWAP", "2025-04-19", 84_001.5),
        ("BTC-USDT-SWAP", "2025-04-19", 84_002.5),
    ]


def test_rows_say_the_expiry_that_six_digits_of_a_name_may_be(tmp_path: Path) -> None:
    symbol = "BTCUSD_250627"
    lines = [
        {"collected_at": 1767348000000, "lastUpdateId": 100, "bids": [["99", "1"]], "asks": [["101", "1"]]},
        {"e": "depthUpdate", "E": 1767348000100, "T": 1767348000099, "s": symbol, "ps": "BTCUSD", "U": 99, "u": 101}
        | {"pu": 98, "b": [["99", "3"]], "a": []},
    ]
    save(tmp_path / f"lake/raw/binance/{symbol}.ndjson", "".join(json.dumps(line) + "\n" for line in lines))
    outcome = sqlgen("inspect", tmp_path / "lake/raw", "--lake", tmp_path / "lake")
    assert f"of\tbinance {symbol}: 3" in outcome.out


def test_files_of_which_nothing_says_the_market_are_no_silent_merge(tmp_path: Path) -> None:
    for name in ("alpha", "beta-x"):
        save(tmp_path / f"lake/raw/a/{name}.csv", "time,price,qty,side\n1767348000000,1.5,2,buy\n")
    outcome = sqlgen("inspect", tmp_path / "lake/raw", "--lake", tmp_path / "lake")
    assert "nothing says the symbols of 2 files, and they are read as ONE market" in outcome.out
