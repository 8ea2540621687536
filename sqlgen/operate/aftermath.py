"""Care after a run: old reports are removed, metrics written, failures reported."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
from pathlib import Path

from sqlgen.errors import SqlgenError, first_line
from sqlgen.lake import storage
from sqlgen.lake.trust import how_to_trust, trusted
from sqlgen.operate.status import Status, prometheus, status
from sqlgen.plan.selection import Selection
from sqlgen.run.engine import Engine
from sqlgen.run.report import Report
from sqlgen.run.watcher import Watcher

OPENLINEAGE = "SQLGEN_OPENLINEAGE"
"""Variable of the environment that asks for events, as ``runs.openlineage`` does."""
_PATIENCE = 60
"""Seconds that the command of ``on_failure`` may take."""


def run_and_tell(
    engine: Engine, selection: Selection, watcher: Watcher | None = None, wait: float = 0.0, always_report: bool = False
) -> tuple[Report, list[str]]:
    """Run, and do what ``runs`` of models.yaml asks for; the report, and what went wrong with the latter.

    A run that cannot begin is a failure, too.
    """
    try:
        report = engine.run(selection, watcher, wait, always_report)
    except SqlgenError as error:
        for problem in _tell(engine, [str(error)], 0, None):
            error.add_note(problem)
        raise
    return report, after_run(engine, report)


def after_run(engine: Engine, report: Report) -> list[str]:
    """Do what ``runs`` of models.yaml asks for; returns what went wrong with that, which fails no run."""
    problems = []
    runs = engine.project.config.runs
    engine.reports.remove_old(runs.keep)
    if runs.metrics is not None and report.shard is None:  # they are of the whole lake
        problems += _write_metrics(engine, report, engine.project.folder / runs.metrics)
    if runs.openlineage or os.environ.get(OPENLINEAGE, "").lower() in ("1", "true"):
        from sqlgen.explore.lineage import events  # loads what reads files

        problems += events.send(engine, report)
    if not report.ok:
        messages = [*report.errors, *(result.error or "" for result in report.tasks if result.status == "failed")]
        failed = sum(not result.ok for result in report.tasks)
        problems += _tell(engine, messages, failed, engine.reports.folder / f"{report.run_id}.json")
    elif runs.on_failure is not None and not trusted(engine.project.path):  # before it is needed
        problems.append(_untold(engine, "will not be run when a run fails"))
    return problems


def _write_metrics(engine: Engine, report: Report, path: Path) -> list[str]:
    """Write the metrics; returns why they are not written."""
    project = engine.project
    if not trusted(project.path):
        inside = path.resolve().is_relative_to(project.folder / "target")  # whatever link that is
        inside |= any(path.resolve().is_relative_to(root.resolve()) for root in (project.lake, project.state))
        if not inside or path.suffix != ".prom":
            where = "a file *.prom below target, the lake or the state folder"
            return [f"runs.metrics: {path} is not {where}, and is not written. {how_to_trust(project.path)}"]
    try:
        storage.replace_text(path, prometheus(_now(engine), report.to_dict()))
    except OSError as error:
        return [f"runs.metrics: cannot write {path}: {error.strerror}"]
    return []


def _now(engine: Engine) -> Status:
    return status(engine, engine.project.order, dt.datetime.now(dt.UTC))


def _tell(engine: Engine, messages: list[str], failed: int, report: Path | None) -> list[str]:
    command = engine.project.config.runs.on_failure
    if command is None:
        return []
    if not trusted(engine.project.path):
        return [_untold(engine, "was not run")]
    variables = {
        "SQLGEN_PROJECT": str(engine.project.path),
        "SQLGEN_FAILED": str(failed),
        "SQLGEN_MESSAGE": first_line(messages[0]) if messages and messages[0].strip() else "",
        "SQLGEN_REPORT": str(report) if report is not None and report.exists() else "",
    }
    try:
        done = subprocess.run(
            command,
            shell=True,  # whoever started the run trusts models.yaml
            cwd=engine.project.folder,
            env={**os.environ, **variables},
            input="\n".join(messages) + "\n",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [f"runs.on_failure: the command took more than {_PATIENCE} s, and was ended: {command}"]
    if done.returncode == 0:
        return []
    said = first_line(done.stderr) if done.stderr.strip() else "no message"
    return [f"runs.on_failure: the command ended with exit code {done.returncode} ({said}): {command}"]


def _untold(engine: Engine, what: str) -> str:
    project = engine.project
    return f"runs.on_failure: the command {what}: {project.config.runs.on_failure}. {how_to_trust(project.path)}"
