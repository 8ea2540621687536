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


class Flows(NamedTuple):
    """Sums over the windows, one row each, and over the trades of the row at hand in one more."""

    counts: NDArray[np.int64]
    """Number of trades of each kind."""
    sums: NDArray[np.float64]
    """Volume of each kind, as pairs."""


@jit
def _move(window: int, amount: float, side: int, change: int, flows: Flows) -> None:
    """A trade comes into a window (``change`` 1) or leaves it (-1)."""
    kind = side if side >= 0 else _SELL
    flows.counts[window, kind] += change
    high = low = 0.0
    if flows.counts[window, kind] > 0:
        high, rest = two_sum(flows.sums[window, 2 * kind], change * amount)
        high, low = two_sum(high, flows.sums[window, 2 * kind + 1] + rest)
    flows.sums[window, 2 * kind] = high
    flows.sums[window, 2 * kind + 1] = low


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
def _write(i: int, flows: Flows, out: NDArray[np.float64]) -> None:
    """All columns of a row; the sums over its own trades begin anew."""
    windows = len(flows.counts) - 1
    for k in range(windows):
        volume, imbalance = _read(k, flows)
        out[_WINDOWS + 2 * k, i] = imbalance
        out[_WINDOWS + 2 * k + 1, i] = volume if flows.counts[k].sum() > 0 else math.nan
    out[_BUY_VOLUME, i] = flows.sums[windows, 2 * _BUY]
    out[_SELL_VOLUME, i] = flows.sums[windows, 2 * _SELL]
    out[_TRADE_VOLUME, i], out[_TFI, i] = _read(windows, flows)
    flows.counts[windows] = 0
    flows.sums[windows] = 0.0


@jit
def measure(
    rows: NDArray[np.int64],
    starts: NDArray[np.int8],
    tape: Tape,
    done: int,
    horizons: NDArray[np.int64],
    open_segment: NDArray[np.int8],
    heads: NDArray[np.int64],
    flows: Flows,
    out: NDArray[np.float64],
) -> None:
    """Flows at the times ``rows`` (ns) over ``horizons`` (ns).

    ``tape``: ``done`` trades that windows may still hold, then those of the batch. ``heads``: the first trade that
    each window holds.
    """
    j = done
    for i in range(len(rows)):
        begins = starts[i] == 1 or open_segment[0] == 0
        open_segment[0] = 1
        while j < len(tape.ts) and tape.ts[j] <= rows[i]:
            if not begins:
                for k in range(len(horizons) + 1):
                    _move(k, tape.amount[j], tape.side[j], 1, flows)
            j += 1
        if begins:
            flows.counts[:] = 0
            flows.sums[:] = 0.0
            heads[:] = j
            out[:, i] = math.nan
            continue
        for k in range(len(horizons)):
            while heads[k] < j and tape.ts[heads[k]] <= rows[i] - horizons[k]:
                _move(k, tape.amount[heads[k]], tape.side[heads[k]], -1, flows)
                heads[k] += 1
        _write(i, flows, out)


class TradeFlow(Kernel):
    """Trade flow imbalance, by the times of the trades. Trades count from the first row of a segment on."""

    name = "tfi"
    version = 1
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
                Column(f"trade_vol_{h}s", f"u: traded in {h} s, unknown sides too"),
            )
            for h in self.given["horizons"]
        ]
        return (*row, *(column for pair in windows for column in pair))

    def start(self) -> State:
        windows = len(self.given["horizons"])
        return {
            "open": np.zeros(1, np.int8),
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
        new = valid(batch.trades)
        tape = Tape(
            np.concatenate((state["ts"], new.ts)),
            np.concatenate((state["amount"], new.amount)),
            np.concatenate((state["side"], new.side)),
        )
        moved = {name: state[name].copy() for name in ("open", "heads", "counts", "sums")}
        horizons = np.array(self.given["horizons"], np.int64) * NANOSECONDS
        flows = Flows(moved["counts"], moved["sums"])
        starts = batch[SEGMENT_START]
        measure(batch.ts, starts, tape, len(state["ts"]), horizons, moved["open"], moved["heads"], flows, out)
        first = int(moved["heads"].min())
        moved["heads"] -= first
        kept: State = {"ts": tape.ts, "amount": tape.amount, "side": tape.side}
        state |= moved | {name: array[first:].copy() for name, array in kept.items()}
        return list(out)
