"""Price impact of order flow: regression of returns on order flow imbalance (Cont, Kukanov, Stoikov 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from udfs.kernel import SEGMENT_START, Array, Batch, Column, Kernel, State
from udfs.options import Option
from udfs.windows import Windows, comoments

FEWEST = 30
"""Observations that a regression needs."""
_FLAT = 1e-12
"""A regressor whose variance is at most this share of its mean square does not vary."""


class OfiImpact(Kernel):
    """Slope and fit of log returns on order flow imbalance."""

    name = "ofi_impact"
    version = 2
    doc = "Rolling regression of log_return on ofi (Cont, Kukanov, Stoikov 2014)"
    options = {
        "impact_window": Option(
            type="int", default=300, gt=0, doc="seconds that the regression of ofi_impact looks back"
        )
    }

    def inputs(self) -> Sequence[str]:
        return SEGMENT_START, "log_return", "ofi"

    def outputs(self) -> Sequence[Column]:
        h = self.params["impact_window"]
        return (
            Column("ofi_impact", f"1/u: Cov(log_return, ofi) / Var(ofi) over {h} s [Cont 2014]"),
            Column("ofi_impact_r2", f"1: squared correlation of log_return and ofi over {h} s, 0 to 1 [Cont 2014]"),
        )

    @cached_property
    def windows(self) -> Windows:
        return comoments("ofi_and_return", [self.params["impact_window"]])

    def start(self) -> State:
        return self.windows.start()

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        n, cov, var_x, var_y, square = self.windows.run(state, batch, batch["ofi"], batch["log_return"])[:, 0]
        known = (n >= FEWEST) & (var_x > _FLAT * square)
        slope = np.divide(cov, var_x, out=np.full(len(batch), np.nan), where=known)
        fit = np.divide(slope * cov, var_y, out=np.full(len(batch), np.nan), where=known & (var_y > 0))
        return slope, np.minimum(fit, 1.0)
