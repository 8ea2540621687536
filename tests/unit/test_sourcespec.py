"""What templates know of a source: keys, dates, and the files of one adapter among several."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from sqlgen.compile.adapters import raw_form
from sqlgen.compile.scope import Scan
from sqlgen.compile.sourcespec import SourceSpec
from sqlgen.lake.partitions import KEYS
from sqlgen.project.config import Source
from sqlgen.project.keys import ConfiguredKey
from sqlgen.project.model import adapter_template
from sqlgen.templating.header import CsvFormat
from sqlgen.templating.templates import packaged

FILES = ("lake/raw/s_message_1.parquet", "lake/raw/s_orderbook_1.parquet")


def spec(*files: str, **settings: object) -> SourceSpec:
    return dataclasses.replace(SourceSpec.of_scan("s", Scan(files or FILES, hive_keys=())), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hive", "given", "dated", "keyed"),
    [
        (("exchange", "symbol", "date"), {}, True, True),
        (("exchange", "symbol", "year", "month", "day", "hour"), {}, True, True),
        (("date",), {"exchange": ConfiguredKey("x")}, True, False),
        ((), {"exchange": ConfiguredKey("x"), "symbol": ConfiguredKey("y")}, False, False),
        (
            ("year", "month"),
            {"day": ConfiguredKey(None, "d", 1), "exchange": ConfiguredKey("x"), "symbol": ConfiguredKey("y")},
            True,
            True,
        ),
    ],
)
def test_keys(hive: tuple[str, ...], given: dict[str, ConfiguredKey], dated: bool, keyed: bool) -> None:
    found = spec(hive_keys=hive, given=given)
    assert (found.dated, found.keyed, found.keys) == (dated, keyed, {*hive, *given})


def test_keys_are_taken_from_names_where_a_column_hides_them() -> None:
    found = spec(hive_keys=("exchange", "date"), given={"symbol": ConfiguredKey("x")})
    assert found.reading({"price": "DOUBLE"}).source is found
    source = found.reading({"Date": "VARCHAR"}).source
    assert source.hive_keys == ()
    assert source.given["date"] == ConfiguredKey(None, "(?s).*/date=([^/]*)/", 1, encoded=True)
    assert source.keys == found.keys
    odd = dataclasses.replace(found, by_name=True).reading({"price": "DOUBLE"}).source
    assert not odd.hive_keys
    assert odd.given["symbol"] == ConfiguredKey("x")


def test_values_of_lines_are_columns_where_files_were_decoded_with_them() -> None:
    plain = spec()
    assert plain.once("kind", "message ->> '$.e'") == "message ->> '$.e'"
    assert plain.once("levels", "f(message)", where="is_book(message)", steps={"x": "g(message)"}) == "f(message)"
    assert plain.lines == []
    made = {"line_kind": "message ->> '$.e'", "line_levels": "CASE WHEN is_book(message) THEN f(message) END"}
    assert plain.asked == (made, {"x": "g(message)"})
    decoded = spec(evaluated=made)
    assert decoded.once("kind", "message ->> '$.e'") == "line_kind"
    assert decoded.without_times().once("levels", "f(message)", where="is_book(message)") == "line_levels"
    assert decoded.lines == ["line_kind", "line_levels"]


def test_values_of_lines_that_were_decoded_otherwise_are_taken_from_the_line() -> None:
    decoded = spec(
        evaluated={"line_kind": "message ->> '$.e'", "line_levels": "CASE WHEN is_book(message) THEN f(message) END"}
    )
    assert decoded.once("kind", "message ->> '$.type'") == "message ->> '$.type'"
    assert decoded.once("levels", "f(message)") == "f(message)"
    assert decoded.lines == []


@pytest.mark.parametrize("adapter", ["okx/books", "hyperliquid/book", "gemini/book"])
def test_decoded_messages_are_not_taken_apart_again(adapter: str) -> None:
    library, source = packaged(), Source(path="raw", adapter=adapter)
    options = {name: option.default for name, option in library.header(adapter_template(adapter)).options.items()}

    def of(scan: Scan) -> dict[str, Any]:
        csv = library.csv(adapter_template(adapter), options)
        return {"source": SourceSpec.of_source("s", source, scan, csv), "options": options}

    def select(evaluated: tuple[tuple[str, str], ...]) -> str:
        context = of(Scan(("x.parquet",), "parquet", KEYS, decoded="ndjson", evaluated=evaluated))
        return library.render(adapter_template(adapter), **{**context, "options": SimpleNamespace(**options)})

    found = raw_form(library, "s", source, of(Scan(("",), "ndjson", KEYS)), CsvFormat()).evaluated
    assert "message ->" in select(())
    assert "message ->" not in select(tuple(found.columns.items()))


def test_folders_that_duckdb_reads_otherwise_are_odd() -> None:
    keys = ("exchange", "symbol", "date")
    odd = "l/exchange=a/symbol=b=c/x=1/date=2026-01-01/f.parquet"
    assert SourceSpec.of_scan("s", Scan((odd,), hive_keys=keys)).by_name
    assert not SourceSpec.of_scan(
        "s", Scan(("l/exchange=a/symbol=b/date=2026-01-01/f.parquet",), hive_keys=keys)
    ).by_name
    assert not SourceSpec.of_scan("s", Scan((odd,), "table", keys)).by_name


def test_only_some_files() -> None:
    assert spec().only("_message_").files == FILES[:1]
    assert spec().only("_message_").single_file
    assert spec(format="csv").only("_message_").files == FILES
    assert spec(format="csv", single_file=True).only("_message_").single_file is False
    assert spec("").only("_message_").files == ()  # of no file
    with pytest.raises(ValueError, match="there is no file named \\*_x_\\* beside s_message_1, s_orderbook_1"):
        spec().only("_x_")
    with pytest.raises(ValueError, match="cannot be given one by one"):
        spec(format="table").only("_message_")


def test_what_is_read() -> None:
    reading = spec(given={"exchange": ConfiguredKey("x")}).reading({"t": "BIGINT"}, {"symbol": "Ticker"})
    assert reading.in_files == {"t": "BIGINT", "Ticker": "VARCHAR"}
    assert spec().reading({"t": "BIGINT"}, said={"symbol": "a.s"}).in_files == {"t": "BIGINT", "exchange": "VARCHAR"}
    assert spec().reading({"t": "BIGINT"}, kept=[]).kept == ()
    respelled = spec(format="ndjson").spelling({"t (2)": "T"}).reading({"t": "BIGINT", "t (2)": "BIGINT"})
    assert respelled.respells
    assert respelled.as_written().in_files == {"message": "JSON"}
    assert not respelled.as_written().respells
    assert not spec(format="csv", csv=CsvFormat(header=False)).spelling({"a": "A"}).reading({}).respells
