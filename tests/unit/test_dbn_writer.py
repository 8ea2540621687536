"""DBN files written with the vendor's package say the same as our CSV, and their records are numpy arrays."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.support.vendors import databento
from tests.support.vendors.files import save
from tests.support.vendors.rows import Book, Trade

databento_dbn = pytest.importorskip("databento_dbn")
dbn = pytest.importorskip("tests.support.vendors.dbn")

D = Decimal
T0 = 1_735_689_600_123_456_789
BOOK = Book(T0, ((D("100.5"), D(3)), (D("100.25"), D(7))), ((D("100.75"), D(2)),))
TRADE = Trade(T0 + 5, "7", "buy", D("100.75"), D(1))
ORDER = databento.Order(T0 + 9, T0, 2, 38, "A", "B", D("100.123456789"), 5, 1, 2**63 + 1, 128, -4, 77)
CLEAR = databento.Order(T0 + 9, T0, 2, 38, "R", "N", None, 0, 0, 0, 40, 0, 0)


def rows_of(schema: str) -> list[databento.Event] | list[databento.Order]:
    events = databento.events([BOOK, Book(T0 + 7, (), BOOK.asks)], [TRADE])
    return {"mbo": [CLEAR, ORDER], "trades": databento.trades_only(events)}.get(schema, events)


@pytest.mark.parametrize("schema", databento.RTYPES)
@pytest.mark.parametrize("pretty", [True, False])
def test_csv_is_what_the_vendor_writes(schema: str, pretty: bool) -> None:
    rows = rows_of(schema)
    content = dbn.encode(rows, schema, {38: "AAPL"})
    options = {"pretty_px": pretty, "pretty_ts": pretty}
    theirs = dbn.transcoded(content, databento_dbn.Encoding.CSV, databento_dbn.Compression.NONE, **options)
    ours = databento.table(rows, schema, "AAPL", "pretty" if pretty else "raw", raw_times=not pretty)
    assert theirs.decode() == ours.text()


@pytest.mark.parametrize("schema", databento.RTYPES)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_records_have_one_layout_in_all_versions(schema: str, version: int) -> None:
    rows = rows_of(schema)
    content = dbn.encode(rows, schema, {38: "AAPL"}, version=version)
    assert content[:4] == b"DBN" + bytes([version])
    size = 8 + int.from_bytes(content[4:8], "little")
    decoder = databento_dbn.DBNDecoder()
    [header] = decoder.write_and_decode(content[:size])
    assert str(header.schema) == schema
    assert [interval["symbol"] for interval in header.mappings["AAPL"]] == ["38"]
    message = type(decoder.write_and_decode(content[size:])[0])
    records = np.frombuffer(content, np.dtype(message._dtypes), offset=size)
    assert set(records["rtype"]) == {databento.RTYPES[schema]}
    assert set(records["length"].astype(int) * 4) == {records.itemsize}
    raw = databento.table(rows, schema, "AAPL", "raw", raw_times=True)
    for name in raw.columns[:-1]:
        assert [cell.decode() if isinstance(cell, bytes) else str(cell) for cell in records[name]] == raw.column(name)


def test_zstd() -> None:
    content = dbn.encode(rows_of("mbp-10"), "mbp-10", {38: "AAPL"})
    decoder = databento_dbn.DBNDecoder(compression=databento_dbn.Compression.ZSTD)
    assert len(decoder.write_and_decode(dbn.compressed(content))) == 1 + 3
    assert pa.CompressedInputStream(pa.BufferReader(dbn.compressed(content)), "zstd").read() == content


def test_saved_files_are_zstd(tmp_path: Path) -> None:
    content = dbn.encode(rows_of("mbo"), "mbo", {38: "AAPL"})
    path = save(tmp_path / databento.file_name("XNAS.ITCH", "2025-01-01", "mbo", "dbn.zst"), content)
    assert path.name == "xnas-itch-20250101.mbo.dbn.zst"
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as file:
        assert file.read() == content
