"""Raw files that are not Parquet, made into Parquet files with the columns that their adapter reads.

Lines that cannot be read do not stop the others: they are set aside, with the reason.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from sqlgen import dbn
from sqlgen.errors import TaskError, first_line
from sqlgen.quoting import ident
from sqlgen.templates import Csv, Library

DECODE_TEMPLATE = "publish/decode.sql.j2"
PLACES_TEMPLATE = "publish/places.sql.j2"
DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be read."""

    line: int
    """In the file, from 1."""
    reason: str
    text: str


@dataclass(frozen=True)
class Decoded:
    """What a raw file held."""

    lines: int
    """All that it has, apart from a header."""
    bad: tuple[BadLine, ...] = ()
    rows: int = 0
    """Those of the Parquet file; of NDJSON, and of CSV where places are kept, lines that cannot be read are rows of
    NULLs."""


@dataclass(frozen=True)
class Decoder:
    """Decodes the files of one source."""

    library: Library
    format: str
    columns: Mapping[str, str]
    """Column -> SQL type; those without a header in the order of the files."""
    csv: Csv
    connection: duckdb.DuckDBPyConnection

    def decode(self, path: Path, target: Path) -> Decoded:
        """Write the rows of ``path`` to ``target``; :class:`TaskError` where the file as a whole cannot be read."""
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.format == "dbn":
            rows = dbn.write_parquet(path, target, self.columns)
            return Decoded(rows, (), rows)
        if path.suffix == ".zip":
            unpacked = target.with_suffix(".unpacked")
            try:
                _unzip(path, unpacked)
                return self._decode(path, unpacked, target)
            finally:
                unpacked.unlink(missing_ok=True)
        return self._decode(path, path, target)

    def _decode(self, path: Path, readable: Path, target: Path) -> Decoded:
        try:
            decoded = self._lines(path, readable, target)
        except duckdb.Error as error:
            raise TaskError(f"{path}: {first_line(error)}{_advice(error)}") from error
        if decoded.bad and len(decoded.bad) == decoded.lines:
            first = decoded.bad[0]
            raise TaskError(
                f"{path}: none of its {len(decoded.bad)} lines can be read as {self.format} with columns"
                f" {', '.join(self.columns)}. Line {first.line}: {first.reason}. Is it the right adapter for this file?"
            )
        return decoded

    def _lines(self, path: Path, readable: Path, target: Path) -> Decoded:
        if self.format == "ndjson":
            self._copy(readable, target, dict(self.columns), False, self.csv)
            rows = parquet_rows(self.connection, [str(target)])
            return Decoded(rows, tuple(self._bad_objects(readable, target)), rows)
        if self.csv.lines:
            self._copy(readable, target, dict(self.columns), False, self.csv)
            rows = parquet_rows(self.connection, [str(target)])
            return Decoded(rows, tuple(self._unlike(path.name, target)), rows)
        first = _first_text(path, readable)
        found, has_header, csv = self._dialect(path, first)
        self._copy(readable, target, found, has_header, csv)
        bad = tuple(self._rejected())
        rows = parquet_rows(self.connection, [str(target)])
        if bad and csv.keep_places:
            self._keep_places(readable, target, [line.line for line in bad], int(has_header))
            return Decoded(rows + len(bad), bad, rows + len(bad))
        return Decoded(rows + len(bad), bad, rows)

    def _copy(self, readable: Path, target: Path, found: Mapping[str, str], has_header: bool, csv: Csv) -> None:
        statement = self.library.render(
            DECODE_TEMPLATE,
            file=str(readable),
            format=self.format,
            columns=dict(self.columns),
            found=dict(found),
            has_header=has_header,
            csv=csv,
            target=str(target),
        )
        self.connection.execute(statement)

    def _dialect(self, path: Path, first: str) -> tuple[dict[str, str], bool, Csv]:
        """The columns of a CSV file in its own order, whether it has a header, and its delimiter."""
        required = [name for name in self.columns if name not in self.csv.optional]
        delimiters = dict.fromkeys((self.csv.delimiter, *DELIMITERS))
        splits = {mark: [field.strip(' "') for field in first.split(mark)] for mark in delimiters}
        if self.csv.header is not False:
            for mark, fields in splits.items():
                if set(required) <= set(fields):
                    found = {field: self.columns.get(field, "VARCHAR") for field in fields}
                    return found, True, self.csv.model_copy(update={"delimiter": mark})
        if self.csv.header is True:
            fields = max(splits.values(), key=len)
            missing = ", ".join(name for name in required if name not in fields)
            raise TaskError(
                f"{path}: its header has no column {missing}. It has: {', '.join(fields)}."
                " Is it another schema version, or not what this adapter reads? If the key is in no column, give"
                " 'pattern', 'exchange' or 'symbol' in the source"
            )
        for mark, fields in splits.items():
            if len(required) <= len(fields) <= len(self.columns):
                names = list(self.columns)[: len(fields)]
                found = {name: self.columns[name] for name in names}
                return found, False, self.csv.model_copy(update={"delimiter": mark})
        counts = ", ".join(f"{len(fields)} by {mark!r}" for mark, fields in splits.items())
        raise TaskError(
            f"{path}: its first line has {counts} fields, and {len(self.columns)} were expected:"
            f" {', '.join(self.columns)}. Is it the right adapter for this file?"
        )

    def _rejected(self) -> list[BadLine]:
        """What the CSV reader could not read in this connection's last scan."""
        query = """
            SELECT line, string_agg(error_message, '; ' ORDER BY column_idx), any_value(csv_line)
            FROM reject_errors GROUP BY line ORDER BY line
        """
        rows = self.connection.execute(query).fetchall()
        self.connection.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")
        return [BadLine(line, reason, text or "") for line, reason, text in rows]

    def _keep_places(self, readable: Path, target: Path, bad: list[int], header: int) -> None:
        """Write the rows anew, with one of NULLs for each line that could not be read."""
        whole = target.with_suffix(".whole")
        statement = self.library.render(
            PLACES_TEMPLATE,
            file=str(readable),
            rows=str(target),
            columns=list(self.columns),
            bad_lines=bad,
            header_lines=header,
            target=str(whole),
        )
        self.connection.execute(statement)
        whole.replace(target)

    def _unlike(self, name: str, target: Path) -> list[BadLine]:
        """Lines that do not look as the adapter says, among those that were read whole."""
        lines = self.csv.lines_of(name)
        assert lines is not None
        query = """
            SELECT file_row_number + 1, coalesce(text, '') FROM read_parquet($target)
            WHERE NOT coalesce(regexp_full_match(text, $fits), false) ORDER BY ALL
        """
        rows = self.connection.execute(query, {"target": str(target), "fits": lines.fits}).fetchall()
        return [BadLine(number, f"it is not {lines.says}", text) for number, text in rows]

    def _bad_objects(self, readable: Path, target: Path) -> list[BadLine]:
        """Lines of an NDJSON file that gave no value at all."""
        nothing = " AND ".join(f"{ident(name)} IS NULL" for name in self.columns)
        where = f"FROM read_parquet($target) WHERE {nothing}"
        empty = self.connection.execute(f"SELECT file_row_number {where}", {"target": str(target)}).fetchall()
        if not empty:
            return []
        query = """
            SELECT number, text, json_valid(text) FROM (
                SELECT row_number() OVER () - 1 AS number, text
                FROM read_csv($file, auto_detect = false, header = false, delim = '\x01', quote = '', escape = '',
                    strict_mode = false, columns = {'text': 'VARCHAR'})
                WHERE trim(text) <> ''
            )
            WHERE list_contains($numbers, number) ORDER BY number
        """
        numbers = [row[0] for row in empty]
        lines = self.connection.execute(query, {"file": str(readable), "numbers": numbers}).fetchall()
        reasons = {True: f"no value for {', '.join(self.columns)} in their types", False: "not a JSON object"}
        return [BadLine(number + 1, reasons[bool(valid)], text) for number, text, valid in lines]


