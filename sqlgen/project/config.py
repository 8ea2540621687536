"""models.yaml as frozen pydantic models: the shape, the defaults, and errors with file and line."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sqlgen.lake.patterns import PathPattern
from sqlgen.lake.remote.address import Address, is_remote
from sqlgen.project.nodes import Names, Node, cron
from sqlgen.project.rowchecks import Check

MOUNTS = ".sqlgen/mounts"
"""Folder of the lake under which other roots are found."""
OTHER_TIMES = {"received": "exchange_ts", "exchange": "received_ts"}
"""``clock`` of a source -> column of the time that is not ts."""
LONGEST_LOOKBACK = 10 * 366 * 86_400
"""In seconds."""
Storage = Literal["small", "balanced", "fast"]
COMPRESSION = ("compression", "compression_level")
"""Keys of an output instead of ``storage``."""
Compression = Literal["zstd", "snappy", "gzip", "lz4", "brotli", "uncompressed"]


def _lake(value: str) -> str:
    if is_remote(value):
        return Address.of(value).url()
    return _local(value)


def _local(value: str) -> str:
    if is_remote(value):
        raise ValueError("must be a folder, not an address: the state of a lake in an object store lies in that lake")
    if value.startswith("~") or "\\" in value:
        raise ValueError(
            "DuckDB reads ~ at the beginning, and a backslash, in its own way. Write the path out: ${HOME}/x"
        )
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", value):
        raise ValueError(
            "a name is made of letters, digits and _, begins with no digit, and has at most 100 characters:"
            " files and views are called by it"
        )
    return value


def _relative(value: str) -> str:
    if "\\" in value or any(part in ("", ".", "..") for part in value.split("/")):
        raise ValueError(
            "must be a plain path under the lake, like processed/trades: no leading or double /, no . or .., no \\"
        )
    return value


def _table(value: str) -> str:
    if "=" in value:
        raise ValueError("must have no =: readers take a folder such as a=b for a column of the table")
    return value


def _pattern(value: str) -> str:
    PathPattern(value)
    return value


Name = Annotated[str, AfterValidator(_name)]
Folder = Annotated[str, AfterValidator(_relative)]


class Output(Node):
    """Output table of a model."""

    path: Annotated[Folder, AfterValidator(_table)] = Field(description="Folder of the table, under the lake")
    format: Literal["parquet"] = Field("parquet", description="File format")
    storage: Storage = Field("balanced", description="How small files are, and how quick to write")
    float: Literal["double", "single"] = Field(
        "double", description="Precision of columns in other units than prices and sizes"
    )
    compression: Compression | None = Field(None, description="Parquet compression; default: that of storage")
    compression_level: int | None = Field(None, ge=1, le=22, description="Level, for zstd; default: that of storage")
    partition_by: tuple[str, ...] = Field(("exchange", "symbol", "date"), description="Hive partition columns")
    mode: Literal["overwrite", "append", "merge"] = Field("overwrite", description="What a new build does to old rows")
    key: Names = Field((), description="merge: the columns that identify a row")
    order_by: Names = Field((), description="merge: the newest row by these columns wins; otherwise: order in a file")
    row_group_size: int | None = Field(None, ge=2048, description="Rows in a Parquet row group")
    keep_versions: int = Field(0, ge=0, le=1000, description="Earlier publications of each partition that are kept")

    @model_validator(mode="after")
    def _says_it_once(self) -> Output:
        given = [name for name in COMPRESSION if name in self.model_fields_set]
        if given and "storage" in self.model_fields_set:
            raise ValueError(f"storage says how files are compressed: give either storage or {' and '.join(given)}")
        return self


class Sessions(Node):
    """Hours of an exchange that closes."""

    calendar: str = Field(description="Calendar of exchange_calendars, XNYS for example")
    before: float = Field(0.0, ge=0, le=1440, description="Minutes before the open that belong to the session")
    after: float = Field(0.0, ge=0, le=1440, description="Minutes after the close that belong to the session")

    @property
    def check(self) -> Check:
        """Check that leaves out the rows that are in no session, and counts them."""
        return Check(
            check="not_null", columns=("session_date",), on_fail="drop", name=f"in a session of {self.calendar}"
        )


def _as_sessions(value: Any) -> Any:
    return {"calendar": value} if isinstance(value, str) else value


class Source(Node):
    """Raw files and the adapter that reads them."""

    path: Folder = Field(description="Folder of the files, under the lake")
    lake: Annotated[str, AfterValidator(_lake)] | None = Field(
        None, description="Root of its files, if that is another than the lake's: a folder, or an address"
    )
    adapter: str = Field(description="Template under transforms_sql/sources, without .sql.j2")
    format: Literal["auto", "parquet", "ndjson", "csv", "dbn"] = Field(
        "auto", description="File format; auto goes by the names"
    )
    pattern: Annotated[str, AfterValidator(_pattern)] = Field(
        "", description="Paths below the folder, with {exchange}, {symbol}, {date} ...; default: hive folders"
    )
    exchange: str | None = Field(None, min_length=1, description="Exchange of all rows, where nothing else says it")
    symbol: str | None = Field(None, min_length=1, description="Symbol of all rows, where nothing else says it")
    options: dict[str, Any] = Field({}, description="Options of the adapter; those of a model come first")
    side_is: Literal["auto", "taker", "maker"] = Field(
        "auto", description="Whose side the rows of trades name; auto: the adapter knows"
    )
    clock: Literal["exchange", "received"] | None = Field(
        None, description="Whose time ts is; the other one is kept beside it. Default: the exchange's alone"
    )
    sessions: Annotated[
        Sessions | None, BeforeValidator(_as_sessions, json_schema_input_type=str | Sessions | None)
    ] = Field(None, description="Only rows within the sessions of this calendar; default: all rows")
    captured_levels: Annotated[int, Field(ge=1)] | Literal["all"] | None = Field(
        None, description="Levels per side that the feed sends at most, or all; default: what the adapter says"
    )
    description: str = Field("", description="One line for people")
    checks: tuple[Check, ...] = Field((), description="What its canonical rows must be like")
    unreadable: Literal["quarantine", "drop", "fail"] = Field(
        "quarantine",
        description="What becomes of lines that cannot be read and of rows without a time near their date",
    )
    negative_prices: bool = Field(
        False, description="Prices at or below zero count: spreads, power; otherwise they are left out, and counted"
    )
    date_tolerance: float | None = Field(
        1.0,
        ge=0,
        le=1000,
        description="Days that a row's time may lie before or after the date its path names; null: any number",
    )

    @model_validator(mode="after")
    def _checks_sessions(self) -> Source:
        if self.sessions is None or self.sessions.check in self.checks:
            return self
        return self.model_copy(update={"checks": (self.sessions.check, *self.checks)})

    @property
    def other_time(self) -> str:
        """Column of the time that is not ts; empty if it is not kept."""
        return OTHER_TIMES.get(self.clock or "", "")

    @property
    def folder(self) -> str:
        """Folder of the files under their own root; ``path`` is where runs find them in the lake."""
        return self.path.split("/", MOUNTS.count("/") + 2)[-1] if self.lake is not None else self.path


class Input(Node):
    """One input of a model: a source or another model, or a part of it."""

    ref: str = Field(description="Name of a source or a model")
    optional: bool = Field(False, description="Build partitions where this input has no files")
    exchange: Names | None = Field(None, description="Only these exchanges")
    symbol: Names | None = Field(None, description="Only these symbols")
    date_start: dt.date | None = Field(None, description="From this date on")
    date_end: dt.date | None = Field(None, description="Up to this date, inclusive")


def _as_input(value: Any) -> Any:
    return {"ref": value} if isinstance(value, str) else value


class ModelConfig(Node):
    """One template, one output table."""

    description: str = Field("", description="One line for people")
    sql: str = Field(description="Template under transforms_sql")
    inputs: dict[str, Annotated[Input, BeforeValidator(_as_input, json_schema_input_type=str | Input)]] = Field(
        min_length=1, description="Name in the template -> source or model; the first one sets the partitions"
    )
    output: Output = Field(description="Where and how the table is published")
    udfs: Names = Field((), description="Kernels that add columns, from udfs/; those whose columns they need come too")
    options: dict[str, Any] = Field(
        {}, description="Options of the template, its adapters and its kernels, which declare them"
    )
    depends_on: Names = Field((), description="More models that must be built first")
    lookback: float | None = Field(
        None,
        ge=0,
        le=LONGEST_LOOKBACK,
        description="Seconds of earlier rows that are read and not emitted; default: what the template needs",
    )
    lookahead: float | None = Field(
        None,
        ge=0,
        le=LONGEST_LOOKBACK,
        description="Seconds of later rows that are read and not emitted, for labels; default: what the template needs",
    )
    features: Names = Field(
        (), description="Compute and keep only the columns of these names, globs and tag:x, with keys, ts and seq"
    )
    columns: Names = Field((), description="Keep only these columns of the result, in this order")
    filter: str | None = Field(None, min_length=1, pattern=r"\S", description="SQL predicate over the result")
    checks: tuple[Check, ...] = Field((), description="What the rows of the result must be like")
    batch_size: int | None = Field(
        None, ge=2048, description="Rows that are processed and written together (row group size where none is given)"
    )
    checkpoint_enabled: bool = Field(True, description="false: build every partition at every run")
    delete_after_processing: bool = Field(
        False, description="Delete source files once every model that reads them has published"
    )
    keep_days: float = Field(
        0.0, ge=0, description="delete_after_processing: days since they were written that files stay"
    )
    tags: Names = Field((), description="For --select tag:x")
    schedule: Annotated[str, AfterValidator(cron)] | None = Field(None, description="Cron expression, for run --due")
    enabled: bool = Field(True, description="false: not run")


class OutputDefaults(Node):
    """Defaults for every model's output."""

    format: Any = Field(None, description="See Output.format")
    storage: Any = Field(None, description="See Output.storage")
    float: Any = Field(None, description="See Output.float")
    compression: Any = Field(None, description="See Output.compression")
    compression_level: Any = Field(None, description="See Output.compression_level")
    partition_by: Any = Field(None, description="See Output.partition_by")
    mode: Any = Field(None, description="See Output.mode")
    row_group_size: Any = Field(None, description="See Output.row_group_size")
    keep_versions: Any = Field(None, description="See Output.keep_versions")


