"""Trade flow imbalance: bought and sold volume by row, and over windows of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs.classification import Tape, valid
from udfs.compensated import add, two_sum
from udfs.jit import jit
from udfs.kernel import HORIZONS, NANOSECONDS, SEGMENT_START, Array, Batch, Column, Kernel, State

# Kinds of trades: the side, with 2 for -1.
_UNKNOWN, _BUY, _SELL = 0, 1, 2
_BUY_VOLUME, _SELL_VOLUME, _TRADE_VOLUME, _TFI, _WINDOWS = 0, 1, 2, 3, 4
_OPEN, _LIVE = 0, 1
_NEGLIGIBLE = 1e-10


class Flows(NamedTuple):
    """Sums over the windows, one row each, and over the trades of the row at hand in one more."""

    counts: NDArray[np.int64]
    """Number of trades of each kind."""
    sums: NDArray[np.float64]
    """Volume of each kind, as pairs."""


@jit
def _move(window: int, amount: float, side: int, change: int, flows: Flows) -> bool:
    """A trade comes into a window (``change`` 1) or leaves it (-1).

    Whether it was so large that its rounding may be left where it was.
    """
    kind = side if side >= 0 else _SELL
    flows.counts[window, kind] += change
    high = low = 0.0
    if flows.counts[window, kind] > 0:
        high, rest = two_sum(flows.sums[window, 2 * kind], change * amount)
        high, low = two_sum(high, flows.sums[window, 2 * kind + 1] + rest)
    flows.sums[window, 2 * kind] = high
    flows.sums[window, 2 * kind + 1] = low
    return bool(change < 0 and amount * _NEGLIGIBLE > high)


@jit
def _sum_again(window: int, tape: Tape, first: int, end: int, flows: Flows) -> None:
    """The sums of a window from its trades."""
    flows.counts[window] = 0
    flows.sums[window] = 0.0
    for j in range(first, end):
        _move(window, tape.amount[j], tape.side[j], 1, flows)


@jit
def _read(window: int, flows: Flows) -> tuple[float, float]:
    """Volume of all trades of a window, and (bought - sold) / (bought + sold), NaN where nothing was signed."""
    sums = flows.sums
    buy, buy_rest = sums[window, 2 * _BUY], sums[window, 2 * _BUY + 1]
    sell, sell_rest = sums[window, 2 * _SELL], sums[window, 2 * _SELL + 1]
    signed, signed_rest = add(buy, buy_rest, sell, sell_rest)
    imbalance = math.nan
    if signed > 0.0:
        imbalance = add(buy, buy_rest, -sell, -sell_rest)[0] / signed
    volume = add(signed, signed_rest, sums[window, 2 * _UNKNOWN], sums[window, 2 * _UNKNOWN + 1])[0]
    return volume, imbalance


@jit
def _write(i: int, live: bool, begins: bool, flows: Flows, out: NDArray[np.float64]) -> None:
    """All columns of a row: those of windows (volumes once the feed is ``live``), and those of its own trades.

    The sums over its own trades begin anew; where a segment ``begins`` they are not known.
    """
    windows = len(flows.counts) - 1
    for k in range(windows):
        volume, imbalance = _read(k, flows)
        out[_WINDOWS + 2 * k, i] = imbalance
        out[_WINDOWS + 2 * k + 1, i] = volume if live else math.nan
    if not begins:
        out[_BUY_VOLUME, i] = flows.sums[windows, 2 * _BUY]
        out[_SELL_VOLUME, i] = flows.sums[windows, 2 * _SELL]
        out[_TRADE_VOLUME, i], out[_TFI, i] = _read(windows, flows)
    flows.counts[windows] = 0
    flows.sums[windows] = 0.0


@jit
def measure(
    rows: NDArray[np.int64],
    starts: NDArray[np.int8],
    before: NDArray[np.int64],
    tape: Tape,
    done: int,
    horizons: NDArray[np.int64],
    stage: NDArray[np.int8],
    heads: NDArray[np.int64],
    flows: Flows,
    out: NDArray[np.float64],
) -> None:
    """Flows at the times ``rows`` (ns) over ``horizons`` (ns).

    ``tape``: ``done`` trades that windows may still hold, then those of the batch, of which ``before`` come before
    each row. ``stage``: _OPEN, whether a segment is open; _LIVE, whether there was a trade. ``heads``: the first trade
    that each window holds.
    """
    j = done
    for i in range(len(rows)):
        begins = starts[i] == 1 or stage[_OPEN] == 0
        stage[_OPEN] = 1
        while j < done + before[i]:
            stage[_LIVE] = 1
            if not begins:
                for k in range(len(horizons) + 1):
                    _move(k, tape.amount[j], tape.side[j], 1, flows)
            j += 1
        if begins:
            flows.counts[:] = 0
            flows.sums[:] = 0.0
            heads[:] = j
        for k in range(len(horizons)):
            edge, large = rows[i] - horizons[k], False
            while heads[k] < j and tape.ts[heads[k]] <= edge:
                large |= _move(k, tape.amount[heads[k]], tape.side[heads[k]], -1, flows)
                heads[k] += 1
            if large:
                _sum_again(k, tape, heads[k], j, flows)
        _write(i, stage[_LIVE] == 1, begins, flows, out)


class TradeFlow(Kernel):
    """Trade flow imbalance, by the times of the trades. Trades count from the first row of a segment on."""

    name = "tfi"
    version = 2
    doc = "Trade flow imbalance (TFI) by row and over windows"
    reads_trades = True
    options = {"horizons": HORIZONS}

    def inputs(self) -> Sequence[str]:
        return (SEGMENT_START,)

    def outputs(self) -> Sequence[Column]:
        row = (
            Column("buy_volume", "u: bought by takers since the row before"),
            Column("sell_volume", "u: sold by takers since the row before"),
            Column("trade_volume", "u: traded since the row before, unknown sides too"),
            Column("tfi", "1: (buy_volume - sell_volume) / (buy_volume + sell_volume), -1 to 1"),
        )
        windows = [
            (
                Column(f"tfi_{h}s", f"1: (bought - sold) / (bought + sold) over {h} s, -1 to 1"),
                Column(f"trade_vol_{h}s", f"u: traded in {h} s, unknown sides too; NULL before the first trade"),
            )
            for h in self.given["horizons"]
        ]
        return (*row, *(column for pair in windows for column in pair))

    def start(self) -> State:
        windows = len(self.given["horizons"])
        return {
            "stage": np.zeros(2, np.int8),
            "heads": np.zeros(windows, np.int64),
            "counts": np.zeros((windows + 1, 3), np.int64),
            "sums": np.zeros((windows + 1, 6)),
            "ts": np.empty(0, np.int64),
            "amount": np.empty(0),
            "side": np.empty(0, np.int8),
        }

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        out = np.full((len(self.outputs()), len(batch)), math.nan)
        if batch.trades is None:
            # What was traded at these rows is unknown: what comes after them starts as a segment does.
            state |= self.start()
            return list(out)
        new, before = valid(batch)
        tape = Tape(
            np.concatenate((state["ts"], new.ts)),
            np.concatenate((state["amount"], new.amount)),
            np.concatenate((state["side"], new.side)),
        )
        moved = {name: state[name].copy() for name in ("stage", "heads", "counts", "sums")}
        horizons = np.array(self.given["horizons"], np.int64) * NANOSECONDS
        flows = Flows(moved["counts"], moved["sums"])
        done, starts = len(state["ts"]), batch[SEGMENT_START]
        measure(batch.ts, starts, before, tape, done, horizons, moved["stage"], moved["heads"], flows, out)
        first = int(moved["heads"].min())
        moved["heads"] -= first
        kept: State = {"ts": tape.ts, "amount": tape.amount, "side": tape.side}
        state |= moved | {name: array[first:].copy() for name, array in kept.items()}
        return list(out)
