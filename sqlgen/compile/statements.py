"""Statements around a SELECT: COPY with its options, and the compiled file that people read."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlgen.lake.partitions import Partition
from sqlgen.project.model import Model
from sqlgen.templating import quoting
from sqlgen.templating.quoting import comment, ident, literal, quoted

FOOTER_KEY = "sqlgen"
"""Name of the text that is in the footer of every published file."""
WHOLE_TABLES = "target/tables"
"""Where compiled files write to, run by hand."""
KERNEL_ROWS = "kernel_rows"
"""What the kernels give, as a relation that the last statement of a model reads."""


Parts = tuple[str | None, str | None, str]
"""SQL of a model: rows that go into its kernels, trades beside them, and the SELECT of its table."""


def copy_options(model: Model) -> list[str]:
    """Options of a model's COPY."""
    output = model.output
    options = [f"FORMAT {output.format}", f"COMPRESSION {output.compression}"]
    if output.compression == "zstd" and output.compression_level is not None:
        options.append(f"COMPRESSION_LEVEL {output.compression_level}")
    rows = output.row_group_size or model.config.batch_size
    if rows is not None:
        options.append(f"ROW_GROUP_SIZE {rows}")
    return options


@dataclass(frozen=True)
class Target:
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

    def options(self, in_folders: bool) -> list[str]:
        """Options of the COPY beside those of the model."""
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
    """The columns by which the rows of a file are sorted; none where they stay as they come."""
    return () if model.output.mode == "merge" else model.output.order_by


def _ordered(model: Model, select: str) -> str:
    columns = ", ".join(map(ident, order(model)))
    return f"SELECT *\nFROM (\n{indent(select)}\n)\nORDER BY {columns}" if columns else select


def in_order(select: str) -> str:
    """``select`` sorted by time, rows of the same time as they were: for what does not come sorted."""
    rows = f"SELECT\n    *,\n    row_number() OVER () AS place\nFROM (\n{indent(select)}\n)"
    return f"SELECT * EXCLUDE (place)\nFROM (\n{indent(rows)}\n)\nORDER BY ts, place"


def indent(text: str) -> str:
    """``text`` one step to the right."""
    return quoting.indent(text, first=True)


def compiled_file(model: Model, select: str, fingerprint: str, foreign: Sequence[str] = ()) -> str:
    """A file that computes a model's whole table in one statement; ``foreign``: inputs that DuckDB cannot read."""
    footer = f"""\
-- `run` executes this SELECT partition by partition and publishes each atomically. This file computes
-- the same table in one statement: run it from the folder of models.yaml, in a DuckDB shell. It writes
-- to {_target(model)}, so that nothing published is touched.
"""
    return _header(model, fingerprint, footer + _unreadable(foreign)) + "\n" + _copy_whole(model, select) + "\n"


def compiled_file_with_kernels(
    model: Model, feed: str, trades: str | None, select: str, fingerprint: str, foreign: Sequence[str] = ()
) -> str:
    """A file that shows what goes into the kernels of a model, what they do, and what becomes of it."""
    footer = """\
-- Kernels run between the statements below, where order and state matter: `run` gives them the rows of
-- kernel_input in time order, one symbol and one day after the other, each day from the state of the day before,
-- and calls what they give kernel_rows. A DuckDB shell runs the views as they are, and not the COPY.
"""
    header = _header(model, fingerprint, footer + _unreadable(foreign))
    parts = [header, f"CREATE OR REPLACE TEMPORARY VIEW kernel_input AS\n{feed};\n"]
    if trades is not None:
        parts.append(
            f"-- Kernels see each of these before the first row that is not earlier.\n"
            f"CREATE OR REPLACE TEMPORARY VIEW kernel_trades AS\n{trades};\n"
        )
    parts.append(_kernels(model))
    return "\n".join([*parts, _copy_whole(model, select)]) + "\n"


def _unreadable(foreign: Sequence[str]) -> str:
    if not foreign:
        return ""
    return comment(f"`run` decodes the files of {', '.join(foreign)}; a DuckDB shell cannot read them.") + "\n"


def _kernels(model: Model) -> str:
    assert model.chain is not None
    lines = []
    for kernel in model.chain.kernels:
        options = [f"{name} = {model.options.get(name, option.default)!r}" for name, option in kernel.options.items()]
        reads = ["ts", *kernel.inputs(), *(["kernel_trades"] if kernel.reads_trades else [])]
        lines += [
            f"kernel {kernel.name}, version {kernel.version}: {kernel.doc}",
            *_wrapped("options", options),
            *_wrapped("reads", reads),
            *(
                f"  {'passes on' if column.hidden else 'gives'} {column.name}: {column.type}; {column.doc}"
                for column in kernel.outputs()
            ),
        ]
    return comment("\n".join(lines)) + "\n"


def _wrapped(title: str, items: list[str]) -> list[str]:
    text = textwrap.wrap(", ".join(items), 105)
    return [f"  {title if number == 0 else ' ' * len(title)} {line}" for number, line in enumerate(text)]


def _target(model: Model) -> str:
    return f"{WHOLE_TABLES}/{model.name}" + ("" if model.output.partition_by else ".parquet")


def _copy_whole(model: Model, select: str) -> str:
    overwrite = ["OVERWRITE true"] if model.output.partition_by else []
    return copy(model, _ordered(model, select), _target(model), model.output.partition_by, overwrite)


def _header(model: Model, fingerprint: str, footer: str) -> str:
    said = [f"{of}: {check.title}: {check.on_fail}" for of, checks in model.checks for check in checks]
    keys = ", ".join(model.output.partition_by) or "nothing"
    fields = {
        "model": model.name,
        "description": model.description,
        "template": model.config.sql,
        "inputs": _listed(f"{entry.name} = {entry.ref}" for entry in model.inputs),
        "options": _listed(f"{name} = {value!r}" for name, value in model.told_options.items()),
        "lookback": f"{model.lookback:g} s",
        **({"lookahead": f"{model.lookahead:g} s"} if model.lookahead else {}),
        **({"checks": _listed(said)} if said else {}),
        "publishes": f"{model.output.path} ({model.output.mode}), by {keys}",
        "fingerprint": fingerprint,
    }
    return "\n".join([*(_field(name, text) for name, text in fields.items()), "--", footer])


def _field(name: str, text: str) -> str:
    """One line of the header, and more below it where the text has more."""
    first, *rest = text.splitlines() or [""]
    return comment("\n".join([f"{name + ':':12} {first}", *(" " * 13 + line for line in rest)]))


def _listed(items: Iterable[str]) -> str:
    return "\n".join(items) or "none"


def whole_file(model: Model, parts: Parts, fingerprint: str, foreign: list[str]) -> str:
    """The compiled file of a model, with kernels or without."""
    feed, trades, select = parts
    if feed is None:
        return compiled_file(model, select, fingerprint, foreign)
    return compiled_file_with_kernels(model, feed, trades, select, fingerprint, foreign)
