"""The SELECT of what one unit's files will hold. Pure."""

from __future__ import annotations

from sqlgen.model import Model
from sqlgen.partitions import Partition
from sqlgen.predicates import partition_predicate
from sqlgen.scope import Scan
from sqlgen.statements import order
from sqlgen.templates import Library

MERGE_TEMPLATE = "publish/merge.sql.j2"
UNIT_TEMPLATE = "publish/unit.sql.j2"


def merged(library: Library, model: Model, select: str, old: Scan | None = None) -> str:
    """In mode merge, the rows of ``select`` and of the published files, ``old``; otherwise ``select`` as it is."""
    output = model.output
    if output.mode != "merge":
        return select
    return library.render(
        MERGE_TEMPLATE,
        select=select,
        files=list(old.files) if old is not None else [],
        types=dict(old.types) if old is not None else {},
        partition_by=list(output.partition_by),
        key=list(dict.fromkeys((*model.unit_keys, *output.key))),
        order_by=list(output.order_by),
    )


def of_unit(library: Library, model: Model, select: str, unit: Partition) -> str:
    """The rows as the unit's files hold them: sorted, and without the columns that its path names."""
    if not model.unit_keys and not order(model):
        return select
    return library.render(
        UNIT_TEMPLATE,
        rows=select,
        keys=list(model.unit_keys),
        predicate=partition_predicate(unit),
        order_by=list(order(model)),
    )
