"""Names for the columns of files without a header, guessed by their first values."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise, product

from msgspec import structs

from sqlgen.detect.columns.lookalikes import are_changes
from sqlgen.detect.files.sniff import Sniffed

_SIDES = {"buy", "sell", "b", "s", "bid", "ask"}
_CODES = {"1", "2", "-1"}
"""Numbers that stand for sides; 1 alone does not tell which: Gate.io's sell is 1, and that of others -1."""
_COUNT = re.compile(r"1\d{9}(\.\d+|\d{3}|\d{6}|\d{9})?")
_TEXT = re.compile(r"(19|20)\d\d[-/.]?[01]\d[-/.]?[0-3]\d[T ]\d.*")
_DAY = re.compile(r"(19|20)\d\d[-/.][01]\d[-/.][0-3]\d|(19|20)\d\d[01]\d[0-3]\d|\d\d?[/.]\d\d?[/.]\d{4}")
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d([.]\d+)?)?|[0-2]\d[0-5]\d[0-5]\d(\d{3})?")
_BAR = ("open", "high", "low", "close", "volume", "close_time", "quote_volume", "count", "taker_buy_volume")
BINANCE_FIELDS = 12
"""Fields of klines of Binance's archive, which had no header until 2025."""
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_CHANGES = {"set", "make", "take", "add", "insert", "update", "modify", "cancel", "delete", "remove", "snapshot"}
"""Words of changes of a book, as Gate.io's files of order books say."""
_WHOLE = re.compile(r"\d+")
_WIDE, _NARROW = 10, 1.2
"""Largest of a column over its smallest: at least that of amounts, at most that of prices that stand behind them."""
_BEST_LEVELS = (
    ("bid_price", "bid_size", "ask_price", "ask_size"),
    ("ask_price", "ask_size", "bid_price", "bid_size"),
    ("bid_size", "bid_price", "ask_price", "ask_size"),
    ("bid_price", "ask_price", "bid_size", "ask_size"),
    ("ask_price", "bid_price", "ask_size", "bid_size"),
)
"""Orders in which four numbers are the best bid and ask; the last is Dukascopy's."""
_BEFORE = 3
"""Numbers that may stand before the prices of bars."""
_MOST = 0.9
"""Share of rows with open, high, low and close from which all are candles, and the others odd ones."""
_EXACT = 1e-3
"""Largest relative distance of a value from price times amount."""
_NEAR = 0.05
"""Largest relative distance of a bid and an ask, and of a high and a low beyond which an open or close is odd."""


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
    take("side", [place for place in free if len({*columns[place]}) < 3 and _says(columns[place], _SIDES)])
    take("update_type", [place for place in free if _says(columns[place], _CHANGES)])
    take("change", [place for place in free if are_changes(columns[place])])
    take("symbol", [place for place in free if len({*columns[place]}) == 1 and columns[place][0][:1].isalpha()])
    numbers = [place for place in free if _all(columns[place], _NUMBER)]
    times = columns[names.index("time")] if "time" in names else ("", "")
    in_turn = [column[::-1] if times[0] > times[-1] else column for column in columns]
    bars = _reordered(in_turn, numbers) or dict(zip(_BAR, _bars(columns, numbers), strict=False))
    codes = [place for place in numbers if _are_codes(columns[place])]
    levels = {} if "side" in names else _best_levels(columns, numbers)
    if "side" in names or (bars and (codes or levels) and not _are_surely_bars(columns, [*bars.values()])):
        bars = {}
    known = bars or levels
    for name, place in known.items():
        take(name, [place])
    if known:
        return structs.replace(sniffed, columns=tuple(names))
    take("side", [place for place in codes if {*columns[place]} != {"1"}])
    others = [place for place in numbers if place in free and place not in codes]
    numbers = others if len(others) > 1 else [place for place in numbers if place in free]
    take("trade_id", [place for place in numbers if len(numbers) > 2 and _rising(columns[place])])
    numbers = [place for place in numbers if place in free]
    if len(numbers) > 3 and _are_near(columns, numbers[:3]) and _are_quotes(columns[numbers[1]], columns[numbers[2]]):
        take("price", numbers[:1])  # of a trade, then the quotes at its time
        take("amount", [place for place in numbers[3:] if not _are_near(columns, [numbers[0], place])])
    elif "side" not in names and len(numbers) >= 2 and _are_quotes(columns[numbers[0]], columns[numbers[1]]):
        take("bid", numbers[:1])
        take("ask", numbers[1:])
    elif len(numbers) >= 2:
        price, amount = _price_and_amount(columns, numbers)
        take("price", [price])
        take("amount", [_in_base(columns, numbers, price) or amount])
    return structs.replace(sniffed, columns=tuple(names))


def _price_and_amount(columns: list[tuple[str, ...]], numbers: list[int]) -> tuple[int, int]:
    """Places of both: the first two, the other way round where only that makes sense, as in files of Bitfinex.

    Amounts may be below zero, where they are sold; and they differ by more than prices do.
    """
    one, two = numbers[:2]
    below = [min(map(float, columns[place])) < 0 for place in (one, two)]
    if below[0] != below[1]:
        return (two, one) if below[0] else (one, two)
    return (two, one) if _spread(columns[one]) > _WIDE and _spread(columns[two]) < _NARROW else (one, two)


def _in_base(columns: list[tuple[str, ...]], numbers: list[int], price: int) -> int | None:
    """Place of an amount whose value stands in another column, as HTX has them behind the number of contracts."""
    for place in numbers:
        for value in numbers:
            if len({place, value, price}) == 3 and all(
                abs(float(a) * float(p) - float(v)) <= _EXACT * abs(float(v)) and float(a) != float(v) != 0
                for p, a, v in zip(columns[price], columns[place], columns[value], strict=True)
            ):
                return place
    return None


