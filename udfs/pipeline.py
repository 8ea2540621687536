"""Several kernels over the same rows, in one pass: each after those whose columns it reads."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct

from udfs.faults import FaultyKernelError, check, check_declaration, check_state, faults
from udfs.kernel import Array, Batch, Column, Kernel, State, Trades, layout_of
from udfs.registry import KernelError, Registry, is_own, registry

PipelineState = dict[str, State]
"""Kernel name -> its state."""


class Pipeline(Struct, frozen=True, dict=True):
    """Kernels in the order in which they run."""

    kernels: tuple[Kernel, ...]
    kept: frozenset[str] | None = None
    """Columns that are added to the table; ``None`` for all."""

    @classmethod
    def of(cls, names: Iterable[str], options: Mapping[str, Any], known: Registry | None = None) -> Pipeline:
        """The kernels ``names``, with those whose columns they need.

        Options that are left out have their defaults. Raises :class:`KernelError`.
        """
        known = registry() if known is None else known
        defaults = {name: value for kind in known.values() for name, value in _defaults(kind).items()}
        made = dict[str, Kernel]()
        try:
            for name, kind in known.items():
                with faults(kind) if is_own(kind) else contextlib.nullcontext():  # a packaged one refuses options
                    made[name] = kind(defaults | _defaults(kind) | dict(options))
            for kernel in made.values():
                if kernel.sources:
                    check_declaration(kernel)
        except FaultyKernelError as error:
            raise KernelError(str(error)) from error
        chosen = _in_order(names, made)
        if len(chosen) > 1 and any(kernel.replaces_rows for kernel in chosen):
            raise KernelError(f"a kernel that gives other rows stands alone; found {', '.join(k.name for k in chosen)}")
        columns = [column.name.lower() for kernel in chosen for column in kernel.outputs()]  # as DuckDB compares them
        double = sorted({column for column in columns if columns.count(column) > 1})
        if double:
            raise KernelError(f"kernels {', '.join(k.name for k in chosen)} give a column twice: {', '.join(double)}")
        return cls(tuple(chosen))

    def only(self, wanted: Collection[str]) -> Pipeline:
        """The kernels that some columns need, which are all that is added to the table; the same numbers."""
        needed, chosen = {*wanted}, list[Kernel]()
        for kernel in reversed(self.kernels):
            if outputs := [column.name for column in kernel.outputs() if column.name in needed]:
                fewer = kernel.narrowed(outputs)
                chosen.append(type(kernel)({**kernel.params, **fewer}) if fewer else kernel)
                needed |= {*chosen[-1].inputs()}
        return Pipeline(tuple(reversed(chosen)), frozenset(wanted))

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Columns that the template must give, ``ts`` left out."""
        own = _sources(self.kernels)
        wanted = dict.fromkeys(column for kernel in self.kernels for column in kernel.inputs())
        return tuple(column for column in wanted if column not in own)

    @cached_property
    def integers(self) -> frozenset[str]:
        """Inputs that come as int64."""
        return frozenset(column for kernel in self.kernels for column in kernel.integers())

    @cached_property
    def outputs(self) -> tuple[Column, ...]:
        """The columns that are added to the table."""
        columns = (column for kernel in self.kernels for column in kernel.outputs() if not column.hidden)
        return tuple(column for column in columns if self.kept is None or column.name in self.kept)

    @cached_property
    def _steps(self) -> list[tuple[Kernel, Sequence[str], Sequence[Column]]]:
        """Kernels with their inputs and outputs."""
        return [(kernel, kernel.inputs(), kernel.outputs()) for kernel in self.kernels]

    @property
    def reads_trades(self) -> bool:
        return any(kernel.reads_trades and kernel.outputs() for kernel in self.kernels)

    @property
    def replaces_rows(self) -> bool:
        return any(kernel.replaces_rows for kernel in self.kernels)

    @property
    def looks_ahead(self) -> bool:
        return any(kernel.looks_ahead for kernel in self.kernels)

    @property
    def identity(self) -> list[tuple[str, int | str, dict[str, Any]]]:
        """Name, version and options of every kernel; quiet options only where they have not their default."""
        return [(k.name, _version(k), _identifying(k)) for k in self.kernels]

    @cached_property
    def state_identity(self) -> dict[str, Any]:
        """Identity of the kernels and layout of their state: a stored state with another one is not used."""
        layout = {
            name: {part: (layout_of(array), array.ndim) for part, array in state.items()}
            for name, state in self.start().items()
        }
        return {"kernels": self.identity, "layout": layout}

    def start(self) -> PipelineState:
        """The state before the first row of a history."""
        states = {}
        for kernel in self.kernels:
            with faults(kernel):
                states[kernel.name] = kernel.start()
        return states

    def warm(self) -> None:
        """Load compiled functions, by a pass over one row and one trade whose result is discarded."""
        columns = {name: np.ones(1, np.int64 if name in self.integers else np.float64) for name in self.inputs}
        trade = Trades(np.zeros(1, np.int64), np.ones(1), np.ones(1), np.ones(1, np.int8))
        self.run(self.start(), Batch(np.zeros(1, np.int64), columns, trade if self.reads_trades else None))

    def run(self, state: PipelineState, batch: Batch) -> dict[str, Array]:
        """The output columns of a batch, hidden ones too; ``state`` moves to the end of the batch."""
        ts, trades = _plain(batch.ts), batch.trades
        if trades is not None:
            price, amount = _plain(_finite(trades.price)), _plain(_finite(trades.amount))
            trades = Trades(_plain(trades.ts), price, amount, _plain(trades.side), trades.seq)
        raw = any(kernel.takes_infinities for kernel in self.kernels)
        columns = {name: _plain(array if raw else _finite(array)) for name, array in batch.columns.items()}
        added: dict[str, Array] = {}
        whole = Batch(ts, columns, trades, batch.seq)
        for kernel, inputs, outputs in self._steps:
            seen = whole.narrowed({name: columns[name] for name in inputs})
            seen = seen.copied() if kernel.sources else seen
            with faults(kernel):
                arrays = kernel.run(state[kernel.name], seen)
                check(kernel, outputs, arrays, len(batch))
            for column, array in zip(outputs, arrays, strict=True):
                columns[column.name] = added[column.name] = _finite(array)
        return added

    def check_states(self, state: PipelineState) -> None:
        """Raise :class:`FaultyKernelError` where a project's own kernel has left a state unlike its start."""
        for kernel in self.kernels:
            if kernel.sources:
                with faults(kernel):
                    check_state(kernel, kernel.start(), state[kernel.name])

    def waiting(self, state: PipelineState) -> list[Array]:
        """Rows that are pending in ``state`` at the end of a partition, one array per output."""
        kernel = self.kernels[0]
        with faults(kernel):
            arrays = kernel.waiting(state[kernel.name])
            check(kernel, kernel.outputs(), arrays, 0, "waiting")
        return [_finite(array) for array in arrays]

    def notes(self, state: PipelineState) -> list[str]:
        """Notes of the kernels at the end of a partition."""
        found = list[str]()
        for kernel in self.kernels:
            with faults(kernel):
                found += map(str, kernel.notes(state[kernel.name]))
        return found


