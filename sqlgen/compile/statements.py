"""Statements around a SELECT: COPY with its options, and the compiled file that people read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from sqlgen.lake.partitions import Partition
from sqlgen.project.config import Compression, Storage
from sqlgen.project.model import Model
from sqlgen.templating import quoting
from sqlgen.templating.quoting import ident, literal, quoted

FOOTER_KEY = "sqlgen"
"""Key of the record in the footer of every published file."""
KERNEL_ROWS = "kernel_rows"
"""Relation of the kernels' output, which the last statement of a model reads."""


Parts = tuple[str | None, str | None, str]
"""SQL of a model: rows that go into its kernels, trades beside them, and the SELECT of its table."""


class Preset(Struct, frozen=True):
    """Options of the files of one kind of ``storage``."""

    compression: Compression = "zstd"
    level: int = 3
    options: tuple[str, ...] = ()


# Dictionaries of more values take longer than they save; docs/models-yaml.md tells what was measured.
_SMALL_DICTIONARIES = ("DICTIONARY_SIZE_LIMIT 1000", "WRITE_BLOOM_FILTER false")
PRESETS: Mapping[Storage, Preset] = {
    "small": Preset(level=4, options=_SMALL_DICTIONARIES),
    "balanced": Preset(),
    "fast": Preset("lz4", options=_SMALL_DICTIONARIES),
}


def copy_options(model: Model) -> list[str]:
    """Options of a model's COPY."""
    output = model.output
    preset = PRESETS[output.storage]
    compression = output.compression or preset.compression
    options = [f"FORMAT {output.format}", f"COMPRESSION {compression}"]
    if compression == "zstd":
        options.append(f"COMPRESSION_LEVEL {output.compression_level or preset.level}")
    options += preset.options
    rows = output.row_group_size or model.config.batch_size
    if rows is not None:
        options.append(f"ROW_GROUP_SIZE {rows}")
    return options


def stored_as(model: Model) -> list[str]:
    """Properties of the files of a model, in its fingerprint."""
    single = ["float single"] if model.output.float == "single" else []
    return [*copy_options(model), *single, *([f"order_by {', '.join(order(model))}"] if order(model) else [])]


class Target(Struct, frozen=True):
    """Target of the COPY of one unit, and the record for its files."""

    path: str
    """A file, or a folder with inner partitions."""
    unit: Partition
    stem: str
    """Start of the names of the files in a folder."""
    stamp: str
    """Text for the footers."""
    types: Mapping[str, str] = field(default_factory=dict)
    """SQL types of the partition columns below the unit."""
    singles: tuple[str, ...] = ()
    """Columns that are stored in single precision."""

    def options(self, in_folders: bool) -> list[str]:
        """Options of the COPY in addition to the model's."""
        names = [f"FILENAME_PATTERN {literal(self.stem + '_{i}')}", "OVERWRITE_OR_IGNORE true"] if in_folders else []
        return [*names, f"KV_METADATA {{{FOOTER_KEY}: {literal(self.stamp)}}}"]


def copy(model: Model, select: str, target: str, partition_by: tuple[str, ...], extra: Iterable[str] = ()) -> str:
    """COPY of ``select`` to ``target``: a file, or a folder with partitions in it."""
    options = copy_options(model)
    if partition_by:
        options.append(f"PARTITION_BY ({', '.join(map(ident, partition_by))})")
    lines = ",\n    ".join([*options, *extra])
    return f"COPY (\n{indent(select)}\n) TO {quoted(target)} (\n    {lines}\n);"


def order(model: Model) -> tuple[str, ...]:
    """Columns by which the rows of a file are sorted; none to keep their order."""
    return () if model.output.mode == "merge" else model.output.order_by


def ordered(model: Model, select: str) -> str:
    """``select`` sorted as the rows of a file are."""
    columns = ", ".join(map(ident, order(model)))
    return f"SELECT *\nFROM (\n{indent(select)}\n)\nORDER BY {columns}" if columns else select


def in_order(select: str) -> str:
    """``select`` sorted by time (stable), for input that may be unsorted."""
    rows = f"SELECT\n    *,\n    row_number() OVER () AS place\nFROM (\n{indent(select)}\n)"
    return f"SELECT * EXCLUDE (place)\nFROM (\n{indent(rows)}\n)\nORDER BY ts, place"


def indent(text: str) -> str:
    """``text`` one step to the right."""
    return quoting.indent(text, first=True)
