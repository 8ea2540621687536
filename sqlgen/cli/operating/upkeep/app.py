"""``sqlgen lake``: the group of its commands."""

from __future__ import annotations

import typer

from sqlgen.cli.operating.upkeep.editing import delete, update, upsert
from sqlgen.cli.operating.upkeep.filing import compact, repartition, stats
from sqlgen.cli.operating.upkeep.keeping import restore, vacuum

lake = typer.Typer(
    name="lake",
    help="Keep the lake in order: files of tables and sources, edited rows, earlier versions.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (stats, compact, delete, update, upsert, repartition, restore, vacuum):
    lake.command()(command)
