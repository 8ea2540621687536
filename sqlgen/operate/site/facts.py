"""Facts about models and sources that their pages tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from markupsafe import Markup
from msgspec import Struct, field

from sqlgen.errors import SqlgenError, first_line
from sqlgen.explore.columns import Described
from sqlgen.explore.lineage.columns import ColumnNode, ProjectLineage
from sqlgen.explore.lineage.trees import groups, makers, users
from sqlgen.explore.pages.numbers import moment, number, size
from sqlgen.operate.history import RunSummary, Totals
from sqlgen.operate.site.graph import Drawing, drawing
from sqlgen.operate.site.heat import HeatMap
from sqlgen.operate.site.stats import PageStats
from sqlgen.operate.status import ModelStatus
from sqlgen.project.model import Model, adapter_template
from sqlgen.project.project import Project
from udfs import Kernel

_NAMED = 4
"""Columns that are named beside a column that is made of them."""


class Made(NamedTuple):
    """Lineage of one column, as its row tells it."""

    names: str
    sql: str
    links: list[tuple[str, str]]
    by: str


class ModelPage(Struct, frozen=True):
    """One model, as its page shows it."""

    name: str
    description: str
    tags: tuple[str, ...]
    state: tuple[str, str] | None
    """Class and text of its state, if there is one."""
    facts: list[tuple[str, str]]
    columns: tuple[Described, ...]
    made: Mapping[str, Made]
    kernels: tuple[Kernel, ...]
    drawing: Drawing
    heat: HeatMap
    stats: PageStats
    sql: Markup
    rows: int
    bytes: int
    partitions: int
    until: str
    failure: str
    runs: list[tuple[str, Totals]] = field(default_factory=list)

    @property
    def stats_note(self) -> str:
        """Rows that the statistics are of."""
        stats = self.stats
        if stats.problem:
            return f"No statistics: {stats.problem}."
        which = "all" if stats.partitions == stats.of_partitions else f"the newest {stats.partitions:,} of"
        return (
            f"Statistics of {stats.rows:,} rows: {which} {stats.of_partitions:,} partitions. Distributions between the "
            "quantiles 0.01 and 0.99."
        )

    @property
    def ends(self) -> dict[str, tuple[str, str]]:
        """Column -> its least and greatest value."""
        found = {}
        for column in self.columns:
            stats = self.stats.columns.get(column.name)
            ends = (stats.least, stats.greatest) if stats is not None else ("", "")
            found[column.name] = (_short(ends[0]), _short(ends[1]))
        return found


class SourcePage(Struct, frozen=True):
    """One source, as its page shows it."""

    name: str
    description: str
    adapter: str
    path: str
    facts: list[tuple[str, str]]
    columns: list[tuple[Described, str, str]]
    """Column, columns of the files that it is made of, and expression."""
    drawing: Drawing
    sql: Markup | None
    problem: str


def model_facts(model: Model, status: ModelStatus) -> list[tuple[str, str]]:
    """Names and values of what a model is."""
    keys = ", ".join(model.output.partition_by) or "nothing"
    options = ", ".join(f"{name} = {value}" for name, value in model.config.options.items())
    found = [
        ("rows", f"{status.rows:,}"),
        ("size", size(status.bytes)),
        ("partitions", f"{status.partitions:,}"),
        ("until (UTC)", moment(status.watermark)),
        ("stale", f"{status.stale:,}" if status.stale else ""),
        ("schedule", status.schedule or ""),
        ("template", model.config.sql),
        ("table", f"{model.output.path} ({model.output.mode}, by {keys})"),
        ("options", options),
        ("lookback", f"{model.lookback:g} s" if model.lookback else ""),
        ("lookahead", f"{model.lookahead:g} s" if model.lookahead else ""),
    ]
    return [(name, value) for name, value in found if value]


def state_of(status: ModelStatus) -> tuple[str, str] | None:
    """Class and text of the state of a model."""
    if status.failing:
        return "bad", f"{status.failing:,} partitions fail"
    if not status.partitions:
        return "warn", "not built yet" if status.enabled else "disabled"
    if status.stale:
        return "warn", f"{status.stale:,} partitions stale"
    return ("ok", "up to date") if status.stale == 0 else None


def neighbours(project: Project, name: str) -> Drawing:
    """The drawing of what a source or model is made from, and what is made from it."""
    return drawing(project, {name, *makers(project, name), *users(project, name)}, name)


def made_of(lineage: ProjectLineage, name: str, columns: Iterable[Described]) -> dict[str, Made]:
    """Column -> its lineage; empty where the SQL cannot be read."""
    try:
        return {column.name: _made(lineage, lineage.column(name, column.name)) for column in columns}
    except SqlgenError:
        return {}


def _made(lineage: ProjectLineage, node: ColumnNode) -> Made:
    parts = groups([*dict.fromkeys(node.nearest())])
    texts = [part[0].column if len(part) == 1 else f"{part[0].column} ... {part[-1].column}" for part in parts]
    names = ", ".join(texts[:_NAMED]) or "no column"
    more = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    kernel = f"{node.made}: " if node.made.startswith("kernel ") else ""
    firsts = [part[0] for part in parts]
    links = [
        (f"{_folder(lineage, one)}/{one.dataset}.html#c-{one.column}", f"{one.dataset}.{text}")
        for one, text in zip(firsts, texts, strict=True)
    ]
    by = ", ".join(dict.fromkeys(str(one) for one in node.by))
    return Made(f"{kernel}{names}{more}", "" if kernel else node.made, links, by)


def _folder(lineage: ProjectLineage, node: ColumnNode) -> str:
    return "models" if node.dataset in lineage.engine.project.models else "sources"


def source_columns(lineage: ProjectLineage, name: str, texts: Mapping[str, str]) -> list[tuple[Described, str, str]]:
    """Columns of a source, with those of the files that they are made of."""
    found = []
    for column in lineage.columns(name):
        node = lineage.column(name, column)
        files = ", ".join(dict.fromkeys(one.column for one in (*node.inputs, *node.by)))
        found.append((Described.of(column, "", texts.get(column, "")), files, node.made))
    return found


def source_facts(project: Project, name: str) -> list[tuple[str, str]]:
    """Names and values of what a source is."""
    source = project.sources[name]
    found = [
        ("path", source.path),
        ("adapter", source.adapter),
        ("template", adapter_template(source.adapter)),
        ("format", source.format),
        ("pattern", source.pattern or ""),
    ]
    return [(key, value) for key, value in found if value]


def runs_of(runs: Iterable[RunSummary], name: str, most: int) -> list[tuple[str, Totals]]:
    """The newest runs with tasks of a model."""
    return [(moment(run.started_at), run.models[name]) for run in runs if name in run.models][:most]


def failure_of(status: ModelStatus) -> str:
    """The last failure of a model, as long as its partition is not built."""
    failure = status.last_failure
    return f"{moment(failure.at)}: {first_line(failure.error or 'failed')}" if failure and status.failing else ""


def _short(text: str) -> str:
    """A value of a column in a cell."""
    try:
        return number(float(text))
    except ValueError:
        return text if len(text) <= 26 else f"{text[:25]}…"
