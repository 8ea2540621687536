"""Databento's binary files (DBN) as Parquet files with their raw columns.

The vendor's package decodes header and records; records of one type, whose layout it declares, become numpy arrays.
https://databento.com/docs/standards-and-conventions/databento-binary-encoding
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from sqlgen.errors import TaskError

CHUNK = 1 << 23
"""Bytes that are decoded at a time."""
_MESSAGES = {0: ("trades", "TradeMsg"), 1: ("mbp-1", "MBP1Msg"), 10: ("mbp-10", "MBP10Msg"), 160: ("mbo", "MBOMsg")}
_MESSAGES |= {197: ("tbbo", "MBP1Msg"), 177: ("cmbp-1", "CMBP1Msg"), 194: ("tcbbo", "CMBP1Msg")}
_MESSAGES |= {195: ("bbo-1s", "BBOMsg"), 196: ("bbo-1m", "BBOMsg"), 192: ("cbbo-1s", "CBBOMsg")}
_MESSAGES |= {193: ("cbbo-1m", "CBBOMsg"), 32: ("ohlcv-1s", "OHLCVMsg"), 33: ("ohlcv-1m", "OHLCVMsg")}
_MESSAGES |= {34: ("ohlcv-1h", "OHLCVMsg"), 35: ("ohlcv-1d", "OHLCVMsg"), 36: ("ohlcv-eod", "OHLCVMsg")}
"""Type of a record (rtype) -> schema, and class in the package."""
_CONTROL = (21, 22, 23)
"""Types of errors, symbol mappings and system messages, which a recording of a live feed has among its records."""
_LETTERS = {"action": b"ACMRTFN", "side": b"ABN"}
"""Field -> its values; those of the schema trades have the action T."""
_ZSTD, _MAGIC = b"\x28\xb5\x2f\xfd", b"DBN"
_DAY = 86_400 * 10**9
_EPOCH = dt.date(1970, 1, 1)
_FOREVER = 1 << 32
_PANIC = "PanicException"
"""Name of the exception, no ``Exception``, in which the decoder ends over a record that is shorter than its type."""

Intervals = dict[int, list[tuple[int, int, str]]]
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
            decoded = _decoded(package, path, stream)
            header = next(decoded, None)
            if header is None:
                raise TaskError(f"{path} is cut off within its header. Fetch it again; nothing of it was published")
            lots = _without_control(decoded, intervals := _intervals(header))
            first = next(lots, [])
            rtype = _record_type(path, header, first)
            file = _File(path, header, rtype, _dtype(package, header, rtype), intervals, columns, optional)
            file.check_columns()
            return file.copy(itertools.chain([first], lots), target)
    except OSError as error:
        raise TaskError(
            f"{path} is cut off or damaged: {error}. Fetch it again; nothing of it was published"
        ) from error


class _File(Struct, frozen=True):
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

    def copy(self, lots: Iterable[list[bytes]], target: Path) -> int:
        """Convert all records; return their number."""
        count = 0
        schema = self._table(np.empty(0, self.dtype)).schema
        with pq.ParquetWriter(target, schema, compression="none", use_dictionary=False) as writer:
            for lot in lots:
                self._check_sizes(lot, count)
                records = np.frombuffer(b"".join(lot), self.dtype)
                self._check_records(records, count)
                writer.write_table(self._table(records))
                count += len(records)
        return count

    def _check_sizes(self, lot: list[bytes], before: int) -> None:
        """Check that all records have the size that their layout has."""
        size = self.dtype.itemsize
        if {*map(len, lot)} - {size}:
            bad = next(place for place, record in enumerate(lot) if len(record) != size)
            raise self._mixed(before + bad + 1, lot[bad][1], len(lot[bad]))

    def _mixed(self, number: int, rtype: int, size: int) -> TaskError:
        return TaskError(
            f"{self.path}: record {number} is of type {rtype} and has {size} bytes, the first one type {self.rtype} and"
            f" {self.dtype.itemsize}. A file must hold one schema: fetch the schemas one by one"
        )

    def _check_records(self, records: np.ndarray[Any, Any], before: int) -> None:
        """Check that all records are of one type, and their letters."""
        alike = (records["rtype"] == self.rtype) & (records["length"].astype(np.int64) * 4 == self.dtype.itemsize)
        if not alike.all():
            bad = int(np.argmin(alike))
            raise self._mixed(before + bad + 1, records["rtype"][bad], int(records["length"][bad]) * 4)
        for name in (name for name in _LETTERS if name in (self.dtype.names or ())):
            known = _LETTERS[name] if (name, self.rtype) != ("action", 0) else b"T"
            is_known = np.zeros(256, np.bool_)
            is_known[list(known)] = True
            right = is_known[records[name].view(np.uint8)]
            if not right.all():
                bad = int(np.argmin(right))
                raise TaskError(
                    f"{self.path}: record {before + bad + 1} has the {name} {bytes(records[name][bad])!r}, and there"
                    f" are {', '.join(known.decode())}. It is damaged: fetch it again; nothing of it was published"
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


def _record_type(path: Path, header: Any, first: list[bytes]) -> int:
    """Type of the first record: the header of mixed files names none."""
    by_schema = {schema: rtype for rtype, (schema, _) in _MESSAGES.items()}
    found = first[0][1] if first else by_schema.get(str(header.schema))
    if found not in _MESSAGES:
        raise TaskError(
            f"{path} holds records of type {found}, schema {header.schema}. What can be read: {', '.join(by_schema)}"
        )
    return found


def _dtype(package: ModuleType, header: Any, rtype: int) -> np.dtype[Any]:
    fields = list(getattr(package, _MESSAGES[rtype][1])._dtypes)
    return np.dtype([*fields, ("ts_out", "u8")] if header.ts_out else fields)


def _decoded(package: ModuleType, path: Path, stream: Any) -> Iterator[Any]:
    """The header, and then lists of records, as the vendor's decoder gives them."""
    decoder, header, count = package.DBNDecoder(), None, 0
    start = _read(stream, 8)
    if len(start) == 8 and not start.startswith(_MAGIC):
        raise TaskError(f"{path} is no DBN file: it starts with {start!r}. Set 'format' or 'pattern' of its source")
    chunk = start + _read(stream, int.from_bytes(start[4:8], "little"))
    while chunk:
        try:
            found = decoder.write_and_decode(chunk)
        except BaseException as error:
            if not isinstance(error, package.DBNError) and type(error).__name__ != _PANIC:
                raise
            what = f"a record after the first {count:,}" if header else "its header"
            advice = f"It is damaged, or of a later version than databento-dbn {package.DBN_VERSION}: fetch it again"
            raise TaskError(
                f"{path}: {what} cannot be decoded: {error}. {advice}; nothing of it was published"
            ) from error
        if header is None and found:
            header, *found = found
            yield header
        count += len(found)
        if found:
            yield found
        chunk = _read(stream, CHUNK)
    if header is not None and (rest := len(decoder.buffer())):
        raise TaskError(
            f"{path} is cut off: {rest} bytes follow its last whole record. Fetch it again; nothing of it was published"
        )


def _without_control(decoded: Iterator[list[Any]], intervals: Intervals) -> Iterator[list[bytes]]:
    """Lists of records of the market as bytes; a symbol mapping among them is added to ``intervals``."""
    for lot in decoded:
        records = [*map(bytes, lot)]
        if any(record[1] in _CONTROL for record in records):
            for each in lot:
                if symbol := getattr(each, "stype_out_symbol", ""):
                    intervals.setdefault(each.instrument_id, []).append((0, _FOREVER, symbol))
            records = [record for record in records if record[1] not in _CONTROL]
        if records:
            yield records


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
