"""Names of markets within names of files: pairs, and the contracts of one, as venues write them."""

from __future__ import annotations

import re

EXCHANGES = frozenset(
    """
    binance binanceus bingx bitfinex bitflyer bitget bithumb bitmart bitmex bitstamp bitvavo bybit cme coinbase
    coinbasepro cryptocom deribit dydx ftx gate gateio gemini huobi htx hyperliquid kraken kucoin lbank mexc nasdaq
    nyse okcoin okex okx poloniex upbit whitebit
    """.split()  # noqa: SIM905  (forty quoted words are hard to read)
)
_MONEY = "USDT|USDC|USD|EUR|GBP|JPY|KRW|TRY|BUSD|FDUSD|DAI"
_QUOTE = f"{_MONEY}|BTC|ETH|PERP"
_NO_BASE = re.compile(
    r"spot|swap|perp(etual)?|futures?|options?|linear|inverse|usdm|coinm|[uc]m|(agg)?trades?|(order)?books?|depth\d*"
    r"|quotes?|(book)?tickers?|bbo|mbp|mbo|deltas?|updates?|snapshots?|messages?|ohlcv?|candle(stick)?s?|klines?"
    r"|level\d?|l[123]|\d+",
    re.IGNORECASE,
)
"""Words beside which a quote or a contract is no part of one symbol with them."""
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_EXPIRY = rf"{_DAY}(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d\d"  # 26DEC25
_SIX = r"[23]\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"  # 251226
_STRIKE = rf"[-_]\d+(?:D\d+)?[-_][CP](?:[-_](?:{_MONEY}))?"
_SYMBOL = re.compile(
    rf"(?:[A-Z0-9]{{2,}}|[A-Z0-9](?=[-_]))(?:[-:/]?(?:{_QUOTE})|_(?:{_MONEY}))+(?:M|[HMUZ]\d\d)?"
    rf"(?:[-_](?:SWAP|PERP(?:ETUAL)?|(?:{_EXPIRY}|{_SIX})(?:{_STRIKE})?))?"
    rf"|(?-i:[A-Z0-9]+)[-_](?:(?-i:SWAP|PERP|PERPETUAL)|{_EXPIRY}(?:{_STRIKE})?|{_SIX}{_STRIKE})",
    re.IGNORECASE,
)
_SIX_AT_THE_END = re.compile(r"[-_]\d{6}$")
_APART, _JOINED = "-_", "\1\2"
_LONGEST = 11
"""Words and separators of the longest symbol: SOL_USDC-26DEC25-200-C-USDT."""


def is_exchange(text: str) -> bool:
    """True if a name is that of an exchange, or of one of its markets (``binance-futures``)."""
    return re.split("[-_. ]", text.lower())[0] in EXCHANGES


def is_symbol(text: str) -> bool:
    """True if a name is certainly that of a pair, or of a contract."""
    return _SYMBOL.fullmatch(text) is not None


def joined(name: str, dated: bool) -> str:
    """A name whose symbols are one word each: ``BTC-USDT-SWAP``, ``BTCUSDT_250627``, ``BTC-26DEC25-100000-C``.

    Six digits are an expiry only where the name has a date besides (``dated``).
    """
    words = re.split(r"([-_.\0])", name)
    place = 0
    while place < len(words):
        if not (_NO_BASE.fullmatch(words[place]) or is_exchange(words[place])):
            for end in range(min(len(words), place + _LONGEST), place + 2, -1):
                run = "".join(words[place:end])
                if is_symbol(run) and (dated or not _SIX_AT_THE_END.search(run)):
                    words[place:end] = [run.translate(str.maketrans(_APART, _JOINED))]
                    break
        place += 2
    return "".join(words)


def apart(word: str) -> str:
    """A word of a name that was :func:`joined`, as it stands there."""
    return word.translate(str.maketrans(_JOINED, _APART))
