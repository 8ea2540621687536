"""The file that computes a model's whole table, for people: one view a stage, in a DuckDB shell."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence

from msgspec import Struct

from sqlgen.compile.statements import KERNEL_ROWS, copy, ordered
from sqlgen.features.stages import Stage, stages
from sqlgen.project.model import Model
from sqlgen.templating.quoting import comment, ident, literal

WHOLE_TABLES = "target/tables"
"""Target folder of compiled files that are run by hand."""
KERNEL_INPUT, KERNEL_TRADES = "kernel_input", "kernel_trades"
QUOTE = '"'

_WITHOUT_KERNELS = """\
-- `run` executes these stages partition by partition, as one statement with a WITH, and publishes each atomically.
-- This file computes the same table in one go: run it from the folder of models.yaml, in a DuckDB shell. It
-- writes to {target}, so that nothing published is touched.
"""
_WITH_KERNELS = """\
-- Kernels run before the last statement, where order and state matter: `run` gives them the rows of
-- kernel_input in time order, one symbol and one day after the other, each day from the state of the day before,
-- and calls what they give kernel_rows. A DuckDB shell runs the views as they are, and not the COPY.
"""
_STAGES = """\
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM {database}.{last} LIMIT 10, or just FROM {last} where you have no table of that name.
"""
_SINGLE = (
    "-- float: single: `run` stores features, in other units than prices and sizes, as FLOAT; this file does not.\n"
)
# Views take names from their own database first; tables and COPY would take those of the session.
_DATABASE = """\
ATTACH IF NOT EXISTS ':memory:' AS {name};
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || {path};
"""


class ModelSql(Struct, frozen=True):
    """SQL of a model over the whole lake, as its compiled file shows it."""

    rows: tuple[Stage, ...]
    """Stages up to the template's result, or to the rows that go into the kernels."""
    trades: str | None
    """Trades that the kernels read beside the rows."""
    table: str
    """The SELECT of the table, over the last of ``rows`` or what the kernels give."""


def named_stages(model: Model, select: str) -> tuple[Stage, ...]:
    """Stages of a SELECT; the last one has the model's name, or that of the kernels' input."""
    found, last = stages(select)
    name = model.name if model.pipeline is None else KERNEL_INPUT
    taken = [stage.name.strip(QUOTE).lower() for stage in found]
    reserved = set() if model.pipeline is None else {KERNEL_INPUT, KERNEL_TRADES, KERNEL_ROWS}
    if len({*taken}) < len(taken) or not reserved.isdisjoint(taken):
        found, last = (), select
    return (*found, Stage(ident(_unused(name, taken) if model.pipeline is None else name), last))


def compiled_file(model: Model, shown: ModelSql, fingerprint: str, foreign: Sequence[str] = ()) -> str:
    """The compiled file of a model; ``foreign``: inputs that DuckDB cannot read."""
    database = f"compiled_{model.name}"
    views = (*shown.rows, *(_published(shown) if model.pipeline is None else ()))
    table = f"FROM {ident(database)}.{views[-1].name}" if model.pipeline is None else shown.table
    parts = [_DATABASE.format(name=ident(database), path=literal(f'"{database}".main'))]
    parts += [_view(database, stage) for stage in views]
    if shown.trades is not None:
        note = "-- Kernels see each of these before the first row that is not earlier."
        parts.append(_view(database, Stage(KERNEL_TRADES, shown.trades, note)))
    if model.pipeline is not None:
        parts.append(_kernels(model))
    parts.append(_copy_whole(model, table) + "\n")
    notes = (_WITH_KERNELS if model.pipeline is not None else _WITHOUT_KERNELS).format(target=_target(model))
    footer = notes + _STAGES.format(database=ident(database), last=shown.rows[-1].name) + _unreadable(foreign)
    footer += _SINGLE if model.output.float == "single" else ""
    # The lines of the header do not depend on the numbers in it.
    above = _header(model, fingerprint, (stage.name for stage in views), footer).count("\n") + 1
    contents = _contents(views, parts[1:], above + parts[0].count("\n") + 1)
    return "\n".join([_header(model, fingerprint, contents, footer), *parts])


