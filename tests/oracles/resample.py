"""Rows on a regular grid of time, point by point."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.oracles.bars import date_of
from tests.oracles.clock import EPOCH
from tests.oracles.rows import NS, Row
from tests.oracles.segments import mean, present, total

DAY = 86_400 * NS
HOW = {
    "last": lambda values: values[-1] if values else None,
    "first": lambda values: values[0] if values else None,
    "mean": mean,
    "sum": total,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "count": len,
}
KEYS = ("exchange", "symbol", "date", "ts", "seq")


@dataclass(frozen=True)
class Options:
    """Options of ``resample`` with their defaults."""

    frequency: float = 1.0
    columns: Sequence[str] = ("*",)
    max_staleness: float = 60
    null_stale: bool = False
    fill_gaps: bool = False
    max_gap: float = 300
    emit_open: bool = False
    last: Sequence[str] = ()
    first: Sequence[str] = ()
    mean: Sequence[str] = ()
    sum: Sequence[str] = ()
    min: Sequence[str] = ()
    max: Sequence[str] = ()
    count: Sequence[str] = ()

    @property
    def step(self) -> int:
        return round(self.frequency * NS)


def resample(rows: Iterable[Row], **options: object) -> list[Row]:
    """Expected rows of ``resample`` from the canonical rows of its input."""
    given = Options(**options)  # type: ignore[arg-type]
    keys: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        keys.setdefault((row["exchange"], row["symbol"]), []).append(row)
    return [point for key in sorted(keys) for point in _of_key(keys[key], given)]


def midnight(date: dt.date) -> int:
    """Of the day that begins, in ns since the epoch."""
    return (date - EPOCH.date()).days * DAY


def _of_key(rows: list[Row], options: Options) -> list[Row]:
    rows = sorted(rows, key=lambda row: (row["ts"], row["date"], row["seq"]))
    points = [_at_or_after(row["ts"], options.step) for row in rows]
    last = points[-1] if options.emit_open else rows[-1]["ts"]
    out = []
    for date in sorted({row["date"] for row in rows} | {date_of(g) for g in points}):
        begin, end = max(midnight(date), points[0]), min(midnight(date) + DAY, last + 1)
        filled = range(_at_or_after(begin, options.step), end, options.step)
        chosen = filled if options.fill_gaps else sorted({g for g in points if date_of(g) == date and g <= last})
        out += [_point(rows, date, g, seq, options) for seq, g in enumerate(chosen)]
    return out


def _at_or_after(time: int, step: int) -> int:
    return time + -time % step


def _point(rows: list[Row], date: dt.date, g: int, seq: int, options: Options) -> Row:
    before = [row for row in rows if row["ts"] <= g]
    inside = [row for row in before if row["ts"] > g - options.step]
    last = before[-1] if before else None
    if last is not None and not inside and g - last["ts"] > options.max_gap * NS:
        last = None  # nothing is carried on over a gap
    staleness = (g - last["ts"]) / NS if last is not None else None
    stale = staleness is None or staleness > options.max_staleness
    columns = [name for name in rows[0] if name not in KEYS] if "*" in options.columns else list(options.columns)
    carried = None if options.null_stale and stale else last
    return {
        **{name: rows[0][name] for name in ("exchange", "symbol")},
        "date": date,
        "ts": g,
        "seq": seq,
        "original_timestamp": last["ts"] if last is not None else None,
        "data_staleness": staleness,
        "snapshot_count": len(inside),
        "is_stale": stale,
        **{name: carried[name] if carried is not None else None for name in columns},
        **_aggregates(inside, options),
    }


def _aggregates(inside: list[Row], options: Options) -> Row:
    return {
        f"{how}_{column}": function(present(row[column] for row in inside))  # type: ignore[no-untyped-call]
        for how, function in HOW.items()
        for column in getattr(options, how)
    }
