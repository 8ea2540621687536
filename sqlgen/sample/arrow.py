"""Feeds as Arrow tables in the raw ccxt schema. Lists of levels are built from flat buffers, never row by row."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from sqlgen.sample.instruments import Floats, Instrument, Ints
from sqlgen.sample.market import MarketDay
from sqlgen.sample.rows import Bools, FeedRows
from sqlgen.sample.ticker import TickerDay

_LEVEL = pa.struct([("price", pa.float64()), ("size", pa.float64())])
_HEAD = [
    pa.field("collected_at", pa.int64()),
    pa.field("capture_ts", pa.timestamp("us", tz="UTC")),
]
_TICKER_PRICES = ("bid", "ask", "bid_volume", "ask_volume", "last", "open", "high", "low", "close", "vwap")
_TICKER_COLUMNS = (*_TICKER_PRICES, "base_volume", "quote_volume", "change", "percentage")

SCHEMAS: dict[str, Any] = {
    "orderbook": pa.schema(
        [
            *_HEAD,
            ("timestamp", pa.int64()),
            ("nonce", pa.int64()),
            ("bids", pa.list_(_LEVEL)),
            ("asks", pa.list_(_LEVEL)),
        ]
    ),
    "trades": pa.schema(
        [
            *_HEAD,
            ("trade_id", pa.string()),
            ("timestamp", pa.int64()),
            ("side", pa.string()),
            ("price", pa.float64()),
            ("amount", pa.float64()),
            ("cost", pa.float64()),
        ]
    ),
    "ticker": pa.schema([*_HEAD, ("timestamp", pa.int64()), *((name, pa.float64()) for name in _TICKER_COLUMNS)]),
}
"""Columns of each kind, without the partition columns, which are in the path."""


class VenueDay(Struct, frozen=True):
    """A simulated day of a venue with all that is needed to write it."""

    date: date
    instrument: Instrument
    market: MarketDay
    ticker: TickerDay

    @property
    def midnight_ms(self) -> int:
        """Start of the day, Unix milliseconds."""
        return int(datetime(self.date.year, self.date.month, self.date.day, tzinfo=UTC).timestamp()) * 1000


def to_arrow(kind: str, day: VenueDay, feed: FeedRows) -> Any:
    """An Arrow table of the rows of a feed."""
    head = {
        "collected_at": day.midnight_ms + feed.capture_us // 1000,
        "capture_ts": pa.array(day.midnight_ms * 1000 + feed.capture_us, _HEAD[1].type),
        "timestamp": pa.array(day.midnight_ms + feed.ms, mask=feed.no_time),
    }
    columns = head | _BODY[kind](day, feed)
    schema = SCHEMAS[kind]
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _orderbook(day: VenueDay, feed: FeedRows) -> dict[str, Any]:
    levels = day.market.levels
    bids, asks = levels.bid_ticks[feed.source], levels.ask_ticks[feed.source]
    shift = asks[:, 0] - bids[:, 0] + feed.cross.astype(np.int32)
    bids += np.where(feed.cross >= 0, shift, 0)[:, None]
    return {
        "nonce": day.market.nonce[feed.source],
        "bids": _side(day.instrument, bids, levels.bid_lots[feed.source], feed.bid_levels),
        "asks": _side(day.instrument, asks, levels.ask_lots[feed.source], feed.ask_levels),
    }


def _side(instrument: Instrument, ticks: NDArray[np.int32], lots: NDArray[np.int32], counts: Ints) -> Any:
    """LIST<STRUCT(price, size)> of the first ``counts`` levels of each row; NULL where the count is negative."""
    lengths = np.maximum(counts, 0)
    if len(lengths) and lengths.min() == lengths.max() == ticks.shape[1]:
        flat_ticks, flat_lots = ticks.reshape(-1), lots.reshape(-1)
    else:
        seen = np.arange(ticks.shape[1]) < lengths[:, None]
        flat_ticks, flat_lots = ticks[seen], lots[seen]
    values = pa.StructArray.from_arrays(
        [pa.array(instrument.prices(flat_ticks)), pa.array(instrument.sizes(flat_lots))], fields=list(_LEVEL)
    )
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    null = counts < 0
    mask = pa.array(null) if null.any() else None
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=mask)


def _trades(day: VenueDay, feed: FeedRows) -> dict[str, Any]:
    fills, rows = day.market.fills, feed.source
    ticks, lots = fills.ticks[rows], fills.lots[rows]
    return {
        "trade_id": pa.array(day.market.first_trade + rows).cast(pa.string()),
        "side": pa.array(np.where(fills.sign[rows] > 0, "buy", "sell"), pa.string(), mask=feed.no_side),
        "price": day.instrument.prices(ticks),
        "amount": day.instrument.sizes(lots),
        "cost": day.instrument.values(ticks, lots),
    }


def _ticker(day: VenueDay, feed: FeedRows) -> dict[str, Any]:
    ticker, unit, rows = day.ticker, day.instrument, feed.source
    levels, snapshots = day.market.levels, day.ticker.rows[feed.source]
    none = ticker.count[rows] == 0
    last, first = unit.prices(ticker.last[rows]), ticker.open[rows]
    change = ticker.last[rows] - first
    base, quote = unit.sizes(ticker.base[rows]), unit.quote(ticker.quote[rows])
    traded = {
        "last": last,
        "open": unit.prices(first),
        "high": unit.prices(ticker.high[rows]),
        "low": unit.prices(np.where(none, 0, ticker.low[rows])),
        "close": last,
        "vwap": np.round(_ratio(quote, base), unit.price_decimals + 2),
        "change": unit.prices(change),
        "percentage": np.round(100.0 * _ratio(change, first), 3),
    }
    return {
        "bid": unit.prices(levels.bid_ticks[snapshots, 0]),
        "ask": unit.prices(levels.ask_ticks[snapshots, 0]),
        "bid_volume": unit.sizes(levels.bid_lots[snapshots, 0]),
        "ask_volume": unit.sizes(levels.ask_lots[snapshots, 0]),
        "base_volume": base,
        "quote_volume": quote,
        **{name: _nullable(values, none) for name, values in traded.items()},
    }


def _ratio(numerator: Ints | Floats, denominator: Ints | Floats) -> Floats:
    return np.asarray(numerator / np.where(denominator == 0, 1, denominator), np.float64)


def _nullable(values: Floats, null: Bools) -> Any:
    return pa.array(values, mask=null)


_BODY = {"orderbook": _orderbook, "trades": _trades, "ticker": _ticker}