def _are_near(columns: list[tuple[str, ...]], places: list[int], most: float = _NEAR) -> bool:
    """True if the numbers of some columns are near each other in every row, as prices are."""
    rows = [[float(columns[place][k]) for place in places] for k in range(len(columns[0]))]
    return all(0 < max(row) <= min(row) * (1 + most) for row in rows)


def _spread(values: tuple[str, ...]) -> float:
    """Largest of some numbers over the smallest."""
    found = sorted(map(float, values))
    return found[-1] / found[0] if found[0] > 0 else 1.0


def _bars(columns: list[tuple[str, ...]], numbers: list[int]) -> list[int]:
    """Places of open, high, low, close, and of what follows, if the first four numbers are these in most rows."""
    if len(numbers) < 4:
        return []
    rows = [tuple(map(float, row)) for row in zip(*(columns[place] for place in numbers[:4]), strict=True)]
    fits = sum(_is_candle(*row[:4]) for row in rows)
    moving = any(len({*row}) > 2 for row in rows)
    if len(columns) == BINANCE_FIELDS and _all(columns[0], _COUNT) and _all(columns[6], _COUNT):
        return numbers  # opened and closed: candles whatever their prices
    return numbers[:5] if fits >= _MOST * len(rows) and moving else []


def _reordered(columns: list[tuple[str, ...]], numbers: list[int]) -> dict[str, int]:
    """Names of four prices that stand in another order than open, high, low, close, as those of HTX, KuCoin and Gate.

    One of them is always the highest, and one the lowest. Of the others that closes with which the next bar opens; both
    have no name where no one of them fits better.
    """
    for start in range(min(len(numbers) - 3, _BEFORE)):
        places = numbers[start : start + 4]
        rows = [tuple(map(float, row)) for row in zip(*(columns[place] for place in places), strict=True)]
        top, low = (_always(rows, extreme) for extreme in (max, min))
        near = all(0 < max(row) <= min(row) * _NARROW for row in rows)
        if top is None or low is None or top == low or not near:
            continue
        if (top, low) == (1, 2) and start == 0:
            return {}
        one, two = (place for place in range(4) if place not in (top, low))
        jumps = [
            sum(abs(row[ends] - after[begins]) for row, after in pairwise(rows))
            for ends, begins in ((one, two), (two, one))
        ]
        found = {"high": places[top], "low": places[low]}
        if max(jumps) > 2 * min(jumps):
            ends, begins = (one, two) if jumps[0] < jumps[1] else (two, one)
            found |= {"open": places[begins], "close": places[ends]}
        return found
    return {}


def _always(rows: list[tuple[float, ...]], extreme: Callable[[tuple[float, ...]], float]) -> int | None:
    """Place of the extreme of all rows, of those that move; ``None`` if it is not always one place."""
    moving = [row for row in rows if len({*row}) > 2]
    fits = [place for place in range(4) if moving and all(row[place] == extreme(row) for row in moving)]
    return fits[0] if len(fits) == 1 and len(moving) > 2 else None


def _is_candle(first: float, high: float, low: float, last: float) -> bool:
    """True if both open and close are between low and high, or one of them where these are near each other."""
    inside = [low <= value <= high for value in (first, last)]
    return all(inside) or (any(inside) and high <= low * (1 + _NEAR))


def _all(values: tuple[str, ...], form: re.Pattern[str]) -> bool:
    return all(form.fullmatch(value) for value in values)


def _rising(values: tuple[str, ...]) -> bool:
    """True if values are whole numbers, each above the one before, or each below it."""
    if not _all(values, _WHOLE) or len(values) < 2:
        return False
    found = [int(value) for value in values]
    return len({*found}) == len(found) and found in (sorted(found), sorted(found, reverse=True))


def _says(values: tuple[str, ...], words: set[str]) -> bool:
    return {value.lower() for value in values} <= words


def _are_codes(values: tuple[str, ...]) -> bool:
    """True if numbers may stand for sides: those that count up or down by one are ids."""
    if not {*values} <= _CODES or len({*values}) > 2:
        return False
    steps = {int(after) - int(value) for value, after in pairwise(values)}
    return steps not in ({1}, {-1})


def _are_surely_bars(columns: list[tuple[str, ...]], places: list[int]) -> bool:
    """True if the first four of some numbers are prices whatever they are called: near each other, or Binance's."""
    return len(columns) == BINANCE_FIELDS or _are_near(columns, places[:4], _NARROW - 1)


def _best_levels(columns: list[tuple[str, ...]], numbers: list[int]) -> dict[str, int]:
    """Names of prices and sizes of the best bid and ask, which may stand behind the number of an update."""
    starts = (1, 0) if numbers and _rising(columns[numbers[0]]) else (0,)
    for start, names in product(starts, _BEST_LEVELS):
        found = dict(zip(names, numbers[start:], strict=False))
        if len(found) < len(names) or not _are_quotes(columns[found["bid_price"]], columns[found["ask_price"]]):
            continue
        if not any(_are_near(columns, [found["bid_price"], found[size]]) for size in ("bid_size", "ask_size")):
            return found
    return {}


def _are_quotes(bids: tuple[str, ...], asks: tuple[str, ...]) -> bool:
    """True if the second of two numbers is always a little above the first."""
    pairs = [(float(bid), float(ask)) for bid, ask in zip(bids, asks, strict=True)]
    return all(0 < bid <= ask <= bid * (1 + _NEAR) for bid, ask in pairs)
