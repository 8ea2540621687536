"""The pages of a project: one folder of HTML that opens from disk, and asks no network."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from markupsafe import Markup
from msgspec import Struct

from sqlgen import __version__
from sqlgen.compile.compiledmodel import descriptions
from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan
from sqlgen.errors import SqlgenError, UsageError, first_line
from sqlgen.explore.columns import cited, references
from sqlgen.explore.lineage.columns import ProjectLineage
from sqlgen.explore.pages.numbers import moment
from sqlgen.explore.pages.render import asset, is_ours, render, write
from sqlgen.operate.datacoverage import SymbolCoverage
from sqlgen.operate.history import RunSummary, history
from sqlgen.operate.site import facts
from sqlgen.operate.site.facts import ModelPage, SourcePage
from sqlgen.operate.site.graph import drawing
from sqlgen.operate.site.heat import of_coverage, of_table
from sqlgen.operate.site.stats import PageStats, table_stats
from sqlgen.operate.status import ModelStatus, status
from sqlgen.run.engine import Engine
from sqlgen.templating.secrets import hidden

_RUNS = 200
"""Runs in which those of a model are looked for."""
_LISTED = 10
ASSETS = ("base.css", "site.css", "theme.js", "site.js")


class DocsSite(Struct, dict=True):
    """The pages of one project."""

    engine: Engine
    with_stats: bool = True
    progress: Callable[[str], None] = lambda name: None

    @cached_property
    def _lineage(self) -> ProjectLineage:
        return ProjectLineage.of(self.engine)

    @cached_property
    def _compiler(self) -> Compiler:
        return self.engine.compiler(self.engine.project.order)

    @cached_property
    def _runs(self) -> list[RunSummary]:
        return history(self.engine.reports, self.engine.project.order, _RUNS, only_failed=False)

    @cached_property
    def _status(self) -> dict[str, ModelStatus]:
        found = status(self.engine, self.engine.project.order, dt.datetime.now(dt.UTC))
        return {one.model: one for one in found.models}

    def write(self, folder: Path) -> list[Path]:
        """Write all pages; pages of models and sources that are gone are removed.

        Raises:
            UsageError: the folder has files of others.
        """
        if folder.is_file():
            raise UsageError(f"{folder} is a file, and pages need a folder. The project file is given by --project")
        if folder.exists() and any(folder.iterdir()) and not is_ours(folder / "index.html"):
            raise UsageError(f"{folder} is not empty, and not written by sqlgen. Choose another folder, or remove it")
        files: dict[str, str] = {name: str(asset(name)) for name in ASSETS}
        models = [self._model(name) for name in self.engine.project.order]
        sources = [self._source(name) for name in self.engine.project.sources]
        for model in models:
            files[f"models/{model.name}.html"] = self._page("model", "../", model=model)
        for source in sources:
            files[f"sources/{source.name}.html"] = self._page("source", "../", source=source)
        files["references.html"] = self._page("references", "", papers=self._papers(models))
        files["index.html"] = self._index(models, sources)
        for name, text in files.items():
            write(folder / name, text)
        for page in (*folder.glob("models/*.html"), *folder.glob("sources/*.html")):
            if str(page.relative_to(folder)) not in files and is_ours(page):
                page.unlink()
        return [folder / name for name in files]

    def _page(self, template: str, root: str, **context: Any) -> str:
        return render(template, root=root, inline=False, **heading(self.engine), **context)

    def _model(self, name: str) -> ModelPage:
        self.progress(name)
        model, state = self.engine.project.models[name], self._status[name]
        columns = self._lineage.tables[name].columns
        stats = PageStats(problem="left out by --no-stats")
        if self.with_stats:
            stats = table_stats(self.engine, name, columns)
        return ModelPage(
            name=name,
            description=model.description,
            tags=tuple(model.config.tags),
            state=facts.state_of(state),
            facts=facts.model_facts(model, state),
            columns=columns,
            made=facts.made_of(self._lineage, name, columns),
            kernels=model.pipeline.kernels if model.pipeline is not None else (),
            drawing=facts.neighbours(self.engine.project, name),
            heat=of_table(self.engine.table(name)),
            stats=stats,
            sql=highlighted(self._compiler.compile(name).sql),
            rows=state.rows,
            bytes=state.bytes,
            partitions=state.partitions,
            until=moment(state.watermark),
            failure=facts.failure_of(state),
            runs=facts.runs_of(self._runs, name, _LISTED),
        )

    def _source(self, name: str) -> SourcePage:
        project = self.engine.project
        source, problem, columns = project.sources[name], "", []
        select = self._adapter_sql(name)
        try:
            columns = facts.source_columns(self._lineage, name, self._texts(name))
        except SqlgenError as error:
            problem = first_line(error)
        return SourcePage(
            name=name,
            description=source.description,
            adapter=source.adapter,
            path=source.path,
            facts=facts.source_facts(project, name),
            columns=columns,
            drawing=facts.neighbours(project, name),
            sql=highlighted(select) if select else None,
            problem=problem,
        )

    def _adapter_sql(self, name: str) -> str:
        reader = self.engine.reader(name)
        if reader is None:
            return ""
        model, entry = reader
        scan = self._compiler.whole_lake(model).inputs[entry.name] or Scan(("",))
        return self._compiler.input_select(model, entry, scan)

    def _texts(self, name: str) -> dict[str, str]:
        """Descriptions of the columns of a source, from the SQL of its adapter."""
        return descriptions(self._adapter_sql(name), None)

    def _papers(self, models: Sequence[ModelPage]) -> list[tuple[str, str]]:
        listed = cited((column for model in models for column in model.columns), references(self.engine.project))
        return [*listed.items()]

    def _index(self, models: Sequence[ModelPage], sources: Sequence[SourcePage]) -> str:
        return self._page(
            "index",
            "",
            models=models,
            sources=sources,
            drawing=drawing(self.engine.project),
            rows=sum(model.rows for model in models),
            bytes=sum(model.bytes for model in models),
            runs=[_ShownRun(run) for run in self._runs[:_LISTED]],
            index=[(model.name, column.name) for model in models for column in model.columns],
        )


class _ShownRun:
    """A run, as the first page tells it."""

    def __init__(self, run: RunSummary) -> None:
        self.began = moment(run.started_at)
        self.outcome, self.totals, self.seconds = run.outcome, run.totals, run.seconds


def heading(engine: Engine) -> dict[str, Any]:
    """Names that every page tells."""
    return {
        "project": engine.project.folder.name,
        "project_file": engine.project.path.name,
        "version": __version__,
        "written": f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M}",
    }


def highlighted(sql: str) -> Markup:
    """SQL with the classes of its words, for the style sheet."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import SqlLexer

    return Markup(highlight(hidden(sql), SqlLexer(), HtmlFormatter(nowrap=True)))


def coverage_page(engine: Engine, name: str, found: Sequence[SymbolCoverage]) -> str:
    """Heat maps of the coverage of a source or table, as one page."""
    return render("coverage", root="", inline=True, **heading(engine), name=name, found=found, map=of_coverage(found))