class Defaults(Node):
    """Values for all models that do not give their own."""

    output: OutputDefaults = Field(OutputDefaults(), description="Defaults for outputs")


class Runs(Node):
    """Care for runs: what is kept of them, and who is told."""

    keep: int = Field(1000, ge=1, description="Number of run reports that are kept; older ones are removed after a run")
    on_failure: str | None = Field(
        None, min_length=1, description="Shell command that is run after a run that failed, whole or in part"
    )
    metrics: str | None = Field(
        None, min_length=1, description="File for Prometheus, written after each run; relative to this file"
    )
    openlineage: bool = Field(
        False, description="Send OpenLineage events of each run, by the configuration of its client (extra `lineage`)"
    )


class Config(Node):
    """The whole of models.yaml."""

    version: Literal[1] = Field(description="Version of this file's format")
    lake: Annotated[str, AfterValidator(_lake)] = Field(
        description="Root of the data; relative to this file, or an address such as s3://bucket/prefix"
    )
    state: Annotated[str, AfterValidator(_local)] = Field(
        ".sqlgen", description="Manifests, locks, run reports; relative to the lake"
    )
    defaults: Defaults = Field(Defaults(), description="Defaults")
    runs: Runs = Field(Runs(), description="Care for runs")
    sources: dict[Name, Source] = Field({}, description="Raw data")
    models: dict[Name, ModelConfig] = Field({}, description="Tables to build")
