"""Databento's binary files (DBN) as Parquet files with their raw columns.

The vendor's package reads the header; the records, which have one size, become numpy arrays.
https://databento.com/docs/standards-and-conventions/databento-binary-encoding
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sqlgen.errors import TaskError

RECORDS = 1 << 16
"""Records that are converted at a time."""
_MESSAGES = {0: ("trades", "TradeMsg"), 1: ("mbp-1", "MBP1Msg"), 10: ("mbp-10", "MBP10Msg"), 160: ("mbo", "MBOMsg")}
_MESSAGES |= {197: ("tbbo", "MBP1Msg"), 177: ("cmbp-1", "CMBP1Msg"), 194: ("tcbbo", "CMBP1Msg")}
_MESSAGES |= {195: ("bbo-1s", "BBOMsg"), 196: ("bbo-1m", "BBOMsg"), 192: ("cbbo-1s", "CBBOMsg")}
_MESSAGES |= {193: ("cbbo-1m", "CBBOMsg"), 32: ("ohlcv-1s", "OHLCVMsg"), 33: ("ohlcv-1m", "OHLCVMsg")}
_MESSAGES |= {34: ("ohlcv-1h", "OHLCVMsg"), 35: ("ohlcv-1d", "OHLCVMsg"), 36: ("ohlcv-eod", "OHLCVMsg")}
"""Type of a record (rtype) -> schema, and class in the package."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_DAY = 86_400 * 10**9
_EPOCH = dt.date(1970, 1, 1)

Intervals = Mapping[int, list[tuple[int, int, str]]]
"""Instrument -> first day and day after the last (since 1970) on which it has this symbol."""


def write_parquet(path: Path, target: Path, columns: Collection[str], optional: Collection[str] = ()) -> int:
    """Write the records of ``path`` to ``target``; return their number.

    Args:
        path: a DBN file, plain or zstd, with records of one schema.
        target: Parquet file with the ``columns``: raw fields of the records (prices in 1e-9, times in nanoseconds,
            missing values as the highest number), ``symbol`` by the header's mappings and ``exchange``, the data set.
        columns: the vendor's names.
        optional: columns that are NULL where the records have none.

    Raises:
        TaskError: the file is truncated, not DBN or of another schema; or the package is not installed.
    """
    package = _package(path)
    try:
        with _opened(path) as stream:
            header = _header(package, path, stream)
            first = _read(stream, 2)
            rtype = _record_type(path, header, first)
            file = _File(path, header, rtype, _dtype(package, header, rtype), _intervals(header), columns, optional)
            file.check_columns()
            return file.copy(first, stream, target)
    except OSError as error:
        raise TaskError(
            f"{path} is cut off or damaged: {error}. Fetch it again; nothing of it was published"
        ) from error


@dataclass(frozen=True)
class _File:
    path: Path
    header: Any
    rtype: int
    dtype: np.dtype[Any]
    intervals: Intervals
    columns: Collection[str]
    optional: Collection[str]

    def check_columns(self) -> None:
        known = {*(self.dtype.names or ()), "symbol", "exchange", *self.optional}
        missing = ", ".join(name for name in self.columns if name not in known)
        if missing:
            there = ", ".join(self.dtype.names or ())
            raise TaskError(
                f"{self.path}: its records have no {missing}. They have {there}. Is it the right adapter for this file?"
            )

    def copy(self, first: bytes, stream: Any, target: Path) -> int:
        """Convert all records; ``first``: bytes that were already read."""
        count = 0
        schema = self._table(np.empty(0, self.dtype)).schema
        with pq.ParquetWriter(target, schema, compression="none", use_dictionary=False) as writer:
            for records in self._records(first, stream):
                self._check_records(records, count)
                writer.write_table(self._table(records))
                count += len(records)
        return count

    def _records(self, first: bytes, stream: Any) -> Iterator[np.ndarray[Any, Any]]:
        size = self.dtype.itemsize
        while chunk := first + _read(stream, RECORDS * size - len(first)):
            if len(chunk) % size:
                raise TaskError(
                    f"{self.path} is cut off: its last record has {len(chunk) % size} of {size} bytes. Fetch it again;"
                    " nothing of it was published"
                )
            yield np.frombuffer(chunk, self.dtype)
            first = b""

    def _check_records(self, records: np.ndarray[Any, Any], before: int) -> None:
        """Check that all records are of one type and size, from which their positions follow."""
        alike = (records["rtype"] == self.rtype) & (records["length"].astype(np.int64) * 4 == self.dtype.itemsize)
        if not alike.all():
            bad = int(np.argmin(alike))
            raise TaskError(
                f"{self.path}: record {before + bad + 1} is of type {records['rtype'][bad]} and has"
                f" {int(records['length'][bad]) * 4} bytes, the first one type {self.rtype} and {self.dtype.itemsize}."
                " A file must hold one schema: fetch the schemas one by one"
            )

    def _table(self, records: np.ndarray[Any, Any]) -> Any:
        return pa.table({name: self._column(name, records) for name in self.columns})

    def _column(self, name: str, records: np.ndarray[Any, Any]) -> Any:
        if name == "exchange":
            return pa.array([self.header.dataset] * len(records), pa.string())
        if name == "symbol":
            return _symbols(records, self.intervals)
        if name not in (self.dtype.names or ()):
            return pa.nulls(len(records), pa.string())
        # Arrow needs contiguous values; a field of the records is strided.
        values = np.ascontiguousarray(records[name])
        return pa.array(values).cast(pa.string()) if values.dtype.kind == "S" else pa.array(values)


