"""Messages of venues' streams, written by us to the documented layout, from one feed of changes and trades."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Line = Any
NOON = 1_767_355_200_000
"""2026-01-02 12:00:00 UTC in ms."""


@dataclass(frozen=True)
class Change:
    """One message of a book: at ``ms``, its levels (side, price, size)."""

    ms: int
    number: int
    levels: tuple[tuple[int, float, float], ...]
    snapshot: bool = False

    def side(self, side: int) -> list[list[str]]:
        return [[str(price), str(size)] for one, price, size in self.levels if one == side]


@dataclass(frozen=True)
class Trade:
    """One trade; ``side`` is of the taker."""

    ms: int
    number: int
    price: float
    amount: float
    side: int


@dataclass(frozen=True)
class Stream:
    """A venue's stream: what it writes, and what an adapter is to make of it."""

    write: Callable[[str, Any], Line]
    symbols: tuple[str, str] = ("BTC-USDT", "ETH-USDT")
    noise: tuple[Line, ...] = ()
    """Messages that are passed over: heartbeats, subscriptions."""
    options: Mapping[str, Any] = field(default_factory=dict)
    ids: bool = True
    """True if trades have ids."""
    dated: bool = True
    """False if messages have no time, so that they are written with that of their arrival."""
    most: int = 99
    """Levels that a message can change."""