def _version(kernel: Kernel) -> int | str:
    return f"{kernel.version} {kernel.sources}" if kernel.sources else kernel.version


def _identifying(kernel: Kernel) -> dict[str, Any]:
    values = {name: (option, kernel.params[name]) for name, option in kernel.options.items()}
    return {name: value for name, (option, value) in values.items() if not (option.quiet and value == option.default)}


def _finite(array: Array) -> Array:
    """The array with NaN for infinities: what is too large for a number is NULL, also where a kernel overflows."""
    if array.dtype.kind != "f" or not np.count_nonzero(infinite := np.isinf(array)):  # any() takes longer
        return array
    return np.where(infinite, np.nan, array)


def _plain(array: Array) -> Array:
    """Contiguous and writable, as arrays that kernels make are: Numba compiles anew for every mixture.

    Arrow's arrays may be read-only.
    """
    return array if array.flags.carray else array.copy()


def _defaults(kind: type[Kernel]) -> dict[str, Any]:
    return {name: option.default for name, option in kind.options.items()}


def _sources(kernels: Iterable[Kernel]) -> dict[str, str]:
    """Column -> the kernel from which others may read it."""
    return {column.name: kernel.name for kernel in kernels if not kernel.replaces_rows for column in kernel.outputs()}


def _in_order(names: Iterable[str], known: Mapping[str, Kernel]) -> list[Kernel]:
    """The kernels of these names as they come, each after those that give what it reads."""
    sources = _sources(known.values())
    chosen: dict[str, Kernel] = {}

    def add(name: str, waiting: tuple[str, ...]) -> None:
        if name in waiting:
            raise KernelError(f"kernels need each other: {' -> '.join((*waiting[waiting.index(name) :], name))}")
        if name in chosen:
            return
        if name not in known:
            raise KernelError(f"unknown kernel '{name}'. Known: {', '.join(sorted(known))}")
        if not known[name].replaces_rows:
            for column in known[name].inputs():
                if sources.get(column) == name:
                    raise KernelError(f"kernel {name} reads column {column}, which it gives itself. Rename its output")
                if column in sources:
                    add(sources[column], (*waiting, name))
        chosen[name] = known[name]

    for name in names:
        add(name, ())
    return list(chosen.values())
