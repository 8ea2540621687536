"""A worker: builds the tasks of a parcel with a DuckDB instance of its own, and keeps them for the run to publish."""

from __future__ import annotations

import functools
import os
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path

import duckdb

from sqlgen import __version__
from sqlgen.builders.handover import Handover
from sqlgen.builders.workspace import Workspace
from sqlgen.compile.compiler import Compiler
from sqlgen.errors import SqlgenError
from sqlgen.lake import storage
from sqlgen.lake.deletions import Deletions
from sqlgen.lake.reads import Reads
from sqlgen.lake.trust import trusted
from sqlgen.plan.picture import Picture
from sqlgen.plan.plan import Plan
from sqlgen.plan.publishedunits import Facts
from sqlgen.project import project as projects
from sqlgen.published.states import StateStore
from sqlgen.published.timeline import Timelines
from sqlgen.run.execution import Execution
from sqlgen.run.machine import Settings, connect
from sqlgen.run.remote.parcel import Delivery, Parcel, Site
from sqlgen.templating.connection import folders_of
from udfs import also_cache_in, reload


def work(site: Site, parcel: Parcel) -> Delivery:
    """Build the tasks of a parcel."""
    compiler = _opened(site)
    project = compiler.project
    name = parcel.tasks[0].model
    if compiler.compile(name).fingerprint != parcel.fingerprint:
        raise SqlgenError(f"{_where()} has other templates or kernels than the run, for model '{name}'")
    # Each attempt has a folder of its own: one that is believed dead may still be writing.
    folder = project.lake / storage.STAGING / site.run_id / f"worker-{secrets.token_hex(8)}"
    execution, space = _execution(site, parcel, compiler, Handover(folder))
    results = execution.batch(parcel.tasks)
    assert space.handover is not None
    return Delivery(tuple(results), tuple(space.handover.units), space.reads.identities)


def _execution(site: Site, parcel: Parcel, compiler: Compiler, handover: Handover) -> tuple[Execution, Workspace]:
    project, name = compiler.project, parcel.tasks[0].model
    states, deletions = StateStore(project.state / "kernels"), Deletions(project.state / "deleted.ndjson")
    records = {model: dict(units) for model, units in parcel.records.items()}
    picture = Picture(project, compiler, parcel.source_files, parcel.records, {name: parcel.table}, states, deletions)
    units = {*records[name], *(task.unit for task in parcel.tasks)}
    plan = Plan(picture, parcel.selection, [*parcel.tasks], {name: Timelines.of(units)}, {*parcel.rebuilt})
    facts = Facts(records, plan.timelines, {*parcel.unusable})
    space = Workspace(
        picture,
        facts,
        site.run_id,
        Reads(project.lake),
        parcel.selection.full_refresh,
        roots=dict(site.roots),
        handover=handover,
    )
    files = (file.path for task in parcel.tasks for part in task.slices for file in part.files)
    folders = tuple(folders_of(project.lake, (*files, *project.places)))
    return Execution(
        plan, facts, None, space, _connection(site.run_id, site.memory_limit, folders), lambda: False
    ), space


_SITES: list[tuple[Site, Compiler]] = []
"""The project that this process has open."""


def _opened(site: Site) -> Compiler:
    """The compiler of a run's project; :class:`SqlgenError` where this machine has another."""
    if not _SITES or _SITES[0][0] != site:
        _SITES[:] = [(site, _compiler(site))]
    return _SITES[0][1]


def _compiler(site: Site) -> Compiler:
    if site.version != __version__:
        raise SqlgenError(f"{_where()} has sqlgen {__version__}, the run {site.version}. Install the same on all nodes")
    for name, value in site.environ.items():
        os.environ.pop(name, None)
        os.environ.update({name: value} if value is not None else {})
    reload()  # the project's own kernels may be others than in an earlier run
    try:
        project = projects.load(site.path)
    except OSError as error:
        raise SqlgenError(f"{_where()} cannot read {site.path}: {error.strerror}. {_SHARED}") from error
    if project.lake != site.lake or not project.lake.is_dir():
        raise SqlgenError(f"{_where()} does not have the lake {site.lake}. {_SHARED}")
    if trusted(site.path):
        also_cache_in(project.state / "cache")
    return Compiler(project, site.layouts, site.empty, site.types)


_SHARED = "All nodes need the project and the lake under the same path, on a file system that they share"


def _where() -> str:
    return f"the Ray worker on {socket.gethostname()}"


@functools.lru_cache(1)
def _connection(run_id: str, memory_limit: str | None, folders: Iterable[Path]) -> duckdb.DuckDBPyConnection:
    """The DuckDB instance of this process."""
    found = [*folders]
    temp = found[0] / storage.STAGING / run_id / f"tmp-{secrets.token_hex(8)}"
    temp.mkdir(parents=True, exist_ok=True)
    return connect(Settings(threads=1, memory_limit=memory_limit), found, temp)
