"""Sessions of a calendar: regular hours, half days and holidays, as the intervals of each UTC date."""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import statistics
import threading
import warnings
from collections import Counter
from typing import Any, NamedTuple

AVERAGED = (2015, 2024)
"""Years whose sessions give the trading time of a year."""
_A_WEEK = dt.timedelta(days=7)
_CALLS = threading.Lock()
"""Held while the package is called: filters of warnings are those of all threads."""


class CalendarError(ValueError):
    """A calendar that is unknown, or that does not know some dates."""


class Interval(NamedTuple):
    """Part of a session on one UTC date."""

    utc_date: dt.date
    session_date: dt.date
    opens: dt.datetime
    """Inclusive, UTC."""
    closes: dt.datetime
    """Exclusive."""


def check(name: str) -> None:
    """Raise :class:`CalendarError` if there is no such calendar."""
    package = _package()
    known = package.get_calendar_names()
    if name not in known:
        folded = {each.upper(): each for each in known}
        near = [f"'{folded[each]}'" for each in difflib.get_close_matches(name.upper(), folded, n=3, cutoff=0.5)]
        advice = f"Did you mean {' or '.join(near)}?" if near else "Give the MIC of an exchange: XNYS, XLON, CMES"
        raise CalendarError(f"unknown calendar '{name}'. {advice}")


def intervals(name: str, first: dt.date, last: dt.date, before: float, after: float) -> tuple[Interval, ...]:
    """Intervals of the sessions on the UTC dates ``first`` to ``last``, ``before`` and ``after`` minutes longer.

    A break at noon divides a session. What would overlap the next session ends where that begins.
    """
    found = []
    parts = _parts(name, first - _A_WEEK, last + _A_WEEK, before, after)
    for session, opens, closes in parts:
        day = max(opens.date(), first)
        while day <= min(closes.date(), last):
            midnight = dt.datetime.combine(day, dt.time())
            begin, end = max(opens, midnight), min(closes, midnight + dt.timedelta(days=1))
            if begin < end:
                found.append(Interval(day, session, begin, end))
            day += dt.timedelta(days=1)
    return tuple(found)


@functools.cache
def zone(name: str) -> str:
    """Time zone of a calendar's exchange: America/New_York."""
    found: str = _calendar(name, AVERAGED[1], AVERAGED[1]).tz.key
    return found


@functools.cache
def seconds_per_year(name: str, before: float, after: float) -> float:
    """Mean number of sessions in a year, over the years ``AVERAGED``, times the seconds of most of them.

    So a year has 252 * 23,400 s where shares of the United States trade, and 365 * 86,400 s where nothing closes.
    """
    first, last = (dt.date(AVERAGED[0], 1, 1), dt.date(AVERAGED[1], 12, 31))
    lengths: Counter[dt.date] = Counter()
    for session, opens, closes in _parts(name, first, last, before, after):
        lengths[session] += round((closes - opens).total_seconds())
    return float(round(len(lengths) / (AVERAGED[1] - AVERAGED[0] + 1)) * statistics.mode(lengths.values()))


def _parts(
    name: str, first: dt.date, last: dt.date, before: float, after: float
) -> list[tuple[dt.date, dt.datetime, dt.datetime]]:
    """Session, begin and end of each stretch of trading."""
    found: list[tuple[dt.date, dt.datetime, dt.datetime]] = []
    for session, opens, noon, later, closes in _schedule(name, first.year, last.year):
        if not first <= session <= last:
            continue
        begin, end = opens - dt.timedelta(minutes=before), closes + dt.timedelta(minutes=after)
        if found and found[-1][2] > begin:
            found[-1] = (*found[-1][:2], begin)
        found += [(session, begin, noon), (session, later, end)] if noon and later else [(session, begin, end)]
    return found


@functools.cache
def _schedule(name: str, first: int, last: int) -> list[tuple[Any, ...]]:
    """Session, open, break and close of every session of some years."""
    rows = _calendar(name, first, last).schedule
    return [
        (session.date(), *(None if time is None or time != time else _utc(time) for time in times))
        for session, *times in rows[["open", "break_start", "break_end", "close"]].itertuples()
    ]


def _calendar(name: str, first: int, last: int) -> Any:
    """The package's calendar of some years."""
    package = _package()
    # What pandas will change is the package's affair, not the user's.
    with _CALLS, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return package.get_calendar(name, start=f"{first}-01-01", end=f"{last}-12-31")
        except (ValueError, package.errors.CalendarError) as error:
            raise CalendarError(f"calendar '{name}' does not know the years {first} to {last}: {error}") from None


def _utc(time: Any) -> dt.datetime:
    """A time of pandas in UTC, without its zone."""
    found: dt.datetime = time.to_pydatetime().replace(tzinfo=None)
    return found


def _package() -> Any:
    try:
        import exchange_calendars
    except ImportError:
        raise CalendarError(
            "sessions need the package exchange_calendars. Install it: pip install 'sqlgen[calendars]'"
        ) from None
    return exchange_calendars
