"""Base of kernels that divide trades into bars; the output rows are parts of trades."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from udfs.kernel import SESSION, Array, Batch, Column, Kernel, NDArray, State, gap_ns, record
from udfs.options import Option
from udfs.quotes.segments import SESSION_DAY, session_changes
from udfs.trades.classification import BulkBars, bulk_shares, forget_bulk_bars, no_bulk_bars

TRADE_GAP = Option(
    type="float",
    default=None,
    gt=0,
    nullable=True,
    doc="seconds without a trade of which has_gap tells; null: a tape may be silent",
)
_PARTS = {
    "ts": "int64",
    "price": "float64",
    "volume": "float64",
    "side": "int16",
    "lots": "int64",
    "split": "bool",
    "gap": "bool",
}
CLASSIFICATION = Option(
    type="str",
    default="aggressor",
    choices=["aggressor", "bulk"],
    doc="bought and sold volume of a bar: by the sides of its trades, or all of it by its price change (ELO 2012)",
    quiet=True,
)
BULK_BARS = Option(type="int", default=50, ge=2, doc="bars of which classification: bulk takes sigma", quiet=True)
_BUY_SHARE = (Column("buy_share", "1: share of the bar's volume that was bought, Phi(change / sigma) [Easley 2012]"),)


class TradeBars(Kernel):
    """Base of bar kernels. The rows that come in are trades."""

    replaces_rows = True

    @abstractmethod
    def measure(self, price: NDArray[np.float64], amount: NDArray[np.float64]) -> NDArray[np.float64]:
        """Amount that each trade adds to a bar; NaN, 0 or less for a trade that does not count."""

    @abstractmethod
    def parts(self, batch: Batch, bar: Array) -> tuple[State, NDArray[np.int64]]:
        """The parts of the batch's trades, and their bars; moves ``bar``, the open one."""

    @abstractmethod
    def lots_per_unit(self) -> float:
        """Lots of a volume, or value, of 1."""

    def restart(self, bar: Any) -> None:
        """Empty the open bar: no bar is made of two sessions."""
        bar.filled = 0

    @property
    def in_bulk(self) -> bool:
        return bool(self.params.get("classification") == "bulk")

    @property
    def sessions(self) -> bool:
        return bool(self.params.get("sessions"))

    def inputs(self) -> Sequence[str]:
        return ("price", "amount", "side", *([SESSION] if self.sessions else []))

    def outputs(self) -> Sequence[Column]:
        return (
            Column("bar_id", "1: number of the bar, from 0", "bigint"),
            Column("ts", "time of the trade", "timestamp"),
            Column("price", "q: price of the trade"),
            Column("volume", "u: volume of this part of the trade"),
            Column("value", "q*u: price * volume"),
            Column("side", "1: 1 the taker bought, -1 sold, 0 unknown", "smallint"),
            Column("lots", "1: what this part adds to the bar, in lots", "bigint"),
            Column("lots_per_unit", "1: lots of a volume, or value, of 1"),
            Column("part_of_split", "1: the trade was cut", "boolean"),
            Column("has_gap", "1: more than max_gap passed since the trade before", "boolean"),
            Column("is_closed", "1: the bar is full", "boolean"),
            *(_BUY_SHARE if self.in_bulk else ()),
            *([SESSION_DAY] if self.sessions else []),
        )

    def start(self) -> State:
        parts: State = {name: np.empty(0, kind) for name, kind in _PARTS.items()}
        session = {"session": np.full(1, np.nan)} if self.sessions else {}
        bulk = no_bulk_bars(self.params["bulk_bars"])._asdict() if self.in_bulk else {}
        more = {f"bulk.{name}": array for name, array in bulk.items()}
        return {"open": record(id=0, filled=0, last_ts=0, seen=False)} | parts | session | more

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        if not self.sessions or not len(batch):
            return self._run(state, batch)
        starts = np.flatnonzero(session_changes(state, batch))
        edges, outputs = [*dict.fromkeys((0, *starts.tolist())), len(batch)], []
        for begin, end in itertools.pairwise(edges):
            if begin in starts:
                state |= {name: state[name][:0] for name in _PARTS}
                state["open"] = state["open"].copy()
                self.restart(state["open"][0])
                if self.in_bulk:
                    forget_bulk_bars(self._bulk(state))
            columns = {name: array[begin:end] for name, array in batch.columns.items()}
            rows = self._run(state, Batch(batch.ts[begin:end], columns))
            outputs.append((*rows, np.full(len(rows[0]), batch[SESSION][begin], np.int64)))
        return [np.concatenate(arrays) for arrays in zip(*outputs, strict=True)]

    def _run(self, state: State, batch: Batch) -> Sequence[Array]:
        bar = state["open"].copy()
        new, bars = self.parts(batch, bar)
        parts = {name: np.concatenate((state[name], new[name])) for name in _PARTS}
        bars = np.concatenate((np.full(len(state["ts"]), state["open"][0].id), bars))
        full = int(np.searchsorted(bars, bar[0].id))
        state |= {"open": bar} | {name: array[full:].copy() for name, array in parts.items()}
        return self._emitted(state, bars[:full], {name: array[:full] for name, array in parts.items()}, is_closed=True)

    def waiting(self, state: State) -> Sequence[Array]:
        """The parts of the open bar."""
        bars = np.full(len(state["ts"]), state["open"][0].id)
        rows = self._emitted(state, bars, {name: state[name].copy() for name in _PARTS}, is_closed=False)
        return (*rows, np.full(len(bars), np.nan_to_num(state["session"][0]), np.int64)) if self.sessions else rows

    def _gaps(self, ts: NDArray[np.int64], bar: Any) -> NDArray[np.bool_]:
        """Mask of the trades that came more than max_gap after the one before; ``bar`` goes to the last."""
        gap = np.zeros(len(ts), np.bool_)
        if len(ts) > 0:
            before = bar.last_ts if bar.seen else ts[0]
            gap = np.diff(ts, prepend=before) > gap_ns(self.params["max_gap"])
            bar.seen, bar.last_ts = True, ts[-1]
        return gap

    def _bulk(self, state: State) -> BulkBars:
        """Bulk bars of a state, which become its own."""
        state |= {f"bulk.{name}": state[f"bulk.{name}"].copy() for name in BulkBars._fields}
        return BulkBars(*(state[f"bulk.{name}"] for name in BulkBars._fields))

    def _emitted(self, state: State, bars: NDArray[np.int64], parts: State, is_closed: bool) -> Sequence[Array]:
        """The output columns of parts, but for the session; an open bar does not move the state."""
        rows = self._rows(bars, parts, is_closed)
        if not self.in_bulk:
            return rows
        share = np.empty(len(bars))
        bulk_shares(bars, parts["price"], parts["gap"], self._bulk(state if is_closed else dict(state)), share)
        return (*rows, share)

    def _rows(self, bars: NDArray[np.int64], parts: State, is_closed: bool) -> Sequence[Array]:
        """The output columns of parts."""
        value = parts["price"] * parts["volume"]
        return (
            *(bars, parts["ts"], parts["price"], parts["volume"], value, parts["side"], parts["lots"]),
            np.full(len(bars), self.lots_per_unit()),
            *(parts["split"], parts["gap"], np.full(len(bars), is_closed)),
        )
