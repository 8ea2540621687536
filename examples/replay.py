"""Replay a day of a lake as a live feed: how long a row takes, and whether it gives what a run published.

python examples/replay.py LAKE/models.yaml --exchange binance --symbol BTC-USDT --date 2026-01-02 --rows 5000
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sqlgen.lake.partitions import Partition
from sqlgen.live import LiveModel, open_model
from sqlgen.project.model import Model, ModelInput
from sqlgen.published.records import Published
from sqlgen.run.engine import Engine
from sqlgen.sources.sourcefiles import list_source_files

Row = dict[str, Any]


def main() -> None:
    """Find what was published, and replay the day that it was made of."""
    options = arguments()
    engine = Engine.open(options.models)
    if options.model not in engine.project.models:
        raise SystemExit(f"unknown model {options.model}")
    model = engine.project.models[options.model]
    unit = Partition.of(exchange=options.exchange, symbol=options.symbol, date=options.date)
    records = engine.manifest.load(model.name)
    if unit not in records:
        raise SystemExit(f"{model.name} has not published {unit}. Run it first, so that there is something to compare")
    table = engine.project.lake / model.output.path
    state = table / day_before(unit, records).path if records[unit].before else None
    keys = {"exchange": options.exchange, "symbol": options.symbol}
    with open_model(options.models, model.name, **keys, state=state) as live:
        replay(live, events(engine, model, unit), published(table / unit.path, records[unit]), options.rows)


def arguments() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description="Replay a day of a lake as a live feed")
    parser.add_argument("models", type=Path, help="models.yaml")
    parser.add_argument("--model", default="orderbook_hf")
    parser.add_argument("--exchange", required=True)
    parser.add_argument("--symbol", required=True)
    parser.add_argument("--date", required=True)
    parser.add_argument("--rows", type=int, help="at most so many rows (default: the whole day)")
    return parser.parse_args()


def day_before(unit: Partition, records: dict[Partition, Published]) -> Partition:
    """The partition after which this one goes on."""
    symbol = unit.project(("exchange", "symbol"))
    earlier = [other for other in records if other.project(("exchange", "symbol")) == symbol and other < unit]
    return max(other for other in earlier if records[other].rows)


def replay(live: LiveModel, feed: Iterator[tuple[bool, Row]], expected: Iterator[Row], limit: int | None) -> None:
    """Feed the events, and compare each row with the published one outside of the time that is measured."""
    seconds: list[float] = []
    different = 0
    for is_trade, raw in feed:
        if is_trade:
            live.trade(raw)
            continue
        if limit is not None and len(seconds) == limit:
            break
        begun = time.perf_counter()
        row = live.update(raw)
        seconds.append(time.perf_counter() - begun)
        wanted = next(expected)
        # Two numbers are written in the same way only if they are the same, bit by bit.
        unequal = [name for name in wanted if name not in row or repr(row[name]) != repr(wanted[name])]
        different += bool(unequal)
        if unequal and different <= 5:
            name = unequal[0]
            print(f"row {len(seconds) - 1}: {name} is {row.get(name)!r}, published {wanted[name]!r}")
    if not seconds:
        raise SystemExit("no rows")
    median, p99 = np.percentile(seconds, [50, 99]) * 1e3
    print(f"{len(seconds):,} rows: median {median:.1f} ms, p99 {p99:.1f} ms, {len(seconds) / sum(seconds):,.0f} rows/s")
    print(f"{different:,} rows differ" if different else f"all {len(seconds):,} rows equal, bit by bit")
    raise SystemExit(different > 0)


def events(engine: Engine, model: Model, unit: Partition) -> Iterator[tuple[bool, Row]]:
    """Raw rows and trades (True) of a day in time order, trades first where the times are the same."""
    rows = timed(raw(engine, model.primary, unit))
    trades = timed(raw(engine, model.trades, unit)) if model.trades is not None else iter(())
    waiting = next(trades, None)
    for time_of_row, row in rows:
        while waiting is not None and waiting[0] <= time_of_row:
            yield True, waiting[1]
            waiting = next(trades, None)
        yield False, row


def raw(engine: Engine, entry: ModelInput, unit: Partition) -> pa.Table:
    """The raw rows of a day as they lie in their files."""
    files = list_source_files(engine.project, entry.ref, engine.index).partitions.get(unit, ())
    if any(not file.path.endswith(".parquet") for file in files):
        raise SystemExit(f"{entry.ref}: only Parquet files can be replayed")
    tables = [pq.read_table(engine.project.lake / file.path, partitioning=None) for file in files]
    return pa.concat_tables(tables) if tables else pa.table({"timestamp": [], "collected_at": []})


def timed(table: pa.Table) -> Iterator[tuple[int, Row]]:
    """Rows with their times in ms, in time order."""
    times = table["timestamp"].to_numpy(zero_copy_only=False).astype(float)
    times = np.where(np.isnan(times), table["collected_at"].to_numpy(zero_copy_only=False).astype(float), times)
    order = np.argsort(times, kind="stable")
    yield from zip(times[order].astype(np.int64).tolist(), dicts(table, order), strict=True)


def published(folder: Path, record: Published) -> Iterator[Row]:
    """The rows of a published partition in time order; without ``seq`` where that is not the order of the files."""
    table = pa.concat_tables([pq.read_table(folder / name, partitioning=None) for name in sorted(record.files)])
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(number, field.name, table[field.name].cast(pa.int64()))
    order = np.lexsort((table["seq"].to_numpy(), table["ts"].to_numpy()))
    in_file_order = np.array_equal(table["seq"].to_numpy()[order], np.arange(len(order)))
    return dicts(table if in_file_order else table.drop_columns("seq"), order)


def dicts(table: pa.Table, order: np.ndarray) -> Iterator[Row]:
    """Rows in an order, a thousand at a time."""
    for start in range(0, len(order), 1000):
        yield from table.take(order[start : start + 1000]).to_pylist()


if __name__ == "__main__":
    main()
