"""Segments and trailing windows over the rows of one key, and the statistics taken over them."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Callable, Iterable, Sequence

from tests.oracles.rows import NS, Row

Day = Callable[[Row], dt.date]


def gap_before(rows: Sequence[Row], max_gap: float | None) -> list[bool]:
    """Per row: does it come more than ``max_gap`` seconds after the row before it, or, in the next date, before it?"""
    steps = [0, *(row["ts"] - before["ts"] for before, row in itertools.pairwise(rows))]
    return [step < 0 or (max_gap is not None and step > max_gap * NS) for step in steps][: len(rows)]


def apart(rows: Sequence[Row], late_ns: int = NS) -> list[list[Row]]:
    """The rows that are in time, and each late one by itself.

    Late are those of a date that begins at most ``late_ns`` before the last row of the date before, up to that row.
    """
    in_time: list[Row] = []
    late: list[list[Row]] = []
    by_date = sorted(rows, key=lambda row: (row["date"], row["ts"], row["seq"]))
    for _, day in itertools.groupby(by_date, key=lambda row: row["date"]):
        today = list(day)
        last = in_time[-1]["ts"] if in_time else today[0]["ts"]
        until = last if 0 < last - today[0]["ts"] <= late_ns else today[0]["ts"]
        late += [[row] for row in today if row["ts"] < until]
        in_time += [row for row in today if row["ts"] >= until]
    return [in_time, *late]


def segment_starts(rows: Sequence[Row], max_gap: float | None) -> list[int]:
    """Per row: the index of the first row of its segment."""
    starts: list[int] = []
    for i, gap in enumerate(gap_before(rows, max_gap)):
        starts.append(i if gap or i == 0 else starts[-1])
    return starts


def segment_age(rows: Sequence[Row], i: int, start: int, reach: int) -> float:
    """Seconds since the segment began, as far back as ``reach`` seconds before the row's date."""
    age: float = (rows[i]["ts"] - rows[start]["ts"]) / NS
    return min(age, max(rows[i]["ts"] - midnight(rows[i]["date"]), 0) / NS + reach)


def window(rows: Sequence[Row], i: int, start: int, seconds: int) -> list[int]:
    """Indices of the rows in ``(t - seconds, t]`` of the segment, none of them after row ``i`` in order."""
    t = rows[i]["ts"]
    first = i
    while first > start and rows[first - 1]["ts"] > t - seconds * NS:
        first -= 1
    return list(range(first, i + 1))


def log_returns(
    rows: Sequence[Row], price: str, starts: Sequence[int], max_gap: float | None, day: Day = lambda row: row["date"]
) -> list[float | None]:
    """Log return of each valid price over the valid one before it in its segment, if at most ``max_gap`` older.

    Without a ``max_gap``: over one of the same date, which ``day`` tells, or the date before it.
    """
    returns: list[float | None] = []
    last: Row | None = None
    for i, row in enumerate(rows):
        oldest = row["ts"] - max_gap * NS if max_gap is not None else midnight(day(row) - dt.timedelta(days=1))
        if starts[i] == i or (last is not None and last["ts"] < oldest):
            last = None
        returns.append(log_of(row[price], last[price]) if last is not None else None)
        last = row if row[price] is not None else last
    return returns


def midnight(date: dt.date) -> int:
    return (date - dt.date(1970, 1, 1)).days * 86_400 * NS


def present(values: Iterable[float | None]) -> list[float]:
    """The values that are there."""
    return [value for value in values if value is not None]


def total(values: Iterable[float | None]) -> float | None:
    """Sum of the values that are there; None if there is none."""
    known = present(values)
    return math.fsum(known) if known else None


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are there; None if there is none."""
    known = present(values)
    return math.fsum(known) / len(known) if known else None


def sample_std(values: Iterable[float | None]) -> float | None:
    """Sample standard deviation (ddof 1); None below two values."""
    known = present(values)
    if len(known) < 2:
        return None
    centre = math.fsum(known) / len(known)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in known) / (len(known) - 1))


def ratio(above: float | None, below: float | None) -> float | None:
    """``above / below``; None if either is missing or ``below`` is zero."""
    return above / below if above is not None and below is not None and below != 0 else None


def to_price(above: float | None, price: float | None) -> float | None:
    """``above / price``; None if either is missing or the price is not above zero."""
    return above / price if above is not None and price is not None and price > 0 else None


def log_of(price: float | None, before: float | None) -> float | None:
    """``ln(price / before)``; None unless both are above zero."""
    both = price is not None and before is not None and min(price, before) > 0
    return math.log(price / before) if both else None  # type: ignore[operator]


def imbalance(x: float | None, y: float | None) -> float | None:
    """``(x - y) / (x + y)``; None if either is missing or the sum is zero."""
    return ratio(x - y, x + y) if x is not None and y is not None else None
