"""Late rows (see ``OVERLAP_NS``) in a pass through kernels: each is computed from itself alone."""

from __future__ import annotations

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from sqlgen.stream.tradefeed import NO_TRADES
from udfs import OVERLAP_NS, Array, Batch, Pipeline


def late_until(last: int | None, first: int) -> int | None:
    """Time before which rows are late, by the last row of the partition before and the first of this one."""
    return last if last is not None and 0 < last - first <= OVERLAP_NS else None


def run(pipeline: Pipeline, rows: Batch, has_trades: bool) -> list[dict[str, Array]]:
    """Columns of late rows, row by row and without trades: those of that time may have been consumed already."""
    alone = structs.replace(rows, trades=NO_TRADES if has_trades else None)
    return [pipeline.run(pipeline.start(), cut(alone, i, i + 1)) for i in range(len(rows))]


def cut(batch: Batch, begin: int, end: int) -> Batch:
    """Some rows of a batch, with all of its trades."""
    columns = {name: array[begin:end] for name, array in batch.columns.items()}
    seq: NDArray[np.int64] | None = batch.seq[begin:end] if batch.seq is not None else None
    return Batch(batch.ts[begin:end], columns, batch.trades, seq)
