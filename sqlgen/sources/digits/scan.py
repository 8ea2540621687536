"""Search of a text for numbers of many digits, without a look at each of its numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

DOUBLE = 17
"""Most significant digits of a float64."""
NANOSECONDS = 9
"""Digits after the second that are kept."""
SHORTEST_TIME, SHORTEST_COUNT = 13, 14
"""Characters of the shortest number that is found: the seconds of a time as text with ten digits after the point, and a
count of milliseconds with its point."""
_SECONDS = 10
"""Digits of seconds since 1970; milliseconds have three more, and so on."""
_PIECE = 1 << 16
"""Bytes that are searched at once: they stay in the processor's cache."""


class Limits(NamedTuple):
    """Numbers that are suspect, besides those of more digits than a float64 holds."""

    shortest: int
    """Fewest characters."""
    number: int
    """Digits after the point that are kept of a time."""
    text: int
    """Digits after the point that are kept of a time in double quotes."""


def long_numbers(text: Any, limits: Limits) -> Any:
    """Places of the suspect numbers in a text, which is an array of bytes."""
    begins, ends = _runs(text, limits.shortest)
    if not len(begins):
        return begins
    points = _points(text, begins, ends)
    points = np.append(points, len(text))[np.searchsorted(points, begins)]
    with_point = points < ends
    begins, points, ends = begins[with_point], points[with_point], ends[with_point]
    firsts, lasts = begins.copy(), ends - 1
    while len(zeros := np.flatnonzero((text[lasts] == ord("0")) & (lasts > points))):
        lasts[zeros] -= 1
    while len(zeros := np.flatnonzero((text[firsts] <= ord("0")) & (firsts < lasts))):
        firsts[zeros] += 1
    digits = lasts - firsts + 1 - ((firsts < points) & (points < lasts))
    whole, fraction, before = points - begins, lasts - points, text[np.maximum(begins - 1, 0)]
    kept = np.where(before == ord('"'), limits.text, limits.number)
    seconds = (whole == 6) | ((whole == 2) & (before == ord(":")))
    suspect = (
        (digits > DOUBLE)
        | ((whole >= _SECONDS) & (whole % 3 == 1) & (fraction > kept))
        | (seconds & (fraction > NANOSECONDS))
    )
    return begins[suspect]


def _points(text: Any, begins: Any, ends: Any) -> Any:
    """Places of the points within runs: most of a text is in none."""
    sizes = ends - begins
    places = np.repeat(ends - np.cumsum(sizes), sizes) + np.arange(sizes.sum())
    return places[text[places] == ord(".")]


def _runs(text: Any, shortest: int) -> tuple[Any, Any]:
    """Beginning and end of the runs of at least so many digits, points and slashes."""
    found = [
        _windows(text[start : start + _PIECE + shortest - 1], shortest) + start for start in range(0, len(text), _PIECE)
    ]
    places = np.concatenate(found) if found else np.empty(0, np.int64)
    steps = np.flatnonzero(np.diff(places) > 1)
    return places[np.append(0, steps + 1)[: len(places)]], places[np.append(steps, -1)[: len(places)]] + shortest


def _windows(text: Any, width: int) -> Any:
    """Places at which so many characters of numbers begin."""
    run, length = text - np.uint8(ord(".")) <= ord("9") - ord("."), 1
    while length < width:
        step = min(length, width - length)
        run = run[:-step] & run[step:]
        length += step
    return np.flatnonzero(run)
