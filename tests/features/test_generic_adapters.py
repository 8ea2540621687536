"""Files with columns of any names, read by a map in models.yaml."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sqlgen.lake.partitions import Partition
from tests.support.adapters import (
    DAY,
    EXCHANGE,
    HIVE,
    MIDNIGHT,
    SHELL,
    SYMBOL,
    Project,
    Row,
    book_rows,
    random_books,
    random_trades,
    rows_of,
    trade_rows,
)
from tests.support.vendors.files import save
from tests.support.vendors.rows import Book, Trade, plain

BOOKS = [replace(book, bids=book.bids[:5], asks=book.asks[:5]) for book in random_books(11, 40, 5)]
TRADES = random_trades(12, 60)
NS, US, MS, S = 1, 10**3, 10**6, 10**9
UNITS = {"ns": NS, "us": US, "ms": MS, "s": S}
TRADE_COLUMNS = {"ts": "when", "trade_id": "no", "price": "px", "amount": "qty", "side": "aggressor"}


def check(project: Project, expected: list[Row]) -> None:
    """A run publishes these rows exactly, and so does the compiled file."""
    assert rows_of(project.run()) == expected
    if SHELL is not None:
        assert rows_of(project.in_shell()) == expected


def write(
    path: Path, records: list[dict[str, Any]], delimiter: str = ",", quote: str = "", header: bool = True
) -> None:
    """Records in the format that the name of the file says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif ".ndjson" in path.name:
        save(path, "".join(json.dumps(record, default=str) + "\n" for record in records))
    else:
        rows = [list(records[0])] * header + [list(record.values()) for record in records]
        cells = [[f"{quote}{'' if cell is None else cell}{quote}" for cell in row] for row in rows]
        save(path, "".join(delimiter.join(row) + "\n" for row in cells))


def trade_records(trades: list[Trade], time: Callable[[int], Any], number: Callable[[Decimal], Any]) -> list[Row]:
    return [
        {
            "other": 1,
            "aggressor": {"buy": "B", "sell": "S", None: "?"}[trade.side],
            "no": trade.trade_id,
            "qty": number(trade.amount),
            "px": number(trade.price),
            "when": time(trade.ts),
        }
        for trade in trades
    ]


