"""Earlier publications of units: which there are, and their return."""

from __future__ import annotations

import datetime as dt

from sqlgen.compile.scope import Scan
from sqlgen.errors import UsageError
from sqlgen.lake.partitions import Partition
from sqlgen.operate.upkeep.held import HeldTable, with_symbols
from sqlgen.operate.upkeep.rewrites import Piece, Rewrite
from sqlgen.plan.missing import none_selected
from sqlgen.plan.selection import Selection
from sqlgen.published.records import Published, alike
from sqlgen.published.versions import Version, Versions
from sqlgen.run.engine import Engine
from sqlgen.templating.quoting import exact_path

_RESTORED = "restored"


def versions_of(engine: Engine, name: str) -> Versions:
    """The kept versions of a model's table."""
    output = engine.project.models[name].output
    return Versions.of_table(engine.project.lake, output.path, output.keep_versions)


def versions(engine: Engine, name: str, wanted: Selection) -> dict[Partition, list[Version]]:
    """Earlier versions of the units that a selection covers, newest first; :class:`UsageError` if it covers none."""
    found: dict[Partition, list[Version]] = {}
    current = engine.manifest.load(name)
    for version in versions_of(engine, name).all():
        unit = version.record.partition
        if unit not in current or current[unit].build != version.record.build:  # a killed run kept that which is there
            found.setdefault(unit, []).append(version)
    wanted = with_symbols(wanted, {unit["symbol"] for unit in (*found, *current) if "symbol" in unit})
    if problems := [*none_selected({*found, *current}, wanted)]:
        raise UsageError(f"model '{name}': {'. '.join(problems)}")
    return {
        unit: sorted(each, key=lambda version: version.record.build, reverse=True)
        for unit, each in found.items()
        if wanted.covers(unit)
    }


def restorations(
    held: HeldTable, wanted: Selection, build: str | None = None, before: dt.datetime | None = None
) -> list[Rewrite]:
    """Units as they were: their newest version, that of a ``build``, or the newest published ``before`` a time.

    Raises:
        UsageError: there is none.
    """
    name, found = held.model.name, []
    for unit, each in sorted(versions(held.engine, name, wanted).items()):
        version = next((one for one in each if _fits(one.record, build, before)), None)
        if version is None:
            continue
        if version.record.keys != held.model.output.partition_by:
            raise UsageError(f"model '{name}': {unit} was partitioned by ({', '.join(version.record.keys)}) then")
        found.append(_restoration(held, unit, version))
    if not found:
        which = f" {build}" if build else f" before {before}" if before else ""
        keep = held.model.output.keep_versions
        raise UsageError(
            f"model '{name}': there is no earlier version{which} of the selected partitions. "
            + (
                f"The last {keep} of each are kept"
                if keep
                else "None are kept: set output.keep_versions in models.yaml"
            )
        )
    return found


def _fits(record: Published, build: str | None, before: dt.datetime | None) -> bool:
    published = dt.datetime.fromisoformat(record.published_at)
    return (build is None or record.build == build) and (before is None or published < before)


def _restoration(held: HeldTable, unit: Partition, version: Version) -> Rewrite:
    record = version.record
    version.fetch()
    files = tuple(exact_path(version.data / name) for name in record.files)
    rows = held.compiler.published_select(held.model.name, Scan(files, types=record.types, alike=alike([record])))
    old = held.table.records.get(unit)
    # What an edit has changed comes back as it was built; what another build has changed would be built again.
    edit = "" if old is not None and _same_build(old, record) else f"{_RESTORED} as of {record.published_at}"
    return Rewrite(unit, (Piece(rows),), record.rows, edit=edit, restored=version)


def _same_build(now: Published, record: Published) -> bool:
    """True if a publication is made from the same as that which is there, unless this was restored itself."""
    what = ("sql", "options", "kernels", "checks", "inputs", "edges", "before", "mode", "contributed")
    restored = any(text.startswith(_RESTORED) for text in now.edited)
    return not restored and all(getattr(now, name) == getattr(record, name) for name in what)
