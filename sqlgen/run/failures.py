"""Failure messages of tasks: errors of DuckDB and the system, with the model, the files and a remedy."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet

from sqlgen.errors import DAMAGED, SqlgenError, disk_full, system_hint
from sqlgen.lake import storage
from sqlgen.plan.plan import Task
from sqlgen.templating.secrets import hidden
from udfs import FaultyKernelError

_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)
_NAMED_COLUMN = re.compile(r'[Cc]olumn (?:named )?"([^"]+)"')
_CONTEXT = 3
_RAISED = "Invalid Input Error: "
"""Prefix that DuckDB gives to an error raised by a statement itself."""


@dataclass(frozen=True)
class Failure:
    """Reason of a task's failure in one sentence, and details for finding its cause."""

    headline: str
    detail: str = ""

    def __str__(self) -> str:
        return str(hidden(f"{self.headline}\n{self.detail}" if self.detail else self.headline))


def explain(error: BaseException, task: Task, template: str, sql: str | None, lake: Path) -> Failure:
    """The failure of one task, naming the model, the partition and the files."""
    where = f"{task.model}: {task.unit}"
    if isinstance(error, OSError) and not isinstance(error, duckdb.Error):
        return Failure(f"{where}: {error.strerror or error}: {error.filename or lake}. {system_hint(error.errno)}")
    if isinstance(error, SqlgenError | FaultyKernelError):
        return Failure(f"{where}: {error}")
    if not isinstance(error, duckdb.Error):
        return Failure(f"{where}: {type(error).__name__}: {error}")
    text = str(error)
    first = text.strip().splitlines()[0].removeprefix(_RAISED)
    headline = f"{where}: {first}"
    hint = _missing_column(error, text, task, lake) or _hint(error, text)
    return Failure(f"{headline}. {hint}" if hint else headline, _detail(task, template, sql, text, lake))


def _hint(error: duckdb.Error, text: str) -> str:
    lowered = text.lower()
    if disk_full(error):
        return system_hint(errno.ENOSPC)
    if "permission denied" in lowered or "read-only file system" in lowered:
        return system_hint(errno.EACCES)
    if any(
        sign in lowered
        for sign in (
            "no magic bytes",
            "too small to be a parquet",
            "footer length",
            "invalid parquet",
            "don't know what type",
            "thrift",
            "snappy",
            "zstd",
            "not a parquet",
        )
    ):
        return DAMAGED
    if isinstance(error, duckdb.OutOfMemoryException):
        return "Give more with --memory-limit, or fewer --threads"
    if (
        isinstance(error, duckdb.ConversionException | duckdb.TypeMismatchException)
        or "could not convert" in lowered
        or "failed to cast" in lowered
    ):
        return "A column has another type or content than the adapter expects"
    if isinstance(error, duckdb.InterruptException):
        return "The run was interrupted"
    return ""


def _missing_column(error: duckdb.Error, text: str, task: Task, lake: Path) -> str:
    """Message for a column that the SQL names and the first file of an input lacks."""
    match = _NAMED_COLUMN.search(text) if isinstance(error, duckdb.BinderException) else None
    for part in task.slices if match else ():
        files = [lake / file.path for file in part.files if file.path.endswith(".parquet")]
        if match and files:
            try:
                names = pyarrow.parquet.read_schema(files[-1]).names
            except (OSError, pyarrow.ArrowException):
                continue  # damaged: DuckDB's message is about another file of the input
            if match.group(1) not in names:
                return f"Column '{match.group(1)}' is not in the input {part.ref}, which has: {', '.join(names)}"
    return ""


def _detail(task: Task, template: str, sql: str | None, text: str, lake: Path) -> str:
    lines = [
        line for line in text.strip().splitlines()[1:] if line.strip() and not _LINE.match(line) and line.strip() != "^"
    ]
    shown = [f"  {line.strip()}" for line in lines[:4]]
    match = _LINE.search(text)
    if sql and match:
        number = int(match.group(1))
        rendered = sql.splitlines()
        shown.append(f"  template {template}, rendered lines around {number}:")
        shown += [
            f"  {'>' if at == number else ' '} {at:4d} | {rendered[at - 1]}"
            for at in range(max(1, number - _CONTEXT), min(len(rendered), number + _CONTEXT) + 1)
        ]
    for part in task.slices:
        files = [str(lake / file.path) for file in part.files]
        if files:
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            shown.append(f"  input {part.name} ({part.ref}): {files[-1]}{more}")
    return "\n".join(shown)


def keep_sql(folder: Path, task: Task, sql: str) -> Path:
    """Keep the statement that failed below ``folder``, for the user."""
    path = folder / task.model / (task.unit.path.replace("/", "--")[:200] + ".sql")
    try:
        storage.replace_text(path, hidden(sql) + "\n")
    except OSError:
        return Path("(could not be kept)")
    return path
