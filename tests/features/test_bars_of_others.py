"""Bars, quotes without sizes, dates and clocks apart, and fields within objects: recognised, read, and built on."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.oracles.longer_bars import longer_bars
from tests.support.engine import published, sqlgen
from tests.support.vendors.files import save

pytestmark = pytest.mark.slow

Row = dict[str, Any]
T0 = 1_736_121_600
"""2025-01-06 00:00 UTC."""
COLUMNS = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,x,ignore"


def minutes(count: int, seed: int = 3) -> list[Row]:
    """Bars of a minute around midnight, with holes."""
    rng, price, bars = random.Random(seed), 1000, []
    for i in range(count):
        if rng.random() < 0.1:
            continue
        moves = [price + rng.randrange(-9, 10) for _ in range(3)]
        quarters = [price, *moves]
        price = moves[-1]
        bars.append(
            {
                "start": T0 - 3600 + 60 * i,
                "open": quarters[0] / 4,
                "high": max(quarters) / 4,
                "low": min(quarters) / 4,
                "close": quarters[-1] / 4,
                "volume": float(rng.randrange(5000, 9000)),
                "trade_count": rng.randrange(1, 50),
            }
        )
    return bars


BARS = minutes(200)


def kline(bar: Row, unit: int = 1000) -> list[Any]:
    """A row of Binance's archive."""
    prices = [bar[name] for name in ("open", "high", "low", "close", "volume")]
    start = bar["start"]
    return [start * unit, *prices, (start + 60) * unit - 1, 9e5, bar["trade_count"], 1.0, 2.0, 0]


def csv(rows: Sequence[Sequence[Any]], header: str = "", delimiter: str = ",") -> str:
    lines = [delimiter.join(map(str, row)) for row in rows]
    return "\n".join([*([header] if header else []), *lines, ""])


def text(form: str) -> Callable[[Row], str]:
    return lambda bar: dt.datetime.fromtimestamp(bar["start"], dt.UTC).strftime(form)


def plain(bar: Row) -> list[Any]:
    return [bar[name] for name in ("open", "high", "low", "close", "volume")]


def stooq(bar: Row) -> list[Any]:
    return ["EURUSD", 1, text("%Y%m%d")(bar), text("%H%M%S")(bar), *plain(bar), 0]


