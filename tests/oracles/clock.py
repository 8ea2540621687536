"""Calendar columns, UTC."""

from __future__ import annotations

import datetime as dt

from tests.oracles.rows import NS, Row

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def calendar(ts: int) -> Row:
    """Hour, minute, weekday (0 = Monday) and weekend flag of ``ts`` (ns since the epoch)."""
    moment = EPOCH + dt.timedelta(seconds=ts // NS)
    return {
        "hour_of_day": moment.hour,
        "minute_of_hour": moment.minute,
        "day_of_week": moment.weekday(),
        "is_weekend": moment.weekday() >= 5,
    }
