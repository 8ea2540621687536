"""Errors that a user can cause: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable

from msgspec import Struct


class SqlgenError(Exception):
    """Base of all errors that are shown as a message, without a traceback."""


class UsageError(SqlgenError):
    """The command line asks for something that does not exist or does not fit together."""


class TemplateError(SqlgenError):
    """A template is missing, does not parse or does not render."""


class TaskError(SqlgenError):
    """One partition could not be built; what was published before is untouched."""


class LockedError(SqlgenError):
    """Another run holds the lake, or a table that is to be built."""


class Problem(Struct, frozen=True):
    """One mistake in a configuration file."""

    where: str
    """``file:line``, or the file alone."""
    path: str
    """The key, as in ``models.trades_features.output.mode``."""
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.path}: {self.message}" if self.path else f"{self.where}: {self.message}"


class ConfigError(SqlgenError):
    """All problems of ``models.yaml`` at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def nearest(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"``, or an empty string where nothing is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{matches[0]}'?" if matches else ""


DAMAGED = "The file is damaged or not complete: write it again, or move it out of the source's folder"
"""Advice on a file that is not what its name says."""


def first_line(error: BaseException | str) -> str:
    """First line of an error; DuckDB's further lines point into the statement."""
    return without_traceback(str(error).strip()).splitlines()[0]


def without_traceback(text: str) -> str:
    """Message of an error that Python has raised within DuckDB, which repeats its traceback."""
    if "Traceback (most recent call last)" not in text:
        return text
    return re.sub(r"\A[\w.]+: ", "", text.strip().splitlines()[-1])


def disk_full(error: BaseException) -> bool:
    """True if the disk is full, which is no fault of the input. DuckDB says so only in the text."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = str(error).lower()
    return "no space left" in text or "disk quota" in text


def system_hint(code: int | None) -> str:
    """Advice for an error of the system."""
    match code:
        case errno.ENOSPC | errno.EDQUOT:
            return "The disk is full: free space and run again; what was published is unchanged"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "No permission to write there; what was published is unchanged"
        case _:
            return "What was published is unchanged"