def wide_records(books: list[Book], pattern: str, first: int, number: Callable[[Decimal], Any]) -> list[Row]:
    records = []
    for book in books:
        record: Row = {"t": book.ts}
        for side, levels in (("a", book.asks), ("b", book.bids)):
            for i in range(5):
                for place, field in enumerate("pq"):
                    name = pattern.format(side=side, field=field, i=i + first)
                    record[name] = number(levels[i][place]) if i < len(levels) else None
        records.append(record)
    return records


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.zst", "ndjson"])
def test_trades_by_unit_and_format(tmp_path: Path, unit: str, suffix: str) -> None:
    options = {"columns": TRADE_COLUMNS, "time_unit": unit}
    project = Project.of(tmp_path, "generic/trades", options=options)
    number = float if suffix in ("parquet", "ndjson") else plain
    write(project.raw / HIVE / f"x.{suffix}", trade_records(TRADES, lambda ts: ts // UNITS[unit], number))
    check(project, trade_rows(TRADES, UNITS[unit]))


@pytest.mark.parametrize("suffix", ["parquet", "csv", "ndjson"])
def test_seconds_with_decimals(tmp_path: Path, suffix: str) -> None:
    """Exact where they are text or decimals; JSON numbers and doubles hold microseconds."""
    trades = [replace(trade, ts=trade.ts // US * US) for trade in TRADES]
    project = Project.of(tmp_path, "generic/trades", options={"columns": TRADE_COLUMNS, "time_unit": "s"})
    exact: Callable[[int], Any] = lambda ts: Decimal(ts) / S  # noqa: E731
    number = plain if suffix == "csv" else float
    records = trade_records(trades, exact if suffix != "ndjson" else lambda ts: str(Decimal(ts) / S), number)
    write(project.raw / HIVE / f"x.{suffix}", records)
    check(project, trade_rows(trades))


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_doubles_are_exact_to_the_microsecond(tmp_path: Path, unit: str) -> None:
    trades = [replace(trade, ts=trade.ts // US * US) for trade in TRADES]
    project = Project.of(tmp_path, "generic/trades", options={"columns": TRADE_COLUMNS, "time_unit": unit})
    records = trade_records(trades, lambda ts: float(Decimal(ts) / UNITS[unit]), float)
    write(project.raw / HIVE / "x.parquet", records)
    check(project, trade_rows(trades))


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        (pa.timestamp("ns"), NS),
        (pa.timestamp("ns", "UTC"), NS),
        (pa.timestamp("us", "America/New_York"), US),
        (pa.timestamp("ms"), MS),
        (pa.timestamp("s"), S),
    ],
    ids=str,
)
def test_columns_of_timestamps(tmp_path: Path, kind: pa.DataType, unit: int) -> None:
    project = Project.of(tmp_path, "generic/trades", options={"columns": TRADE_COLUMNS, "time_unit": "timestamp"})
    table = pa.Table.from_pylist(trade_records(TRADES, lambda ts: ts // unit, float))
    place = table.schema.get_field_index("when")
    path = project.raw / HIVE / "x.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table.set_column(place, "when", table["when"].cast(pa.timestamp(kind.unit)).cast(kind)), path)
    # DuckDB 1.5 cuts TIMESTAMP(ns, UTC) to microseconds (docs/sources.md).
    assert rows_of(project.run()) == trade_rows(TRADES, unit)
    if SHELL is not None:
        assert rows_of(project.in_shell()) == trade_rows(TRADES, US if kind == pa.timestamp("ns", "UTC") else unit)


@pytest.mark.parametrize("hours", [0, 2, -5])
@pytest.mark.parametrize("suffix", ["parquet", "csv", "ndjson"])
def test_times_as_text(tmp_path: Path, suffix: str, hours: int) -> None:
    """ISO text with nanoseconds; what it says of its zone counts, and without that it is UTC."""

    def text(ts: int) -> str:
        seconds, rest = divmod(ts, S)
        local = dt.datetime.fromtimestamp(seconds, dt.UTC) + dt.timedelta(hours=hours)
        return f"{local:%Y-%m-%dT%H:%M:%S}.{rest:09d}" + (f"{hours:+03d}:00" if hours else "")

    unit = "text" if suffix == "parquet" else "timestamp"
    project = Project.of(tmp_path, "generic/trades", options={"columns": TRADE_COLUMNS, "time_unit": unit})
    write(project.raw / HIVE / f"x.{suffix}", trade_records(TRADES, text, plain if suffix == "csv" else float))
    check(project, trade_rows(TRADES))


@pytest.mark.parametrize("suffix", ["parquet", "csv", "ndjson"])
def test_columns_that_are_called_like_ours(tmp_path: Path, suffix: str) -> None:
    """Folders give the keys; the files have columns of these names with something else in them."""
    columns = {"ts": "ts", "trade_id": "line", "price": "seq", "amount": "date", "side": "symbol"}
    symbol = "BTC/USDT"
    number = plain if suffix == "csv" else float
    records = [
        {
            "exchange": "x",
            "symbol": trade.side or "?",
            "date": number(trade.amount),
            "hour": 7,
            "ts": trade.ts,
            "seq": number(trade.price),
            "line": trade.trade_id,
        }
        for trade in TRADES
    ]
    options = {"columns": columns, "time_unit": "ns"}
    hive = Project.of(tmp_path / "hive", "generic/trades", options=options)
    path = Partition.of(exchange=EXCHANGE, symbol=symbol, date=DAY).path
    write(hive.raw / path / f"x.{suffix}", records[:20])
    write(hive.raw / path / f"y.{suffix}", records[20:])
    check(hive, trade_rows(TRADES, symbol=symbol))
    pattern = f"{{exchange}}-{{symbol}}-{{date}}.{suffix}"
    given = Project.of(tmp_path / "given", "generic/trades", options=options, pattern=pattern)
    write(given.raw / f"{EXCHANGE}-{SYMBOL}-{DAY}.{suffix}", records)
    check(given, trade_rows(TRADES))


@pytest.mark.parametrize("suffix", ["parquet", "csv", "ndjson"])
def test_keys_in_the_rows_under_other_names(tmp_path: Path, suffix: str) -> None:
    columns = TRADE_COLUMNS | {"exchange": "venue", "symbol": "Instrument"}
    project = Project.of(tmp_path, "generic/trades", options={"columns": columns, "time_unit": "ns"})
    records = trade_records(TRADES, int, plain if suffix == "csv" else float)
    keys = [{"venue": "kraken", "Instrument": ("A/B", "C-D")[i % 2]} for i in range(len(records))]
    write(project.raw / f"x.{suffix}", [record | key for record, key in zip(records, keys, strict=True)])
    expected = [
        row
        for half, symbol in enumerate(("A/B", "C-D"))
        for row in trade_rows(TRADES[half::2], exchange="kraken", symbol=symbol)
    ]
    check(project, expected)


@pytest.mark.parametrize("apart", [False, True], ids=["fields", "names with a point"])
def test_fields_within_columns_of_parquet(tmp_path: Path, apart: bool) -> None:
    """Read by their paths, unless a column is called so."""
    names = {ours: f"data.of.{name}" for ours, name in TRADE_COLUMNS.items()}
    options = {"columns": names, "time_unit": "ms", "buy": ["b"], "sell": ["s"]}
    project = Project.of(tmp_path, "generic/trades", options=options)
    trades = [replace(trade, ts=trade.ts // MS * MS) for trade in TRADES]
    records = trade_records(trades, lambda ts: ts // MS, float)
    nested = [
        {f"data.of.{name}": value for name, value in record.items()} if apart else {"data": {"of": record}, "other": 1}
        for record in records
    ]
    write(project.raw / HIVE / "x.parquet", nested)
    check(project, trade_rows(trades))


def test_books_within_a_column_of_parquet(tmp_path: Path) -> None:
    columns = {"ts": "t", "bids": "book.b", "asks": "book.a", "level_price": "p", "level_size": "q"}
    options = {"columns": columns, "time_unit": "ns", "levels": "objects", "max_levels": 5}
    project = Project.of(tmp_path, "generic/orderbook", options=options)

    def side(levels: Any) -> list[Row]:
        return [{"p": float(price), "q": float(size)} for price, size in levels]

    records = [{"t": book.ts, "book": {"b": side(book.bids), "a": side(book.asks)}} for book in BOOKS]
    write(project.raw / HIVE / "x.parquet", records)
    check(project, book_rows(BOOKS, 5))


def test_several_files_count_on(tmp_path: Path) -> None:
    for suffix in ("parquet", "csv"):
        project = Project.of(tmp_path / suffix, "generic/trades", options={"columns": TRADE_COLUMNS, "time_unit": "ns"})
        records = trade_records(TRADES, int, plain if suffix == "csv" else float)
        for name, part in (("a", records[:7]), ("b", records[7:30]), ("c", records[30:])):
            write(project.raw / HIVE / f"{name}.{suffix}", part)
        check(project, trade_rows(TRADES))


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ({"columns": {"side": "x"}}, {"buy": "Buy", "sell": "SELL", None: ""}),
        ({"columns": {"side": "x"}}, {"buy": "1", "sell": "-1", None: "0"}),
        ({"columns": {"side": "x"}, "buy": ["up"], "sell": ["down", "off"]}, {"buy": "Up", "sell": "off", None: "buy"}),
        ({"columns": {"side": "x"}, "buy": ["TRUE"], "sell": ["Ask"]}, {"buy": "True", "sell": "aSK", None: "1"}),
        ({"columns": {"side": "x"}, "buy": [2], "sell": ["1.0"]}, {"buy": "2.0", "sell": "1", None: "20"}),
        ({"columns": {"buyer_maker": "x"}}, {"buy": "False", "sell": "true", None: ""}),
        ({"columns": {"buyer_maker": "x"}}, {"buy": "0", "sell": "1", None: ""}),
        ({"columns": {}}, {"buy": "buy", "sell": "buy", None: "buy"}),
    ],
)
def test_codes_of_sides(tmp_path: Path, options: dict[str, Any], codes: dict[str | None, str]) -> None:
    project = Project.of(tmp_path, "generic/trades", options={"time_unit": "ns"} | options)
    records = [
        {"ts": trade.ts, "price": trade.price, "amount": trade.amount, "x": codes[trade.side]} for trade in TRADES
    ]
    write(project.raw / HIVE / "x.csv", records)
    known = bool(options["columns"])
    sides = [row["side"] if known else None for row in trade_rows(TRADES)]
    check(project, [row | {"side": s, "trade_id": None} for row, s in zip(trade_rows(TRADES), sides, strict=True)])


def test_decimals_become_the_nearest_double(tmp_path: Path) -> None:
    trades = [replace(trade, price=trade.price / 10**7 + 1, amount=trade.amount / 10**9) for trade in TRADES]
    project = Project.of(tmp_path, "generic/trades", options={"columns": TRADE_COLUMNS, "time_unit": "ns"})
    table = pa.Table.from_pylist(trade_records(trades, int, lambda value: value))
    wide = pa.schema([f.with_type(pa.decimal128(38, 18)) if f.name in ("px", "qty") else f for f in table.schema])
    path = project.raw / HIVE / "x.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table.cast(wide), path)
    check(project, trade_rows(trades))


PATTERNS = [("{side}{i}{field}", "", 0), ("{side}_{i:02d}_{field}", ":02d", 1), ("{side}s[{i}].{field}", "", 0)]


@pytest.mark.parametrize(("pattern", "width", "first"), PATTERNS)
@pytest.mark.parametrize("suffix", ["parquet", "csv.gz", "ndjson"])
def test_books_in_columns(tmp_path: Path, suffix: str, pattern: str, width: str, first: int) -> None:
    level = f"{{i{width}}}"
    names = {
        f"{name}_{what}": pattern.replace("{i:02d}", "{i}")
        .replace("{i}", "LEVEL")
        .format(side=side, field=field)
        .replace("LEVEL", level)
        for name, side in (("bid", "b"), ("ask", "a"))
        for what, field in (("price", "p"), ("size", "q"))
    }
    options = {"columns": {"ts": "t"} | names, "time_unit": "ns", "file_levels": 5, "first_level": first}
    project = Project.of(tmp_path, "generic/orderbook", options=options | {"max_levels": 7})
    number = float if suffix in ("parquet", "ndjson") else plain
    write(project.raw / HIVE / f"x.{suffix}", wide_records(BOOKS, pattern, first, number))
    check(project, book_rows(BOOKS, 7))


@pytest.mark.parametrize("form", ["objects", "named", "pairs"])
@pytest.mark.parametrize("suffix", ["parquet", "ndjson"])
def test_books_in_lists(tmp_path: Path, suffix: str, form: str) -> None:
    names = {"ts": "t", "bids": "b", "asks": "a"}
    fields = ("price", "size")
    if form == "named":
        names |= {"level_price": "Px", "level_size": "amount"}
        fields = ("Px", "amount")
    levels = "pairs" if form == "pairs" else "objects"
    options = {"columns": names, "time_unit": "ns", "levels": levels, "max_levels": 3}
    project = Project.of(tmp_path, "generic/orderbook", options=options)

    def side(found: Any) -> list[Any]:
        made = [(float(price), float(size)) for price, size in found]
        return [list(pair) if form == "pairs" else dict(zip(fields, pair, strict=True)) for pair in made]

    records = [{"t": book.ts, "b": side(book.bids), "a": side(book.asks)} for book in BOOKS]
    write(project.raw / HIVE / f"x.{suffix}", records)
    check(project, book_rows(BOOKS, 3))


def test_books_in_lists_are_cleaned(tmp_path: Path) -> None:
    bids = [[2.0, 1.0], [3.0, 1.0], [2.0, 4.0], [1.0, 0.0], [float("nan"), 1.0]]
    for form in ("objects", "pairs"):
        options = {"levels": form, "time_unit": "ns", "max_levels": 3}
        project = Project.of(tmp_path / form, "generic/orderbook", options=options)
        side = bids if form == "pairs" else [{"price": p, "size": s} for p, s in bids]
        write(project.raw / HIVE / "x.parquet", [{"ts": MIDNIGHT, "bids": side, "asks": side[:1]}])
        [row] = rows_of(project.run())
        found = [(row[f"bid_price_0{i}"], row[f"bid_size_0{i}"]) for i in range(3)]
        assert found == [(3.0, 1.0), (2.0, 5.0), (None, None)]
        assert (row["bid_levels"], row["ask_levels"]) == (2, 1)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "^"])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("header", [True, False])
def test_ways_to_write_csv(tmp_path: Path, delimiter: str, quote: str, header: bool) -> None:
    fields = "" if header else "other, aggressor, no, qty, px, when"
    options = {"delimiter": delimiter, "quote": quote, "header": header, "fields": fields}
    project = Project.of(tmp_path, "generic/trades", options=options | {"columns": TRADE_COLUMNS, "time_unit": "ns"})
    write(project.raw / HIVE / "x.csv", trade_records(TRADES, int, plain), delimiter, quote, header)
    check(project, trade_rows(TRADES))


def test_what_a_map_may_name(tmp_path: Path) -> None:
    project = Project.of(tmp_path, "generic/trades", options={"columns": {"prise": "px"}})
    assert "sources.raw.options.columns" in project.failure()
    assert "price" in project.failure()
