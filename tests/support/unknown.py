"""Folders as vendors and collectors leave them, one for each adapter: what `inspect` must recognise."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.vendors import binance, bybit, ccxt, crypto_lake, databento, dbn, lobster, tardis
from tests.support.vendors.files import save
from tests.support.vendors.rows import Book, Trade, deltas

D = Decimal
DATES = ("2025-01-06", "2025-01-07")
NOON = {"2025-01-06": 1_736_164_800 * 10**9, "2025-01-07": 1_736_251_200 * 10**9}
"""12:00 UTC of each date; in New York 07:00."""
SECOND = 10**9
ROWS = 60
"""Books, and trades, of each day."""


def books(date: str, shift: int = 0) -> list[Book]:
    """Five levels on either side, one book a second, prices in quarters."""
    made = []
    for i in range(ROWS):
        middle = D(100) + D(i % 7) / 4
        bids = tuple((middle - D(j + 1) / 4, D(j + 1 + i % 3)) for j in range(5))
        asks = tuple((middle + D(j + 1) / 4, D(j + 2)) for j in range(5))
        made.append(Book(NOON[date] + (shift + i) * SECOND, bids, asks, None, i + 1))
    return made


def trades(date: str, shift: int = 0) -> list[Trade]:
    """One trade a second, half a second after the books."""
    return [
        Trade(
            NOON[date] + (shift + i) * SECOND + SECOND // 2,
            str(1000 + i),
            "buy" if i % 3 else "sell",
            D(100) + D(i % 5) / 4,
            D(1 + i % 4),
        )
        for i in range(ROWS)
    ]


def parquet(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _tardis(root: Path, data_type: str, table: Callable[[str, str], object]) -> None:
    for date in DATES:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            save(root / tardis.file_name("binance", data_type, date, symbol), table(date, symbol))  # type: ignore[arg-type]


def _databento(root: Path, schema: str) -> None:
    for date in DATES:
        events = databento.events(books(date), trades(date, 1))
        rows = databento.trades_only(events) if schema == "trades" else events
        save(root / databento.file_name("XNAS.ITCH", date, schema, "csv.zst"), databento.table(rows, schema))


def _dbn(root: Path) -> None:
    for date in DATES:
        events = databento.events(books(date), trades(date, 1))
        save(root / f"{date}.dbn", dbn.encode(events, "mbp-10", {38: "AAPL"}))


def _lobster(root: Path) -> None:
    for date in DATES:
        tables = lobster.pair(books(date, 5 * 3600), trades(date, 5 * 3600), 5, date)
        for kind, table in zip(("orderbook", "message"), tables, strict=True):
            save(root / lobster.file_name("AAPL", date, kind, 5), table)


def _binance(root: Path, data_type: str) -> None:
    write = binance.trades if data_type == "trades" else binance.agg_trades
    for date in DATES:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            save(root / binance.url_path("spot", symbol, data_type, date), write(trades(date), "spot", date))


def _bybit(root: Path) -> None:
    for date in DATES:
        messages = bybit.messages(deltas(books(date)), "BTCUSDT", 500)
        save(root / bybit.file_name(date, "BTCUSDT", 500), bybit.text(messages))


def _crypto_lake(root: Path, table: str) -> None:
    for date in DATES:
        rows = crypto_lake.books(books(date)) if table == "book" else crypto_lake.trades(trades(date))
        parquet(root / crypto_lake.path(table, "BINANCE", "BTC-USDT", date), rows)


def _ccxt_books(root: Path) -> None:
    for date in DATES:
        rows = ccxt.order_books(books(date), "BTC/USDT", "objects")
        save(root / f"kraken/{date.replace('-', '')}/BTC-USDT.ndjson.gz", ccxt.ndjson(rows))


def _ccxt_trades(root: Path) -> None:
    for date in DATES:
        rows = [{**row, "trade_id": row["id"]} for row in ccxt.trades(trades(date), "BTC/USDT")]
        save(root / f"exchange=kraken/symbol=BTC-USDT/date={date}/part-0.jsonl", ccxt.ndjson(rows))


def _ccxt_tickers(root: Path) -> None:
    names = ("bid", "ask", "bid_volume", "ask_volume", "last", "open", "high", "low", "close", "vwap")
    more = ("base_volume", "quote_volume", "change", "percentage")
    for date in DATES:
        rows = [
            {"timestamp": book.ts // 10**6, "collected_at": book.ts // 10**6, **dict.fromkeys((*names, *more), 1.5)}
            | {"bid": float(book.bids[0][0]), "ask": float(book.asks[0][0])}
            for book in books(date)
        ]
        save(root / f"tickers_kraken_ETH-USDT_{date}.txt", "".join(json.dumps(row) + "\n" for row in rows))


def _generic_books(root: Path) -> None:
    for date in DATES:
        table = crypto_lake.books(books(date), depth=5)
        names = [name.replace("origin_time", "time").replace("_price", "_px") for name in table.column_names]
        parquet(root / f"okx-BTC-USDT-{date}.parquet", table.rename_columns(names))


def _generic_trades(root: Path) -> None:
    for date in DATES:
        lines = [f"{row.ts // 10**6};{row.price};{row.amount};{row.side};okx;BTC-USDT" for row in trades(date)]
        save(root / f"fills_{date}.csv", "\n".join(["time;px;qty;taker_side;venue;pair", *lines, ""]))


def _candles(date: str) -> list[list[object]]:
    """Bars of a minute: time in ms, open, high, low, close, volume."""
    return [[NOON[date] // 10**6 + 60_000 * i, 100, 102, 99, 100.5 + i % 2, 5000 + i] for i in range(ROWS)]


def _generic_bars(root: Path) -> None:
    for date in DATES:
        rows = [",".join(map(str, row)) for row in _candles(date)]
        save(root / f"BTCUSDT-1m-{date}.csv", "\n".join(["open_time,open,high,low,close,volume", *rows, ""]))


def _candle_messages(root: Path) -> None:
    for date in DATES:
        channel = {"channel": "candle1m", "instId": "BTC-USDT"}
        lines = [json.dumps({"arg": channel, "data": [list(map(str, row))]}) for row in _candles(date)]
        save(root / f"okx_{date}.jsonl", "\n".join([*lines, ""]))


def _bitstamp_orders(root: Path, as_csv: bool) -> None:
    """An order a second that comes, changes and goes, on whole seconds."""
    for date in DATES:
        lines = [",".join(("id", "timestamp", "exchange_timestamp", "price", "volume", "action", "direction"))]
        for i in range(ROWS if as_csv else 0):
            ms = NOON[date] // 10**6 + 1000 * i
            action, left = (("created", 5), ("changed", 3), ("deleted", 3))[i % 3]
            lines.append(f"{7000 + i // 3},{ms + 40},{ms},{100 - i % 5}.25,{left}.5,{action},bid")
        for i in range(0 if as_csv else ROWS):
            action, left = (("created", 5), ("changed", 3), ("deleted", 3))[i % 3]
            data = {"id": 7000 + i // 3, "order_type": 0, "amount_str": f"{left}.5", "price_str": f"{100 - i % 5}.25"}
            data["microtimestamp"] = str(NOON[date] // 1000 + 10**6 * i)
            message = {"data": data, "channel": "live_orders_btcusd", "event": f"order_{action}"}
            lines = [*lines[i == 0 :], json.dumps(message)]
        save(root / f"btcusd_{date}.{'csv' if as_csv else 'ndjson'}", "\n".join([*lines, ""]))


def _generic_tickers(root: Path) -> None:
    for date in DATES:
        times = [f"{date} 12:{i // 60:02}:{i % 60:02}" for i in range(ROWS)]
        lines = [f"EUR/USD,{time},1.1{i % 7},1.1{i % 7 + 1}" for i, time in enumerate(times)]
        save(root / f"quotes_{date}.csv", "\n".join([*lines, ""]))


FOLDERS: dict[str, Callable[[Path], None]] = {
    "tardis/trades": lambda root: _tardis(root, "trades", lambda date, s: tardis.trades(trades(date), "binance", s)),
    "tardis/quotes": lambda root: _tardis(root, "quotes", lambda date, s: tardis.quotes(books(date), "binance", s)),
    "tardis/book_snapshot_5": lambda root: _tardis(
        root, "book_snapshot_5", lambda date, s: tardis.book_snapshot(books(date), 5, "binance", s)
    ),
    "tardis/book_snapshot_25": lambda root: _tardis(
        root, "book_snapshot_25", lambda date, s: tardis.book_snapshot(books(date), 25, "binance", s)
    ),
    "tardis/incremental_l2": lambda root: _tardis(
        root, "incremental_book_L2", lambda date, s: tardis.incremental(deltas(books(date)), "binance", s)
    ),
    "databento/mbp10": lambda root: _databento(root, "mbp-10"),
    "databento/mbp1": lambda root: _databento(root, "mbp-1"),
    "databento/trades": lambda root: _databento(root, "trades"),
    "databento/mbp10 ": _dbn,
    "lobster/orderbook": _lobster,
    "lobster/trades": _lobster,
    "bitstamp/orders": lambda root: _bitstamp_orders(root, as_csv=False),
    "bitstamp/orders_csv": lambda root: _bitstamp_orders(root, as_csv=True),
    "binance/trades": lambda root: _binance(root, "trades"),
    "binance/agg_trades": lambda root: _binance(root, "aggTrades"),
    "bybit/orderbook": _bybit,
    "crypto_lake/orderbook": lambda root: _crypto_lake(root, "book"),
    "crypto_lake/trades": lambda root: _crypto_lake(root, "trades"),
    "ccxt/orderbook": _ccxt_books,
    "ccxt/trades": _ccxt_trades,
    "ccxt/ticker": _ccxt_tickers,
    "generic/orderbook": _generic_books,
    "generic/trades": _generic_trades,
    "generic/bars": _generic_bars,
    "generic/ticker": _generic_tickers,
    "candles/messages": _candle_messages,
}
"""Adapter (with a blank: in another format) -> writes two days of files into a folder."""

MODELS = {
    "trades": ("trades/features.sql.j2", "trades"),
    "book": ("orderbook/hf.sql.j2", "orderbook"),
    "ticker": ("ticker/features.sql.j2", "ticker"),
    "updates": ("orderbook/book.sql.j2", "updates"),
    "bars": ("resample.sql.j2", "rows"),
    "orders": ("resample.sql.j2", "rows"),
}
"""Kind of rows -> a template that reads them, and its input."""
