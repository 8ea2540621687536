"""DBN files, encoded by the vendor's package databento-dbn; tests skip without it.

https://databento.com/docs/standards-and-conventions/databento-binary-encoding
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import databento_dbn as dbn

from tests.support.vendors.databento import UNDEFINED_PRICE, Event, Order, Pair
from tests.support.vendors.rows import S, units

SCHEMAS = {
    "trades": dbn.Schema.TRADES,
    "mbp-1": dbn.Schema.MBP_1,
    "mbp-10": dbn.Schema.MBP_10,
    "mbo": dbn.Schema.MBO,
}
_LEVELS = {"mbp-1": (dbn.MBP1Msg, 1), "mbp-10": (dbn.MBP10Msg, 10)}


@dataclass(frozen=True)
class _Interval:
    start_date: dt.date
    end_date: dt.date
    symbol: str


@dataclass(frozen=True)
class _Mapping:
    """The package asks for objects with these attributes, not for dictionaries."""

    raw_symbol: str
    intervals: Sequence[_Interval]


def encode(
    events: Iterable[Event | Order],
    schema: str,
    symbols: dict[int, str],
    dataset: str = "XNAS.ITCH",
    version: int = dbn.DBN_VERSION,
) -> bytes:
    """Metadata and records of one DBN file, uncompressed; symbols by instrument id."""
    rows = list(events)
    return bytes(metadata(rows, schema, symbols, dataset, version)) + b"".join(
        bytes(_record(row, schema)) for row in rows
    )


def metadata(
    rows: Sequence[Event | Order], schema: str, symbols: dict[int, str], dataset: str, version: int
) -> dbn.Metadata:
    """The header; each symbol stands for its instrument from the day of the first to that of the last record."""
    days = [dt.datetime.fromtimestamp(row.ts_recv // S, dt.UTC).date() for row in (rows[0], rows[-1])]
    mappings = [
        _Mapping(symbol, [_Interval(days[0], days[1] + dt.timedelta(days=1), str(instrument))])
        for instrument, symbol in symbols.items()
    ]
    return dbn.Metadata(
        dataset=dataset,
        start=rows[0].ts_recv,
        end=rows[-1].ts_recv + 1,
        stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=SCHEMAS[schema],
        symbols=list(symbols.values()),
        mappings=mappings,
        version=version,
    )


def compressed(content: bytes) -> bytes:
    """The same file as .dbn.zst."""
    return transcoded(content, dbn.Encoding.DBN, dbn.Compression.ZSTD)


def transcoded(content: bytes, encoding: dbn.Encoding, compression: dbn.Compression, **options: Any) -> bytes:
    """The file as another format, written by the vendor's own code."""
    out = io.BytesIO()
    with dbn.Transcoder(out, encoding, compression, **options) as transcoder:
        transcoder.write(content)
    return out.getvalue()


def _price(price: Any) -> int:
    return UNDEFINED_PRICE if price is None else units(price, -9)


def _pair(pair: Pair) -> dbn.BidAskPair:
    return dbn.BidAskPair(_price(pair.bid_px), _price(pair.ask_px), pair.bid_sz, pair.ask_sz, pair.bid_ct, pair.ask_ct)


def _record(row: Event | Order, schema: str) -> Any:
    shared: dict[str, Any] = {
        "publisher_id": row.publisher_id,
        "instrument_id": row.instrument_id,
        "ts_event": row.ts_event,
        "price": _price(row.price),
        "size": row.size,
        "action": dbn.Action(row.action),
        "side": dbn.Side(row.side),
        "ts_recv": row.ts_recv,
        "flags": row.flags,
        "ts_in_delta": row.ts_in_delta,
        "sequence": row.sequence,
    }
    if isinstance(row, Order):
        return dbn.MBOMsg(order_id=row.order_id, channel_id=row.channel_id, **shared)
    if schema == "trades":
        return dbn.TradeMsg(depth=row.depth, **shared)
    message, depth = _LEVELS[schema]
    levels: Any = [_pair(pair) for pair in row.levels[:depth]]
    return message(depth=row.depth, levels=levels[0] if depth == 1 else levels, **shared)
