"""Scripts written by hand, which compute tables of models in DuckDB.

``python -m benchmarks.scripts NAME LAKE OUT``, and perhaps variables of the template as JSON.

They are those of a user who knows that the files have no faults: same columns, same partitions, same compression.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined


@cache
def _environment() -> Environment:
    folder = Path(__file__).parent / "sql"
    return Environment(loader=FileSystemLoader(folder), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def script(name: str, **context: object) -> str:
    """SQL of one template in ``benchmarks/sql``."""
    return _environment().get_template(f"{name}.sql.j2").render(**context)


if __name__ == "__main__":
    name, lake, out, *more = sys.argv[1:]
    variables = json.loads(more[0]) if more else {}
    duckdb.execute("SET enable_progress_bar = false")
    duckdb.execute(script(name, lake=lake, out=out, **variables))
