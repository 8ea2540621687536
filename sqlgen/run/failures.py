"""Failure messages of tasks: errors of DuckDB and the system, with the model, the files and a remedy."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import duckdb
import pyarrow.parquet
from msgspec import Struct

from sqlgen.errors import DAMAGED, SqlgenError, disk_full, system_hint
from sqlgen.lake import storage
from sqlgen.plan.plan import Task
from sqlgen.project.rowchecks import CheckFailed
from sqlgen.templating.secrets import hidden
from udfs import FaultyKernelError

_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)
_NAMED_COLUMN = re.compile(r'[Cc]olumn (?:named )?"([^"]+)"')
_CONTEXT = 3
_RAISED = "Invalid Input Error: "
"""Prefix that DuckDB gives to an error raised by a statement itself."""


class Failure(Struct, frozen=True):
    """Reason of a task's failure in one sentence, and details for finding its cause."""

    headline: str
    detail: str = ""

    def __str__(self) -> str:
        return str(hidden(f"{self.headline}\n{self.detail}" if self.detail else self.headline))


def explain(error: BaseException, task: Task, template: str, sql: str | None, lake: Path) -> Failure:
    """The failure of one task, naming the model, the partition and the files."""
    where = f"{task.model}: {task.unit}"
    if not _is_apart(error) and (gone := _gone(task, lake)):
        return Failure(f"{where}: {gone}")
    if isinstance(error, OSError) and not isinstance(error, duckdb.Error):
        return Failure(f"{where}: {error.strerror or error}: {error.filename or lake}. {system_hint(error.errno)}")
    if isinstance(error, SqlgenError | FaultyKernelError):
        return Failure(f"{where}: {error}")
    if not isinstance(error, duckdb.Error):
        return Failure(f"{where}: {type(error).__name__}: {error}")
    text = str(error)
    first = text.strip().splitlines()[0].removeprefix(_RAISED)
    headline = f"{where}: {first}"
    hint = _missing_column(error, text, task, lake) or _replaced(text, task) or _hint(error, text)
    return Failure(f"{headline}. {hint}" if hint else headline, _detail(task, template, sql, text, lake))


def _is_apart(error: BaseException) -> bool:
    """True for an error that files which are gone do not explain."""
    of_kernel = isinstance(error, FaultyKernelError) or isinstance(error.__cause__, FaultyKernelError)
    return of_kernel or isinstance(error, duckdb.OutOfMemoryException | CheckFailed) or disk_full(error)


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


def _gone(task: Task, lake: Path) -> str:
    """Message for source files that are gone since they were listed."""
    gone = [
        str(lake / file.path) for part in task.slices for file in part.files if not os.path.lexists(lake / file.path)
    ]
    more = f" and {len(gone) - 1} more file(s)" if len(gone) > 1 else ""
    return f"{gone[0]}{more}: gone since the source was listed. Nothing was published: run again" if gone else ""


def _replaced(text: str, task: Task) -> str:
    """Message for a published file of an input that is gone: runs of other models go on beside this one."""
    models = [part.ref for part in task.slices if part.partitions and not part.files]
    gone = "no such file or directory" in text.lower() or "no files found" in text.lower()
    return f"Another run has published {' or '.join(models)} anew meanwhile: run again" if gone and models else ""


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
