"""Files of a sample lake: paths and writers."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sqlgen.errors import UsageError
from sqlgen.sample.arrow import SCHEMAS, VenueDay, to_arrow
from sqlgen.sample.faults import FaultSite, apply_faults
from sqlgen.sample.instruments import built_in_symbols, generator, instrument
from sqlgen.sample.latent import LatentPrice
from sqlgen.sample.market import Market
from sqlgen.sample.rows import FeedRows, new_feed
from sqlgen.sample.spec import KINDS, Progress, SampleSpec, SampleSummary
from sqlgen.sample.ticker import Ticker
from sqlgen.templating.queries import query

_CHUNK_ROWS = 50_000


def write_lake(root: Path, spec: SampleSpec, *, overwrite: bool, progress: Progress | None) -> SampleSummary:
    """See :func:`sqlgen.sample.write_sample`."""
    started = time.perf_counter()
    try:
        _prepare(root / "raw", overwrite=overwrite)
        writer = _Writer(root / "raw" / "ccxt", spec)
        total = len(_symbols(spec)) * len(spec.exchanges) * spec.days
        for done, (exchange, day) in enumerate(_simulate(spec), 1):
            writer.write_day(exchange, day)
            if progress:
                progress(done, total, f"{exchange} {day.instrument.symbol} {day.date}")
    except OSError as error:
        raise UsageError(f"sample: cannot write {error.filename or root}: {error.strerror or error}") from error
    except duckdb.IOException as error:
        raise UsageError(f"sample: cannot write below {root}: {error}") from error
    return SampleSummary(writer.files, dict(writer.rows), writer.bytes, time.perf_counter() - started)


def _symbols(spec: SampleSpec) -> tuple[str, ...]:
    return built_in_symbols(spec.symbols) if isinstance(spec.symbols, int) else tuple(spec.symbols)


def _prepare(raw: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds files, or remove an earlier sample."""
    held = next((path for path in raw.rglob("*") if not path.is_dir()), None)
    if held is None:
        return
    if not overwrite:
        raise UsageError(f"sample: {raw} already holds files ({held.relative_to(raw)}); choose another folder")
    for kind in KINDS:
        if (raw / "ccxt" / kind).exists():
            shutil.rmtree(raw / "ccxt" / kind)


def _simulate(spec: SampleSpec) -> Iterator[tuple[str, VenueDay]]:
    """All days of all venues, one in memory at a time; the venues of a symbol share its efficient price."""
    for symbol in _symbols(spec):
        unit = instrument(symbol)
        latent = LatentPrice(unit, spec.seed)
        venues = [
            (name, Market(unit, name, spec.seed, spec.rows_per_day, spec.levels), Ticker()) for name in spec.exchanges
        ]
        for number in range(spec.days):
            date = spec.start + timedelta(days=number)
            path = latent.next_day(date)
            for exchange, market, ticker in venues:
                traded = market.next_day(date, path)
                yield exchange, VenueDay(date, unit, traded, ticker.next_day(traded))


class _Writer:
    """Writes days into the lake and counts."""

    def __init__(self, root: Path, spec: SampleSpec) -> None:
        self._root = root
        self._spec = spec
        self._write_rows = _write_parquet if spec.format == "parquet" else _JsonWriter()
        self.files = 0
        self.bytes = 0
        self.rows = Counter(dict.fromkeys(KINDS, 0))

    def write_day(self, exchange: str, day: VenueDay) -> None:
        """Write the partition of each kind."""
        for kind in KINDS:
            feed = self._feed(kind, exchange, day)
            base = self._root / kind / f"exchange={_segment(exchange)}" / f"symbol={_segment(day.instrument.symbol)}"
            for folder, part in self._partitions(base, day, feed):
                for name, late in (("data", False), ("late", True)):
                    rows = part.take(part.late == late)
                    if len(rows):
                        self._write_file(folder / f"{name}.{self._spec.format}", kind, day, rows)

    def _feed(self, kind: str, exchange: str, day: VenueDay) -> FeedRows:
        spec = self._spec
        times = {"orderbook": day.market.ms, "trades": day.market.fills.ms, "ticker": day.market.ms[day.ticker.rows]}
        site = FaultSite(spec.seed, exchange, day.instrument.symbol, day.date, kind)
        rng = generator(spec.seed, "feed", kind, exchange, day.instrument.symbol, day.date)
        return apply_faults(new_feed(rng, times[kind], spec.levels), spec.fault_names, site)

    def _partitions(self, base: Path, day: VenueDay, feed: FeedRows) -> Iterator[tuple[Path, FeedRows]]:
        if self._spec.layout == "date":
            yield base / f"date={day.date}", feed
            return
        hours = feed.ms // 3_600_000
        folder = base / f"year={day.date.year}" / f"month={day.date.month}" / f"day={day.date.day}"
        for hour in np.unique(hours):
            yield folder / f"hour={hour}", feed.take(hours == hour)

    def _write_file(self, path: Path, kind: str, day: VenueDay, feed: FeedRows) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        starts = range(0, len(feed), _CHUNK_ROWS)
        self._write_rows(path, SCHEMAS[kind], (to_arrow(kind, day, feed.take(_rows(feed, start))) for start in starts))
        self.files += 1
        self.bytes += path.stat().st_size
        self.rows[kind] += len(feed)


def _rows(feed: FeedRows, start: int) -> Any:
    return np.arange(start, min(start + _CHUNK_ROWS, len(feed)))


def _segment(value: str) -> str:
    """A hive value in a path, percent-encoded where a file system or a glob would stumble."""
    return quote(value, safe=" !#$&'()+,-.;@^_`{}~")


def _write_parquet(path: Path, schema: Any, tables: Iterator[Any]) -> None:
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
        for table in tables:
            writer.write_table(table)


class _JsonWriter:
    """Newline-delimited JSON, printed by DuckDB."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(config={"threads": 1})
        self._connection.execute("SET TimeZone = 'UTC'")

    def __call__(self, path: Path, schema: Any, tables: Iterator[Any]) -> None:
        batches = (batch for table in tables for batch in table.to_batches())
        self._connection.register("rows", pa.RecordBatchReader.from_batches(schema, batches))
        self._connection.execute(query("to_json", table="rows", target=str(path)))
        self._connection.unregister("rows")
