"""Files of hftbacktest 2: one array of events per day (hftbacktest.readthedocs.io/en/latest/data.html)."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import numpy as np

from sqlgen.exports.feed import FeedDay, FeedViews
from sqlgen.exports.target import new_file
from sqlgen.templating.queries import query

EVENT = np.dtype(
    [
        ("ev", "u8"),
        ("exch_ts", "i8"),
        ("local_ts", "i8"),
        ("px", "f8"),
        ("qty", "f8"),
        ("order_id", "u8"),
        ("ival", "i8"),
        ("fval", "f8"),
    ],
    align=True,
)
"""``hftbacktest.types.event_dtype``."""
FIELDS = ("ev", "exch_ts", "local_ts", "px", "qty")


def write_day(feed: FeedViews, day: FeedDay, folder: Path) -> list[tuple[Path, int]]:
    """Write the events of a day as ``EXCHANGE_SYMBOL_DATE.npz``; its path and their number."""
    context = {"book": feed.book, "trades": feed.trades, "times": feed.times, "levels": feed.levels, "day": day}
    found = feed.connection.execute(query("export_hftbacktest", **context)).fetchnumpy()
    events = np.zeros(len(found["ev"]), EVENT)
    for name in FIELDS:
        events[name] = found[name]
    path = folder / f"{quote(day.exchange, safe='')}_{quote(day.symbol, safe='')}_{day.date}.npz"
    with new_file(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, data=events)
    return [(path, len(events))]
