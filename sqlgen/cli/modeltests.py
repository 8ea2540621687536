"""The command ``test``. Heavy imports stand inside, so that ``--help`` is quick."""

from __future__ import annotations

import json as jsonlib
import time
from typing import Annotated

import typer

from sqlgen.cli.arguments import DEFAULT_FILE, Exclude, Json, ProjectFile, Select, models_of
from sqlgen.errors import ConfigError

EXIT_FAILED = 1

Keyword = Annotated[str | None, typer.Option("-k", "--keyword", help="Tests whose names contain or match this.")]


def run_model_tests(
    file: ProjectFile = DEFAULT_FILE,
    select: Select = None,
    exclude: Exclude = None,
    keyword: Keyword = None,
    json: Json = False,
) -> None:
    """Run the model tests in model_tests: rows of the inputs, expected rows of the table.

    The project's own kernels are also tested for results that depend on the split of rows into batches.

    Exit code 0: all passed. 1: some failed. 2: bad configuration, or no tests.
    """
    from rich.console import Console

    from sqlgen.cli.modeltests_console import as_dict, print_outcomes
    from sqlgen.modeltests.cases import choose, load_entries
    from sqlgen.modeltests.kernelsplits import on_generated_rows
    from sqlgen.modeltests.runs import run_tests
    from sqlgen.project.project import load

    begun = time.monotonic()
    project = load(file)
    models = models_of(project, select, exclude) if select or exclude else None
    outcomes = run_tests(project, choose(load_entries(project), models, keyword))
    if keyword is None:
        outcomes += on_generated_rows(
            model for name, model in project.models.items() if models is None or name in models
        )
    seconds = time.monotonic() - begun
    if json:
        typer.echo(jsonlib.dumps(as_dict(outcomes, seconds), indent=1))
    else:
        print_outcomes(Console(), outcomes, seconds)
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    if problems:
        raise ConfigError(problems)
    if not all(outcome.ok for outcome in outcomes):
        raise typer.Exit(EXIT_FAILED)
