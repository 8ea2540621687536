"""Numbers and times as people read them."""

from __future__ import annotations

import datetime as dt
import math


def count(number: int) -> str:
    """A number with thousands separators."""
    return f"{number:,}"


def number(value: float | None) -> str:
    """A number for people: six digits at most."""
    if value is None or value != value:
        return ""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.5g}"
    places = max(0, 5 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}".rstrip("0").rstrip(".")


def size(number: float) -> str:
    """Bytes in kB, MB, GB."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def moment(time: dt.datetime | str | None) -> str:
    """A time in UTC, to the second; empty for none."""
    if time is None:
        return ""
    found = dt.datetime.fromisoformat(time) if isinstance(time, str) else time
    return f"{found.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"
