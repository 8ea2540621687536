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


UPDATES: dict[str, Stream] = {
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
    "cryptofeed/book": Stream(_cryptofeed),
    "bitget/books": Stream(
        _bitget, ("BTCUSDT", "ETHUSDT"), ({"event": "subscribe", "arg": {"instType": "SPOT", "channel": "books"}},)
    ),
    "gate/book": Stream(_gate, ("BTC_USDT", "ETH_USDT"), ({"time": NOON // 1000, "channel": "spot.pong"},)),
    "gate/book futures": Stream(lambda s, one: _gate(s, one, futures=True), ("BTC_USDT", "ETH_USDT")),
    "htx/book": Stream(_htx, ("btcusdt", "ethusdt"), ({"ping": NOON},)),
}
"""Adapter, and what tells apart two layouts of one -> stream of level updates."""


def _list_of(write: Callable[[str, Trade], Line], wrap: Callable[[str, Line], Line]) -> Callable[[str, Trade], Line]:
    return lambda symbol, one: wrap(symbol, write(symbol, one))


def _binance(name: str, symbol: str, one: Trade) -> Line:
    ids = {"t": one.number} if name == "trade" else {"a": one.number, "f": 1, "l": 2}
    event = {"e": name, "E": one.ms + 2, "T": one.ms, "s": symbol, "p": str(one.price), "q": str(one.amount), **ids}
    return {"stream": f"{symbol.lower()}@{name}", "data": event | {"m": one.side == -1}}


TRADES: dict[str, Stream] = {
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
}


def _ticker(symbol: str, one: Change) -> Line:
    [[bid, bid_size]], [[ask, ask_size]] = one.side(1)[:1], one.side(-1)[:1]
    sides = {"b": bid, "B": bid_size, "a": ask, "A": ask_size}
    return {"e": "bookTicker", "u": one.number, "s": symbol, **sides, "T": one.ms, "E": one.ms + 1}


def _hyperliquid(symbol: str, one: Change) -> Line:
    levels = [[{"px": price, "sz": size, "n": 1} for price, size in one.side(side)] for side in (1, -1)]
    return {"channel": "l2Book", "data": {"coin": symbol, "time": one.ms, "levels": levels}}


BOOKS: dict[str, tuple[Stream, int]] = {
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