def write_parquet(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {name: [bar[name] for bar in BARS] for name in ("open", "high", "low", "close", "volume")}
    times = pa.array([bar["start"] * 1000 for bar in BARS], pa.int64()).cast(pa.timestamp("ms"))
    pq.write_table(pa.table({"Datetime": times, **{name.title(): column for name, column in table.items()}}), path)


def ndjson(rows: Sequence[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


WRITERS: dict[str, str | Callable[[Path], None]] = {
    "binance.csv": csv([kline(bar) for bar in BARS], COLUMNS),
    "binance-us.csv": csv([kline(bar, 10**6) for bar in BARS], COLUMNS),
    "binance-headerless.csv": csv([kline(bar) for bar in BARS]),
    "unix.csv": csv([[bar["start"], *plain(bar)] for bar in BARS], "unix,open,high,low,close,Volume BTC"),
    "iso.csv": csv(
        [[text("%Y-%m-%d %H:%M:%S+00:00")(bar), *plain(bar)] for bar in BARS], "Datetime,Open,High,Low,Close,Volume"
    ),
    "stooq.txt": csv(
        [stooq(bar) for bar in BARS], "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
    ),
    "mt5.csv": csv(
        [[text("%Y.%m.%d")(bar), text("%H:%M:%S")(bar), *plain(bar), 0, 3] for bar in BARS],
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
        "\t",
    ),
    "dukascopy.csv": csv(
        [[text("%d.%m.%Y %H:%M:%S.000 GMT+0000")(bar), *plain(bar)] for bar in BARS],
        "Gmt time,Open,High,Low,Close,Volume",
    ),
    "us.csv": csv(
        [[text("%m/%d/%Y")(bar), text("%H:%M")(bar), *plain(bar)] for bar in minutes(200)],
        "Date,Time,Open,High,Low,Close,Volume",
    )
    .replace("01/05/2025", "01/25/2025")
    .replace("01/06/2025", "01/26/2025"),
    "objects.jsonl": ndjson(
        [dict(zip("ohlcv", plain(bar), strict=True)) | {"t": bar["start"] * 1000, "s": "A"} for bar in BARS]
    ),
    "yahoo.parquet": write_parquet,
    "okx.jsonl": ndjson(
        [
            {"code": "0", "data": [[str(bar["start"] * 1000), *map(str, plain(bar)), "1", "1", "1"] for bar in part]}
            for part in (BARS[:100][::-1], BARS[100:][::-1])
        ]
    ),
    "coinbase.jsonl": ndjson(
        [[bar["start"], *(bar[name] for name in ("low", "high", "open", "close", "volume"))] for bar in BARS]
    ),
    "kraken.jsonl": ndjson(
        [
            [bar["start"], *map(str, plain(bar)[:4]), str((bar["low"] + bar["high"]) / 2), bar["volume"], 7]
            for bar in BARS
        ]
    ),
    "binance-stream.jsonl": ndjson(
        [
            {
                "e": "kline",
                "E": 1,
                "s": "AB",
                "k": dict(zip("ohlcv", map(str, values), strict=True)) | {"t": bar["start"] * 1000},
            }
            for bar in BARS
            for values in ([bar["open"]] * 4 + [0], plain(bar))  # open, then closed
        ]
    ),
}


def test_bars_are_recognised_and_made_longer(tmp_path: Path) -> None:
    """A file of each form, each inspected alone, and one run over all that is found."""
    lake = tmp_path / "lake"
    config: dict[str, Any] = {"version": 1, "lake": "lake", "sources": {}, "models": {}}
    for number, (name, content) in enumerate(WRITERS.items()):
        path = lake / f"raw/bars{number}" / name
        _ = content(path) if callable(content) else save(path, content)
        outcome = sqlgen("inspect", path.parent, "--lake", lake, "--json")
        assert outcome.code == 0, outcome.out
        [finding] = outcome.json["findings"]
        assert finding["contents"][0]["kind"] == "bars"
        [entry] = yaml.safe_load(outcome.json["yaml"])["sources"].values()
        assert entry["adapter"] == ("candles/messages" if name in LISTS else "generic/bars")
        config["sources"][f"bars{number}"] = entry
        config["models"][f"longer{number}"] = {
            "sql": "bars/longer.sql.j2",
            "inputs": {"bars": f"bars{number}"},
            "options": {"bar_durations": [300], "emit_open_bars": True},
            "output": {"path": f"out/{number}", "partition_by": ["exchange", "symbol"]},
        }
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config))
    run = sqlgen("run", tmp_path / "models.yaml")
    assert run.code == 0, run.out + run.err
    names = ["open", "high", "low", "close", "volume", "bar_count"]
    longer = longer_bars(BARS, 300)
    for number, name in enumerate(WRITERS):
        shift = 20 * 86_400 if name == "us.csv" else 0
        got = [{"start": row["start"], **{key: row[key] for key in names}} for row in starts(lake / f"out/{number}")]
        assert got == [{"start": row["start"] + shift, **{key: row[key] for key in names}} for row in longer], name


LISTS = ("okx.jsonl", "coinbase.jsonl", "kraken.jsonl", "binance-stream.jsonl")


def starts(folder: Path) -> list[Row]:
    """Rows of a table in the order of their times, with `start` in seconds."""
    table = published(folder)
    seconds = table["bar_start"].cast(pa.int64())
    rows = table.drop_columns(["bar_start", "bar_end"]).to_pylist()
    return sorted(
        ({**row, "start": ns.as_py() // 10**9} for row, ns in zip(rows, seconds, strict=True)),
        key=lambda row: row["start"],
    )


def longer(folder: Path, name: str, content: str, form: Row, **model: Any) -> Any:
    save(folder / "lake/raw" / name, content)
    source = {"path": "raw", "adapter": "generic/bars", "exchange": "x", "symbol": "A", "options": form}
    entry = {"sql": "bars/longer.sql.j2", "inputs": {"bars": "b"}, "output": {"path": "out"}, **model}
    config = {"version": 1, "lake": "lake", "sources": {"b": source}, "models": {"m": entry}}
    (folder / "models.yaml").write_text(yaml.safe_dump(config))
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    return starts(folder / "lake/out")


def test_only_closed_bars_day_by_day(tmp_path: Path) -> None:
    """Bars over midnight are whole; the last one is there once its last minute is."""
    bars = [bar for bar in BARS if bar["start"] < T0 + 7200 - 60]  # to 01:58
    rows = longer(
        tmp_path,
        "b.csv",
        csv([[bar["start"], *plain(bar)] for bar in bars], "ts,open,high,low,close,volume"),
        {"time_unit": "s", "columns": {"volume": "volume"}},
        options={"bar_durations": [420, 3600]},
    )
    for seconds in (420, 3600):
        expected = [row for row in longer_bars(bars, seconds) if row["start"] + seconds <= bars[-1]["start"] + 60]
        got = [row for row in rows if row["bar_seconds"] == seconds]
        assert [(row["start"], row["open"], row["volume"]) for row in got] == [
            (row["start"], row["open"], row["volume"]) for row in expected
        ]
    assert rows[0]["trade_count"] is None


def test_bars_by_their_ends(tmp_path: Path) -> None:
    content = csv([[bar["start"] + 60, *plain(bar)] for bar in BARS], "ts,open,high,low,close,v")
    options = {"time_unit": "s", "ends_after": 60, "columns": {"volume": "v"}}
    rows = longer(tmp_path, "b.csv", content, options, options={"bar_durations": [300], "emit_open_bars": True})
    assert [(row["start"], row["volume"]) for row in rows] == [
        (row["start"], row["volume"]) for row in longer_bars(BARS, 300)
    ]


def test_invalid_prices_make_no_bar(tmp_path: Path) -> None:
    content = "ts,open,high,low,close\n" + "".join(f"{T0 + 60 * i},{i - 1},9,1,2\n" for i in range(5))
    rows = longer(
        tmp_path, "b.csv", content, {"time_unit": "s"}, options={"bar_durations": [60], "emit_open_bars": True}
    )
    assert [row["open"] for row in rows] == [1, 2, 3]


def inspected(folder: Path, name: str, content: str) -> tuple[Row, Any]:
    save(folder / "lake/raw/f" / name, content)
    outcome = sqlgen("inspect", folder / "lake/raw", "--lake", folder / "lake", "--json")
    [finding] = outcome.json["findings"]
    return finding, next(iter(outcome.json["sources"].values()), None)


def features(folder: Path, source: Row, template: str, entry: str) -> list[Row]:
    model = {"sql": template, "inputs": {entry: "s"}, "output": {"path": "out"}}
    keys = {key: "K" for key in ("exchange", "symbol") if source.get(key) == "unknown"}
    config = {"version": 1, "lake": "lake", "sources": {"s": {**source, **keys}}, "models": {"m": model}}
    (folder / "models.yaml").write_text(yaml.safe_dump(config))
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    table = published(folder / "lake/out")
    ns = table["ts"].cast(pa.int64()).to_pylist()
    rows = table.drop_columns(["ts"]).to_pylist()
    return sorted(({**row, "ns": time} for row, time in zip(rows, ns, strict=True)), key=lambda row: row["seq"])


def test_quotes_without_sizes(tmp_path: Path) -> None:
    lines = [f"EUR/USD,20240102 00:00:{i:02}.{i:03},1.10{i:02},1.11{i:02}" for i in range(30)]
    finding, source = inspected(tmp_path, "EURUSD-2024-01.csv", "\n".join([*lines, ""]))
    assert (source["adapter"], finding["contents"][0]["kind"]) == ("generic/ticker", "ticker")
    rows = features(tmp_path, source, "ticker/features.sql.j2", "ticker")
    start = 1_704_153_600 * 10**9
    assert [(row["ns"], row["bid"], row["ask"], row["bid_volume"]) for row in rows] == [
        (start + i * 10**9 + i * 10**6, float(f"1.10{i:02}"), float(f"1.11{i:02}"), None) for i in range(30)
    ]


def test_ticks_of_metatrader_name_what_has_changed(tmp_path: Path) -> None:
    header = "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>"
    ticks = [("1.1", "1.2", 6), ("", "1.3", 4), ("1.05", "", 2), ("1.06", "1.31", 6)]
    lines = [f"2020.01.02\t00:00:0{i}.123\t{bid}\t{ask}\t\t\t{flags}" for i, (bid, ask, flags) in enumerate(ticks)]
    _, source = inspected(tmp_path, "EURUSD_ticks.csv", "\n".join([header, *lines, ""]))
    assert source["adapter"] == "generic/ticker"
    assert source["options"]["unchanged"] is True
    rows = features(tmp_path, source, "ticker/features.sql.j2", "ticker")
    assert [(row["bid"], row["ask"]) for row in rows] == [(1.1, 1.2), (1.1, 1.3), (1.05, 1.3), (1.06, 1.31)]
    assert [row["ns"] % 86_400_000_000_000 for row in rows] == [i * 10**9 + 123 * 10**6 for i in range(4)]


def test_fields_within_objects(tmp_path: Path) -> None:
    records = [
        {"type": "t", "pair": "A-B", "data": {"price": str(100 + i), "size": 2.5, "ts": T0 * 1000 + i, "side": "buy"}}
        for i in range(40)
    ]
    _, source = inspected(tmp_path, "messages.jsonl", ndjson(records))
    assert source["options"]["columns"] == {
        "ts": "data.ts", "price": "data.price", "amount": "data.size", "side": "data.side", "symbol": "pair",
    }  # fmt: skip
    rows = features(tmp_path, source, "trades/features.sql.j2", "trades")
    assert [(row["ns"], row["price"]) for row in rows] == [(T0 * 10**9 + i * 10**6, 100.0 + i) for i in range(40)]
    assert {row["symbol"] for row in rows} == {"A-B"}


def test_places_in_lists_and_keys_with_points(tmp_path: Path) -> None:
    records = [{"d": [{"p": 100 + i, "q": 1}], "t.s": T0 * 1000 + i, "n": {"a": [[7, i]]}} for i in range(20)]
    records.insert(5, {"d": [{"p": "x", "q": 1}], "t.s": T0 * 1000, "n": {}})
    save(tmp_path / "lake/raw/f/m.jsonl", ndjson(records))
    columns = {"ts": "t.s", "price": "d[0].p", "amount": "d[0].q", "trade_id": "n.a[0][1]"}
    source = {
        "path": "raw/f",
        "adapter": "generic/trades",
        "exchange": "x",
        "symbol": "y",
        "options": {"columns": columns},
    }
    rows = features(tmp_path, source, "trades/features.sql.j2", "trades")
    assert [(row["price"], row["trade_id"]) for row in rows] == [(100.0 + i, str(i)) for i in range(20)]
    report = sqlgen("run", tmp_path / "models.yaml", "--full-refresh")
    assert "d[0].p is not DOUBLE: x" in report.out + report.err


def test_a_path_that_no_line_has(tmp_path: Path) -> None:
    save(tmp_path / "lake/raw/f/m.jsonl", ndjson([{"d": {"p": 1, "t": T0 * 1000}}] * 3))
    columns = {"ts": "d.t", "price": "d.price", "amount": "d.p"}
    source = {
        "path": "raw/f",
        "adapter": "generic/trades",
        "exchange": "x",
        "symbol": "y",
        "options": {"columns": columns},
    }
    model = {"sql": "trades/features.sql.j2", "inputs": {"trades": "s"}, "output": {"path": "out"}}
    config = {"version": 1, "lake": "lake", "sources": {"s": source}, "models": {"m": model}}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config))
    outcome = sqlgen("run", tmp_path / "models.yaml")
    assert outcome.code == 2
    assert "no line has d.price" in outcome.out + outcome.err


@pytest.mark.parametrize(
    ("header", "line", "said"),
    [
        ("date,price,size", "01/02/2024 10:00:00,100,1", "may begin with the day or with the month"),
        ("date,price,size", "2024-01-02,100,1", "its times are dates without a time of day"),
    ],
)
def test_times_that_cannot_be_known_are_told(header: str, line: str, said: str, tmp_path: Path) -> None:
    finding, source = inspected(tmp_path, "x.csv", "\n".join([header, *[line] * 3, ""]))
    assert source is None
    assert any(said in note for note in finding["notes"]), finding["notes"]


def test_a_model_s_columns_are_not_its_adapter_s(tmp_path: Path) -> None:
    """resample has an option `columns`, a list, and the adapter one that is a map."""
    save(tmp_path / "lake/raw/f/x.csv", csv([[T0 + i, 100 + i, 1] for i in range(5)], "when,px,qty"))
    options = {"columns": {"ts": "when", "price": "px", "amount": "qty"}, "time_unit": "s"}
    source = {"path": "raw/f", "adapter": "generic/trades", "exchange": "x", "symbol": "y", "options": options}
    rows = features(tmp_path, source, "resample.sql.j2", "rows")
    assert [(row["ns"], row["price"]) for row in rows] == [((T0 + i) * 10**9, 100.0 + i) for i in range(5)]


def test_an_option_that_differs_between_model_and_adapter_is_each_its_own(tmp_path: Path) -> None:
    save(tmp_path / "lake/raw/f/x.csv", csv([[T0 + i, 100 + i, 1] for i in range(5)], "when,px,qty"))
    options = {"columns": {"ts": "when", "price": "px", "amount": "qty"}, "time_unit": "s"}
    source = {"path": "raw/f", "adapter": "generic/trades", "exchange": "x", "symbol": "y", "options": options}
    model = {"sql": "resample.sql.j2", "inputs": {"rows": "s"}, "output": {"path": "out"}}
    model |= {"options": {"columns": ["price"], "sum": ["amount"], "frequency": 2}}
    config = {"version": 1, "lake": "lake", "sources": {"s": source}, "models": {"m": model}}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config))
    outcome = sqlgen("run", tmp_path / "models.yaml")
    assert outcome.code == 0, outcome.err
    assert sorted(published(tmp_path / "lake/out")["sum_amount"].to_pylist()) == [1, 2, 2]
