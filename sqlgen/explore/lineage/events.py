"""OpenLineage events of a run: one job per model, below the job of the project (openlineage.io/spec)."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
from msgspec import Struct

from sqlgen import __version__
from sqlgen.errors import SqlgenError, first_line
from sqlgen.explore import extras
from sqlgen.explore.lineage.columns import ColumnNode, ProjectLineage
from sqlgen.lake.trust import trusted
from sqlgen.project.model import Model
from sqlgen.run.engine import Engine
from sqlgen.run.report import Report, Result
from sqlgen.templating.secrets import hidden

_EXTRA, _PURPOSE = "lineage", "runs.openlineage"
_PRODUCER = f"urn:sqlgen:{__version__}"


def send(engine: Engine, report: Report) -> list[str]:
    """Send the events of a run that had tasks; returns what went wrong, which fails no run."""
    if not report.tasks and not report.errors:
        return []
    try:
        if refusal := _strange_configuration(engine):
            return [refusal]
        client_of = extras.load("openlineage.client", _EXTRA, _PURPOSE).OpenLineageClient
        if not _configured(client_of):
            return [
                "runs.openlineage: nothing says where to send events: set OPENLINEAGE_URL, or write openlineage.yml"
            ]
        client = client_of()
        events = RunEvents(engine, report)
        for event in events.all():
            client.emit(event)
        client.close()
    except SqlgenError as error:
        return [f"runs.openlineage: {error}"]
    except Exception as error:  # whatever a transport raises: the run has ended well
        return [
            f"runs.openlineage: events are not sent: {type(error).__name__}: {first_line(str(error) or 'no message')}"
        ]
    return events.problems


def _strange_configuration(engine: Engine) -> str:
    """Refusal of a configuration that the project may have brought: it names servers, files and Python classes."""
    file = Path("openlineage.yml").absolute()
    if os.environ.get("OPENLINEAGE_CONFIG") or not file.exists() or trusted(engine.project.path):
        return ""
    return (
        f"runs.openlineage: events are not sent: {file} may name any server, file or program."
        f" If it is yours, set OPENLINEAGE_CONFIG={file} in the environment"
    )


def _configured(client_of: Any) -> bool:
    """True if the client knows where to send events, or that it must not; without that it prints them."""
    noop = extras.load("openlineage.client.transport.noop", _EXTRA, _PURPOSE)
    silent = client_of(transport=noop.NoopTransport(noop.NoopConfig()))
    disabled = os.environ.get("OPENLINEAGE_DISABLED", "").lower().strip() == "true"
    return bool(silent.config.transport or os.environ.get("OPENLINEAGE_URL") or disabled)


class RunEvents(Struct, dict=True):
    """Events of one run."""

    engine: Engine
    report: Report

    def __post_init__(self) -> None:
        self.problems: list[str] = []
        self._events = extras.load("openlineage.client.event_v2", _EXTRA, _PURPOSE)
        self._facets = extras.load("openlineage.client.facet_v2", _EXTRA, _PURPOSE)
        self._namespace = os.environ.get("OPENLINEAGE_NAMESPACE") or "sqlgen"

    @cached_property
    def _lineage(self) -> ProjectLineage | None:
        try:
            return ProjectLineage.of(self.engine)
        except SqlgenError as error:
            self.problems.append(f"runs.openlineage: no lineage of columns: {first_line(error)}")
            return None

    def all(self) -> Iterator[Any]:
        """Start and end of the run, and of each model with tasks."""
        tasks: dict[str, list[Result]] = {}
        for task in self.report.tasks:
            tasks.setdefault(task.model, []).append(task)
        state = self._events.RunState
        begin, end = self.report.started_at, self.report.ended_at or self.report.started_at
        name = self.engine.project.folder.name
        errors = [*self.report.errors, *(task.error or "" for task in self.report.tasks if task.status == "failed")]
        parent = self._run("", errors, None)
        job = self._job(name, "PROJECT", {})
        yield self._event(state.START, begin, self._run("", [], None), job)
        for model, done in tasks.items():
            described = self._described(self.engine.project.models[model])
            failed = [task.error or task.status for task in done if not task.ok]
            started, ended = self._run(model, [], name), self._run(model, failed, name)
            inputs = self._inputs(model)
            yield self._event(state.START, begin, started, described, inputs, [self._output(model, None)])
            outcome = state.FAIL if failed else state.COMPLETE
            yield self._event(outcome, end, ended, described, inputs, [self._output(model, done)])
        yield self._event(state.FAIL if errors else state.COMPLETE, end, parent, job)

    def _event(self, state: Any, time: str, run: Any, job: Any, inputs: Any = (), outputs: Any = ()) -> Any:
        return self._events.RunEvent(
            eventType=state,
            eventTime=dt.datetime.fromisoformat(time).isoformat(),
            run=run,
            job=job,
            inputs=[*inputs],
            outputs=[*outputs],
            producer=_PRODUCER,
        )

    def _id(self, model: str) -> str:
        """Id of the run of a model, or of the whole; always the same for one run."""
        make = extras.load("openlineage.client.uuid", _EXTRA, _PURPOSE).generate_static_uuid
        started = dt.datetime.fromisoformat(self.report.started_at)
        return str(make(started, f"{self.report.run_id}/{model}".encode()))

    def _run(self, model: str, errors: list[str], parent: str | None) -> Any:
        facets = self._facets
        found: dict[str, Any] = {
            "processing_engine": facets.processing_engine_run.ProcessingEngineRunFacet(
                version=duckdb.__version__, name="DuckDB", openlineageAdapterVersion=__version__
            )
        }
        if parent is not None:
            above = facets.parent_run
            found["parent"] = above.ParentRunFacet(
                run=above.Run(runId=self._id("")), job=above.Job(namespace=self._namespace, name=parent)
            )
        if errors:
            message = hidden("\n".join(dict.fromkeys(errors)))
            found["errorMessage"] = facets.error_message_run.ErrorMessageRunFacet(message, "SQL")
        return self._events.Run(runId=self._id(model), facets=found)

    def _job(self, name: str, kind: str, facets: Mapping[str, Any]) -> Any:
        of_type = self._facets.job_type_job.JobTypeJobFacet("BATCH", "SQLGEN", kind)
        return self._events.Job(namespace=self._namespace, name=name, facets={"jobType": of_type, **facets})

    def _described(self, model: Model) -> Any:
        sql = self.engine.compiler([model.name]).compile(model.name).sql
        facets = {"sql": self._facets.sql_job.SQLJobFacet(sql, "duckdb")}
        if model.description:
            facets["documentation"] = self._facets.documentation_job.DocumentationJobFacet(hidden(model.description))
        return self._job(f"{self.engine.project.folder.name}.{model.name}", "MODEL", facets)

    def _place(self, name: str) -> tuple[str, str]:
        """Namespace and name of the data of a source or model."""
        project = self.engine.project
        path = project.sources[name].path if name in project.sources else project.models[name].output.path
        lake = str(project.lake)
        if "://" in lake:
            scheme, _, rest = lake.partition("://")
            bucket, _, prefix = rest.partition("/")
            return f"{scheme}://{bucket}", f"{prefix}/{path}".strip("/")
        return "file", str(project.lake / path)

    def _inputs(self, model: str) -> list[Any]:
        refs = dict.fromkeys(entry.ref for entry in self.engine.project.models[model].inputs)
        return [self._events.InputDataset(*self._place(ref), facets=self._schema(ref)) for ref in refs]

    def _output(self, model: str, done: Sequence[Result] | None) -> Any:
        """The table of a model; with the rows that were written, at the end."""
        facets, written = self._schema(model), {}
        if lineage := self._column_lineage(model):
            facets["columnLineage"] = self._facets.column_lineage_dataset.ColumnLineageDatasetFacet(fields=lineage)
        if done is not None:
            rows, size = sum(task.rows_out for task in done), sum(task.bytes for task in done)
            statistics = self._facets.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rows, size)
            written["outputStatistics"] = statistics
        return self._events.OutputDataset(*self._place(model), facets=facets, outputFacets=written)

    def _schema(self, name: str) -> dict[str, Any]:
        facet = self._facets.schema_dataset
        if self._lineage is None:
            return {}
        if name in self._lineage.tables:
            columns = [(one.name, one.type, one.meaning) for one in self._lineage.tables[name].columns]
        else:
            columns = [(one, "", "") for one in self._told(name)]
        fields = [
            facet.SchemaDatasetFacetFields(name=a, type=b or None, description=hidden(c) or None) for a, b, c in columns
        ]
        return {"schema": facet.SchemaDatasetFacet(fields=fields)} if fields else {}

    def _told(self, name: str) -> list[str]:
        """Columns of a source; none, and a problem, if its SQL cannot be read."""
        assert self._lineage is not None
        try:
            return self._lineage.columns(name)
        except SqlgenError as error:
            self.problems.append(f"runs.openlineage: {first_line(error)}")
            return []

    def _column_lineage(self, model: str) -> dict[str, Any]:
        if self._lineage is None:
            return {}
        try:
            columns = (self._lineage.column(model, one.name) for one in self._lineage.tables[model].columns)
            return {node.column: self._field(node) for node in columns}
        except SqlgenError as error:
            self.problems.append(f"runs.openlineage: no lineage of the columns of {model}: {first_line(error)}")
            return {}

    def _field(self, node: ColumnNode) -> Any:
        facet = self._facets.column_lineage_dataset
        direct = [*dict.fromkeys(node.nearest())]
        windows = [one for one in dict.fromkeys(node.by) if one not in direct]
        how = facet.Transformation(
            "DIRECT", "TRANSFORMATION" if node.made else "IDENTITY", description=hidden(node.made) or None
        )
        by = facet.Transformation("INDIRECT", "WINDOW")
        fields = [self._input(one, how) for one in direct] + [self._input(one, by) for one in windows]
        return facet.Fields(inputFields=fields)

    def _input(self, node: ColumnNode, how: Any) -> Any:
        namespace, name = self._place(node.dataset)
        return self._facets.column_lineage_dataset.InputField(namespace, name, node.column, [how])
