"""Base of kernels that rebuild books, whose rows have values of the input row that ended their message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from udfs.kernel import Array, Batch, Column, Kernel, State
from udfs.orderbook import rows
from udfs.orderbook.rows import RowWriter


class BookKernel(Kernel):
    """Base of the kernels of order books.

    A row has the other time of its message where the source has two, and its place in the feed if ``keeps_seq``.
    """

    replaces_rows = True
    takes_infinities = True  # no size or price, where NaN is a change that cannot be read
    options = rows.OPTIONS
    reads: ClassVar[tuple[str, ...]]
    """Inputs of every feed."""
    ids: ClassVar[tuple[str, ...]]
    """Inputs among them that are integers."""

    @property
    def other_time(self) -> tuple[str, ...]:
        """Column of the time of a message that is not ts; none where the source has one time."""
        return tuple(filter(None, [self.params.get("other_time")]))

    def inputs(self) -> Sequence[str]:
        return (*self.reads, *self.other_time)

    def integers(self) -> Sequence[str]:
        return (*self.ids, *self.other_time)

    def outputs(self) -> Sequence[Column]:
        seq = Column("seq", "1: place in the feed of the last record of the message", "bigint")
        other = [
            Column(name, "UTC, ns: other time of the message", "timestamp", nullable=True) for name in self.other_time
        ]
        return (*rows.columns(self.params["max_levels"]), *([seq] if self.keeps_seq else []), *other)

    def start(self) -> State:
        return rows.start(self.params["max_levels"]) | {
            f"pending_{name}": np.zeros(1, np.int64) for name in self.other_time
        }

    def emitted(self, state: State, writer: RowWriter, batch: Batch) -> Sequence[Array]:
        """Rows that a batch gives; the pending one goes into ``state``."""
        facts, pending = writer.rows.facts[: writer.emitted[0]], writer.pending.facts
        seq = batch.seq if batch.seq is not None else np.zeros(len(batch), np.int64)
        before = state["pending_facts"]["seq"]
        added = [rows.carried(seq, facts, before)] if self.keeps_seq else []
        for name in self.other_time:
            added.append(rows.carried(batch[name], facts, state[f"pending_{name}"]))
            state[f"pending_{name}"] = rows.carried(batch[name], pending, state[f"pending_{name}"])
        pending["seq"] = rows.carried(seq, pending, before) if self.keeps_seq else 0
        state |= rows.state_of(writer)
        return (*rows.arrays(writer.rows, len(facts)), *added)

    def take_pending(self, state: State) -> Sequence[Array]:
        """Pending row, which is taken out of ``state``: its interval ends with the partition."""
        now = state["output"].copy()
        pending, count = rows.Rows(state["pending_levels"], state["pending_facts"]), int(now[0].pending)
        added = [pending.facts["seq"]] if self.keeps_seq else []
        added += [state[f"pending_{name}"] for name in self.other_time]
        now[0].pending = False
        state |= BookKernel.start(self) | {"output": now}
        return (*rows.arrays(pending, count), *(each[:count].copy() for each in added))
