"""Names for the columns of files without a header, guessed by their first values."""

from __future__ import annotations

import dataclasses
import itertools
import re

from sqlgen.detect.files.sniff import Sniffed

_SIDES = {"buy", "sell", "b", "s", "1", "2", "-1", "bid", "ask"}
_COUNT = re.compile(r"1\d{9}(\.\d+|\d{3}|\d{6}|\d{9})?")
_TEXT = re.compile(r"(19|20)\d\d[-/.]?[01]\d[-/.]?[0-3]\d[T ]\d.*")
_DAY = re.compile(r"(19|20)\d\d[-/.][01]\d[-/.][0-3]\d|(19|20)\d\d[01]\d[0-3]\d|\d\d?[/.]\d\d?[/.]\d{4}")
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d([.]\d+)?)?|[0-2]\d[0-5]\d[0-5]\d(\d{3})?")
_BAR = ("open", "high", "low", "close", "volume", "close_time", "quote_volume", "count", "taker_buy_volume")
BINANCE_FIELDS = 12
"""Fields of klines of Binance's archive, which had no header until 2025."""
_NUMBER = re.compile(r"\d+(\.\d+)?")
_WHOLE = re.compile(r"\d+")
_NEAR = 0.05
"""Largest relative distance of a bid and an ask."""


def named(sniffed: Sniffed) -> Sniffed:
    """The file with names for its columns, where it has none; ``unread_3`` for what cannot be told."""
    if sniffed.format != "csv" or sniffed.columns or not sniffed.rows:
        return sniffed
    columns = list(zip(*[row for row in sniffed.rows if len(row) == len(sniffed.rows[0])], strict=True))
    names = [f"unread_{place}" for place in range(1, len(columns) + 1)]
    free = list(range(len(columns)))

    def take(name: str, fits: list[int]) -> None:
        if fits and name not in names:
            names[fits[0]] = name
            free.remove(fits[0])

    take("date", [place for place in free if _all(columns[place], _DAY)])
    take("time", [place for place in free if "date" in names and _all(columns[place], _CLOCK)])
    take("time", [place for place in free if _all(columns[place], _COUNT) or _all(columns[place], _TEXT)])
    take(
        "side",
        [place for place in free if len({*columns[place]}) < 3 and {v.lower() for v in columns[place]} <= _SIDES],
    )
    take("symbol", [place for place in free if len({*columns[place]}) == 1 and columns[place][0][:1].isalpha()])
    numbers = [place for place in free if _all(columns[place], _NUMBER)]
    bars = _bars(columns, numbers)
    for name, place in zip(_BAR, bars, strict=False):
        take(name, [place])
    if bars:
        return dataclasses.replace(sniffed, columns=tuple(names))
    take("trade_id", [place for place in numbers if len(numbers) > 2 and _rising(columns[place])])
    numbers = [place for place in numbers if place in free]
    if "side" not in names and len(numbers) >= 2 and _are_quotes(columns[numbers[0]], columns[numbers[1]]):
        take("bid", numbers[:1])
        take("ask", numbers[1:])
    elif len(numbers) >= 2:
        take("price", numbers[:1])
        take("amount", numbers[1:])
    return dataclasses.replace(sniffed, columns=tuple(names))


def _bars(columns: list[tuple[str, ...]], numbers: list[int]) -> list[int]:
    """Places of open, high, low, close, and of what follows, if the first four numbers are these in all rows."""
    if len(numbers) < 4:
        return []
    rows = [tuple(map(float, row)) for row in zip(*(columns[place] for place in numbers[:4]), strict=True)]
    fits = all(high >= max(row) and low <= min(row) for row in rows for _, high, low, _ in [row])
    moving = any(len({*row}) > 2 for row in rows)
    whole = len(columns) == BINANCE_FIELDS
    return (numbers if whole else numbers[:5]) if fits and moving else []


def _all(values: tuple[str, ...], form: re.Pattern[str]) -> bool:
    return all(form.fullmatch(value) for value in values)


def _rising(values: tuple[str, ...]) -> bool:
    """True if values are whole numbers, each above the one before."""
    if not _all(values, _WHOLE) or len(values) < 2:
        return False
    return all(int(one) < int(two) for one, two in itertools.pairwise(values))


def _are_quotes(bids: tuple[str, ...], asks: tuple[str, ...]) -> bool:
    """True if the second of two numbers is always a little above the first."""
    pairs = [(float(bid), float(ask)) for bid, ask in zip(bids, asks, strict=True)]
    return all(0 < bid <= ask <= bid * (1 + _NEAR) for bid, ask in pairs)
