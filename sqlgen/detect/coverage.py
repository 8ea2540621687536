"""Coverage of a source by its file names (symbols, dates, missing days), and the choice of sample files."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from sqlgen.detect.files.filegroups import FileGroup, spread
from sqlgen.detect.files.layout import UNKNOWN
from sqlgen.detect.files.sniff import sniff
from sqlgen.detect.findings import FileCoverage
from sqlgen.detect.proposal import ProposedSource
from sqlgen.lake.partitions import partition_of
from sqlgen.project.keys import natural_order, path_keys


def coverage_of(proposed: ProposedSource, group: FileGroup) -> FileCoverage:
    """Coverage of all files of a group, by their names."""
    keys = {path: _keys(proposed, path) for path in group.paths}
    found = [{"exchange": "", "symbol": ""} | dict(pairs) for pairs in keys.values() if pairs is not None]
    dated: dict[tuple[str, str], set[dt.date]] = {}
    for pairs in found:
        date = _date(pairs)
        if date is not None:
            dated.setdefault((pairs["exchange"], pairs["symbol"]), set()).add(date)
    dates = sorted({date for days in dated.values() for date in days})
    missing = [_named(key, day) for key, days in sorted(dated.items()) for day in _missing(days)]
    return FileCoverage(
        folder=proposed.layout.base,
        by=proposed.by,
        files=len(group.paths),
        bytes=sum(group.sizes.values()),
        empty=sum(one.empty for one in group.sniffed.values()),
        example=group.example,
        exchanges=tuple(sorted({pairs["exchange"] for pairs in found} - {"", UNKNOWN})),
        symbols=tuple(sorted({pairs["symbol"] for pairs in found} - {"", UNKNOWN})),
        first_date=str(dates[0]) if dates else "",
        last_date=str(dates[-1]) if dates else "",
        dates=len(dates),
        missing_dates=tuple(missing),
        strangers=len(keys) - len(found),
    )


def _keys(proposed: ProposedSource, path: str) -> Mapping[str, str] | None:
    return path_keys(proposed.source, _in_lake(proposed, path))


def _in_lake(proposed: ProposedSource, path: str) -> str:
    lake = f"{proposed.lake}/"
    return path[len(lake) :] if path.startswith(lake) else os.path.relpath(path, proposed.lake)


def _date(pairs: Mapping[str, str]) -> dt.date | None:
    try:
        whole = partition_of({"exchange": "any", "symbol": "any", **pairs})
    except ValueError:
        return None
    return whole.date if whole is not None else None


def _named(key: tuple[str, str], day: dt.date) -> str:
    return " ".join([*(part for part in key if part not in ("", UNKNOWN)), str(day)])


def _missing(days: Iterable[dt.date]) -> list[dt.date]:
    """Days without files between the first and the last."""
    there = set(days)
    span = (max(there) - min(there)).days
    return [day for step in range(span) if (day := min(there) + dt.timedelta(days=step)) not in there]


def source_files(
    proposed: ProposedSource, paths: Sequence[str], partitions: int | None, files: int = 1, example: str = ""
) -> list[str]:
    """Paths in the lake of files that are not empty: at most ``files`` of each of a few partitions, evenly spread.

    ``partitions`` None: all partitions. ``example``: only the partition of this file.
    """
    by_partition = _by_partition(proposed, paths)
    if example:
        by_partition = {(): by_partition.get(_partition(proposed, example) or (), [example])}
    places = {str(number): inside for number, inside in enumerate(by_partition.values())}
    if partitions is None:
        chosen = [path for inside in by_partition.values() for path in inside]
    else:
        chosen = [path for number in spread(list(places), partitions) for path in spread(places[number], files)]
    return [_in_lake(proposed, path) for path in chosen if not sniff(Path(path)).empty]


def followed(proposed: ProposedSource, paths: Sequence[str], read: Collection[str]) -> set[str]:
    """Files among ``read`` (paths in the lake) whose next one of the partition is read too."""
    own = {path: _in_lake(proposed, path) for path in paths}
    inside = ({own[path] for path in part} for part in _by_partition(proposed, paths).values())
    relative = (sorted(part, key=natural_order) for part in inside if not part.isdisjoint(read))
    return {one for order in relative for one, other in pairwise(order) if one in read and other in read}


def _by_partition(proposed: ProposedSource, paths: Iterable[str]) -> dict[tuple[tuple[str, str], ...], list[str]]:
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for path in paths:
        named = _partition(proposed, path)
        if named is not None:
            found.setdefault(named, []).append(path)
    return found


def _partition(proposed: ProposedSource, path: str) -> tuple[tuple[str, str], ...] | None:
    keys = _keys(proposed, path)
    return None if keys is None else tuple(sorted((key, value) for key, value in keys.items() if key != "hour"))
