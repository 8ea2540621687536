"""A Parquet catalog of NautilusTrader 1.221 and later: quote ticks and trade ticks (nautilustrader.io/docs).

Prices and sizes are 16 bytes, little-endian: the value times 1e16, as in builds of high precision, which the wheels of
Linux and macOS are. A DECIMAL(38, 16) of Arrow has the same bytes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sqlgen.exports.feed import FeedDay, FeedViews
from sqlgen.exports.target import new_file
from sqlgen.templating.queries import query

WIDTH = 16
QUOTES = {
    "bid_price": ("bid_price_00", "prices"),
    "ask_price": ("ask_price_00", "prices"),
    "bid_size": ("bid_size_00", "sizes"),
    "ask_size": ("ask_size_00", "sizes"),
}
TRADES = {"price": ("price", "prices"), "size": ("amount", "sizes")}
AGGRESSOR = "CAST(CASE side WHEN 1 THEN 1 WHEN -1 THEN 2 ELSE 0 END AS UTINYINT)"
"""NO_AGGRESSOR 0, BUYER 1, SELLER 2."""


def write_day(feed: FeedViews, day: FeedDay, folder: Path) -> list[tuple[Path, int]]:
    """Write the quotes and trades of a day below ``folder/data``; paths and numbers of rows."""
    decimals = precision(feed, day.exchange, day.symbol)
    written = []
    if feed.book:
        written += _write(feed, day, folder, "quote_tick", feed.book, _columns(QUOTES, decimals), decimals)
    if feed.trades:
        texts = {"aggressor_side": {"sql": AGGRESSOR}, "trade_id": {"sql": "coalesce(trade_id, CAST(seq AS VARCHAR))"}}
        columns = {**_columns(TRADES, decimals), **texts}
        written += _write(feed, day, folder, "trade_tick", feed.trades, columns, decimals)
    return written


def precision(feed: FeedViews, exchange: str, symbol: str) -> dict[str, int]:
    """Decimals of the prices and the sizes of a symbol, over all its days."""
    views = {}
    for view, columns in ((feed.book, QUOTES), (feed.trades, TRADES)):
        if view:
            views[view] = {kind: [name for name, of in columns.values() if of == kind] for kind in ("prices", "sizes")}
    text = query("export_precision", views=views, exchange=exchange, symbol=symbol)
    prices, sizes = feed.connection.execute(text).fetchall()[0]
    return {"prices": min(int(prices), WIDTH), "sizes": min(int(sizes), WIDTH)}


def _columns(columns: Mapping[str, tuple[str, str]], decimals: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    return {name: {"sql": sql, "decimals": decimals[kind]} for name, (sql, kind) in columns.items()}


def _write(
    feed: FeedViews,
    day: FeedDay,
    folder: Path,
    kind: str,
    view: str,
    columns: Mapping[str, Mapping[str, Any]],
    decimals: Mapping[str, int],
) -> list[tuple[Path, int]]:
    text = query("export_nautilus", view=view, columns=columns, times=feed.times[view], day=day)
    table: pa.Table = feed.connection.sql(text).to_arrow_table()
    if not len(table):
        return []
    instrument = f"{day.symbol}.{day.exchange.upper()}"
    metadata = {
        "instrument_id": instrument,
        "price_precision": str(decimals["prices"]),
        "size_precision": str(decimals["sizes"]),
    }
    arrays = [_fixed(column) for column in table.columns]
    fields = [
        pa.field(name, array.type, nullable=False) for name, array in zip(table.column_names, arrays, strict=True)
    ]
    bounds = [table["ts_init"][place].as_py() for place in (0, len(table) - 1)]
    name = "_".join(_moment(bound) for bound in bounds) + ".parquet"
    path = folder / "data" / kind / instrument.replace("/", "") / name
    with new_file(path) as draft:
        pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata)), draft)
    return [(path, len(table))]


def _fixed(column: pa.ChunkedArray) -> pa.Array:
    """A column; a decimal as its bytes."""
    array = column.combine_chunks()
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if not pa.types.is_decimal128(array.type):
        return array
    return pa.Array.from_buffers(pa.binary(WIDTH), len(array), [None, array.buffers()[1]], offset=array.offset)


def _moment(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H-%M-%S}-{rest:09d}Z"
