"""Real excerpts of vendors' files, and what `inspect` is to make of each: adapters, or words that say what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Excerpt:
    """A folder of ../shared/cases, or a file of ../shared/data, under the name of its adapter."""

    rows: Mapping[str, int]
    """Adapter -> rows that a run of its proposed entry publishes (books of updates: rows of the book)."""
    says: str = ""
    """Part of a note."""


NO_SNAPSHOT = "no snapshot among the rows"
EXCERPTS: dict[str, Excerpt] = {
    "cases/F01-several-symbols/bybit": Excerpt({"bybit/orderbook": 6}),
    "cases/F01-several-symbols/coinbase": Excerpt({"coinbase/level2": 6}),
    "cases/F02-diff-depth-read-as-books": Excerpt({"binance/depth_futures": 0}, NO_SNAPSHOT),
    "cases/F02-diff-depth-read-as-books/hive": Excerpt({"binance/depth_spot": 0}, NO_SNAPSHOT),
    "cases/F07-updates-as-trades/binance_T_DEPTH_snap": Excerpt({"binance/depth_archive": 0}),
    "cases/F07-updates-as-trades/binance_T_DEPTH_update": Excerpt({"binance/depth_archive": 0}, NO_SNAPSHOT),
    "cases/F07-updates-as-trades/bitstamp_orders": Excerpt({"bitstamp/orders_csv": 4}),
    "cases/F09-polygon-flat-file": Excerpt({"generic/trades": 3}),
    "cases/F11-okx-as-binance": Excerpt({"generic/trades": 3}, "before the date of its name"),
    "cases/F11-okx-as-binance/gbk": Excerpt({"generic/trades": 3}, "before the date of its name"),
    "cases/F14-recordings-with-a-prefix": Excerpt(
        {
            "binance/book_ticker": 24,
            "binance/depth_futures": 0,
            "binance/trade_stream": 3,
            "hyperliquid/book": 5,
            "hyperliquid/trades": 30,
        },
        NO_SNAPSHOT,
    ),
    "cases/F15-monthly-and-daily": Excerpt({"binance/agg_trades": 15}),
    "cases/F16-not-recognised/binance_bookDepth": Excerpt({}, "depth within a percentage of the price"),
    "cases/F16-not-recognised/binance_bookTicker": Excerpt({"generic/orderbook": 2}),
    "cases/F16-not-recognised/binance_klines": Excerpt({"generic/bars": 2}),
    "cases/F16-not-recognised/binance_liquidation": Excerpt({}, "these seem to be single orders"),
    "cases/F16-not-recognised/bitmex_orderBookL2": Excerpt({"bitmex/order_book_l2": 0}, NO_SNAPSHOT),
    "cases/F16-not-recognised/bitmex_quote_iso": Excerpt({"generic/orderbook": 3}),
    "cases/F16-not-recognised/bitstamp_diff": Excerpt({"bitstamp/diff_book": 0}, NO_SNAPSHOT),
    "cases/F16-not-recognised/coinbase_exchange_l2update": Excerpt({"coinbase_exchange/level2": 38}),
    "cases/F16-not-recognised/cryptofeed_book": Excerpt({"cryptofeed/book": 4}),
    "cases/F16-not-recognised/databento_tbbo": Excerpt({"databento/mbp1": 2, "databento/trades": 2}),
    "cases/F16-not-recognised/decimal_comma": Excerpt({"generic/trades": 2}),
    "cases/F16-not-recognised/gate": Excerpt({"generic/trades": 3}),
    "cases/F16-not-recognised/hyperliquid": Excerpt({"hyperliquid/book": 5, "hyperliquid/trades": 30}),
    "cases/F16-not-recognised/kraken": Excerpt({"generic/trades": 4}),
    "cases/F16-not-recognised/kraken_book": Excerpt({"kraken/book": 0}, NO_SNAPSHOT),
    "cases/F16-not-recognised/kucoin_level2": Excerpt({}, "no row has both a time and a price"),
    "cases/F16-not-recognised/mlfinlab_ticks": Excerpt({"generic/trades": 19}),
    "cases/F16-not-recognised/mt5": Excerpt({"generic/ticker": 2}),
    "cases/F16-not-recognised/okx_books": Excerpt({"okx/books": 0}, NO_SNAPSHOT),
    "cases/F16-not-recognised/truefx": Excerpt({"generic/ticker": 2}),
    "cases/F16-not-recognised/utf16": Excerpt({"generic/trades": 2}),
    "data/AAPL_2012-06-21_34200000_57600000_*": Excerpt({"lobster/orderbook": 999, "lobster/trades": 159}),
    "data/binance_BTCUSDT_trades.parquet": Excerpt({"generic/trades": 2001}),
    "data/bybit_2024-12-01_XRPUSDT_ob500.data.zip": Excerpt({"bybit/orderbook": 50}),
    "data/databento_mbp10_AAPL_2024-10-21.csv.gz": Excerpt({"databento/mbp10": 1999, "databento/trades": 103}),
}