def _symbols(records: np.ndarray[Any, Any], intervals: Intervals) -> Any:
    """The symbol of each record by its instrument and the day of its arrival, by which the header maps them."""
    times = records["ts_recv"] if "ts_recv" in (records.dtype.names or ()) else records["ts_event"]
    days = (times // np.uint64(_DAY)).astype(np.uint64)
    pairs = (records["instrument_id"].astype(np.uint64) << np.uint64(32)) | days
    known, places = np.unique(pairs, return_inverse=True)
    names = [_symbol_on(intervals.get(int(pair) >> 32, []), int(pair) & 0xFFFFFFFF) for pair in known]
    return pa.array(names, pa.string()).take(pa.array(places))


def _symbol_on(intervals: list[tuple[int, int, str]], day: int) -> str | None:
    return next((symbol for start, end, symbol in intervals if start <= day < end), None)


def _intervals(header: Any) -> Intervals:
    """Symbols of each instrument; the direction of the header's mapping depends on the request."""
    by_instrument = str(header.stype_in) == "instrument_id"
    found: dict[int, list[tuple[int, int, str]]] = {}
    for name, intervals in header.mappings.items():
        for interval in intervals:
            instrument, symbol = (name, interval["symbol"]) if by_instrument else (interval["symbol"], name)
            if instrument.isdecimal() and symbol:
                days = (interval[key].toordinal() - _EPOCH.toordinal() for key in ("start_date", "end_date"))
                found.setdefault(int(instrument), []).append((*days, symbol))
    return found


def _record_type(path: Path, header: Any, first: bytes) -> int:
    """Type of the first record: the header of mixed files names none."""
    by_schema = {schema: rtype for rtype, (schema, _) in _MESSAGES.items()}
    found = first[1] if len(first) > 1 else by_schema.get(str(header.schema))
    if found not in _MESSAGES:
        raise TaskError(
            f"{path} holds records of type {found}, schema {header.schema}. What can be read: {', '.join(by_schema)}"
        )
    return found


def _dtype(package: ModuleType, header: Any, rtype: int) -> np.dtype[Any]:
    fields = list(getattr(package, _MESSAGES[rtype][1])._dtypes)
    return np.dtype([*fields, ("ts_out", "u8")] if header.ts_out else fields)


def _header(package: ModuleType, path: Path, stream: Any) -> Any:
    start = _read(stream, 8)
    if len(start) == 8 and not start.startswith(b"DBN"):
        raise TaskError(f"{path} is no DBN file: it starts with {start[:8]!r}. Set 'format' or 'pattern' of its source")
    size = int.from_bytes(start[4:8], "little")
    rest = _read(stream, size)
    if len(start) < 8 or len(rest) < size:
        raise TaskError(f"{path} is cut off within its header. Fetch it again; nothing of it was published")
    try:
        return package.DBNDecoder().write_and_decode(start + rest)[0]
    except package.DBNError as error:
        raise TaskError(f"{path}: its header cannot be read: {error}. Is databento-dbn up to date?") from error


def _opened(path: Path) -> Any:
    with path.open("rb") as file:
        packed = file.read(4) == _ZSTD
    return pa.input_stream(str(path), compression="zstd" if packed else None)


def _read(stream: Any, size: int) -> bytes:
    """Read ``size`` bytes, or all that are left: one read may return fewer."""
    parts, left = [], size
    while left and (part := bytes(stream.read(left))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _package(path: Path) -> ModuleType:
    try:
        import databento_dbn
    except ImportError:
        raise TaskError(
            f"{path}: reading DBN needs the package databento-dbn. Install it: pip install 'sqlgen[dbn]'"
        ) from None
    return databento_dbn
