"""Decoding of source files into Parquet files with the columns that their adapter reads.

Unreadable lines do not stop the others: they are set aside, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import duckdb
from msgspec import Struct, field, structs

from sqlgen.errors import TaskError, disk_full, first_line
from sqlgen.sources import dbn, ndjson, rawfile, schemas, unpacked
from sqlgen.sources.dialect import Dialect, advice, dialect_of
from sqlgen.sources.digits import finite, parquet, text
from sqlgen.sources.digits.columns import Lossy, ReadColumns
from sqlgen.sources.schemas import parquet_rows
from sqlgen.templating.header import CsvFormat
from sqlgen.templating.queries import query
from sqlgen.templating.templates import Library

DECODE_TEMPLATE = "publish/decode.sql.j2"
PLACES_TEMPLATE = "publish/places.sql.j2"
_TEXT = 500
"""Characters that are kept of a bad line and of its error."""
_ERRORS = 3
"""Most errors reported per line."""
_FOR_DIALECT = 100
"""Rejected lines in which quotes and decimal commas are looked for."""
_MIXED_LINE_ENDS = "invalid state"


class BadLine(Struct, frozen=True):
    """An unreadable line."""

    line: int
    """Number in the file, from 1."""
    reason: str
    text: str
    """Its beginning."""


class Decoded(Struct, frozen=True):
    """Outcome of decoding a source file."""

    lines: int
    """Number of lines without a header."""
    bad: tuple[BadLine, ...] = ()
    rows: int = 0
    """Rows of the Parquet file: readable lines; all lines if places are kept (unreadable ones as NULLs), or if the
    adapter parses lines itself."""
    lossy: tuple[Lossy, ...] = ()
    """Columns that lose digits."""
    not_finite: tuple[finite.NotFinite, ...] = ()
    """Columns with numbers that are NaN or infinite."""


class Decoder(Struct, frozen=True, dict=True):
    """Decodes the files of one source."""

    library: Library
    format: str
    columns: Mapping[str, str]
    """Column -> SQL type; in file order for files without a header."""
    csv: CsvFormat
    connection: duckdb.DuckDBPyConnection
    advice: str = ""
    """Advice for files that do not fit the adapter."""
    extra: tuple[str, ...] = ()
    """Additional text columns, NULL in files without them."""
    original_names: Mapping[str, str] = field(default_factory=dict)
    """Column -> its name in the files, where they differ."""
    times: tuple[str, ...] = ()
    """Timestamp columns."""
    time_unit: str = ""
    evaluated: Mapping[str, str] = field(default_factory=dict)
    """Column -> SQL over whole lines, which are decoded with it."""
    steps: Mapping[str, str] = field(default_factory=dict)
    """Name -> SQL of what these are made of."""

    @cached_property
    def _read(self) -> ReadColumns:
        return ReadColumns(self.columns, self.original_names, self.times, self.time_unit)

    @property
    def _all(self) -> dict[str, str]:
        return {**self.columns, **dict.fromkeys(self.extra, "VARCHAR")}

    def decode(self, path: Path, target: Path) -> Decoded:
        """Write the rows of ``path`` to ``target``; :class:`TaskError` where the file as a whole cannot be read."""
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.format == "dbn":
            rows = dbn.write_parquet(path, target, self._all, self.csv.optional)
            return Decoded(rows, (), rows)
        if self.format == "parquet":
            names = {name: self.original_names.get(name, name) for name in self.columns}
            rows = schemas.copy_columns(self.connection, path, target, names, self.columns)
            return Decoded(rows, (), rows, parquet.of_parquet(self.connection, path, self._read))
        try:
            columns = () if {*self.columns.values()} == {"JSON"} else {name.split(".")[0] for name in self.columns}
            with rawfile.readable(path, target, self.format == "ndjson", columns) as readable:
                if self.csv.lines:
                    return self._whole(path, readable, target)
                rawfile.require_utf8(path, rawfile.head(readable))
                if rawfile.is_blank(readable):
                    self._copy(readable, target, Dialect(self._all if self.evaluated else {}, False, self.csv))
                    return Decoded(0)
                decoded = (self._objects if self.format == "ndjson" else self._table)(path, readable, target)
                odd = finite.of_decoded(target, self.columns, self.original_names)
                return structs.replace(decoded, not_finite=odd)
        except duckdb.Error as error:
            if disk_full(error):
                raise
            raise TaskError(f"{path}: {first_line(error)}{_advice(error)}") from error

    def _objects(self, path: Path, readable: Path, target: Path) -> Decoded:
        with ThreadPoolExecutor(1) as beside:  # DuckDB reads the file by one or two threads meanwhile
            lossy = beside.submit(text.of_ndjson, readable, self._read)
            lines, bad = self._read_objects(path, readable, target)
            rows = lines if self.csv.keep_places else lines - len(bad)
            return Decoded(lines, bad, rows, lossy.result())

    def _read_objects(self, path: Path, readable: Path, target: Path) -> tuple[int, tuple[BadLine, ...]]:
        """Number of lines, and those that cannot be read."""
        everything = Dialect(self._all, False, self.csv)
        repaired, faults = target.with_suffix(".repaired"), None
        try:
            try:
                self._copy(readable, target, everything, strict=True)
            except (duckdb.InvalidInputException, duckdb.ConversionException):
                faults = rawfile.repair(readable, repaired)
                self._copy(repaired, target, everything)
            lines = parquet_rows(self.connection, [str(target)])
            keep = self.csv.keep_places
            objects = ndjson.JsonLines(self.connection, readable, target, self.columns, self.original_names)
            bad = tuple(BadLine(*each) for each in objects.misread(repaired, faults, keep))
        finally:
            repaired.unlink(missing_ok=True)
        if lines and len(bad) == lines and bad[0].reason != ndjson.NOTHING:
            raise TaskError(self._unreadable(path, lines, bad[0]))
        try:
            objects.check_columns(self.csv.optional)
        except TaskError as error:
            message = f"{path}: {error}. Is it another schema version, or another adapter's?{self.advice}"
            raise TaskError(message) from None
        return lines, bad

    def _table(self, path: Path, readable: Path, target: Path) -> Decoded:
        csv = self.csv.model_copy(update={"optional": (*self.csv.optional, *self.extra)})
        sql_names = {self.original_names.get(name, name): name for name in self._all}
        real = {name: self._all[sql_name] for name, sql_name in sql_names.items()}
        first, more = rawfile.first_line(readable, csv.title_lines), rawfile.next_lines(readable, csv.title_lines)

        def found_in(lines: str) -> Dialect:
            dialect = dialect_of(str(path), first, real, csv, lines)
            found = {sql_names.get(name, name): kind for name, kind in dialect.found.items()}
            return structs.replace(dialect, found=found)

        dialect = found_in(more)
        plain = target.with_suffix(".plain")
        try:
            scanned = self._scan(readable, plain, target, dialect)
            rows, bad, _ = self._counts(target)
            rejected = (line.text for line in self._rejected(most=_FOR_DIALECT)) if bad else ()
            other = found_in("\n".join([more, *rejected])) if bad else dialect
            if other.csv != dialect.csv:  # quotes, or decimal commas, that the first lines do not have
                scanned = self._scan(readable, plain, target, other)
                more_rows, fewer_bad, _ = self._counts(target)
                if fewer_bad < bad and more_rows + fewer_bad == rows + bad:
                    dialect = other
                else:
                    scanned = self._scan(readable, plain, target, dialect)
            decoded = self._read_table(path, scanned, target, dialect)
        finally:
            plain.unlink(missing_ok=True)
        lossy = text.of_csv(readable, self._read, list(dialect.found), dialect.lines_before, dialect.csv.delimiter)
        return structs.replace(decoded, lossy=lossy)

    def _read_table(self, path: Path, scanned: Path, target: Path, dialect: Dialect) -> Decoded:
        """Outcome of a scan, with the lines that it rejected."""
        rows, number, first = self._counts(target)
        if number and not rows:
            raise TaskError(self._unreadable(path, number, *self._advised(dialect, self._rejected(first))))
        bad = tuple(self._advised(dialect, self._rejected())) if number else ()
        if bad and self.csv.keep_places:
            self._keep_places(scanned, target, [line.line for line in bad], dialect.lines_before)
            return Decoded(rows + number, bad, rows + number)
        return Decoded(rows + number, bad, rows)

    def _advised(self, dialect: Dialect, bad: list[BadLine]) -> list[BadLine]:
        return [structs.replace(line, reason=line.reason + advice(dialect.csv, line.reason)) for line in bad]

    def _whole(self, path: Path, readable: Path, target: Path) -> Decoded:
        """Decode whole lines for an adapter that parses them; lines that do not fit its format are reported."""
        self._copy(readable, target, Dialect(self.columns, False, self.csv))
        rows = parquet_rows(self.connection, [str(target)])
        bad = tuple(self._unlike(path.name, target))
        if bad and len(bad) == rows:
            raise TaskError(self._unreadable(path, rows, bad[0]))
        return Decoded(rows, bad, rows)

    def _scan(self, readable: Path, plain: Path, target: Path, dialect: Dialect) -> Path:
        """Write the rows to ``target``; return the file that was scanned, which may be a copy at ``plain``."""
        # A failed scan leaves its rejects behind, and the next one would add to them.
        self.connection.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
        try:
            self._copy(readable, target, dialect)
            return readable
        except duckdb.InvalidInputException as error:
            if _MIXED_LINE_ENDS not in str(error):
                raise
            self._copy(rawfile.unix_lines(readable, plain), target, dialect)
            return plain

    def _copy(self, readable: Path, target: Path, dialect: Dialect, strict: bool = False) -> None:
        statement = self.library.render(
            DECODE_TEMPLATE,
            file=str(readable),
            format=self.format,
            columns=self._all,
            found=dict(dialect.found),
            original_names=dict(self.original_names),
            has_header=dialect.header,
            csv=dialect.csv,
            spaced=dialect.spaced,
            evaluated=dict(self.evaluated),
            steps=dict(self.steps),
            strict=strict,
            target=str(target),
        )
        self.connection.execute(statement)

    def _counts(self, target: Path) -> tuple[int, int, int]:
        """Rows of the last scan, lines that it rejected, and the first of them."""
        [(number, first)] = self.connection.execute(query("rejected_count")).fetchall()
        return parquet_rows(self.connection, [str(target)]), number, first

    def _rejected(self, line: int | None = None, most: int | None = None) -> list[BadLine]:
        """Lines that the CSV reader rejected in this connection's last scan; the first ``most``."""
        rejected = query("rejected", line=line, length=_TEXT, errors=_ERRORS, most=most)
        rows = self.connection.execute(rejected).fetchall()
        return [BadLine(line, reason, text or "") for line, reason, text in rows]

    def _keep_places(self, readable: Path, target: Path, bad: list[int], header: int) -> None:
        """Rewrite the rows, with a row of NULLs for each unreadable line."""
        whole = target.with_suffix(".whole")
        statement = self.library.render(
            PLACES_TEMPLATE,
            file=str(readable),
            rows=str(target),
            columns=list(self._all),
            bad_lines=bad,
            header_lines=header,
            target=str(whole),
        )
        self.connection.execute(statement)
        whole.replace(target)

    def _unlike(self, name: str, target: Path) -> list[BadLine]:
        """Lines that do not fit the adapter's line format."""
        lines = self.csv.lines_of(name)
        assert lines is not None
        rows = self.connection.execute(query("unlike", file=target, fits=lines.fits)).fetchall()
        return [BadLine(number, f"it is not {lines.says}", text[:_TEXT]) for number, text in rows]

    def _unreadable(self, path: Path, number: int, first: BadLine) -> str:
        return (
            f"{path}: none of its {number} lines can be read as {self.format} with columns {', '.join(self.columns)}."
            f" Line {first.line}: {first.reason}. Is it the right adapter for this file?{self.advice}"
        )


def _advice(error: duckdb.Error) -> str:
    text = str(error)
    if "GZIP" in text or "zstd" in text.lower() or "end of" in text.lower():
        return f". {unpacked.CUT_OFF}"
    return ""