def iso(ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(ms / 1000, dt.UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def _word(side: int, buy: str = "buy", sell: str = "sell") -> str:
    return buy if side == 1 else sell


def _okx(symbol: str, one: Change) -> Line:
    data = {name: [[*level, "0", "1"] for level in one.side(side)] for name, side in (("bids", 1), ("asks", -1))}
    ids = {"seqId": one.number, "prevSeqId": -1 if one.snapshot else one.number - 1, "checksum": -1}
    action = "snapshot" if one.snapshot else "update"
    return {"arg": {"channel": "books", "instId": symbol}, "action": action, "data": [data | {"ts": str(one.ms)} | ids]}


def _okx_archive(symbol: str, one: Change) -> Line:
    line = _okx(symbol, one)
    sides = {name: line["data"][0][name] for name in ("bids", "asks")}
    return {"instId": symbol, "action": line["action"], "ts": str(one.ms), **sides}


def _coinbase_exchange(symbol: str, one: Change) -> Line:
    if one.snapshot:
        sides = {"bids": one.side(1), "asks": one.side(-1)}
        return {"type": "snapshot", "product_id": symbol, **sides, "time": iso(one.ms)}
    changes = [[_word(side), str(price), str(size)] for side, price, size in one.levels]
    return {"type": "l2update", "product_id": symbol, "changes": changes, "time": iso(one.ms)}


def _kraken_v1(symbol: str, one: Change) -> Line:
    time = f"{one.ms / 1000:.6f}"
    sides = {name: [[*level, time] for level in one.side(side)] for name, side in (("b", 1), ("a", -1))}
    if one.snapshot:
        return [992, {"as": sides["a"], "bs": sides["b"]}, "book-10", symbol]
    parts = [{"a": sides["a"]}] if sides["a"] else []
    parts += [{"b": sides["b"], "c": "974942666"}] if sides["b"] else []
    return [992, *parts, "book-10", symbol]


def _kraken_v2(symbol: str, one: Change) -> Line:
    sides = {
        name: [{"price": float(price), "qty": float(size)} for price, size in one.side(side)]
        for name, side in (("bids", 1), ("asks", -1))
    }
    data = {"symbol": symbol, **sides, "checksum": 1, "timestamp": iso(one.ms)}
    return {"channel": "book", "type": "snapshot" if one.snapshot else "update", "data": [data]}


def _bitmex(symbol: str, one: Change) -> Line:
    action = "partial" if one.snapshot else "update"
    rows = [
        {"symbol": symbol, "id": round(8_800_000_000 - 100 * price), "side": _word(side, "Buy", "Sell"), "size": size}
        | {"price": price, "timestamp": iso(one.ms)}
        for side, price, size in one.levels
    ]
    if not one.snapshot and all(size == 0 for _, _, size in one.levels):
        action = "delete"
        rows = [{name: value for name, value in row.items() if name not in ("size", "price")} for row in rows]
    return {"table": "orderBookL2", "action": action, "data": rows}


def _deribit(symbol: str, one: Change) -> Line:
    sides = {
        name: [["delete" if float(size) == 0 else "new", float(price), float(size)] for price, size in one.side(side)]
        for name, side in (("bids", 1), ("asks", -1))
    }
    ids = {"change_id": one.number} | ({} if one.snapshot else {"prev_change_id": one.number - 1})
    kind = {"type": "snapshot" if one.snapshot else "change", "timestamp": one.ms, "instrument_name": symbol}
    params = {"channel": f"book.{symbol}.100ms", "data": {**kind, **ids, **sides}}
    return {"jsonrpc": "2.0", "method": "subscription", "params": params}


def _bitstamp(symbol: str, one: Change) -> Line:
    sides = {"bids": one.side(1), "asks": one.side(-1)}
    times = {"timestamp": str(one.ms // 1000), "microtimestamp": str(one.ms * 1000)}
    if one.snapshot:
        return {**times, **sides, "symbol": symbol}
    return {"data": {**times, **sides}, "channel": f"diff_order_book_{symbol}", "event": "data"}


def _kucoin(symbol: str, one: Change) -> Line:
    sides = {
        name: [[*level, str(one.number)] for level in one.side(side)] for name, side in (("bids", 1), ("asks", -1))
    }
    if one.snapshot:
        plain = {"bids": one.side(1), "asks": one.side(-1)}
        return {"code": "200000", "symbol": symbol, "data": {"time": one.ms, "sequence": str(one.number), **plain}}
    sides["asks"].append(["0", "0", str(one.number)])
    ids = {"sequenceStart": one.number, "sequenceEnd": one.number, "symbol": symbol, "time": one.ms}
    head = {"type": "message", "topic": f"/market/level2:{symbol}", "subject": "trade.l2update"}
    return {**head, "data": {"changes": sides, **ids}}


def _kucoin_futures(symbol: str, one: Change) -> Line:
    if one.snapshot:
        return _kucoin(symbol, one)
    [(side, price, size)] = one.levels
    data = {"sequence": one.number, "change": f"{price},{_word(side)},{size}", "timestamp": one.ms}
    return {"type": "message", "topic": f"/contractMarket/level2:{symbol}", "subject": "level2", "data": data}


def _mexc(symbol: str, one: Change) -> Line:
    """Protobuf as JSON: a side without changes is left out."""
    if one.snapshot:
        book = {"bids": one.side(1), "asks": one.side(-1), "lastUpdateId": one.number, "timestamp": one.ms}
        return {"symbol": symbol, **book}
    sides = {
        name: [{"price": price, "quantity": size} for price, size in one.side(side)]
        for name, side in (("asks", -1), ("bids", 1))
        if one.side(side)
    }
    ids = {"fromVersion": str(one.number), "toVersion": str(one.number)}
    channel = f"spot@public.aggre.depth.v3.api.pb@100ms@{symbol}"
    return {"channel": channel, "symbol": symbol, "sendTime": str(one.ms), "publicAggreDepths": {**sides, **ids}}


def _mexc_futures(symbol: str, one: Change) -> Line:
    sides = {name: [[float(p), float(z), 3] for p, z in one.side(side)] for name, side in (("asks", -1), ("bids", 1))}
    if one.snapshot:
        data = {**sides, "version": one.number, "timestamp": one.ms}
        return {"success": True, "code": 0, "symbol": symbol, "data": data}
    return {"channel": "push.depth", "symbol": symbol, "data": {**sides, "version": one.number}, "ts": one.ms}


def _woo_x(symbol: str, one: Change, version: int) -> Line:
    """Messages one after the other name the time of the one before; those of the tests' changes do not."""
    sides = {"asks": one.side(-1), "bids": one.side(1)}
    if version == 1 and one.snapshot:
        data = {"symbol": symbol, "ts": one.ms, **sides}
        return {"id": f"{symbol}@orderbook", "event": "request", "success": True, "ts": one.ms + 9, "data": data}
    before = {} if one.snapshot else {"prevTs": one.ms - 1}
    if version == 1:
        return {"topic": f"{symbol}@orderbookupdate", "ts": one.ms, "data": {"symbol": symbol, **before, **sides}}
    data = {"s": symbol, **before, "ts": one.ms, **sides}
    return {"topic": f"orderbookupdate@{symbol}@50", "ts": one.ms + 2, "data": data}


def _cryptofeed(symbol: str, one: Change) -> Line:
    head = {
        "exchange": "COINBASE",
        "symbol": symbol,
        "timestamp": one.ms / 1000,
        "receipt_timestamp": one.ms / 1000 + 1,
    }
    if one.snapshot:
        return {**head, "book": {"bid": dict(one.side(1)), "ask": dict(one.side(-1))}, "delta": None}
    return {**head, "book": None, "delta": {"bid": one.side(1), "ask": one.side(-1)}}


def _bitget(symbol: str, one: Change) -> Line:
    data = {"bids": one.side(1), "asks": one.side(-1), "checksum": 0, "seq": 7 * one.number, "ts": str(one.ms)}
    arg = {"instType": "SPOT", "channel": "books", "instId": symbol}
    return {"action": "snapshot" if one.snapshot else "update", "arg": arg, "data": [data], "ts": one.ms + 5}


def _bitget_v3(symbol: str, one: Change) -> Line:
    ids = {"seq": one.number, "pseq": 0 if one.snapshot else one.number - 1}
    data = {"a": one.side(-1), "b": one.side(1), **ids, "ts": str(one.ms)}
    arg = {"instType": "spot", "topic": "books", "symbol": symbol}
    return {"action": "snapshot" if one.snapshot else "update", "arg": arg, "data": [data], "ts": one.ms + 5}


def _gate(symbol: str, one: Change, futures: bool = False) -> Line:
    bids, asks = one.side(1), one.side(-1)
    if one.snapshot:
        return {"id": one.number, "current": one.ms, "update": one.ms - 1, "asks": asks, "bids": bids, "s": symbol}
    if futures:
        bids, asks = ([{"p": price, "s": float(size)} for price, size in side] for side in (bids, asks))  # type: ignore[misc]
    book = {"t": one.ms, "s": symbol, "U": one.number, "u": one.number, "b": bids, "a": asks}
    head = {"time": one.ms // 1000, "time_ms": one.ms + 3, "event": "update"}
    return {**head, "channel": f"{'futures' if futures else 'spot'}.order_book_update", "result": book}


def _htx(symbol: str, one: Change) -> Line:
    sides = {name: [[*map(float, level)] for level in one.side(side)] for name, side in (("bids", 1), ("asks", -1))}
    topic, number = f"market.{symbol}.mbp.400", {"seqNum": one.number}
    if one.snapshot:
        return {"id": "1", "rep": topic, "status": "ok", "ts": one.ms, "data": {**number, **sides}}
    return {"ch": topic, "ts": one.ms, "tick": {**number, "prevSeqNum": one.number - 1, **sides}}


def _tardis(kind: str, symbol: str, one: Change) -> Line:
    sides = {
        name: [{"price": float(price), "amount": float(size)} for price, size in one.side(side)]
        for name, side in (("bids", 1), ("asks", -1))
    }
    more = {"isSnapshot": one.snapshot} if kind == "book_change" else {"name": "book_snapshot_3_1s", "depth": 3}
    times = {"timestamp": iso(one.ms), "localTimestamp": iso(one.ms + 40)}
    return {"type": kind, "symbol": symbol, "exchange": "binance-futures", **more, **sides, **times}


def _kraken_futures(symbol: str, one: Change) -> Line:
    head = {"product_id": symbol, "timestamp": one.ms, "seq": one.number}
    if not one.snapshot:
        [(side, price, size)] = one.levels
        return {"feed": "book", **head, "side": _word(side), "price": price, "qty": size}
    sides = {
        name: [{"price": price, "qty": size} for one_side, price, size in one.levels if one_side == side]
        for name, side in (("bids", 1), ("asks", -1))
    }
    return {"feed": "book_snapshot", **head, "tickSize": None, **sides}


def _poloniex(symbol: str, one: Change) -> Line:
    sides = {"asks": one.side(-1), "bids": one.side(1)}
    ids = {"lastId": one.number - 1, "id": one.number, "ts": one.ms + 5}
    data = [{"symbol": symbol, "createTime": one.ms, **sides, **ids}]
    return {"channel": "book_lv2", "data": data, "action": "snapshot" if one.snapshot else "update"}


def _gemini(symbol: str, one: Change) -> Line:
    changes = [[_word(side), str(price), str(size)] for side, price, size in one.levels]
    more = {"trades": [], "auction_events": []} if one.snapshot else {}
    return {"received_at": str(one.ms), "type": "l2_updates", "symbol": symbol, "changes": changes, **more}


def _bitflyer(symbol: str, one: Change) -> Line:
    sides = {
        name: [{"price": price, "size": size} for one_side, price, size in one.levels if one_side == side]
        for name, side in (("bids", 1), ("asks", -1))
    }
    channel = f"lightning_board_{'snapshot_' if one.snapshot else ''}{symbol}"
    message = {"channel": channel, "message": {"mid_price": 100.0, **sides}}
    return {"received_at": str(one.ms), "jsonrpc": "2.0", "method": "channelMessage", "params": message}


def _crypto_com(symbol: str, one: Change) -> Line:
    sides = {name: [[*level, "1"] for level in one.side(side)] for name, side in (("bids", 1), ("asks", -1))}
    ids = {"t": one.ms, "tt": one.ms - 2, "u": one.number}
    data = {**sides, **ids} if one.snapshot else {"update": sides, **ids, "pu": one.number - 1}
    channel = "book" if one.snapshot else "book.update"
    result = {"instrument_name": symbol, "subscription": f"book.{symbol}.50", "channel": channel, "depth": 50}
    return {"id": -1, "method": "subscribe", "code": 0, "result": {**result, "data": [data]}}


def _ascendex(symbol: str, one: Change) -> Line:
    data = {"ts": one.ms, "seqnum": one.number, "asks": one.side(-1), "bids": one.side(1)}
    return {"m": "depth-snapshot" if one.snapshot else "depth", "symbol": symbol, "data": data}


def _sided(one: Change, buy: str, sell: str) -> dict[str, Line]:
    """Both sides of a snapshot, or changes with their side."""
    if one.snapshot:
        return {"bids": one.side(1), "asks": one.side(-1)}
    return {"changes": [[_word(side, buy, sell), str(price), str(size)] for side, price, size in one.levels]}


def _bit_com(symbol: str, one: Change) -> Line:
    ids = {"sequence": one.number} | ({} if one.snapshot else {"prev_sequence": one.number - 1})
    data = {"type": "snapshot" if one.snapshot else "update", "pair": symbol, **ids, **_sided(one, "buy", "sell")}
    return {"channel": "depth", "timestamp": one.ms, "data": data, "module": "spot"}


def _bullish(symbol: str, one: Change) -> Line:
    sides = {name: [text for level in one.side(side) for text in level] for name, side in (("bids", 1), ("asks", -1))}
    data = {"timestamp": str(one.ms), **sides, "sequenceNumberRange": [one.number, one.number], "symbol": symbol}
    return {"type": "snapshot" if one.snapshot else "update", "dataType": "V1TALevel2", "data": data}


def _coinbase_international(symbol: str, one: Change) -> Line:
    head = {"sequence": one.number, "channel": "LEVEL2", "type": "SNAPSHOT" if one.snapshot else "UPDATE"}
    return {**head, **_sided(one, "BUY", "SELL"), "time": iso(one.ms), "product_id": symbol}


def _delta(symbol: str, one: Change) -> Line:
    sides = {"asks": one.side(-1), "bids": one.side(1)}
    head = {"action": "snapshot" if one.snapshot else "update", "sequence_no": one.number, "symbol": symbol}
    return {**head, **sides, "timestamp": one.ms * 1000, "type": "l2_updates"}


def _dydx(symbol: str, one: Change) -> Line:
    """Changes in batches, as a list of contents."""
    head = {"received_at": str(one.ms), "connection_id": "a", "id": symbol, "channel": "v4_orderbook"}
    if one.snapshot:
        sides = {
            name: [{"price": price, "size": size} for price, size in one.side(side)]
            for name, side in (("bids", 1), ("asks", -1))
        }
        return {**head, "type": "subscribed", "contents": sides}
    contents = [{name: one.side(side)} for name, side in (("asks", -1), ("bids", 1)) if one.side(side)]
    return {**head, "type": "channel_batch_data", "contents": contents}


def _hitbtc(symbol: str, one: Change) -> Line:
    book = {"t": one.ms, "s": one.number, "a": one.side(-1), "b": one.side(1)}
    return {"ch": "orderbook/full", "snapshot" if one.snapshot else "update": {symbol: book}}


def _hitbtc_v2(symbol: str, one: Change) -> Line:
    sides = {
        name: [{"price": price, "size": size} for price, size in one.side(side)]
        for name, side in (("ask", -1), ("bid", 1))
    }
    params = {**sides, "symbol": symbol, "sequence": one.number, "timestamp": iso(one.ms)}
    return {"jsonrpc": "2.0", "method": f"{'snapshot' if one.snapshot else 'update'}Orderbook", "params": params}


def _lighter(symbol: str, one: Change) -> Line:
    sides = {
        name: [{"price": price, "size": size} for price, size in one.side(side)]
        for name, side in (("asks", -1), ("bids", 1))
    }
    ids = {"offset": 9, "nonce": one.number, "begin_nonce": 0 if one.snapshot else one.number - 1}
    head = {"type": f"{'subscribed' if one.snapshot else 'update'}/order_book", "channel": f"order_book:{symbol}"}
    return {**head, "timestamp": one.ms, "order_book": {"code": 0, **sides, **ids}}


def _polymarket(symbol: str, one: Change) -> Line:
    """A snapshot is a line of whole books."""
    head = {"market": "0x7d", "timestamp": str(one.ms)}
    if one.snapshot:
        sides = {
            name: [{"price": price, "size": size} for price, size in one.side(side)]
            for name, side in (("bids", 1), ("asks", -1))
        }
        return [{**head, "event_type": "book", "asset_id": symbol, **sides}]
    changes = [
        {"asset_id": symbol, "price": str(price), "size": str(size), "side": _word(side, "BUY", "SELL")}
        for side, price, size in one.levels
    ]
    return {**head, "price_changes": changes, "event_type": "price_change"}


def _backpack(symbol: str, one: Change) -> Line:
    """The answer of REST has a symbol added."""
    if one.snapshot:
        sides = {"asks": one.side(-1), "bids": one.side(1)}
        return {**sides, "lastUpdateId": str(one.number), "timestamp": one.ms * 1000, "symbol": symbol}
    data = {"e": "depth", "E": one.ms * 1000 + 9, "s": symbol, "a": one.side(-1), "b": one.side(1)}
    return {"stream": f"depth.{symbol}", "data": data | {"U": one.number, "u": one.number, "T": one.ms * 1000}}


def _bitvavo(symbol: str, one: Change) -> Line:
    book = {"market": symbol, "nonce": one.number, "bids": one.side(1), "asks": one.side(-1)}
    if one.snapshot:
        return {"received_at": str(one.ms), "action": "getBook", "response": book}
    return {"received_at": str(one.ms), "event": "book", **book}


def _coinex(symbol: str, one: Change) -> Line:
    depth = {"asks": one.side(-1), "bids": one.side(1), "last": "100", "updated_at": one.ms, "checksum": 1}
    return {"method": "depth.update", "data": {"market": symbol, "is_full": one.snapshot, "depth": depth}, "id": None}


def _paradex(symbol: str, one: Change) -> Line:
    """Levels that go are in a list of their own."""
    lists: dict[str, list[Line]] = {"inserts": [], "updates": [], "deletes": []}
    for side, price, size in one.levels:
        name = "deletes" if size == 0 else "inserts" if one.snapshot else "updates"
        lists[name].append({"side": _word(side, "BUY", "SELL"), "price": str(price), "size": str(size)})
    data = {"seq_no": one.number, "market": symbol, "last_updated_at": one.ms, "update_type": "sd"[not one.snapshot]}
    params = {"channel": f"order_book.{symbol}.deltas", "data": {**data, **lists}}
    return {"jsonrpc": "2.0", "method": "subscription", "params": params}


def _phemex(symbol: str, one: Change) -> Line:
    sides = {"asks": one.side(-1), "bids": one.side(1)}
    head = {"depth": 30, "orderbook_p": sides, "sequence": 7 * one.number, "symbol": symbol}
    return {**head, "timestamp": one.ms * 1_000_000, "type": "snapshot" if one.snapshot else "incremental"}


UPDATES: dict[str, Stream] = {
    "backpack/book": Stream(_backpack, ("BTC_USDC", "SOL_USDC"), ({"id": 1, "result": None},)),
    "bitvavo/book": Stream(_bitvavo, ("BTC-EUR", "ETH-EUR"), ({"event": "subscribed"},), dated=False),
    "coinex/book": Stream(_coinex, ("BTCUSDT", "ETHUSDT"), ({"id": 1, "code": 0, "message": "OK"},)),
    "paradex/book": Stream(_paradex, ("BTC-USD-PERP", "ETH-USD-PERP"), ({"jsonrpc": "2.0", "result": {}, "id": 1},)),
    "phemex/book": Stream(
        _phemex, ("BTCUSDT", "ETHUSDT"), ({"error": None, "id": 1, "result": {"status": "success"}},)
    ),
    "polymarket/book": Stream(_polymarket, ("11", "12"), ({"event_type": "tick_size_change", "asset_id": "11"},)),
    "ascendex/book": Stream(_ascendex, ("BTC/USDT", "ETH/USDT"), ({"m": "ping", "hp": 3},)),
    "bit_com/book": Stream(_bit_com, noise=({"channel": "subscription", "data": {"code": 0}},)),
    "bullish/book": Stream(_bullish, ("BTCUSD", "ETHUSD"), ({"type": "update", "dataType": "V1TAHeartbeat"},)),
    "coinbase_international/book": Stream(
        _coinbase_international,
        ("BTC-PERP", "ETH-PERP"),
        ({"channel": "LEVEL1", "type": "UPDATE", "product_id": "BTC-PERP", "bid_price": "1"},),
    ),
    "delta/book": Stream(_delta, ("BTCUSD", "ETHUSD"), ({"type": "subscriptions", "channels": []},)),
    "dydx/book": Stream(_dydx, ("BTC-USD", "ETH-USD"), dated=False),
    "hitbtc/book": Stream(_hitbtc, ("BTCUSDT", "ETHUSDT"), ({"result": {"ch": "orderbook/full"}, "id": 1},)),
    "hitbtc/book v2": Stream(_hitbtc_v2, ("BTCUSD", "ETHUSD"), ({"jsonrpc": "2.0", "result": True, "id": 1},)),
    "lighter/book": Stream(_lighter, ("0", "1"), ({"type": "connected", "session_id": "a"},)),
    "okx/books": Stream(_okx, noise=({"event": "subscribe", "arg": {"channel": "books", "instId": "BTC-USDT"}},)),
    "okx/books archive": Stream(_okx_archive),
    "coinbase_exchange/level2": Stream(
        _coinbase_exchange, noise=({"type": "heartbeat", "sequence": 90, "product_id": "BTC-USDT", "time": iso(NOON)},)
    ),
    "kraken/book": Stream(_kraken_v1, ("XBT/USD", "ETH/USD"), ({"event": "heartbeat"},)),
    "kraken/book v2": Stream(_kraken_v2, ("XBT/USD", "ETH/USD"), ({"channel": "heartbeat"},)),
    "bitmex/order_book_l2": Stream(
        _bitmex, ("XBTUSD", "ETHUSD"), ({"success": True, "subscribe": "orderBookL2:XBTUSD"},)
    ),
    "deribit/book": Stream(_deribit, noise=({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "x"}},)),
    "bitstamp/diff_book": Stream(
        _bitstamp, ("btcusd", "ethusd"), ({"event": "bts:heartbeat", "channel": "", "data": {}},)
    ),
    "kucoin/level2": Stream(_kucoin, noise=({"id": "1", "type": "pong"},)),
    "kucoin/level2 futures": Stream(_kucoin_futures, ("XBTUSDTM", "ETHUSDTM"), most=1),
    "mexc/book": Stream(_mexc, ("BTCUSDT", "ETHUSDT"), ({"id": 0, "code": 0, "msg": "spot@public.aggre.depth"},)),
    "mexc/book futures": Stream(_mexc_futures, ("BTC_USDT", "ETH_USDT"), ({"channel": "pong", "data": NOON},)),
    "woo_x/book": Stream(lambda s, one: _woo_x(s, one, 1), ("SPOT_BTC_USDT", "PERP_BTC_USDT"), ({"event": "ping"},)),
    "woo_x/book v3": Stream(lambda s, one: _woo_x(s, one, 3), ("SPOT_BTC_USDT", "PERP_BTC_USDT")),
    "cryptofeed/book": Stream(_cryptofeed),
    "bitget/books v3": Stream(_bitget_v3, ("BTCUSDT", "ETHUSDT")),
    "bitget/books": Stream(
        _bitget, ("BTCUSDT", "ETHUSDT"), ({"event": "subscribe", "arg": {"instType": "SPOT", "channel": "books"}},)
    ),
    "gate/book": Stream(_gate, ("BTC_USDT", "ETH_USDT"), ({"time": NOON // 1000, "channel": "spot.pong"},)),
    "gate/book futures": Stream(lambda s, one: _gate(s, one, futures=True), ("BTC_USDT", "ETH_USDT")),
    "htx/book": Stream(_htx, ("btcusdt", "ethusdt"), ({"ping": NOON},)),
    "tardis/book_change": Stream(
        lambda s, one: _tardis("book_change", s, one),
        ("BTCUSDT", "ETHUSDT"),
        ({"type": "disconnect", "exchange": "binance-futures", "localTimestamp": iso(NOON)},),
    ),
    "kraken_futures/book": Stream(
        _kraken_futures,
        ("PI_XBTUSD", "PI_ETHUSD"),
        ({"event": "subscribed", "feed": "book", "product_ids": ["x"]},),
        most=1,
    ),
    "poloniex/book": Stream(
        _poloniex, ("BTC_USDT", "ETH_USDT"), ({"event": "subscribe", "channel": "book_lv2", "symbols": ["BTC_USDT"]},)
    ),
    "gemini/book": Stream(_gemini, ("BTCUSD", "ETHUSD"), ({"type": "heartbeat", "timestamp": NOON},), dated=False),
    "bitflyer/book": Stream(_bitflyer, ("BTC_JPY", "FX_BTC_JPY"), dated=False),
    "crypto_com/book": Stream(
        _crypto_com, ("BTC_USDT", "ETH_USDT"), ({"id": 1, "method": "public/heartbeat", "code": 0},)
    ),
}
"""Adapter, and what tells apart two layouts of one -> stream of level updates."""


def _list_of(write: Callable[[str, Trade], Line], wrap: Callable[[str, Line], Line]) -> Callable[[str, Trade], Line]:
    return lambda symbol, one: wrap(symbol, write(symbol, one))


def _binance(name: str, symbol: str, one: Trade) -> Line:
    ids = {"t": one.number} if name == "trade" else {"a": one.number, "f": 1, "l": 2}
    event = {"e": name, "E": one.ms + 2, "T": one.ms, "s": symbol, "p": str(one.price), "q": str(one.amount), **ids}
    return {"stream": f"{symbol.lower()}@{name}", "data": event | {"m": one.side == -1}}


TRADES: dict[str, Stream] = {
    "backpack/trades": Stream(
        lambda s, one: {
            "stream": f"trade.{s}",
            "data": {"e": "trade", "E": one.ms * 1000 + 9, "s": s, "p": str(one.price), "q": str(one.amount)}
            | {"b": "11", "a": "12", "t": one.number, "T": one.ms * 1000, "m": one.side == -1},
        },
        ("BTC_USDC", "SOL_USDC"),
    ),
    "bingx/trades": Stream(
        lambda s, one: {
            "code": 0,
            "data": {"E": one.ms + 2, "T": one.ms, "e": "trade", "m": one.side == -1, "p": str(one.price)}
            | {"q": str(one.amount), "s": s, "t": str(one.number)},
            "dataType": f"{s}@trade",
            "success": True,
        },
    ),
    "bitvavo/trades": Stream(
        lambda s, one: (
            {"event": "trade", "timestamp": one.ms, "id": str(one.number), "amount": str(one.amount)}
            | {"price": str(one.price), "side": _word(one.side), "market": s}
        ),
        ("BTC-EUR", "ETH-EUR"),
    ),
    "coinex/trades": Stream(
        lambda s, one: {
            "method": "deals.update",
            "data": {
                "market": s,
                "deal_list": [
                    {"deal_id": one.number, "created_at": one.ms, "side": _word(one.side), "price": str(one.price)}
                    | {"amount": str(one.amount)}
                ],
            },
            "id": None,
        },
        ("BTCUSDT", "ETHUSDT"),
    ),
    "paradex/trades": Stream(
        lambda s, one: {
            "jsonrpc": "2.0",
            "method": "subscription",
            "params": {
                "channel": "trades.ALL",
                "data": {"id": str(one.number), "market": s, "side": _word(one.side, "BUY", "SELL")}
                | {"size": str(one.amount), "price": str(one.price), "created_at": one.ms, "trade_type": "FILL"},
            },
        },
        ("BTC-USD-PERP", "ETH-USD-PERP"),
    ),
    "phemex/trades": Stream(
        lambda s, one: {
            "sequence": one.number,
            "symbol": s,
            "trades_p": [[one.ms * 1_000_000, _word(one.side, "Buy", "Sell"), str(one.price), str(one.amount)]],
            "type": "incremental",
        },
        ("BTCUSDT", "ETHUSDT"),
        ids=False,
    ),
    "ascendex/trades": Stream(
        lambda s, one: {
            "m": "trades",
            "symbol": s,
            "data": [
                {"p": str(one.price), "q": str(one.amount), "ts": one.ms, "bm": one.side == -1, "seqnum": one.number}
            ],
        },
        ("BTC/USDT", "ETH/USDT"),
    ),
    "bit_com/trades": Stream(
        lambda s, one: {
            "channel": "trade",
            "timestamp": one.ms + 9,
            "data": [
                {"created_at": one.ms, "trade_id": str(one.number), "pair": s, "price": str(one.price)}
                | {"qty": str(one.amount), "side": _word(one.side)}
            ],
            "module": "spot",
        },
    ),
    "bullish/trades": Stream(
        lambda s, one: {
            "type": "update",
            "dataType": "V1TAAnonymousTradeUpdate",
            "data": {
                "trades": [
                    {"symbol": s, "tradeId": str(one.number), "price": str(one.price), "quantity": str(one.amount)}
                    | {"side": _word(one.side, "BUY", "SELL"), "isTaker": True, "createdAtDatetime": iso(one.ms)}
                ],
                "symbol": s,
            },
        },
        ("BTCUSD", "ETHUSD"),
    ),
    "coinbase_international/trades": Stream(
        lambda s, one: (
            {"sequence": 1, "match_id": str(one.number), "trade_price": str(one.price), "trade_qty": str(one.amount)}
            | {"aggressor_side": _word(one.side, "BUY", "SELL"), "channel": "MATCH", "type": "UPDATE"}
            | {"time": iso(one.ms), "product_id": s}
        ),
        ("BTC-PERP", "ETH-PERP"),
    ),
    "delta/trades": Stream(
        lambda s, one: (
            {"buyer_role": _word(one.side, "taker", "maker"), "seller_role": _word(one.side, "maker", "taker")}
            | {"price": str(one.price), "size": one.amount, "symbol": s, "timestamp": one.ms * 1000}
            | {"type": "all_trades"}
        ),
        ("BTCUSD", "ETHUSD"),
        ids=False,
    ),
    "hitbtc/trades": Stream(
        lambda s, one: {
            "ch": "trades",
            "update": {
                s: [{"t": one.ms, "i": one.number, "p": str(one.price), "q": str(one.amount), "s": _word(one.side)}]
            },
        },
        ("BTCUSDT", "ETHUSDT"),
        ({"ch": "trades", "snapshot": {"BTCUSDT": [{"t": NOON, "i": 1, "p": "9", "q": "9", "s": "buy"}]}},),
    ),
    "lighter/trades": Stream(
        lambda s, one: {
            "type": "update/trade",
            "channel": f"trade:{s}",
            "trades": [
                {"trade_id": one.number, "market_id": int(s), "size": str(one.amount), "price": str(one.price)}
                | {"is_maker_ask": one.side == 1, "timestamp": one.ms}
            ],
        },
        ("0", "1"),
    ),
    "polymarket/trades": Stream(
        lambda s, one: (
            {"event_type": "last_trade_price", "asset_id": s, "market": "0x7d", "price": str(one.price)}
            | {"size": str(one.amount), "side": _word(one.side, "BUY", "SELL"), "timestamp": str(one.ms)}
        ),
        ("11", "12"),
        ids=False,
    ),
    "binance/trade_stream": Stream(
        lambda s, one: _binance("trade", s, one), ("BTCUSDT", "ETHUSDT"), ({"result": None, "id": 1},)
    ),
    "binance/trade_stream aggTrade": Stream(
        lambda s, one: _binance("aggTrade", s, one), ("BTCUSDT", "ETHUSDT"), options={"event": "aggTrade"}
    ),
    "bybit/trade_stream": Stream(
        lambda s, one: {
            "topic": f"publicTrade.{s}",
            "type": "snapshot",
            "ts": one.ms + 3,
            "data": [
                {"T": one.ms, "s": s, "S": _word(one.side, "Buy", "Sell"), "v": str(one.amount), "p": str(one.price)}
                | {"i": str(one.number), "BT": False}
            ],
        },
        ("BTCUSDT", "ETHUSDT"),
        ({"success": True, "ret_msg": "pong", "op": "ping"},),
    ),
    "okx/trades": Stream(
        lambda s, one: {
            "arg": {"channel": "trades", "instId": s},
            "data": [
                {"instId": s, "tradeId": str(one.number), "px": str(one.price), "sz": str(one.amount)}
                | {"side": _word(one.side), "ts": str(one.ms), "count": "1"}
            ],
        },
    ),
    "coinbase_exchange/matches": Stream(
        lambda s, one: {
            "type": "match",
            "trade_id": one.number,
            "sequence": 50 + one.number,
            "maker_order_id": "ac928c66",
            "taker_order_id": "132fb6ae",
            "time": iso(one.ms),
            "product_id": s,
            "size": str(one.amount),
            "price": str(one.price),
            "side": _word(-one.side),
        },
        noise=(
            {
                "type": "last_match",
                "trade_id": 1,
                "time": iso(NOON),
                "product_id": "BTC-USDT",
                "size": "9",
                "price": "9",
                "side": "buy",
            },
        ),
    ),
    "coinbase/market_trades": Stream(
        lambda s, one: {
            "channel": "market_trades",
            "client_id": "",
            "timestamp": iso(one.ms + 5),
            "sequence_num": one.number,
            "events": [
                {
                    "type": "update",
                    "trades": [
                        {"trade_id": str(one.number), "product_id": s, "price": str(one.price), "size": str(one.amount)}
                        | {"side": _word(-one.side, "BUY", "SELL"), "time": iso(one.ms)}
                    ],
                }
            ],
        }
    ),
    "kraken/trades": Stream(
        lambda s, one: [
            337,
            [[str(one.price), str(one.amount), f"{one.ms / 1000:.6f}", _word(one.side, "b", "s"), "l", ""]],
            "trade",
            s,
        ],
        ("XBT/USD", "ETH/USD"),
        ({"event": "heartbeat"},),
        ids=False,
    ),
    "kraken/trades v2": Stream(
        lambda s, one: {
            "channel": "trade",
            "type": "update",
            "data": [
                {"symbol": s, "side": _word(one.side), "price": one.price, "qty": one.amount, "ord_type": "limit"}
                | {"trade_id": one.number, "timestamp": iso(one.ms)}
            ],
        },
        ("XBT/USD", "ETH/USD"),
    ),
    "bitmex/trades": Stream(
        lambda s, one: {
            "table": "trade",
            "action": "insert",
            "data": [
                {"timestamp": iso(one.ms), "symbol": s, "side": _word(one.side, "Buy", "Sell"), "size": one.amount}
                | {"price": one.price, "trdMatchID": str(one.number)}
            ],
        },
        ("XBTUSD", "ETHUSD"),
    ),
    "deribit/trades": Stream(
        lambda s, one: {
            "jsonrpc": "2.0",
            "method": "subscription",
            "params": {
                "channel": f"trades.{s}.raw",
                "data": [
                    {"trade_id": str(one.number), "timestamp": one.ms, "price": one.price, "amount": one.amount}
                    | {"direction": _word(one.side), "instrument_name": s}
                ],
            },
        }
    ),
    "bitstamp/trades": Stream(
        lambda s, one: {
            "data": {"id": one.number, "timestamp": str(one.ms // 1000), "microtimestamp": str(one.ms * 1000)}
            | {"amount": one.amount, "amount_str": str(one.amount), "price": one.price, "price_str": str(one.price)}
            | {"type": 0 if one.side == 1 else 1},
            "channel": f"live_trades_{s}",
            "event": "trade",
        },
        ("btcusd", "ethusd"),
    ),
    "hyperliquid/trades": Stream(
        lambda s, one: {
            "channel": "trades",
            "data": [
                {"coin": s, "side": _word(one.side, "B", "A"), "px": str(one.price), "sz": str(one.amount)}
                | {"time": one.ms, "tid": one.number, "hash": "0x1"}
            ],
        },
        ("BTC", "ETH"),
        ({"channel": "pong"},),
    ),
    "bitget/trades": Stream(
        lambda s, one: {
            "action": "update",
            "arg": {"instType": "SPOT", "channel": "trade", "instId": s},
            "data": [
                {"ts": str(one.ms), "price": str(one.price), "size": str(one.amount), "side": _word(one.side)}
                | {"tradeId": str(one.number)}
            ],
            "ts": one.ms + 4,
        },
        ("BTCUSDT", "ETHUSDT"),
        (
            {
                "action": "snapshot",
                "arg": {"instType": "SPOT", "channel": "trade", "instId": "BTCUSDT"},
                "data": [[str(NOON), "9", "9", "buy"]],
            },
        ),
    ),
    "gate/trades": Stream(
        lambda s, one: {
            "time": one.ms // 1000,
            "channel": "spot.trades",
            "event": "update",
            "result": {"id": one.number, "create_time_ms": f"{one.ms}.0", "side": _word(one.side), "currency_pair": s}
            | {"amount": str(one.amount), "price": str(one.price)},
        },
        ("BTC_USDT", "ETH_USDT"),
        ({"time": NOON // 1000, "channel": "spot.trades", "event": "subscribe", "result": {"status": "success"}},),
    ),
    "gate/trades futures": Stream(
        lambda s, one: {
            "channel": "futures.trades",
            "event": "update",
            "result": [
                {"size": one.side * one.amount, "id": one.number, "create_time_ms": one.ms, "price": str(one.price)}
                | {"contract": s}
            ],
        },
        ("BTC_USDT", "ETH_USDT"),
    ),
    "htx/trades": Stream(
        lambda s, one: {
            "ch": f"market.{s}.trade.detail",
            "ts": one.ms + 9,
            "tick": {
                "id": 1,
                "ts": one.ms,
                "data": [
                    {"id": 10**20 + one.number, "ts": one.ms, "tradeId": one.number, "amount": one.amount}
                    | {"price": one.price, "direction": _word(one.side)}
                ],
            },
        },
        ("btcusdt", "ethusdt"),
        ({"ping": NOON},),
    ),
    "tardis/trade": Stream(
        lambda s, one: {
            "type": "trade",
            "symbol": s,
            "exchange": "binance-futures",
            "id": str(one.number),
            "price": one.price,
            "amount": one.amount,
            "side": _word(one.side),
            "timestamp": iso(one.ms),
            "localTimestamp": iso(one.ms + 40),
        },
        ("BTCUSDT", "ETHUSDT"),
    ),
    "kucoin/trades futures": Stream(
        lambda s, one: {
            "type": "message",
            "topic": f"/contractMarket/execution:{s}",
            "subject": "match",
            "data": {"symbol": s, "side": _word(one.side), "size": one.amount, "price": str(one.price)}
            | {"tradeId": str(one.number), "ts": one.ms * 1_000_000},
        },
        ("XBTUSDTM", "ETHUSDTM"),
    ),
    "bitget/trades v3": Stream(
        lambda s, one: {
            "action": "update",
            "arg": {"instType": "spot", "topic": "publicTrade", "symbol": s},
            "data": [
                {
                    "i": str(one.number),
                    "p": str(one.price),
                    "v": str(one.amount),
                    "S": _word(one.side),
                    "T": str(one.ms),
                }
            ],
            "ts": one.ms + 2,
        },
        ("BTCUSDT", "ETHUSDT"),
    ),
    "mexc/trades": Stream(
        lambda s, one: {
            "channel": f"spot@public.aggre.deals.v3.api.pb@100ms@{s}",
            "symbol": s,
            "sendTime": str(one.ms + 3),
            "publicAggreDeals": {
                "deals": [
                    {"price": str(one.price), "quantity": str(one.amount), "tradeType": 1 if one.side == 1 else 2}
                    | {"time": str(one.ms), "tradeId": str(one.number)}
                ]
            },
        },
        ("BTCUSDT", "ETHUSDT"),
    ),
    "mexc/trades futures": Stream(
        lambda s, one: {
            "channel": "push.deal",
            "symbol": s,
            "ts": one.ms + 3,
            "data": [
                {"p": one.price, "v": one.amount, "T": 1 if one.side == 1 else 2, "O": 3, "M": 1, "t": one.ms}
                | {"i": str(one.number)}
            ],
        },
        ("BTC_USDT", "ETH_USDT"),
        ({"channel": "pong", "data": NOON},),
    ),
    "woo_x/trades": Stream(
        lambda s, one: {
            "topic": f"{s}@trade",
            "ts": one.ms,
            "data": {"symbol": s, "price": one.price, "size": one.amount, "side": _word(one.side).upper(), "source": 0},
        },
        ("SPOT_BTC_USDT", "PERP_BTC_USDT"),
        ids=False,
    ),
    "woo_x/trades v3": Stream(
        lambda s, one: {
            "topic": f"trade@{s}",
            "ts": one.ms + 4,
            "data": {"ts": one.ms, "px": str(one.price), "sx": str(one.amount), "sd": _word(one.side).upper(), "s": s},
        },
        ("SPOT_BTC_USDT", "PERP_BTC_USDT"),
        ids=False,
    ),
    "kucoin/trades": Stream(
        lambda s, one: {
            "type": "message",
            "topic": f"/market/match:{s}",
            "subject": "trade.l3match",
            "data": {"symbol": s, "sequence": "7", "side": _word(one.side), "size": str(one.amount)}
            | {"price": str(one.price), "time": f"{one.ms}000000", "tradeId": str(one.number), "type": "match"},
        },
        noise=({"id": "1", "type": "pong"},),
    ),
    "kraken_futures/trades": Stream(
        lambda s, one: (
            {"feed": "trade", "product_id": s, "uid": str(one.number), "side": _word(one.side)}
            | {"type": "fill", "seq": one.number, "time": one.ms, "qty": one.amount, "price": one.price}
        ),
        ("PI_XBTUSD", "PI_ETHUSD"),
        ({"feed": "trade_snapshot", "product_id": "PI_XBTUSD", "trades": []},),
    ),
    "poloniex/trades": Stream(
        lambda s, one: {
            "channel": "trades",
            "data": [
                {"symbol": s, "amount": "9", "quantity": str(one.amount), "takerSide": _word(one.side)}
                | {"createTime": one.ms, "price": str(one.price), "id": str(one.number), "ts": one.ms + 5}
            ],
        },
        ("BTC_USDT", "ETH_USDT"),
        ({"event": "subscribe", "channel": "trades", "symbols": ["BTC_USDT"]},),
    ),
    "gemini/trades": Stream(
        lambda s, one: (
            {"type": "trade", "symbol": s, "event_id": one.number, "timestamp": one.ms}
            | {"price": str(one.price), "quantity": str(one.amount), "side": _word(one.side)}
        ),
        ("BTCUSD", "ETHUSD"),
        ({"type": "heartbeat", "timestamp": NOON},),
    ),
    "dydx/trades": Stream(
        lambda s, one: {
            "type": "channel_data",
            "connection_id": "a",
            "message_id": 3,
            "id": s,
            "channel": "v4_trades",
            "contents": {
                "trades": [
                    {"id": str(one.number), "side": _word(one.side, "BUY", "SELL"), "size": str(one.amount)}
                    | {"price": str(one.price), "type": "LIMIT", "createdAt": iso(one.ms)}
                ]
            },
        },
        ("BTC-USD", "ETH-USD"),
        ({"type": "connected", "connection_id": "a", "message_id": 0},),
    ),
    "bitflyer/trades": Stream(
        lambda s, one: {
            "jsonrpc": "2.0",
            "method": "channelMessage",
            "params": {
                "channel": f"lightning_executions_{s}",
                "message": [
                    {"id": one.number, "side": _word(one.side, "BUY", "SELL"), "price": one.price, "size": one.amount}
                    | {"exec_date": iso(one.ms)}
                ],
            },
        },
        ("BTC_JPY", "FX_BTC_JPY"),
    ),
    "upbit/trades": Stream(
        lambda s, one: (
            {"type": "trade", "code": s, "timestamp": one.ms + 7, "trade_timestamp": one.ms}
            | {"trade_price": one.price, "trade_volume": one.amount, "ask_bid": _word(one.side, "BID", "ASK")}
            | {"sequential_id": one.number, "stream_type": "REALTIME"}
        ),
        ("KRW-BTC", "KRW-ETH"),
    ),
    "upbit/trades simple": Stream(
        lambda s, one: (
            {"ty": "trade", "cd": s, "tms": one.ms + 7, "ttms": one.ms, "tp": one.price, "tv": one.amount}
            | {"ab": _word(one.side, "BID", "ASK"), "sid": one.number, "st": "REALTIME"}
        ),
        ("KRW-BTC", "KRW-ETH"),
    ),
    "crypto_com/trades": Stream(
        lambda s, one: {
            "id": -1,
            "method": "subscribe",
            "code": 0,
            "result": {
                "instrument_name": s,
                "channel": "trade",
                "data": [
                    {"d": str(one.number), "t": one.ms, "q": str(one.amount), "p": str(one.price)}
                    | {"s": _word(one.side, "BUY", "SELL"), "i": s}
                ],
            },
        },
        ("BTC_USDT", "ETH_USDT"),
        ({"id": 1, "method": "public/heartbeat", "code": 0},),
    ),
}


def _ticker(symbol: str, one: Change) -> Line:
    [[bid, bid_size]], [[ask, ask_size]] = one.side(1)[:1], one.side(-1)[:1]
    sides = {"b": bid, "B": bid_size, "a": ask, "A": ask_size}
    return {"e": "bookTicker", "u": one.number, "s": symbol, **sides, "T": one.ms, "E": one.ms + 1}


def _hyperliquid(symbol: str, one: Change) -> Line:
    levels = [[{"px": price, "sz": size, "n": 1} for price, size in one.side(side)] for side in (1, -1)]
    return {"channel": "l2Book", "data": {"coin": symbol, "time": one.ms, "levels": levels}}


def _upbit(symbol: str, one: Change, simple: bool = False) -> Line:
    units = [
        {"ap" if simple else "ask_price": float(ask), "bp" if simple else "bid_price": float(bid)}
        | {"as" if simple else "ask_size": float(ask_size), "bs" if simple else "bid_size": float(bid_size)}
        for (bid, bid_size), (ask, ask_size) in zip(one.side(1), one.side(-1), strict=True)
    ]
    if simple:
        return {"ty": "orderbook", "cd": symbol, "tms": one.ms, "obu": units, "st": "REALTIME"}
    return {"type": "orderbook", "code": symbol, "timestamp": one.ms, "orderbook_units": units}


def _delta_book(symbol: str, one: Change) -> Line:
    sides = {
        name: [{"limit_price": price, "size": float(size), "depth": "9"} for price, size in one.side(side)]
        for name, side in (("buy", 1), ("sell", -1))
    }
    return {**sides, "symbol": symbol, "timestamp": one.ms * 1000, "type": "l2_orderbook"}


BOOKS: dict[str, tuple[Stream, int]] = {
    "bingx/book": (
        Stream(
            lambda s, one: {
                "code": 0,
                "dataType": f"{s}@depth20@100ms",
                "data": {"bids": one.side(1), "asks": one.side(-1)},
                "ts": one.ms,
            }
        ),
        3,
    ),
    "delta/order_book": (Stream(_delta_book, ("BTCUSD", "ETHUSD")), 3),
    "binance/book_ticker": (Stream(_ticker, ("BTCUSDT", "ETHUSDT")), 1),
    "binance/partial_depth": (
        Stream(
            lambda s, one: {
                "stream": f"{s.lower()}@depth5@100ms",
                "data": {"e": "depthUpdate", "E": one.ms + 1, "T": one.ms, "s": s, "U": 1, "u": 2, "pu": 0}
                | {"b": one.side(1), "a": one.side(-1)},
            },
            ("BTCUSDT", "ETHUSDT"),
        ),
        3,
    ),
    "bitstamp/order_book": (
        Stream(
            lambda s, one: {
                "data": {
                    "timestamp": "1",
                    "microtimestamp": str(one.ms * 1000),
                    "bids": one.side(1),
                    "asks": one.side(-1),
                },
                "channel": f"order_book_{s}",
                "event": "data",
            },
            ("btcusd", "ethusd"),
        ),
        3,
    ),
    "hyperliquid/book": (Stream(_hyperliquid, ("BTC", "ETH")), 3),
    "tardis/book_snapshot": (Stream(lambda s, one: _tardis("book_snapshot", s, one), ("BTCUSDT", "ETHUSDT")), 3),
    "upbit/book": (Stream(_upbit, ("KRW-BTC", "KRW-ETH")), 3),
    "upbit/book simple": (Stream(lambda s, one: _upbit(s, one, simple=True), ("KRW-BTC", "KRW-ETH")), 3),
    "hyperliquid/book archive": (
        Stream(lambda s, one: {"time": iso(one.ms + 90), "ver_num": 1, "raw": _hyperliquid(s, one)}, ("BTC", "ETH")),
        3,
    ),
}
"""Adapter -> stream of whole books, and levels of a side that it writes."""


def text(lines: list[Line], arrivals: bool = False) -> str:
    """Lines of a recording, with a time of arrival before each if asked for."""
    words = [json.dumps(line) for line in lines]
    return "".join(f"{NOON + k}000000 {word}\n" if arrivals else f"{word}\n" for k, word in enumerate(words))
