"""Header of a template: YAML in its first comment, the one place for the defaults of its options."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from sqlgen.errors import nearest
from udfs import Option

TEMPLATE_SUFFIX = ".sql.j2"
CSV_OPTIONS = ("header", "delimiter", "quote", "decimal", "title_lines")
"""Adapter options that override the CSV dialect."""


class LineFormat(BaseModel):
    """Format of the lines of a file that the adapter parses itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fits: str
    """Jinja expression over the options: regular expression of a line that can be read."""
    says: str
    """Jinja expression over the options: the same in words."""


class CsvFormat(BaseModel):
    """Dialect of the CSV files that an adapter reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: bool | Literal["auto"] = True
    """True if the first line names the columns; ``auto``: in some files."""
    delimiter: str = ","
    """The expected delimiter; another one that fits the columns is detected."""
    quote: str = ""
    """Without one, a stray quote cannot swallow the lines after it."""
    decimal: str = ""
    """Decimal mark of numbers; without one, a comma is found where no comma is the delimiter."""
    title_lines: int = 0
    """Lines before the header, which are passed over."""
    optional: tuple[str, ...] = ()
    """Columns that some files lack, of any format."""
    keep_places: bool = False
    """True if an unreadable line leaves a row of NULLs: the adapter needs to know that something is missing there."""
    lines: dict[str, LineFormat] = {}
    """File name pattern -> line format; other files are not read. Each line, readable or not, is the one column
    ``text``, so that lines keep their numbers."""

    def wants(self, name: str) -> bool:
        """True if the adapter reads a file of this name."""
        return not self.lines or self.lines_of(name) is not None

    def lines_of(self, name: str) -> LineFormat | None:
        """Line format of a file, by its name."""
        return next((lines for pattern, lines in self.lines.items() if fnmatch.fnmatchcase(name, pattern)), None)


def invalid(error: ValidationError) -> str:
    """Faults of a header, each with its key."""
    allowed = ", ".join(sorted(Header.model_fields))
    return "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: unknown key. Allowed: {allowed}"
        if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1
        else f"{'.'.join(map(str, fault['loc'])) or 'it'}: found {fault['input']!r:.80}: {fault['msg']}"
        for fault in error.errors()
    )


class Header(BaseModel):
    """The YAML header of a template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = ""
    inputs: list[str] = []
    options: dict[str, Option] = {}
    tags: dict[str, list[str]] = {}
    """Groups of columns for ``features``: tag -> names and globs, of the template's columns and its kernels'."""
    lookback: str = "0"
    """Jinja expression over the options, in seconds."""
    lookahead: str = "0"
    """Jinja expression over the options, in seconds."""
    trades: str = "trades"
    """Input whose rows may be trades: option ``sign`` says whose sign is their side."""
    signs: bool = False
    """Rows of the result are trades with ``sign_tick``, ``sign_quote`` and ``sign_lee_ready``."""
    sessions: bool = False
    """Rows of the result have ``session_date`` where those of the first input have it."""
    other_time: bool = False
    """Rows of the result have the time that is not ts (``clock``) where those of the first input have it."""
    own_dates: bool = False
    """Rows of the result have the date of their time, whatever the partition of the input rows."""
    batches: str | bool = False
    """Jinja expression over the options: true if the SELECT over many partitions gives the same rows as over each of
    them alone (with its lookback and lookahead)."""
    order_by: list[str] = []
    """Columns that reproduce the template's row order within a partition."""
    time: str = "ts"
    """Time column of the inputs, by which lookback and lookahead are cut."""
    nulls: dict[str, str] = {}
    """Names and globs of columns -> reason why a row has no value: such rows are counted in the report."""
    csv: CsvFormat = CsvFormat()
    captured_levels: str = ""
    """Adapters of books: Jinja expression over the options, the most levels per side that the feed sends, or
    ``'all'``; empty if unknown."""
    feed: str = ""
    """Adapters: name of the event feed. Adapters of one feed number the events of a file alike: if they read the same
    files, rows and trades are ordered by ``(ts, seq)``."""
    kernels_over: str | None = None
    """Input whose rows go through the kernels before the template; default: the template's result does."""

    @model_validator(mode="after")
    def _defaults_are_valid(self) -> Header:
        for name, option in self.options.items():
            try:
                option.check(option.default)
            except ValueError as error:
                raise ValueError(f"default of option '{name}': {error}") from None
        return self


def not_found(name: str, folders: Iterable[Path], known: Sequence[str]) -> str:
    """Message on a template that does not exist, with those of its name in other folders, or one of a close name."""
    stems = [other.removesuffix(TEMPLATE_SUFFIX) for other in known]
    same = [f"'{other}'" for other in known if other.endswith(f"/{name}")]
    near = nearest(name.removesuffix(TEMPLATE_SUFFIX), stems).replace("'?", f"{TEMPLATE_SUFFIX}'?")
    hint = f" Did you mean {' or '.join(same)}?" if same else near
    kind = [other for other in known if other.startswith("sources/") == name.startswith("sources/")]
    return (
        f"template '{name}' not found in {', '.join(map(str, folders))}.{hint} Templates there are: {', '.join(kind)}"
    )