def _published(shown: ModelSql) -> tuple[Stage, ...]:
    """Stages between the template's result and the published rows; none if they are the same."""
    rows = [stage.name.lower() for stage in shown.rows]
    if shown.table == f"SELECT *\nFROM {shown.rows[-1].name}":
        return ()
    found, last = stages(shown.table)
    if not {stage.name.lower() for stage in found}.isdisjoint(rows):
        found, last = (), shown.table
    return (*found, Stage(_unused("published", [*rows, *(stage.name.lower() for stage in found)]), last))


def _unused(name: str, taken: Collection[str]) -> str:
    while name.lower() in taken:
        name += "_"
    return name


def _view(database: str, stage: Stage) -> str:
    end = "\n;" if "--" in stage.sql.rpartition("\n")[2] else ";"
    note = f"{stage.comment}\n" if stage.comment else ""
    name = f"{ident(database)}.{stage.name}"
    if not stage.materialized:
        return f"{note}CREATE OR REPLACE VIEW {name} AS\n{stage.sql}{end}\n"
    rows = f"{ident(database)}.{ident(stage.name.strip(QUOTE) + ' (once)')}"
    once = f"CREATE OR REPLACE TABLE {name} AS\nFROM {rows};\n"
    return f"{note}CREATE OR REPLACE VIEW {rows} AS\n{stage.sql}{end}\n\n{once}"


def _contents(views: Sequence[Stage], texts: Sequence[str], line: int) -> Iterator[str]:
    """Table of contents: each stage with its line in the file, the last stage first."""
    lines = []
    for stage, text in zip(views, texts, strict=False):
        line += 1
        lines.append(f"{stage.name}, line {line + stage.comment.count(chr(10)) + bool(stage.comment)}")
        line += text.count("\n")
    yield from reversed(lines)


def _copy_whole(model: Model, select: str) -> str:
    overwrite = ["OVERWRITE true"] if model.output.partition_by else []
    return copy(model, ordered(model, select), _target(model), model.output.partition_by, overwrite)


def _unreadable(foreign: Sequence[str]) -> str:
    if not foreign:
        return ""
    return comment(f"`run` decodes the files of {', '.join(foreign)}; a DuckDB shell cannot read them.") + "\n"


def _kernels(model: Model) -> str:
    assert model.pipeline is not None
    lines = []
    for kernel in model.pipeline.kernels:
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


def _header(model: Model, fingerprint: str, contents: Iterable[str], footer: str) -> str:
    checks = [f"{of}: {check.title}: {check.on_fail}" for of, found in model.checks for check in found]
    keys = ", ".join(model.output.partition_by) or "nothing"
    fields = {
        "model": model.name,
        "description": model.description,
        "template": model.config.sql,
        "inputs": _listed(f"{entry.name} = {entry.ref}" for entry in model.inputs),
        "options": _listed(f"{name} = {value!r}" for name, value in model.fingerprinted_options.items()),
        **({"columns": ", ".join(model.columns)} if model.config.features else {}),
        "lookback": f"{model.lookback:g} s",
        **({"lookahead": f"{model.lookahead:g} s"} if model.lookahead else {}),
        **({"checks": _listed(checks)} if checks else {}),
        "publishes": f"{model.output.path} ({model.output.mode}), by {keys}",
        "fingerprint": fingerprint,
        "stages": _listed(contents),
    }
    return "\n".join([*(_field(name, text) for name, text in fields.items()), "--", footer])


def _field(name: str, text: str) -> str:
    """One line of the header, and more below it where the text has more."""
    first, *rest = text.splitlines() or [""]
    return comment("\n".join([f"{name + ':':12} {first}", *(" " * 13 + line for line in rest)]))


def _listed(items: Iterable[str]) -> str:
    return "\n".join(items) or "none"
