"""Records of DBN files as Parquet, field by field against what the vendor's own decoder reads of the same bytes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sqlgen.errors import TaskError
from sqlgen.sources.dbn import write_parquet
from tests.support.vendors.databento import UNDEFINED_PRICE

databento_dbn = pytest.importorskip("databento_dbn")
dbn = pytest.importorskip("tests.support.vendors.dbn")

START = 1_729_512_000 * 10**9
"""2024-10-21 12:00 UTC."""
COUNT = 7


def pair(kind: Any, i: int) -> Any:
    return kind(UNDEFINED_PRICE if i == 3 else 10**11 + i, 10**11 + 10**9 * i, 2**32 - 1 - i, 6 + i, 1 + i, 2)


def record(schema: str, i: int) -> Any:
    """Record i of a schema, no field of which is like that of the one before."""
    shared: dict[str, Any] = {"publisher_id": 2 + i, "instrument_id": 38 + i, "ts_event": START + i}
    shared |= {"price": UNDEFINED_PRICE if i == 2 else -(10**9) + i, "size": 7 + i, "ts_recv": START + 500 + i}
    shared |= {"side": databento_dbn.Side("BAN"[i % 3]), "flags": 128 + i}
    quote = pair(databento_dbn.BidAskPair, i)
    if schema == "bbo-1s":
        return databento_dbn.BBOMsg(rtype=databento_dbn.RType.BBO_1S, **shared, sequence=i, levels=quote)
    shared |= {"action": databento_dbn.Action("TACMRF"[i % 6] if schema != "trades" else "T")}
    shared |= {"ts_in_delta": -i}
    if schema == "cmbp-1":
        levels = pair(databento_dbn.ConsolidatedBidAskPair, i)
        return databento_dbn.CMBP1Msg(rtype=databento_dbn.RType.CMBP_1, **shared, levels=levels)
    shared |= {"sequence": 2**32 - 1 - i}
    if schema == "mbo":
        return databento_dbn.MBOMsg(order_id=2**64 - 1 - i, channel_id=i, **shared)
    shared |= {"depth": i}
    if schema == "trades":
        return databento_dbn.TradeMsg(**shared)
    if schema == "mbp-10":
        return databento_dbn.MBP10Msg(**shared, levels=[pair(databento_dbn.BidAskPair, i + k) for k in range(10)])
    return databento_dbn.MBP1Msg(**shared, levels=quote)


def header(schema: str | None, version: int) -> bytes:
    return bytes(
        databento_dbn.Metadata(
            dataset="XNAS.BASIC",
            start=START,
            end=START + 10**9,
            stype_in=databento_dbn.SType.RAW_SYMBOL,
            stype_out=databento_dbn.SType.INSTRUMENT_ID,
            schema=databento_dbn.Schema.from_str(schema) if schema else None,
            symbols=["AAPL"],
            mappings=[dbn._Mapping("AAPL", [dbn._Interval(dt.date(2024, 10, 21), dt.date(2024, 10, 22), "38")])],
            version=version,
        )
    )


def decoded(content: bytes) -> list[Any]:
    _, *records = databento_dbn.DBNDecoder().write_and_decode(content)
    return records


def field(one: Any, name: str) -> Any:
    """A field by its flat name: bid_px_03 is that of the fourth level."""
    head, _, level = name.rpartition("_")
    value = getattr(one.levels[int(level)], head) if level.isdecimal() and len(level) == 2 else getattr(one, name)
    return str(value) if name in ("action", "side") else int(value)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("schema", ["mbo", "mbp-1", "mbp-10", "trades", "tbbo", "bbo-1s", "cmbp-1"])
def test_every_field_is_what_the_decoder_reads(schema: str, version: int, tmp_path: Path) -> None:
    path = tmp_path / "x.dbn"
    path.write_bytes(header(schema, version) + b"".join(bytes(record(schema, i)) for i in range(COUNT)))
    theirs = decoded(path.read_bytes())
    names = [name for name, _ in type(theirs[0])._dtypes if not name.startswith("_") and "reserved" not in name]
    names = [name for name in names if name not in ("length", "rtype")]
    assert write_parquet(path, tmp_path / "x.parquet", [*names, "symbol", "exchange"]) == COUNT
    table = pq.read_table(tmp_path / "x.parquet")
    for name in names:
        assert table[name].to_pylist() == [field(one, name) for one in theirs], name
    assert table["symbol"].to_pylist() == ["AAPL"] + [None] * (COUNT - 1)
    assert {*table["exchange"].to_pylist()} == {"XNAS.BASIC"}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_definitions_are_refused_by_name(version: int, tmp_path: Path) -> None:
    path = tmp_path / "x.dbn"
    path.write_bytes(header("definition", version))
    with pytest.raises(TaskError, match=r"type None, schema definition\. What can be read: trades, mbp-1"):
        write_parquet(path, tmp_path / "x.parquet", ["ts_event"])


def test_a_recording_of_a_live_feed_maps_its_symbols(tmp_path: Path) -> None:
    """Its header names no schema, and mappings and heartbeats stand among the records."""
    mapping = databento_dbn.SymbolMappingMsg(
        publisher_id=0,
        instrument_id=39,
        ts_event=START,
        stype_in=databento_dbn.SType.RAW_SYMBOL,
        stype_in_symbol="MSFT",
        stype_out=databento_dbn.SType.RAW_SYMBOL,
        stype_out_symbol="MSFT",
        start_ts=START,
        end_ts=START + 1,
    )
    beat = databento_dbn.SystemMsg(ts_event=START, msg="Heartbeat")
    records = [mapping, record("trades", 1), beat, record("trades", 0)]
    path = tmp_path / "x.dbn"
    path.write_bytes(header(None, 3) + b"".join(map(bytes, records)))
    assert write_parquet(path, tmp_path / "x.parquet", ["price", "symbol"]) == 2
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == [
        {"price": -(10**9) + 1, "symbol": "MSFT"},
        {"price": -(10**9), "symbol": "AAPL"},
    ]


def test_a_record_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    content = bytearray(header("trades", 3) + bytes(record("trades", 0)) + bytes(record("trades", 1)))
    content[len(header("trades", 3)) + len(bytes(record("trades", 0)))] = 0
    path = tmp_path / "x.dbn"
    path.write_bytes(bytes(content))
    with pytest.raises(TaskError, match=r"x\.dbn: a record after the first 0 cannot be decoded: .*length 0"):
        write_parquet(path, tmp_path / "x.parquet", ["price"])