def _first_text(path: Path, readable: Path) -> str:
    """The first line of a text file, compressed or not."""
    kind = {".gz": "gzip", ".zst": "zstd"}.get(readable.suffix)
    try:
        with pa.input_stream(str(readable), compression=kind) as stream:
            head = bytes(stream.read(1 << 16))
    except OSError as error:
        raise TaskError(f"{path} cannot be read: {error}. Is it cut off? Fetch it again") from error
    return head.split(b"\n", 1)[0].decode("utf-8-sig", "replace").rstrip("\r")


def _unzip(path: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            if len(members) != 1:
                names = ", ".join(info.filename for info in members)
                raise TaskError(f"{path} holds {len(members)} files ({names}); one is expected. Unpack it")
            with archive.open(members[0]) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise TaskError(f"{path} cannot be unpacked: {error}. Is it cut off? Fetch it again") from error


def parquet_rows(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> int:
    """Rows of Parquet files, by their footers."""
    query = "SELECT sum(num_rows)::BIGINT FROM parquet_file_metadata(?)"
    return int(connection.execute(query, [list(paths)]).fetchall()[0][0] or 0) if paths else 0


def _advice(error: duckdb.Error) -> str:
    text = str(error)
    if "GZIP" in text or "end of" in text.lower():
        return ". The file is cut off: fetch it again; nothing of it was published"
    return ""
