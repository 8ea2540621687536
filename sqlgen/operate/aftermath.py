"""Care after a run: old reports are removed, metrics written, failures told."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
from pathlib import Path

from sqlgen.errors import SqlgenError, first_line
from sqlgen.lake import storage
from sqlgen.operate.status import Status, prometheus, status
from sqlgen.plan.selection import Selection
from sqlgen.run.engine import Engine
from sqlgen.run.report import Report
from sqlgen.run.watcher import Watcher

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
    if runs.metrics is not None:
        path = engine.project.folder / runs.metrics
        try:
            storage.replace_text(path, prometheus(_now(engine), report.to_dict()))
        except OSError as error:
            problems.append(f"runs.metrics: cannot write {path}: {error.strerror}")
    if not report.ok:
        messages = [*report.errors, *(result.error or "" for result in report.tasks if result.status == "failed")]
        failed = sum(not result.ok for result in report.tasks)
        problems += _tell(engine, messages, failed, engine.reports.folder / f"{report.run_id}.json")
    return problems


def _now(engine: Engine) -> Status:
    return status(engine, engine.project.order, dt.datetime.now(dt.UTC))


def _tell(engine: Engine, messages: list[str], failed: int, report: Path | None) -> list[str]:
    command = engine.project.config.runs.on_failure
    if command is None:
        return []
    told = {
        "SQLGEN_PROJECT": str(engine.project.path),
        "SQLGEN_FAILED": str(failed),
        "SQLGEN_MESSAGE": first_line(messages[0]) if messages and messages[0].strip() else "",
        "SQLGEN_REPORT": str(report) if report is not None and report.exists() else "",
    }
    try:
        done = subprocess.run(
            command,
            shell=True,  # it is the user's own, in models.yaml
            cwd=engine.project.folder,
            env={**os.environ, **told},
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
