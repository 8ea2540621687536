"""Feeds of updates for the kernels that keep books, and the rows that these give."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from tests.kernels.driving import Row, to_python
from tests.oracles.books import Event, Message
from udfs.kernel import NO_INTEGER, Batch
from udfs.pipeline import Pipeline, PipelineState

Told = TypeVar("Told", Message, Event)
NAN = float("nan")
IDS = ("first_id", "last_id", "prev_id")


def updates(messages: Iterable[Message], other_time: str = "") -> list[Row]:
    """The rows of messages, as an adapter gives them."""
    rows = []
    for message in messages:
        levels = message.levels or ((None, None, None),)
        for number, (side, price, size) in enumerate(levels):
            rows.append(
                {
                    "ts": message.ts,
                    "side": side,
                    "price": price,
                    "size": size,
                    "is_snapshot": message.snapshot,
                    "feed_break": message.feed_break,
                    "message_end": number == len(levels) - 1,
                    **({other_time: message.other} if other_time else {}),
                    **dict(zip(IDS, (message.first, message.last, message.prev), strict=True)),
                }
            )
    return rows


def records(events: Iterable[Event], publisher: int = 1, other_time: str = "") -> list[Row]:
    """The rows of order events."""
    return [
        {
            "ts": event.ts,
            "publisher_id": publisher,
            "action": ord(event.action),
            "side": event.side,
            "order_id": event.number,
            "price": event.price,
            "size": event.size,
            "flags": event.flags,
            **({other_time: event.other} if other_time else {}),
        }
        for event in events
    ]


class Builder:
    """A kernel with its state, fed batch by batch."""

    def __init__(self, name: str, **options: Any) -> None:
        self.pipeline = Pipeline.of([name], options)
        self.kernel = self.pipeline.kernels[0]
        self.state: PipelineState = self.pipeline.start()

    def batch(self, rows: Sequence[Row]) -> Batch:
        columns: dict[str, Any] = {}
        for name in self.pipeline.inputs:
            exact = name in self.pipeline.integers
            missing = NO_INTEGER if exact else NAN
            values = [missing if row[name] is None else row[name] for row in rows]
            columns[name] = np.array(values, np.int64 if exact else np.float64)
        return Batch(np.array([row["ts"] for row in rows], np.int64), columns)

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        given = self.pipeline.run(self.state, self.batch(rows))
        return self._rows([given[column.name] for column in self.pipeline.outputs])

    def end(self) -> list[Row]:
        """The rows that wait when a partition ends."""
        return self._rows(self.kernel.waiting(self.state[self.kernel.name]))

    def _rows(self, arrays: Iterable[Any]) -> list[Row]:
        columns = {c.name: to_python(a, c) for c, a in zip(self.pipeline.outputs, arrays, strict=True)}
        columns.pop("seq", None)  # of the feed, which these rows have not
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def with_others(items: Iterable[Told]) -> list[Told]:
    """Messages or records with other times, which one in four has not."""
    return [dataclasses.replace(one, other=None if k % 4 == 3 else 10**18 + k) for k, one in enumerate(items)]


def books(name: str, rows: Sequence[Row], cuts: Iterable[int] = (), **options: Any) -> tuple[list[Row], PipelineState]:
    """Rows of a whole feed, in batches that end before the rows ``cuts``, and the state after them."""
    builder = Builder(name, **options)
    ends = [0, *sorted({cut for cut in cuts if 0 < cut < len(rows)}), len(rows)]
    out = [row for begin, end in itertools.pairwise(ends) for row in builder(rows[begin:end])]
    state = copy.deepcopy(builder.state)
    return out + builder.end(), state


def same_state(left: PipelineState, right: PipelineState) -> bool:
    """Bit by bit."""
    return left.keys() == right.keys() and all(
        left[name].keys() == right[name].keys()
        and all(
            array.dtype == right[name][key].dtype
            and array.shape == right[name][key].shape
            and array.tobytes() == right[name][key].tobytes()
            for key, array in arrays.items()
        )
        for name, arrays in left.items()
    )
