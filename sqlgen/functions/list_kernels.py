"""List kernels: the rolling windows of the packaged kernels over any numbers, for SQL functions.

models.yaml cannot name them: there a window belongs to a column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from udfs import SEGMENT_START, Array, Batch, Column, Kernel, Option, State
from udfs.windows import Windows, moments, sums


class RollingSums(Kernel):
    """Sum and mean."""

    name = "rolling_sums"
    version = 1
    doc = "Rolling sum and mean of a series"
    options: ClassVar[Mapping[str, Option]] = {"seconds": Option(type="int", gt=0, doc="length of the window")}

    def inputs(self) -> Sequence[str]:
        return SEGMENT_START, "x"

    def outputs(self) -> Sequence[Column]:
        return Column("sum", "sum of the values in the window"), Column("mean", "their mean")

    @cached_property
    def windows(self) -> Windows:
        return sums("x", [self.params["seconds"]])

    def start(self) -> State:
        return self.windows.start()

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        return tuple(self.windows.run(state, batch, batch["x"])[:, 0])


class RollingMoments(RollingSums):
    """Standard deviation; squares are taken of deviations from the first value, as is right for prices."""

    name = "rolling_moments"
    doc = "Rolling standard deviation of a series"

    def outputs(self) -> Sequence[Column]:
        return (Column("std", "sample standard deviation of the values in the window"),)

    @cached_property
    def windows(self) -> Windows:
        return moments("x", [self.params["seconds"]])

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        return (np.sqrt(self.windows.run(state, batch, batch["x"])[2, 0]),)


class RollingSquares(RollingMoments):
    """Square root of the sum of squares."""

    name = "rolling_squares"
    doc = "Rolling root of the sum of squares of a series"

    def outputs(self) -> Sequence[Column]:
        return (Column("root", "square root of the sum of squares of the values in the window"),)

    @cached_property
    def windows(self) -> Windows:
        return moments("x", [self.params["seconds"]], centred=False)

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        return (np.sqrt(self.windows.run(state, batch, batch["x"])[1, 0]),)


class RollingImbalance(Kernel):
    """Flow imbalance of trades that are rows themselves: each sees those before it, and itself."""

    name = "rolling_imbalance"
    version = 1
    doc = "Rolling imbalance of bought and sold volume"
    options = RollingSums.options

    def inputs(self) -> Sequence[str]:
        return SEGMENT_START, "amounts", "sides"

    def outputs(self) -> Sequence[Column]:
        return (Column("tfi", "(bought - sold) / (bought + sold) in the window"),)

    @cached_property
    def windows(self) -> tuple[Windows, Windows]:
        span = [self.params["seconds"]]
        return sums("net", span), sums("signed", span)

    def start(self) -> State:
        return {name: array for each in self.windows for name, array in each.start().items()}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        side = np.where(batch["sides"] == 0, np.nan, batch["sides"])
        of_net, of_signed = self.windows
        net = of_net.run(state, batch, batch["amounts"] * side)[0, 0]
        signed = of_signed.run(state, batch, batch["amounts"] * np.abs(side))[0, 0]
        return (np.divide(net, signed, out=np.full(len(batch), np.nan), where=signed > 0),)
