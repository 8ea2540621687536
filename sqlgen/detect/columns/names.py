"""Names that vendors give to columns, per meaning, however their words are joined; earlier ones count first."""

from __future__ import annotations

from collections.abc import Mapping

Names = Mapping[str, tuple[str, ...]]
"""Meaning -> names."""

KEYS: Names = {
    "exchange": ("exchange", "venue", "exch", "ex", "exchange_id"),
    "symbol": (
        *("symbol", "ticker", "pair", "instrument", "product_id", "instrument_name", "inst_id", "sym", "sym_root"),
        *("symbol_id", "market", "coin", "contract", "security", "ric", "#ric", "currency_pair", "trading_symbol"),
        *("code", "market_code"),
    ),
}
TRADE: Names = {
    "trade_id": ("trade_id", "id", "tid", "trade_no", "execution_id", "trd_match_id"),
    "price": ("price", "px", "p", "trade_price", "last_price", "rate", "last_px", "deal_price", "exec_price"),
    "amount": (
        *("amount", "size", "quantity", "qty", "volume", "q", "sz", "trade_size", "base_qty", "vol", "v"),
        *("base_amount", "base_volume", "trade_volume", "trade_amount", "trade_qty", "last_qty", "last_size"),
        *("exec_qty", "exec_size", "s"),
    ),
    "side": (
        *("taker_side", "side", "aggressor", "aggressor_side", "direction", "trade_side", "taker_order_type"),
        *("ask_bid", "is_buy_side", "is_buy", "buyer_initiated"),
    ),
    "buyer_maker": ("is_buyer_maker", "buyer_maker", "buyer_is_maker", "m", "bm", "is_sell", "taker_side_sell", "sell"),
}
LISTS: Names = {"bids": ("bids", "bid", "b", "buy"), "asks": ("asks", "ask", "a", "sell", "offers")}
NO_TRADES: Names = {
    "level updates": (
        "update_type",
        "side_is_bid",
        "is_bid",
        "is_snapshot",
        "first_update_id",
        "final_update_id",
        "last_update_id",
        "changes",
    ),
    "single orders": ("action", "order_status", "order_state", "order_type", "time_in_force", "event_type", "msg_type"),
    "depth within a percentage of the price": ("percentage",),
    "statistics of a venue": ("stat_type",),
    "fills of an account": ("commission", "realized_pnl"),
    "levels of order books, one a row": ("level", "lvl", "book_level", "depth_level"),
    "bars": ("open", "high", "low", "close"),
}
"""Kind of rows that are no trades -> columns that tell them."""
IDS_OF_CHANGES = {
    *("U", "u", "pu", "seqNum", "prevSeqId", "prevSeqNum", "first_update_id", "final_update_id"),
    *("change_id", "prev_change_id", "sequenceStart", "sequenceEnd"),
}
"""Fields that number the changes of a book: two of them beside its lists tell that these are no whole books."""
ZONES = {"sym_root": "America/New_York"}
"""Column that tells whose times are local (NYSE TAQ) -> their zone."""
ZONES_BY_FILE = {r"^DAT_(ASCII|MT|NT|XLSX)_": "Etc/GMT+5"}
"""Names of files whose times are local (HistData: EST all the year) -> their zone."""
SIDES_OF_LEVELS = ("a", "b", "ask", "bid", "asks", "bids")
EVENTS = ("e", "type", "topic", "channel", "event", "ch", "stream")
"""Fields of a message that say what it is."""
ORDER_STATES = ("new", "open", "filled", "canceled", "cancelled", "closed", "partially_filled", "expired", "rejected")
CHANGES_OF_ORDERS = {
    *("add", "added", "insert", "inserted", "new", "create", "created", "place", "placed", "submit", "submitted"),
    "received",
    *("delete", "deleted", "remove", "removed", "cancel", "canceled", "cancelled", "amend", "amended"),
    *("modify", "modified", "replace", "replaced"),
}
"""Words of rows that enter, change or remove an order or a level, which no trades have."""
CHANGES_BESIDE = {"change", "changed", "update", "updated", "snapshot", "reduce", "reduced", "executed", "done"}
"""Words that rows of such tables have as well; messages of trades may have them too."""
FORCED = r"liquidation|force_?order"
"""Words in names of files whose rows are orders that were closed by force."""
TRADED = ("trade", "trades", "fill", "t", "match", "execution")
"""Values of such a column in rows that are trades after all."""
DEALS = ("buy", "sell")
TYPES_OF_TAKERS = ("market", "limit", "m", "l")
"""Types of orders that Kraken's trades say."""
TRUTHS = ("true", "false", "0", "1", "t", "f")
PRICES_OF_BARS: Names = {
    name: (name, name[0], f"{name}_price", f"price_{name}", f"px_{name}") for name in ("open", "high", "low", "close")
}
BAR: Names = {
    "volume": (
        "volume",
        "vol",
        "v",
        "base_volume",
        "volume_base",
        "tick_volume",
        "tick_vol",
        "base_asset_volume",
        "sx_sum",
    ),
    "dollar_volume": (
        *("quote_volume", "quote_asset_volume", "dollar_volume", "turnover", "vol_ccy_quote", "volume_usdt"),
        *("volume_usd", "amount", "value"),
    ),
    "trade_count": ("trade_count", "count", "trades", "number_of_trades", "num_trades", "transactions", "sx_cnt"),
    "buy_volume": ("buy_volume", "taker_buy_volume", "taker_buy_base_asset_volume", "taker_buy_base"),
}
QUOTE: Names = {
    "bid": ("bid", "bid_price", "best_bid", "bid_px", "bid_open"),
    "ask": ("ask", "ask_price", "best_ask", "ask_px", "offer", "ofr"),
    "last": ("last", "last_price"),
    "bid_volume": ("bid_volume", "bid_size", "bid_vol", "bid_siz", "bid_qty"),
    "ask_volume": ("ask_volume", "ask_size", "ask_vol", "ask_siz", "ask_qty", "ofr_siz", "offer_size", "offer_volume"),
}
RATES = ("funding_rate", "mark_price", "index_price", "open_interest", "fair_price")
SIDES = {"bid": r"bids?|b|buy", "ask": r"asks?|a|sell|offers?"}
"""Side of a level -> pattern of its name within a column's."""
PRICES, SIZES = r"price|px|p|prc|rate", r"size|sz|sx|s|amount|amt|qty|quantity|volume|vol|v|q"
