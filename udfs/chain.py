"""Several kernels over the same rows, in one pass: each after those whose columns it reads."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from udfs.kernel import Array, Batch, Column, Kernel, State
from udfs.registry import KernelError, Registry, registry

ChainState = dict[str, State]
"""Kernel name -> its state."""


@dataclass(frozen=True)
class Chain:
    """Kernels in the order in which they run."""

    kernels: tuple[Kernel, ...]

    @classmethod
    def of(cls, names: Iterable[str], options: Mapping[str, Any], known: Registry | None = None) -> Chain:
        """The kernels ``names``, with those whose columns they need.

        Options that are not given have their defaults. Raises :class:`KernelError`.
        """
        known = registry() if known is None else known
        chosen = _with_needed(names, options, known)
        made = {kernel.name: kernel for kernel in chosen}
        givers = _givers(chosen)
        graph = {
            name: {givers[column] for column in kernel.inputs() if column in givers} for name, kernel in made.items()
        }
        try:
            order = tuple(graphlib.TopologicalSorter(graph).static_order())
        except graphlib.CycleError as error:
            raise KernelError(f"kernels need each other: {' -> '.join(reversed(error.args[1]))}") from None
        return cls(tuple(made[name] for name in order))

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Columns that the template must give, ``ts`` left out."""
        own = _givers(self.kernels)
        wanted = dict.fromkeys(column for kernel in self.kernels for column in kernel.inputs())
        return tuple(column for column in wanted if column not in own)

    @cached_property
    def outputs(self) -> tuple[Column, ...]:
        """The columns that are added to the table."""
        return tuple(column for kernel in self.kernels for column in kernel.outputs() if not column.hidden)

    @property
    def reads_trades(self) -> bool:
        return any(kernel.reads_trades and kernel.outputs() for kernel in self.kernels)

    @property
    def replaces_rows(self) -> bool:
        return any(kernel.replaces_rows for kernel in self.kernels)

    @property
    def identity(self) -> list[tuple[str, int, dict[str, Any]]]:
        """What a state must have come from, to be used: name, version and options of every kernel."""
        return [
            (k.name, k.version, {name: k.given.get(name, o.default) for name, o in k.options.items()})
            for k in self.kernels
        ]

    def start(self) -> ChainState:
        """The state before the first row of a history."""
        return {kernel.name: kernel.start() for kernel in self.kernels}

    def run(self, state: ChainState, batch: Batch) -> dict[str, Array]:
        """The output columns of a batch, hidden ones too; ``state`` moves to the end of the batch."""
        columns = dict(batch.columns)
        given: dict[str, Array] = {}
        for kernel in self.kernels:
            seen = Batch(batch.ts, {name: columns[name] for name in kernel.inputs()}, batch.trades)
            arrays = kernel.run(state[kernel.name], seen)
            for column, array in zip(kernel.outputs(), arrays, strict=True):
                columns[column.name] = given[column.name] = array
        return given


def _givers(kernels: Iterable[Kernel]) -> dict[str, str]:
    """Column -> the kernel from which others may read it."""
    return {column.name: kernel.name for kernel in kernels if not kernel.replaces_rows for column in kernel.outputs()}


def _with_needed(names: Iterable[str], options: Mapping[str, Any], known: Registry) -> Sequence[Kernel]:
    """The kernels of these names, and those that give what these read."""
    defaults = {name: option.default for kind in known.values() for name, option in kind.options.items()}
    every = defaults | dict(options)
    givers = _givers(kind(every) for kind in known.values())
    chosen: dict[str, Kernel] = {}
    pending = list(dict.fromkeys(names))
    while pending:
        name = pending.pop(0)
        if name in chosen:
            continue
        if name not in known:
            raise KernelError(f"unknown kernel '{name}'. Known: {', '.join(sorted(known))}")
        chosen[name] = known[name](every)
        pending += [givers[column] for column in chosen[name].inputs() if column in givers]
    if len(chosen) > 1 and any(kernel.replaces_rows for kernel in chosen.values()):
        raise KernelError(f"a kernel that gives other rows stands alone; found {', '.join(chosen)}")
    columns = [column.name for kernel in chosen.values() for column in kernel.outputs()]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise KernelError(f"kernels {', '.join(chosen)} give a column twice: {', '.join(twice)}")
    return list(chosen.values())
