"""Times of unknown files: their columns, units and formats."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from sqlgen.detect.files.sniff import Sniffed

_TIMES = (
    *(
        "trade_timestamp",
        "trade_ts",
        "exchange_time",
        "origin_time",
        "transaction_time",
        "event_time",
        "ts_event",
        "exchange_timestamp",
    ),
    *("time_exchange", "exchange_ts", "timestamp_exchange", "timestamp_ns", "timestamp_us", "timestamp_ms"),
    *("timestampms", "timestampns", "timestamp", "transact_time", "trade_time", "created_time", "open_time"),
    *("opentime", "participant_timestamp", "sip_timestamp", "time", "ts", "t", "datetime", "date_time"),
    *("date_and_time", "gmt_time", "date_time_utc", "timestamp_utc", "time_utc", "utc_time", "date_utc", "created_at"),
    *("executed_at", "exec_time", "traded_at", "time_stamp", "epoch", "epoch_ms", "unix_time"),
    *(
        "local_time",
        "start_time",
        "starttime",
        "candle_begin_time",
        "unix",
        "unix_timestamp",
        "start",
        "window_start",
        "time_period_start",
    ),
    *("created_at_timestamp", "created_at_datetime", "tradedate", "trade_date", "day", "date"),
)
_ARRIVALS = (
    *("received_time", "received", "local_timestamp", "ts_recv", "recv_time", "receipt_timestamp", "collected_at"),
    *("time_coinapi", "timestamp_received", "time_received", "arrival_time", "recv_ts", "local_ts", "received_at"),
)
_DAYS = ("date", "day", "trade_date", "tradedate", "trading_day", "dtyyyymmdd", "date_gmt", "utc_date")
_CLOCKS = (
    "time",
    "clock",
    "time_of_day",
    "trade_time",
    "timestamp",
    "local_time",
    "gmt_time",
    "time_m",
    "time_gmt",
    "utc_time",
)
_ZONE = re.compile(
    r"(?:\d ?|^|_)(?:utc|gmt|z)(?:\b|_|[+-])|\d ?[+-]\d{2}:?\d{0,2}$|\d [a-z]+/[a-z]|\d e[sd]t", re.IGNORECASE
)
"""Zone in a time, or in the name of its column."""
_HOURS = ("hour", "hours", "hr", "hour_of_day", "hour_utc")
_DAY = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}( 00:00:00)?|(19|20)\d{6}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?|[0-2]\d[0-5]\d[0-5]\d([.]?\d+)?")
_COUNT = re.compile(r"\d+(\.\d*)?")
_SINCE = re.compile(r"1\d{9}(\d{3}|\d{6}|\d{9})?")
"""A count since 1970, of this time."""
_UNITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}
_DAY_D_CLOCK = re.compile(r"\d{4}-\d{2}-\d{2}D\d{2}:\d{2}:\d{2}([.]\d+)?")
"""A time as kdb+ writes it."""
_DAY_LAST = re.compile(
    r"(\d{1,2})([-/.])(\d{1,2})[-/.]\d{4}(?:([ T])(\d{1,2}:\d{2})(:\d{2})?([.]\d+)?( [AaPp][Mm])?( GMT)?([+-]\d{4})?)?"
)
"""A time whose year comes after day and month, in either order."""


class Times(Struct, frozen=True):
    """Columns of the time, and how it is written."""

    columns: Mapping[str, Any]
    """``ts``, and ``received`` if there is one, -> column, or columns that make up the time."""
    unit: str = "text"
    format: str = ""
    """Format of strptime, for times that are no ISO text."""
    days: bool = False
    """True if there is no time of day."""
    clocks: bool = False
    """True if there is no date."""
    problem: str = ""
    """Reason why the times cannot be read."""

    @property
    def options(self) -> dict[str, Any]:
        """Options of a generic adapter."""
        return {"time_unit": self.unit, **({"time_format": [self.format]} if self.format else {})}


def times_of(sniffed: Sniffed) -> Times | None:
    """The times of a file; ``None`` if no column is one."""
    ts, received = find(sniffed.columns, _TIMES), find(sniffed.columns, _ARRIVALS)
    if ts == "t" and "T" in sniffed.columns and not _all(sniffed, ts, _SINCE) and _all(sniffed, "T", _SINCE):
        ts = "T"  # of Binance, where t is a trade's id
    name = ts if ts is not None else received
    unit = time_unit(sniffed, name) if name is not None else "text"
    both = received is not None and ts is not None and time_unit(sniffed, received) == unit
    arrived = {"received": received} if both else {}  # one option says the unit of both
    parts = () if name is not None and _is_whole(sniffed, name) else _parts(sniffed)
    if parts:
        texts = [f"{day} {clock}" for day, clock in zip(*map(sniffed.values, parts), strict=False)]
        return _written({"ts": [*parts], **arrived}, texts)
    if name is None:
        return None
    columns = {"ts": name, **arrived}
    hours = find(sniffed.columns, _HOURS)
    if hours is not None and _all(sniffed, name, _DAY):
        return Times(columns, problem=f"column {name} has dates alone, and column {hours} the hours")
    return (
        _written(columns, [str(value).strip() for value in sniffed.values(name)])
        if unit == "text"
        else Times(columns, unit)
    )


def unzoned(sniffed: Sniffed, options: Mapping[str, Any]) -> bool:
    """True if the times of a map of columns are texts that say no zone, nor do their columns' names."""
    if options.get("time_unit") != "text" or "timezone" in options or not sniffed.columns:
        return False
    named = options["columns"]["ts"]
    names = [named] if isinstance(named, str) else named
    return not any(_ZONE.search(text) for name in names for text in [plain(name), *map(str, sniffed.values(name)[:1])])


