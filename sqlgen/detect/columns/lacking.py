"""Parts of a table that are missing for the kind of rows that it is closest to."""

from __future__ import annotations

from sqlgen.detect.columns.columnmap import book_levels
from sqlgen.detect.columns.names import PRICES_OF_BARS, QUOTE, RATES, TRADE
from sqlgen.detect.columns.times import find, find_each, times_of
from sqlgen.detect.files.sniff import Sniffed

_KINDS = {
    "trades": {ours: TRADE[ours] for ours in ("price", "amount")},
    "bars": PRICES_OF_BARS,
    "quotes": {ours: QUOTE[ours] for ours in ("bid", "ask")},
}
"""Kind of rows -> what a row needs beside its time, and the names of that."""
_ADAPTERS = {"books": "generic/orderbook", "quotes": "generic/ticker"}


def lacking(sniffed: Sniffed) -> str:
    """Columns of a table that are known, what is missing beside them, and what to do."""
    times = times_of(sniffed)
    found = {kind: find_each(sniffed.columns, known) for kind, known in _KINDS.items()}
    found["books"] = book_levels(sniffed.columns) or {}
    missing = {kind: [ours for ours in known if ours not in found[kind]] for kind, known in _KINDS.items()}
    near = sorted((len(missing.get(kind, ())), -len(columns), kind) for kind, columns in found.items() if columns)
    rates = [name for known in RATES if (name := find(sniffed.columns, [known])) is not None]
    if rates and (not near or near[0][0]):
        return (
            f"They seem to be rates of derivatives ({', '.join(rates)}), of which there are no models: leave them out"
        )
    if not near:
        known = ", ".join(name for names in _KINDS.values() for name in names)
        return f"None of their columns has a name that is known for a {known}: map them by hand (docs/sources.md)"
    kind = near[0][2]
    has = [f"{ours} {name}" for ours, name in found[kind].items()]
    if times is not None:
        ts = next(iter(times.columns.values()))
        has.append(f"{'time of day' if times.clocks else 'time'} {ts if isinstance(ts, str) else ' and '.join(ts)}")
    lacks = [*missing.get(kind, ()), *(["time"] if times is None else ["date"] if times.clocks else [])]
    what = f"As {kind} they have {', '.join(has)}, but no {' and no '.join(lacks) or 'values that make sense'}"
    if times is not None and times.clocks:
        return f"{what}. Put the date of the file's name before it (docs/sources.md), and inspect the result"
    if times is not None and times.problem:
        what += f". {times.problem[0].upper()}{times.problem[1:]}"
    return f"{what}. Map their columns with {_ADAPTERS.get(kind, f'generic/{kind}')} (docs/sources.md) by hand"
