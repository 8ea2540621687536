"""Check of a project without data: every model is rendered and bound once, and every fault is reported."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from sqlgen.errors import SqlgenError
from sqlgen.run.binder import Binder, BindError
from sqlgen.run.binding import unoptimized
from sqlgen.run.engine import Engine


class Checked(Struct, frozen=True):
    """Outcome of a check."""

    bound: tuple[str, ...]
    """Models without a fault."""
    problems: tuple[str, ...]
    """One message per fault, with its place in models.yaml or a template."""
    unknown: tuple[str, ...]
    """Models that cannot be bound without data: their columns, or those of an input, depend on it."""
    blocked: tuple[str, ...]
    """Models that read one with a fault."""

    @property
    def ok(self) -> bool:
        return not self.problems


def check(engine: Engine, models: Iterable[str]) -> Checked:
    """Render and bind models, each after its inputs."""
    project = engine.project
    wanted = [name for name in project.order if name in {*models}]
    compiler = engine.compiler(wanted)
    problems: list[str] = []
    failed: set[str] = set()
    bound: list[str] = []
    unknown: list[str] = []
    blocked: list[str] = []
    with tempfile.TemporaryDirectory() as folder, unoptimized(folder, project, ()) as connection:
        binder = Binder(project, compiler, {}, Path(folder), connection)
        for name in wanted:
            sources = [entry.ref for entry in project.models[name].inputs]
            reported = any(problem.startswith(f"source '{ref}':") for ref in sources for problem in problems)
            if reported or failed & project.upstream(name):
                blocked.append(name)
                failed.add(name)
                continue
            before = len(problems)
            try:
                compiler.compile(name)
                binder.bind([name])
            except BindError:
                problems += binder.problems
                binder.problems.clear()
            except SqlgenError as error:
                problems.append(f"model '{name}': {error}")
            if len(problems) > before:
                failed.add(name)
            else:
                (bound if binder.columns(name) else unknown).append(name)
    return Checked(tuple(bound), tuple(dict.fromkeys(problems)), tuple(unknown), tuple(blocked))