def _is_whole(sniffed: Sniffed, name: str) -> bool:
    """True if a column is a time by itself: a timestamp, or counts since 1970 of a usual unit."""
    if sniffed.types.get(name, "").startswith("timestamp"):
        return True
    counts = [str(value).strip().partition(".")[0] for value in sniffed.values(name)]
    return bool(counts) and all(count.isdigit() and len(count) in _UNITS for count in counts)


def _parts(sniffed: Sniffed) -> tuple[str, ...]:
    """A column of days and one of clocks; empty if there are none."""
    day, clock = (
        next((name for known in names if (name := find(sniffed.columns, [known])) and _all(sniffed, name, form)), None)
        for names, form in ((_DAYS, _DAY), (_CLOCKS, _CLOCK))
    )
    return (day, clock) if day is not None and clock is not None else ()


def _all(sniffed: Sniffed, name: str, form: re.Pattern[str]) -> bool:
    values = [str(value).strip() for value in sniffed.values(name)]
    return bool(values) and all(form.fullmatch(value) for value in values)


def _written(columns: Mapping[str, Any], texts: list[str]) -> Times:
    """Times as text: ISO, or with the year last."""
    days = bool(texts) and all(_DAY.fullmatch(text) for text in texts)
    if texts and all(_DAY_D_CLOCK.fullmatch(text) for text in texts):
        return Times(columns, "text", "%Y-%m-%dD%H:%M:%S" + (".%n" if "." in texts[0] else ""))
    found = [_DAY_LAST.fullmatch(text) for text in texts]
    known = [match for match in found if match is not None]
    if not known or len(known) < len(found):
        clocks = bool(texts) and not days and all(_CLOCK.fullmatch(text) for text in texts)
        return Times(columns, days=days, clocks=clocks)
    first, mark = known[0], known[0][2]
    if any(int(match[1]) > 12 for match in known) or mark == ".":
        order = "%d{0}%m{0}%Y"
    elif any(int(match[3]) > 12 for match in known):
        order = "%m{0}%d{0}%Y"
    else:
        why = f"dates such as {texts[0]} may begin with the day or with the month: say which with time_format"
        return Times(columns, problem=why)
    clock = (first[4] or "") + ("%I:%M" if first[8] else "%H:%M" if first[5] else "")
    clock += (":%S" if first[6] else "") + (".%n" if first[7] else "") + (" %p" if first[8] else "")
    return Times(columns, "text", order.format(mark) + clock + (first[9] or "") + ("%z" if first[10] else ""), days)


def time_unit(sniffed: Sniffed, column: str) -> str:
    """``s``, ``ms``, ``us`` or ``ns`` by the size of the numbers, ``timestamp`` by the type, ``text`` otherwise."""
    if sniffed.types.get(column, "").startswith("timestamp"):
        return "timestamp"
    values = [str(value).strip() for value in sniffed.values(column)]
    digits = {len(value.split(".")[0]) for value in values if _COUNT.fullmatch(value)}
    if digits == {8} and all(_DAY.fullmatch(value) for value in values):
        return "text"
    return _UNITS.get(digits.pop(), "ms") if len(digits) == 1 else "text"


def find(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """The first of some known names among the columns, however it is written; ``t`` before ``T``."""
    there = list(names)
    known = {joined(name): name for name in reversed(there)}
    found = ((name if len(name) == 1 and name in there else known.get(joined(name))) for name in wanted)
    return next((name for name in found if name is not None), None)


def find_each(names: Iterable[str], wanted: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Meanings -> the first of their known names, of those that are among the columns."""
    there = list(names)
    return {meaning: name for meaning, known in wanted.items() if (name := find(there, known)) is not None}


def joined(name: str) -> str:
    """A column's name in lower case, without what stands between its words: ``eventtype`` of EventType, event-type."""
    return plain(name).replace("_", "")


@functools.lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """A column's name in lower case, its words joined by underscores, without what is in brackets around it.

    A unit in brackets is left out, unless it tells another column: ``quote_volume`` of ``volume(quote)``.
    """
    name = re.sub(r"/.*[^\x00-\x7f].*", "", name)  # price/价格: a translation follows
    name = re.sub(r"^(.+?)[\s_]*\((quote)\w*\)$", r"\2_\1", name, flags=re.IGNORECASE)
    name = re.sub(r"(?<=[^\s(])[\s_]*\([^()]*\)$", "", name)
    return re.sub(r"[\s_-]+", "_", name.strip().strip("<>[]").lower())
