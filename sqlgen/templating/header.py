"""Header of a template: YAML in its first comment, the one place for the defaults of its options."""

from __future__ import annotations

import fnmatch
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from udfs import Option

CSV_OPTIONS = ("header", "delimiter", "quote")
"""Options of an adapter by which users say how their CSV files are written."""


class LineFormat(BaseModel):
    """What the lines of a file look like that an adapter takes apart itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fits: str
    """Jinja expression over the options: regular expression of a line that can be read."""
    says: str
    """Jinja expression over the options: the same in words."""


class CsvFormat(BaseModel):
    """How the CSV files that an adapter reads are written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: bool | Literal["auto"] = True
    """Whether the first line names the columns; ``auto``: some files have one."""
    delimiter: str = ","
    """The usual one; another that fits the columns is found."""
    quote: str = ""
    """Without one, a stray quote cannot swallow the lines after it."""
    optional: tuple[str, ...] = ()
    """Columns that some files do not have; those with a JSON object a line too."""
    keep_places: bool = False
    """Whether a line that cannot be read leaves a row without values: its adapter must know that it was there."""
    lines: dict[str, LineFormat] = {}
    """Files by a pattern of their names, others are not read. Each line is the one column ``text``, also one that
    cannot be read, so that lines keep their numbers."""

    def wants(self, name: str) -> bool:
        """Whether the adapter reads a file of this name."""
        return not self.lines or self.lines_of(name) is not None

    def lines_of(self, name: str) -> LineFormat | None:
        """What the lines of a file look like, by its name."""
        return next((lines for pattern, lines in self.lines.items() if fnmatch.fnmatchcase(name, pattern)), None)


class Header(BaseModel):
    """The YAML header of a template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = ""
    inputs: list[str] = []
    options: dict[str, Option] = {}
    lookback: str = "0"
    """Jinja expression over the options, in seconds."""
    lookahead: str = "0"
    """Jinja expression over the options, in seconds."""
    own_dates: bool = False
    """The date of a row of the result is that of its time, whatever partition the rows lie in that it is made of."""
    batches: str = "false"
    """Jinja expression over the options: true if the SELECT over the rows of many partitions gives, for each of them,
    what it gives over its rows alone (with those of its lookback and lookahead)."""
    order_by: list[str] = []
    """Columns by which rows of one partition come in the order in which the template gives them."""
    time: str = "ts"
    """Time column of the inputs, by which lookback and lookahead are cut."""
    csv: CsvFormat = CsvFormat()
    captured_levels: str = ""
    """Of an adapter of books, Jinja expression over the options: levels per side that the feed sends at most, or
    ``'all'``; empty where that is not known."""
    feed: str = ""
    """Of an adapter: the kind of files of events that it reads. Adapters of one feed number the events of a file alike:
    where they read the same files, rows and trades are in the order of ``(ts, seq)``."""
    kernels_over: str | None = None
    """Input whose rows go through the kernels before the template sees them; otherwise its result does."""

    @model_validator(mode="after")
    def _defaults_are_valid(self) -> Header:
        for name, option in self.options.items():
            try:
                option.check(option.default)
            except ValueError as error:
                raise ValueError(f"default of option '{name}': {error}") from None
        return self
