"""Sizes of trades: in which currency, and with which sign."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlgen.detect.columns.names import TRADE
from sqlgen.detect.columns.times import find
from sqlgen.detect.files.sniff import Sniffed

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_CLOSE = 0.01
"""Largest relative distance of numbers that are the same but for rounding."""


def base_amount(found: Mapping[str, str], sniffed: Sniffed) -> str:
    """Column of the size in the base currency.

    ``size`` of BitMEX and Bybit counts contracts, often of one dollar, beside both notionals; elsewhere ``amount`` may
    be the value, and ``volume`` the size.
    """
    price, amount = found["price"], found["amount"]
    home, foreign = (find(sniffed.columns, [name]) for name in ("home_notional", "foreign_notional"))
    if home is not None and foreign is not None:
        for base, quote in ((home, foreign), (foreign, home)):
            if _is_value(sniffed, quote, base, price):
                return amount if _are_same(sniffed, amount, base) else base
        return amount
    others = [
        name for known in TRADE["amount"] if (name := find(sniffed.columns, [known])) not in (None, price, amount)
    ]
    return next((name for name in others if name and _is_value(sniffed, amount, name, price)), amount)


def _is_value(sniffed: Sniffed, quote: str, base: str, price: str) -> bool:
    """True if a column is the product of two others, and not the same as one of them."""
    rows = _numbers_of(sniffed, quote, base, price)
    return bool(rows) and all(_about(b * p, q) and not _about(b, q) for q, b, p in rows)


def _are_same(sniffed: Sniffed, one: str, other: str) -> bool:
    return all(_about(a, b) for a, b in _numbers_of(sniffed, one, other))


def _numbers_of(sniffed: Sniffed, *names: str) -> list[tuple[float, ...]]:
    """Rows of some columns that have numbers in all of them."""
    rows = zip(*map(sniffed.values, names), strict=False)
    return [tuple(map(float, row)) for row in rows if all(_NUMBER.fullmatch(str(value).strip()) for value in row)]


def _about(one: float, other: float) -> bool:
    return abs(one - other) <= _CLOSE * abs(other)


def are_signed(name: str, sniffed: Sniffed) -> bool:
    """True if some numbers of a column are below zero."""
    return any(number < 0 for (number,) in _numbers_of(sniffed, name))
