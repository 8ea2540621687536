"""Which rows are meant, as SQL over canonical rows."""

from __future__ import annotations

from sqlgen.lake.partitions import Partition
from sqlgen.project.model import ModelInput
from sqlgen.templating.quoting import ident, literal


def input_predicate(entry: ModelInput) -> str | None:
    """The part of an input that models.yaml chose, as SQL over canonical rows."""
    spec = entry.spec
    parts = [
        f"{key} IN ({', '.join(literal(value) for value in values)})"
        for key, values in (("exchange", spec.exchange), ("symbol", spec.symbol))
        if values is not None
    ]
    if spec.date_start is not None:
        parts.append(f"date >= {literal(spec.date_start)}")
    if spec.date_end is not None:
        parts.append(f"date <= {literal(spec.date_end)}")
    return " AND ".join(parts) or None


def partition_predicate(partition: Partition) -> str:
    """The rows of one partition."""
    terms = (f"{ident(key)} = {'DATE ' if key == 'date' else ''}{literal(value)}" for key, value in partition.values)
    return " AND ".join(terms) or "TRUE"
