"""Test of a project's own kernels: their results must not depend on the split of rows into batches.

It uses the rows of the model tests, and generated ones.
"""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from msgspec import structs

from sqlgen.modeltests.outcome import Outcome
from sqlgen.project.model import Model
from udfs import NANOSECONDS, Array, Batch, FaultyKernelError, Kernel, Pipeline, PipelineState, Trades, is_own

_ROWS, _TRADES = 160, 120
_STEPS = np.array([0, 1, NANOSECONDS // 10, NANOSECONDS, 60 * NANOSECONDS, 400 * NANOSECONDS])


class SplitPipeline(Pipeline, frozen=True):
    """Kernels whose results are compared with those of the same rows in smaller batches."""

    def run(self, state: PipelineState, batch: Batch) -> dict[str, Array]:
        begin = _copied(state)
        whole = super().run(state, batch)
        for how, cuts in _splits(len(batch)):
            parts, end = self._in_parts(_copied(begin), batch, cuts)
            self._compare(batch, whole, parts, how)
            self._compare_states(state, end, how)
        return whole

    def _in_parts(
        self, state: PipelineState, batch: Batch, cuts: Sequence[int]
    ) -> tuple[dict[str, Array], PipelineState]:
        parts = [super(SplitPipeline, self).run(state, part) for part in _cut(batch, cuts)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, state

    def _compare(self, batch: Batch, whole: dict[str, Array], parts: dict[str, Array], how: str) -> None:
        for kernel, column in ((each, column) for each in self.kernels for column in each.outputs()):
            one, other = _bits(whole[column.name]), _bits(parts[column.name])
            if len(one) != len(other):
                raise FaultyKernelError(
                    kernel, f"it returns {len(one)} rows in one batch, and {len(other)} {how}: it depends on batches"
                )
            if one.tobytes() == other.tobytes():
                continue
            at = next(i for i in range(len(one)) if one[i].tobytes() != other[i].tobytes())
            when = f" ({np.datetime64(int(batch.ts[at]), 'ns')})" if not kernel.replaces_rows else ""
            raise FaultyKernelError(
                kernel,
                f"column {column.name} depends on batches: in row {at + 1}{when} it is {one[at]} with all rows in "
                f"one batch, and {other[at]} with rows {how}. Keep what run needs of earlier rows in state",
            )

    def _compare_states(self, whole: PipelineState, parts: PipelineState, how: str) -> None:
        for kernel in self.kernels:
            one, other = whole[kernel.name], parts[kernel.name]
            for name in one.keys() | other.keys():
                if not (name in one and name in other and _picture(one[name]) == _picture(other[name])):
                    text = f"its state '{name}' after the last row differs with rows {how}"
                    raise FaultyKernelError(kernel, f"{text}: it depends on batches")


def with_split_kernels(model: Model) -> Model:
    """The model with comparing kernels, if any of them is the project's own."""
    if model.pipeline is None or not _own(model.pipeline):
        return model
    return structs.replace(model, pipeline=SplitPipeline(model.pipeline.kernels))


def on_generated_rows(models: Iterable[Model]) -> list[Outcome]:
    """One outcome per model with kernels of the project."""
    return [_tried(model, model.pipeline) for model in models if model.pipeline is not None and _own(model.pipeline)]


def _tried(model: Model, pipeline: Pipeline) -> Outcome:
    begun = time.monotonic()
    kernel = _own(pipeline)[0]
    where = f"{inspect.getsourcefile(type(kernel))}:{inspect.getsourcelines(type(kernel))[1]}"
    outcome = Outcome(f"batches_of_{kernel.name}", model.name, where)
    refused: dict[str, str] = {}
    for what, holes in (("rows with NULLs", True), ("rows", False)):
        rows = _generated(pipeline, holes)
        try:
            pipeline.run(pipeline.start(), rows)
        except FaultyKernelError as error:
            refused[what] = str(error)  # Generated rows may be invalid for it; those of tests are not.
            continue
        try:
            SplitPipeline(pipeline.kernels).run(pipeline.start(), rows)
        except FaultyKernelError as error:
            outcome = structs.replace(outcome, error=f"{error} (generated rows)")
            break
    return structs.replace(outcome, note=_note(refused), seconds=round(time.monotonic() - begun, 4))


def _note(refused: dict[str, str]) -> str:
    """Note on generated rows that a kernel refuses."""
    if not refused:
        return ""
    rest = "only the rows of model_tests were tried" if len(refused) == 2 else "those without NULLs were tried"
    what, error = next(reversed(refused.items()))
    return f"generated {what} are refused, so {rest}: {error}"


def _own(pipeline: Pipeline) -> list[Kernel]:
    return [kernel for kernel in pipeline.kernels if is_own(type(kernel))]


def _generated(pipeline: Pipeline, holes: bool) -> Batch:
    """Pseudorandom rows, the same at each call; with ``holes`` some values are NULL."""
    rng = np.random.default_rng(1)
    ts = 1_767_312_000 * NANOSECONDS + np.cumsum(rng.choice(_STEPS, _ROWS, p=[0.2, 0.1, 0.3, 0.3, 0.08, 0.02]))
    columns: dict[str, Array] = {}
    for name in pipeline.inputs:
        values = 100 + np.cumsum(rng.integers(-2, 3, _ROWS)) / 4
        if holes:
            values[rng.random(_ROWS) < 0.05] = np.nan
        columns[name] = np.round(np.nan_to_num(values)).astype(np.int64) if name in pipeline.integers else values
    if not pipeline.reads_trades:
        return Batch(ts, columns)
    times = np.sort(rng.choice(ts, _TRADES) - rng.choice([0, 0, 1, NANOSECONDS // 3], _TRADES))
    price, amount = 100 + rng.integers(-9, 9, _TRADES) / 4, rng.integers(1, 50, _TRADES) / 10
    return Batch(ts, columns, Trades(times, price, amount, rng.integers(-1, 2, _TRADES).astype(np.int8)))


def _splits(rows: int) -> Iterator[tuple[str, Sequence[int]]]:
    """Splits of rows into batches: description, and the first row of each batch but the first."""
    if rows < 2:
        return
    yield "one by one", range(1, rows)
    for cut in sorted({1, rows // 3, rows // 2, rows - 1} - {0}):
        yield f"in batches of {cut} and {rows - cut}", (cut,)


def _cut(batch: Batch, cuts: Sequence[int]) -> Iterator[Batch]:
    ends = [0, *cuts, len(batch)]
    reached = [0, *(int(batch.trades_before[end - 1]) for end in ends[1:])]
    for (begin, end), (first, last) in zip(itertools.pairwise(ends), itertools.pairwise(reached), strict=True):
        columns = {name: array[begin:end] for name, array in batch.columns.items()}
        trades = None
        if (all_trades := batch.trades) is not None:
            at = slice(first, last)
            seq = all_trades.seq[at] if all_trades.seq is not None else None
            trades = Trades(all_trades.ts[at], all_trades.price[at], all_trades.amount[at], all_trades.side[at], seq)
        yield Batch(batch.ts[begin:end], columns, trades, batch.seq[begin:end] if batch.seq is not None else None)


def _copied(state: PipelineState) -> PipelineState:
    return {kernel: {name: array.copy() for name, array in arrays.items()} for kernel, arrays in state.items()}


def _picture(array: Array) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.str, array.shape, _bits(array).tobytes()


def _bits(array: Array) -> Array:
    """The array with all NaN in the same bits."""
    return np.where(np.isnan(array), np.nan, array) if array.dtype.kind == "f" else array
