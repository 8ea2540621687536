"""Data that is missing or not read: an error, unless ``--allow-empty``, or a note."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from sqlgen.errors import nearest
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import SUFFIXES
from sqlgen.plan.picture import Picture, input_selection
from sqlgen.plan.plan import Plan
from sqlgen.plan.publishedunits import Forecast
from sqlgen.plan.selection import Selection
from sqlgen.sources.sourcefiles import SourceFiles

_SHOWN = 5
MAX_NOTES = 20
"""Most notes on skipped files and folders of a source."""
_FIX = "Fix its path in models.yaml"


def missing(picture: Picture, forecast: Forecast, selection: Selection) -> Iterator[str]:
    """Sources without files, values that no partition has, and models whose inputs were never built."""
    if not selection.models and not selection.recent:
        yield "no model is selected: models.yaml has none, or all of them are disabled"
    for name, source_files in picture.source_files.items():
        if _is_empty(source_files) and _is_needed(picture, selection, name):
            yield _no_files(picture, name, source_files)
    yield from _parents(picture, selection)
    yield from (text for text, is_empty in _parts(picture, forecast, selection) if is_empty)
    yield from _unmatched(picture, forecast, selection)


def passed_over(picture: Picture, selection: Selection) -> Iterator[str]:
    """Notes on files that are not read, and on sources without files if that is no error."""
    for name, source_files in picture.source_files.items():
        if not _is_empty(source_files):
            yield from (f"source '{name}': {_unsupported(source_files)}",) if source_files.unsupported else ()
        elif not _is_needed(picture, selection, name):
            yield _no_files(picture, name, source_files).removesuffix(f" {_FIX}")


def _is_empty(source_files: SourceFiles) -> bool:
    there = source_files.partitions or source_files.others
    return not (there or source_files.unassigned or source_files.settled)


def _no_files(picture: Picture, name: str, source_files: SourceFiles) -> str:
    """Message about a source without files, with the files that are there instead."""
    project = picture.project
    folder = project.lake / project.sources[name].path
    if not source_files.folder_exists:
        return f"source '{name}': no folder {folder}.{_nearest_folder(folder)} {_FIX}"
    if empty := source_files.without_rows:
        return f"source '{name}': no row in {len(empty):,} file(s) in {folder}: {_few(empty)}"
    if not source_files.unsupported:
        return f"source '{name}': no files in {folder}"
    wanted = project.sources[name].format
    reads = [suffix for suffix, kind in SUFFIXES.items() if wanted in ("auto", kind)]
    stated = "" if wanted == "auto" else f" (its format is {wanted})"
    return (
        f"source '{name}': no files in {folder} that it can read: {_unsupported(source_files)}."
        f" It reads {', '.join(reads)}{stated}"
    )


def _unsupported(source_files: SourceFiles) -> str:
    """``"2 files with a suffix that is not read: a.json, b.json"``."""
    names = sorted(source_files.unsupported)
    return f"{len(names):,} file{'s' if len(names) > 1 else ''} with a suffix that is not read: {_few(names)}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _nearest_folder(folder: Path) -> str:
    above = next(parent for parent in folder.parents if parent.is_dir())
    wanted = folder.relative_to(above).parts[0]
    found = difflib.get_close_matches(wanted, sorted(path.name for path in above.iterdir() if path.is_dir()), n=1)
    return f" Did you mean '{above / found[0]}'?" if found else ""


def _is_needed(picture: Picture, selection: Selection, source: str) -> bool:
    """True for a source that a selected model requires, unless its files were deleted after processing."""
    readers = [
        name
        for name in selection.models
        for entry in picture.project.models[name].inputs
        if entry.ref == source and not entry.spec.optional
    ]
    processed = source in picture.project.deleting and any(picture.records.get(name) for name in readers)
    return bool(readers) and not processed


def _parents(picture: Picture, selection: Selection) -> Iterator[str]:
    for name in selection.models:
        for entry in picture.project.models[name].inputs:
            needed = entry.source is None and not entry.spec.optional and entry.ref not in selection.models
            if needed and not (picture.records.get(entry.ref) or picture.tables[entry.ref].left_out):
                yield (
                    f"model '{name}' reads '{entry.ref}', of which nothing is published. Build it first:"
                    f" sqlgen run --select +{name}"
                )


def partly_missing(picture: Picture, forecast: Forecast, selection: Selection) -> Iterator[str]:
    """Notes on exchanges and symbols of inputs that no partition has, if the input is not empty."""
    yield from (text for text, is_empty in _parts(picture, forecast, selection) if not is_empty)


def _parts(picture: Picture, forecast: Forecast, selection: Selection) -> Iterator[tuple[str, bool]]:
    """Exchanges, symbols and dates of inputs that no partition has, each with True if the input is empty."""
    for name in selection.models:
        for entry in picture.project.models[name].inputs:
            if entry.spec.optional:
                continue
            source = entry.source is not None
            there = {*(picture.source_files[entry.ref].partitions if source else forecast.versions.get(entry.ref, ()))}
            if entry.ref in picture.project.deleting:
                there |= set(picture.records.get(name, {}))
            selected = input_selection(entry)
            is_empty = not any(map(selected.covers, there))
            for problem in none_selected(there, selected, picture.elsewhere):
                yield f"model '{name}', input '{entry.name}' ({entry.ref}): {problem}", is_empty


def _unmatched(picture: Picture, forecast: Forecast, selection: Selection) -> Iterator[str]:
    units = {
        unit
        for name in selection.models
        for found in (
            forecast.index(picture.project.models[name], picture.project.models[name].primary),
            picture.records.get(name, {}),
        )
        for unit in found
    }
    yield from none_selected(units, selection, picture.elsewhere)


def none_selected(
    units: Collection[Partition], selection: Selection, elsewhere: Collection[Partition] = ()
) -> Iterator[str]:
    """Values that no partition has; ``elsewhere``: symbols of other shards, whose dates are not known."""
    problems = [
        *_values((*units, *elsewhere), "exchange", selection.exchanges),
        *_values((*units, *elsewhere), "symbol", selection.symbols),
        *(() if elsewhere else _dates(units, selection)),
    ]
    if units and not elsewhere and not problems and not any(map(selection.covers, units)):
        problems = [f"none of the {len(units):,} partition(s) has all that is selected, each of which some have"]
    yield from problems


def _values(units: Iterable[Partition], key: str, given: Iterable[str]) -> Iterator[str]:
    known = sorted({unit[key] for unit in units if key in unit})
    for value in given if known else ():
        if value not in known:
            shown = ", ".join(known[:_SHOWN]) + (f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else "")
            yield f"no partition has {key} '{value}'.{nearest(value, known)} There are: {shown}"


def _dates(units: Iterable[Partition], selection: Selection) -> Iterator[str]:
    dates = sorted({date for unit in units if (date := unit.date) is not None})
    covered = [
        date
        for date in dates
        if (selection.start is None or selection.start <= date) and (selection.end is None or date <= selection.end)
    ]
    if dates and not covered:
        since = f" from {selection.start}" if selection.start else ""
        until = f" until {selection.end}" if selection.end else ""
        yield f"no partition has a date{since}{until}. There are dates from {dates[0]} to {dates[-1]}"


def shard_notes(plan: Plan) -> Iterator[str]:
    """Notes on models that a shard does not build, and on a shard without symbols."""
    shard, waiting = plan.selection.shard, plan.selection.waiting
    if waiting:
        yield (
            f"{', '.join(waiting)}: waits for all shards, because its partitions are not each of one exchange and"
            " symbol, or it is built after all of another model. Run it without --shard once all shards are done"
        )
    picture = plan.picture
    there = any(found.partitions or found.settled for found in picture.source_files.values())
    if shard is not None and picture.elsewhere and not (there or any(picture.records.values())):
        yield f"shard {shard} has none of the {len(picture.elsewhere):,} symbols"


def faults(name: str, source_files: SourceFiles) -> Iterator[str]:
    """Errors: data that could not be read."""
    yield from source_files.unassigned
    yield from (f"source '{name}': {text}" for text in _first(source_files.unreadable))


def notes(name: str, source_files: SourceFiles) -> Iterator[str]:
    """Notes on files, and on rows of them, that are not read."""
    if source_files.unmatched:
        yield (
            f"source '{name}': {len(source_files.unmatched)} file(s) do not fit its pattern and are not read,"
            f" the first of them {source_files.unmatched[0]}"
        )
    passed = (*source_files.skipped, *source_files.wrong)
    yield from (f"source '{name}': passed over: {text}" for text in _first(passed))
    yield from _first(source_files.left_out)


def _first(problems: Sequence[str]) -> list[str]:
    """First of many messages, and the number of the others."""
    more = [f"{len(problems) - MAX_NOTES:,} more like these"] if len(problems) > MAX_NOTES else []
    return [*problems[:MAX_NOTES], *more]
