"""Output of model tests on a terminal and in a pipe."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sqlgen.cli.console import plain as plain_line
from sqlgen.modeltests.compare import Difference
from sqlgen.modeltests.outcome import Outcome
from sqlgen.modeltests.values import plain

MOST_ROWS = 20
"""Maximum lines of a table of differences."""
MOST_TEXT = 200
"""Maximum characters of a value or a row; --json has all of it."""
PIPE_WIDTH = 160
"""Line width without a terminal."""


def as_dict(outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """For ``--json``."""
    passed = sum(outcome.ok for outcome in outcomes)
    return {
        "ok": passed == len(outcomes),
        "passed": passed,
        "failed": len(outcomes) - passed,
        "seconds": round(seconds, 3),
        "tests": [outcome.to_dict() for outcome in outcomes],
    }


def print_outcomes(console: Console, outcomes: Sequence[Outcome], seconds: float) -> None:
    """Print a line per file, every failure in full, and the counts."""
    if not console.is_terminal:
        console.width = max(console.width, PIPE_WIDTH)
    for file, group in itertools.groupby(outcomes, key=lambda outcome: outcome.where.rpartition(":")[0]):
        counted = list(group)
        console.print(f"{_short(file)}: {_counts(counted)}", highlight=False, soft_wrap=True)
    failed = [outcome for outcome in outcomes if not outcome.ok and not outcome.problems]
    if failed:
        console.print()
    for outcome in failed:
        _print_failure(console, outcome)
        console.print()
    for outcome in outcomes:
        if outcome.note:
            plain_line(console, f"note: {outcome.name} ({outcome.model}): {outcome.note}")
    console.print(f"{_counts(outcomes)} in {seconds:.1f} s", highlight=False)


def _counts(outcomes: Sequence[Outcome]) -> str:
    failed = sum(not outcome.ok for outcome in outcomes)
    passed = f"[green]{len(outcomes) - failed} passed[/]"
    return passed + (f", [red]{failed} failed[/]" if failed else "")


def _short(file: str) -> str:
    path = Path(file)
    here = Path.cwd()
    return escape(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _print_failure(console: Console, outcome: Outcome) -> None:
    file, _, line = outcome.where.rpartition(":")
    title = f"[red]FAILED[/] [bold]{escape(outcome.name)}[/] ({escape(outcome.model)}) {_short(file)}:{line}"
    console.print(title, highlight=False, soft_wrap=True)
    if outcome.error:
        plain_line(console, outcome.error)
        return
    table = Table("row", "column", "expected", "found", box=None, pad_edge=False)
    for difference in outcome.differences[:MOST_ROWS]:
        table.add_row(*map(escape, _cells(difference)))
    console.print(table)
    more = len(outcome.differences) - MOST_ROWS
    if more > 0:
        console.print(f"and {more} more", highlight=False)


def _cells(difference: Difference) -> tuple[str, str, str, str]:
    expected, found = _cut(_text(difference.expected)), _cut(_text(difference.found))
    if not difference.column and difference.found is None:
        found = "(missing row)"
    elif not difference.column:
        expected = "(no such row)"
    return str(difference.row), difference.column, expected, found


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 4] + " ..."


def _text(value: Any) -> str:
    """A value in YAML notation."""
    match plain(value):
        case None:
            return "null"
        case bool() as flag:
            return str(flag).lower()
        case Mapping() as row:
            return "{" + ", ".join(f"{name}: {_text(inner)}" for name, inner in row.items()) + "}"
        case list() as items:
            return "[" + ", ".join(map(_text, items)) + "]"
        case other:
            return str(other)
