"""Detection of one file's format by its first bytes: format, compression, delimiter, columns. Names do not count."""

from __future__ import annotations

import contextlib
import json
import re
import zipfile
import zlib
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct, field

from sqlgen.lake.remote import mounts
from sqlgen.lake.storage import format_of
from sqlgen.sources import rawfile, unpacked
from sqlgen.sources.dialect import DELIMITERS, split

HEAD = 1 << 18
"""Bytes that are read, after decompression."""
BLOCK = 1 << 14
_MOST_TITLES = 20
_OBJECTS = 20
"""Objects of a JSON array that are looked at."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SEPARATOR = re.compile(r'"?sep=.?"?\s*', re.IGNORECASE)
"""First line that tells Excel the delimiter."""
_SUFFIX = {"gzip": ".gz", "zstd": ".zst", "zip": ".zip", "bz2": ".bz2", "xz": ".xz"}
_MAGIC = {unpacked.MAGIC[suffix]: kind for kind, suffix in _SUFFIX.items()} | {b"PK\5\6": "zip"}  # an empty one
_OHLCV = {5: "ohlcv-1s", 6: "ohlcv-1m", 7: "ohlcv-1h", 8: "ohlcv-1d", 13: "ohlcv-eod"}
_DBN_SCHEMAS = {0: "mbo", 1: "mbp-1", 2: "mbp-10", 3: "tbbo", 4: "trades", 14: "cmbp-1", 17: "tcbbo", **_OHLCV}
_DBN_SCHEMAS |= {15: "cbbo-1s", 16: "cbbo-1m", 18: "bbo-1s", 19: "bbo-1m"}
_DBN_SCHEMAS |= {9: "definition", 10: "statistics", 11: "status", 12: "imbalance"}
"""Number in the header -> schema."""


class Sniffed(Struct, frozen=True, dict=True):
    """Content of a file, by its first bytes."""

    format: str = ""
    """``parquet``, ``csv``, ``ndjson``, ``dbn``; empty if it is none of these."""
    packing: str = ""
    """``gzip``, ``zstd``, ``zip``."""
    columns: tuple[str, ...] = ()
    """Names: a header, keys of the objects; none in a CSV file without a header."""
    rows: tuple[tuple[str, ...], ...] = ()
    """First rows of a CSV file, without its header."""
    records: tuple[Mapping[str, Any], ...] = ()
    """First objects of an NDJSON file, or rows of a Parquet file."""
    delimiter: str = ""
    title_lines: int = 0
    """Lines of a CSV file before its header."""
    dataset: str = ""
    schema: str = ""
    """Schema of a DBN file."""
    problem: str = ""
    """Reason why sqlgen cannot read it as it is."""
    empty: bool = False
    types: Mapping[str, str] = field(default_factory=dict)
    """Types of the columns of a Parquet file."""

    @property
    def fields(self) -> int:
        """Fields of a row of a CSV file."""
        return len(self.columns) or len(self.rows[0]) if self.rows or self.columns else 0

    @cached_property
    def messages(self) -> tuple[Mapping[str, Any], ...]:
        """Records without what their collector wrote around them."""
        lines = _bare([json.dumps(record) for record in self.records], ()) if self.format == "ndjson" else []
        return tuple(json.loads(line) for line in lines) or self.records

    def values(self, column: str) -> list[Any]:
        """The first values of a column that are not NULL; texts in a CSV file."""
        if self.records:
            found = [record.get(column) for record in self.records]
        else:
            place = self.columns.index(column)
            found = [row[place] for row in self.rows if place < len(row)]
        return [value for value in found if value not in (None, "")]


def sniff(path: Path) -> Sniffed:
    """Detect the format of a file; an unreadable file has a ``problem``."""
    try:
        if path.stat().st_size == 0:
            return Sniffed(format_of(path.name) or "", empty=True)
        mounts.fetch([path])
        with path.open("rb") as file:
            magic = file.read(max(map(len, _MAGIC)))
        packing = next((kind for start, kind in _MAGIC.items() if magic.startswith(start)), "")
        if magic.startswith(unpacked.MAGIC[".parquet"]):
            return _parquet(path)
        head, whole = _head(path, packing)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, pa.ArrowInvalid) as error:
        return Sniffed(format_of(path.name) or "", problem=f"cannot be read: {error}. Is it truncated? Fetch it again")
    if not head:
        return Sniffed(format_of(path.name) or "", packing, empty=True)
    problem = ""
    if packing and not path.name.endswith(_SUFFIX[packing]):
        problem = f"is packed by {packing}, which its name does not tell. Rename it to {path.name}{_SUFFIX[packing]}"
    return _content(head, packing, problem, whole)


def _content(head: bytes, packing: str, problem: str, whole: bool) -> Sniffed:
    if head.startswith(b"DBN"):
        schema = _DBN_SCHEMAS.get(int.from_bytes(head[24:26], "little"), "")
        dataset = head[8:24].rstrip(b"\x00").decode("ascii", "replace")
        return Sniffed("dbn", packing, schema=schema, dataset=dataset, problem=problem)
    encoding = rawfile.encoding_of(head)
    if encoding:
        head = head.decode(encoding, "replace").encode()
    if b"\x00" in head[:4096]:
        return Sniffed("", packing, problem="is binary, and neither Parquet nor DBN")
    lines = head.decode("utf-8-sig", "replace").splitlines()
    lines = (lines if whole else lines[:-1] or lines)[:200]
    titles = _titles(lines)
    table = [line for line in lines[titles:] if line.strip()]
    lines = [line for line in lines if line.strip()]
    lines = _bare(lines, rawfile.WRAPPERS)
    first = next((line.lstrip() for line in lines if not line.lstrip().startswith("#")), "")
    if first.startswith("{"):
        return _ndjson(lines, packing, problem)
    if first.startswith("["):
        if _are_messages(lines):
            return _ndjson(lines, packing, problem)
        problem = "is one JSON array. Write one object a line (jq -c '.[]')"
        return Sniffed("", packing, records=_in_array("\n".join(lines)), problem=problem)
    return _csv(table, titles, packing, problem)


def _bare(lines: list[str], columns: Collection[str]) -> list[str]:
    """Lines as they are decoded: a time of arrival before a message is one of its fields."""
    start = "\n".join(lines).encode()
    change = rawfile.bare(start, columns)
    return lines if change is None else change(start).decode().split("\n")


def _are_messages(lines: list[str]) -> bool:
    """True if each line is a message by itself, and not a file of one line a list of objects."""
    try:
        parsed = [json.loads(line) for line in lines[:5]]
    except ValueError:
        return False
    return len(lines) > 1 or not all(isinstance(item, dict) for item in parsed[0])


def _in_array(text: str) -> tuple[Mapping[str, Any], ...]:
    """The first objects of a JSON array, which may be cut off."""
    found: list[Any] = []
    rest = text.lstrip()
    with contextlib.suppress(ValueError):
        while rest[:1] in ("[", ",") and len(found) < _OBJECTS:
            rest = rest[1:].lstrip()
            one, end = json.JSONDecoder().raw_decode(rest)
            found.append(one)
            rest = rest[end:].lstrip()
    return tuple(one for one in found if isinstance(one, dict))


def _parquet(path: Path) -> Sniffed:
    with pq.ParquetFile(path) as file:
        names = tuple(file.schema_arrow.names)
        types = {item.name: str(item.type) for item in file.schema_arrow}
        batch = next(file.iter_batches(50), None)
    if batch is None or not batch.num_rows:
        return Sniffed("parquet", columns=names, types=types, empty=True)
    # Nanoseconds do not fit into Python's times.
    plain = [column.cast(_without_times(column.type)) for column in batch.columns]
    records = tuple(pa.record_batch(plain, names=list(names)).to_pylist())
    return Sniffed("parquet", columns=names, records=records, types=types)


def _without_times(kind: pa.DataType) -> pa.DataType:
    """A type with text in place of times, at any depth of its fields."""
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_times(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_without_times(kind.value_type))
    return pa.string() if pa.types.is_temporal(kind) else kind


def _head(path: Path, packing: str) -> tuple[bytes, bool]:
    """The first bytes, decompressed, and True if they are the whole file."""
    if packing == "zip":
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            if len(members) != 1:
                names = ", ".join(info.filename for info in members[:5])
                raise OSError(f"it holds {len(members)} files ({names}), and one is expected; unpack it")
            with archive.open(members[0]) as stream:
                head = stream.read(HEAD)
        return head, len(head) < HEAD
    with unpacked.opened(path, packing) as stream:
        parts, size = [], 0
        while size < HEAD and (part := bytes(stream.read(BLOCK))):
            parts.append(part)
            size += len(part)
    return b"".join(parts), size < HEAD


def _ndjson(lines: list[str], packing: str, problem: str) -> Sniffed:
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, list):
            record = {"data": record}
        if isinstance(record, dict):
            records.append(record)
    if not records:
        return Sniffed("", packing, problem="begins like JSON, but no line of it is an object")
    columns = tuple(dict.fromkeys(key for record in records for key in record))
    return Sniffed("ndjson", packing, columns, records=tuple(records), problem=problem)


def _csv(lines: list[str], titles: int, packing: str, problem: str) -> Sniffed:
    delimiter = max(DELIMITERS, key=lambda mark: _regular(lines, mark))
    rows = [tuple(cell.strip(' "') for cell in split(line, delimiter)) for line in lines]
    if not rows or len(rows[0]) < 2:
        return Sniffed("", packing, problem="is neither delimited text nor JSON")
    first = rows[0]
    header = bool(re.search("[A-Za-z]", "".join(first))) and not any(_NUMBER.fullmatch(cell) for cell in first)
    names, body = (rows[0], rows[1:]) if header else ((), rows)
    return Sniffed("csv", packing, names, tuple(body), delimiter=delimiter, title_lines=titles, problem=problem)


def _titles(lines: list[str]) -> int:
    """Number of lines before a header: they have one field, and what follows has several."""
    tables = (place for place, line in enumerate(lines[:_MOST_TITLES]) if any(mark in line for mark in DELIMITERS))
    return next((place for place in tables if not _SEPARATOR.fullmatch(lines[place])), 0)


def _regular(lines: list[str], mark: str) -> tuple[int, int]:
    """Number of lines with as many delimiters as the first one, and this number of delimiters."""
    counts = [len(split(line, mark)) - 1 for line in lines]
    count = counts[0] if counts else 0
    return (counts.count(count) if count else 0, count)
