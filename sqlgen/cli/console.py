"""Output of a run: a progress bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from sqlgen.cli.samereason import LISTED, PrintedReasons, groups, nulls, same_failures, span, unnamed
from sqlgen.explore.pages.numbers import count, size
from sqlgen.lake.partitions import Partition
from sqlgen.run.watcher import Watcher

if TYPE_CHECKING:
    from sqlgen.plan.plan import Plan, Task
    from sqlgen.project.rowchecks import CheckCount
    from sqlgen.run.report import Report, Result

MARKS = {
    "published": "[green]✓[/]",
    "unchanged": "[green]=[/]",
    "empty": "[yellow]∅[/]",
    "removed": "[yellow]-[/]",
    "failed": "[red]✗[/]",
    "skipped": "[yellow]»[/]",
    "pending": "[yellow]…[/]",
}

BECAME = {"drop": "dropped", "quarantine": "quarantined", "warn": "kept with a warning", "fail": "not allowed"}
BECAME |= {"pass": "passed over"}
"""Outcome of rows that fail a check, by its ``on_fail``."""


class OutputConsole(Console):
    """The terminal, or the file or pipe in its place."""

    def on_broken_pipe(self) -> None:
        """Raise an error for a broken pipe; rich would end the process."""
        raise BrokenPipeError


def plain(console: Console, text: str) -> None:
    """Print a line verbatim: not wrapped, with tabs, brackets not interpreted as markup."""
    try:
        print(text, file=console.file, flush=True)
    except BrokenPipeError:
        raise BrokenPipeError from None  # without errno, on which typer would end the process


class LineWatcher(Watcher):
    """One plain line per finished task; in a long run, unless ``verbose``, one a second for batches that end alike.

    Of failures alike, the first is printed, or the first few files.
    """

    def __init__(self, console: Console, verbose: bool = False) -> None:
        self.console = console
        self.verbose = verbose
        self.flushed = self.compiled = 0.0
        self.alike: dict[tuple[str, str, str], list[Result]] = {}
        self.printed = PrintedReasons()
        self.total = self.done = 0

    def __enter__(self) -> LineWatcher:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # a broken pipe is another error
            self._flush()

    def started(self, plan: Plan) -> None:
        self.verbose = self.verbose or len(plan.shown) <= LISTED
        self.total = len(plan.shown)
        plain(self.console, f"{self.total} partition(s) to build, {plan.fresh} up to date")

    def compiling(self, module: str) -> None:
        if time.monotonic() - self.compiled >= 5:
            self.compiled = time.monotonic()
            plain(self.console, f"compiling kernels, once on this machine: {module}")

    def finished(self, result: Result) -> None:
        self.done += 1
        self.total = max(self.total, self.done)  # a date without files of its own may have rows
        if not result.ok and self.printed.is_enough(result):
            return  # the end of the run prints the number
        if result.ok and not self.verbose:
            self.alike.setdefault((result.model, result.status, unnamed(result.reason)), []).append(result)
            return
        plain(self.console, f"[{self.done}/{self.total}] {result_line(result)}")
        for note in result.notes:
            plain(self.console, f"  note: {note}")

    def batch_ended(self) -> None:
        """Print the tasks that have ended since the last second."""
        if time.monotonic() - self.flushed >= 1:
            self._flush()

    def _flush(self) -> None:
        self.flushed = time.monotonic()
        for (_, status, reason), results in self.alike.items():
            plain(self.console, f"[{self.done}/{self.total}] {batch_line(status, reason, results)}")
        self.alike.clear()


class BarWatcher(Watcher):
    """A progress bar: model, partition, rows a second, time left."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.rows = 0
        self.printed = PrintedReasons()
        self.begun = time.monotonic()
        self.progress = Progress(
            TextColumn(
                "[bold]{task.fields[model]}[/] [dim]{task.fields[partition]}[/]",
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            expand=True,
        )
        self.bar = self.progress.add_task("", total=None, model="", partition="", speed="")

    def __enter__(self) -> BarWatcher:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def started(self, plan: Plan) -> None:
        self.begun = time.monotonic()
        self.progress.update(self.bar, total=len(plan.shown))

    def running(self, task: Task) -> None:
        self.progress.update(self.bar, model=escape(task.model), partition=escape(task.unit.short))

    def compiling(self, module: str) -> None:
        self.progress.update(self.bar, model="compiling kernels", partition=escape(module))

    def finished(self, result: Result) -> None:
        self.rows += result.rows_in
        speed = self.rows / max(time.monotonic() - self.begun, 1e-3)
        self.progress.update(self.bar, advance=1, speed=f"{speed / 1000:,.0f}k rows/s")
        if not result.ok and not self.printed.is_enough(result):
            self.progress.console.print(f"{MARKS[result.status]} ", end="")
            self.progress.console.print(result.error or "", markup=False, highlight=False, soft_wrap=True)


def result_line(result: Result) -> str:
    """A finished task in one line (more where it failed)."""
    where = f"{result.model} {Partition.from_path(result.partition)}"
    match result.status:
        case "failed":
            return f"FAILED {result.error}"
        case "skipped" | "pending":
            return f"skipped {where}: {result.error}"
        case "unchanged":
            return f"unchanged {where}: its inputs were rebuilt with the same rows"
        case "removed":
            return f"removed {where} ({result.reason})"
        case _:
            speed = result.rows_in / result.seconds if result.seconds else 0
            rows = f"{count(result.rows_in)} -> {count(result.rows_out)} rows"
            return (
                f"{result.status} {where}: {rows}, {size(result.bytes)},"
                f" {result.seconds:.2f} s, {speed:,.0f} rows/s ({result.reason}){_checked(result.checks)}"
            )


def batch_line(status: str, reason: str, results: Sequence[Result]) -> str:
    """Tasks of one model that ended alike, in one line."""
    if len(results) == 1:
        return result_line(results[0])
    rows_in, rows_out = (sum(getattr(result, name) for result in results) for name in ("rows_in", "rows_out"))
    seconds = sum(result.seconds for result in results)
    where = f"{results[0].model}: {span([Partition.from_path(result.partition) for result in results])}"
    return (
        f"{status} {where}: {count(rows_in)} -> {count(rows_out)} rows, {size(sum(each.bytes for each in results))},"
        f" {seconds:.2f} s ({reason}){_checked(check for each in results for check in each.checks)}"
    )


def _checked(checks: Iterable[CheckCount]) -> str:
    """Numbers of rows that failed checks, by outcome; empty if none did."""
    rows: Counter[str] = Counter()
    for found in checks:
        if found.on_fail != "null":
            rows[found.on_fail] += found.rows
    said = ", ".join(f"{count(number)} {BECAME[kind]}" for kind, number in rows.items() if number)
    return f"; checks: {said}" if said else ""


def _print_checks(console: Console, report: Report) -> None:
    """Print each check that rows failed, with the first of them."""
    found: dict[tuple[str, str, str], list[CheckCount]] = {}
    for result in report.tasks:
        for check in result.checks:
            if check.rows and check.on_fail != "null":
                found.setdefault((result.model, check.of, check.check), []).append(check)
    for (model, of, title), counts in found.items():
        whose = f"{model}: {title}" if of == model else f"{model}: {title} of {of}"
        rows = f"{count(sum(check.rows for check in counts))} {BECAME[counts[0].on_fail]}"
        where = f"{count(len(counts))} partition(s)"
        plain(console, f"check: {whose}: {rows} in {where}, the first {counts[0].first}")


def _print_task_notes(console: Console, report: Report) -> None:
    """Print each note of tasks once, with its partitions."""
    found: dict[tuple[str, str], list[str]] = {}
    for result in report.tasks:
        for note in result.notes:
            found.setdefault((result.model, note), []).append(str(Partition.from_path(result.partition)))
    for (model, note), where in found.items():
        more = f" and {count(len(where) - 1)} more partition(s)" if len(where) > 1 else ""
        print_notes(console, [f"{model}: {where[0]}{more}: {note}"])


def print_plan(console: Console, plan: Plan, verbose: bool = False) -> None:
    """Print every stale unit with its reason; many of them, unless ``verbose``, in groups."""
    if len(plan.shown) > LISTED and not verbose:
        for line in groups(plan.shown):
            plain(console, line)
    elif plan.shown:
        table = Table("model", "partition", "does", "because", box=None, pad_edge=False)
        for task in plan.shown:
            table.add_row(*map(escape, (task.model, task.unit.short, task.action, task.reason)))
        if console.is_terminal:
            console.print(table)
        else:
            for task in plan.shown:
                plain(console, "\t".join((task.model, str(task.unit), task.action, task.reason)))
    print_notes(console, plan.notes)
    print_errors(console, plan.refused)
    console.print(f"{len(plan.shown)} partition(s) to build, {plan.fresh} up to date", highlight=False)


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """Print notes for the user, one a line."""
    for note in notes:
        console.print("[yellow]note:[/] ", end="")
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def print_errors(console: Console, errors: Iterable[str]) -> None:
    """Print errors of models that could not be planned, one a line."""
    for error in errors:
        console.print("[red]error:[/] ", end="")
        plain(console, error)


def print_report(console: Console, report: Report, retry: str) -> None:
    """Print the summary of a run."""
    print_notes(console, report.notes)
    print_errors(console, report.errors)
    if not report.tasks:
        what = "Nothing was done" if report.errors else "Nothing to do"
        console.print(f"{what}: {report.fresh} partition(s) are up to date", highlight=False)
        return
    table = Table(
        "model",
        *(Column(name, justify="right") for name in ("partitions", "rows in", "rows out", "size")),
        box=None,
        pad_edge=False,
    )
    for name in dict.fromkeys(result.model for result in report.tasks):
        mine = [result for result in report.tasks if result.model == name]
        done = sum(result.ok for result in mine)
        table.add_row(
            escape(name),
            count(done) if done == len(mine) else f"{done} of {len(mine)}",
            count(sum(result.rows_in for result in mine)),
            count(sum(result.rows_out for result in mine)),
            size(sum(result.bytes for result in mine)),
        )
    console.print(table)
    _print_checks(console, report)
    for line in nulls(report.tasks):
        plain(console, line)
    _print_task_notes(console, report)
    for line in same_failures(report.tasks):
        plain(console, line)
    counts = ", ".join(f"{number} {status}" for status, number in report.counts.items())
    console.print(f"{counts} in {report.seconds:.1f} s (run {report.run_id})", highlight=False)
    if not report.ok:
        console.print(f"Retry failed tasks with: {retry}", markup=False, highlight=False, soft_wrap=True)
