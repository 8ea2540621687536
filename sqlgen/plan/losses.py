"""Published rows that a full refresh would lose because their source files are gone."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from sqlgen.lake.partitions import Partition
from sqlgen.plan.picture import Picture
from sqlgen.plan.publishedunits import Forecast
from sqlgen.plan.selection import Selection
from sqlgen.project.model import Model
from sqlgen.published.records import Published


class Loss(Struct, frozen=True):
    """One unit that a full refresh would take rows from."""

    unit: Partition
    rows: int
    """Published rows; how many of them would be lost is unknown."""
    example: str
    """A file that is gone."""


def refusal(picture: Picture, forecast: Forecast, model: Model, selection: Selection) -> str:
    """Reason to refuse a full refresh of a model; empty if nothing would be lost."""
    found = (
        sorted(_losses(picture, forecast, model, selection), key=lambda loss: loss.unit)
        if selection.full_refresh
        else []
    )
    if not found:
        return ""
    first = found[0]
    root = picture.project.lake / model.output.path
    return (
        f"model '{model.name}': --full-refresh would lose published rows whose raw files are gone: in"
        f" {len(found)} partition(s), which hold {sum(loss.rows for loss in found):,} rows, the first of them"
        f" {first.unit.path or 'the whole table'} ({first.example}). Nothing is rebuilt. Put the files back; or move"
        f" these partitions out of {root}, and what is there will be rebuilt without them"
    )


def _losses(picture: Picture, forecast: Forecast, model: Model, selection: Selection) -> Iterator[Loss]:
    root = picture.project.lake / model.output.path
    units = forecast.index(model, model.primary)
    for unit, record in picture.records.get(model.name, {}).items():
        swapped = record.keys != model.output.partition_by
        if not record.rows or not (swapped or (selection.covers(unit) and unit in units)):
            continue
        example = _gone(picture, model, unit, record) or (
            _left_out(forecast, model, unit) if swapped and not selection.prune else ""
        )
        if example and next((root / unit.path).rglob("*.parquet"), None) is not None:
            yield Loss(unit, record.rows, example)


def _gone(picture: Picture, model: Model, unit: Partition, record: Published) -> str:
    """A missing file that contributed rows to a unit, for modes append and merge; empty if there is none."""
    if record.mode == "overwrite" or model.primary.source is None:
        return ""
    there = {file.path for files in picture.source_files[model.primary.ref].partitions.values() for file in files}
    if record.mode == "append":
        return next((f"{path} is gone" for path, *_ in record.contributed if path not in there), "")
    if model.primary.ref in picture.project.deleting:
        return f"files of '{model.primary.ref}' are deleted after processing"
    sources = picture.tables[model.name].sources(unit)
    if not sources:
        return "its file is damaged, so that it is not known which files it was merged from"
    paths = (str(path) for path, *_ in sources.get(model.primary.name, []))
    return next((f"{path} is gone" for path in paths if path not in there), "")


def _left_out(forecast: Forecast, model: Model, unit: Partition) -> str:
    """Note on a unit without inputs, which a rebuilt table would not have; empty if it has inputs."""
    keys = [key for key, _ in unit.values]
    inputs = (partition for found in forecast.index(model, model.primary).values() for partition in found)
    return "" if any(partition.project(keys) == unit for partition in inputs) else "all its inputs are gone"
