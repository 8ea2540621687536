"""Trade flow imbalance: bought and sold volume by row, and over windows of time."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from udfs.kernel import HORIZONS, Batch, Column, Floats, State, record
from udfs.trades.tape import SIGN, Tape, TradeKernel
from udfs.trades.volumes import volumes, volumes_by_row
from udfs.windows import Windows


class TradeFlow(TradeKernel):
    """Trade flow imbalance, by the times of the trades. Trades count from the first row of a segment on."""

    name = "tfi"
    version = 2
    doc = "Trade flow imbalance (TFI) by row and over windows"
    options = {"horizons": HORIZONS, "sign": SIGN}

    def outputs(self) -> Sequence[Column]:
        windows = [
            (
                Column(f"tfi_{h}s", f"1: (bought - sold) / (bought + sold) over {h} s, -1 to 1"),
                Column(f"trade_vol_{h}s", f"u: traded in {h} s, unknown sides too; NULL before the first trade"),
            )
            for h in self.params["horizons"]
        ]
        return (
            Column("buy_volume", "u: volume that takers bought since the row before"),
            Column("sell_volume", "u: volume that takers sold since the row before"),
            Column("trade_volume", "u: traded since the row before, unknown sides too"),
            Column("tfi", "1: (buy_volume - sell_volume) / (buy_volume + sell_volume), -1 to 1"),
            *(column for pair in windows for column in pair),
        )

    def narrowed(self, wanted: Collection[str]) -> Mapping[str, Any]:
        by_row = {"buy_volume", "sell_volume", "trade_volume", "tfi"}
        return {} if {*wanted} - by_row else {"horizons": []}

    @cached_property
    def windows(self) -> Windows:
        return volumes("volumes", self.params["horizons"])

    @property
    def replaced(self) -> Collection[str]:
        return self.windows.names

    def start(self) -> State:
        return {**super().start(), **self.windows.start(), "tape": record(traded=False)}

    def measure(self, state: State, tape: Tape, batch: Batch, out: Floats) -> None:
        volumes_by_row(tape, out[:4])
        if not self.params["horizons"]:
            return
        imbalance, volume = self.windows.over(state, tape.items, tape.amount, tape.side)
        feed = state["tape"][0]
        traded = (tape.end > 0) | feed.traded
        out[4::2], out[5::2] = imbalance, np.where(traded, volume, math.nan)
        feed.traded = bool(traded[-1])
