"""Rolling means and deviations of returns, spreads, slopes and depths."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from udfs.kernel import HORIZONS, SEGMENT_START, Array, Batch, Column, Kernel, State
from udfs.options import Option
from udfs.windows import Windows, moments, sums, time_weighted

_SLOPES = {
    "bid_slope": ("bid_slope_regression", "u/bps"),
    "ask_slope": ("ask_slope_regression", "u/bps"),
    "cog_momentum": ("cog_vs_mid", "bps"),
}
"""Start of the columns' names -> column that they are made of, and its unit."""
_DEPTH, _TOUCH = "depth_0_5bps", ("bid_size_00", "ask_size_00")


class Rolling(Kernel):
    """Rolling statistics of columns of the template and of other kernels."""

    name = "rolling"
    version = 2
    doc = "Rolling means and standard deviations of returns, spreads, slopes and depths"
    options = {
        "horizons": HORIZONS,
        "slope_window": Option(
            type="int",
            default=60,
            gt=0,
            doc="seconds of the mean and deviation of the depth slopes and of the center of gravity",
            quiet=True,
        ),
        "depth_window": Option(type="int", default=300, gt=0, doc="seconds of the deviations of depths", quiet=True),
    }

    def inputs(self) -> Sequence[str]:
        slopes = (source for source, _ in _SLOPES.values())
        return SEGMENT_START, "log_return", "relative_spread", *slopes, _DEPTH, *_TOUCH

    def outputs(self) -> Sequence[Column]:
        h, touch = self.params["depth_window"], " + ".join(_TOUCH)
        return (
            *self._per_window("mean_return_{h}s", "1: mean of log_return over {h} s"),
            *self._per_window("ret_std_{h}s", "1: sample standard deviation of log_return over {h} s"),
            *self._per_window("rv_{h}s", "1: square root of the sum of squares of log_return over {h} s"),
            *self._per_window("mean_relative_spread_{h}s", "1: mean of relative_spread over {h} s"),
            *self._per_window("mean_relative_spread_tw_{h}s", "1: mean of relative_spread over {h} s, by time"),
            *(column for name, (source, unit) in _SLOPES.items() for column in self._of_slope(name, source, unit)),
            Column(f"{_DEPTH}_sigma", f"u: sample standard deviation of {_DEPTH} over {h} s"),
            Column(f"depth_variance_{h}s", f"u2: sample variance of {touch} over {h} s"),
            Column(f"depth_sigma_{h}s", f"u: sample standard deviation of {touch} over {h} s"),
        )

    def _per_window(self, name: str, doc: str) -> Sequence[Column]:
        return [Column(name.format(h=h), doc.format(h=h)) for h in self.params["horizons"]]

    def _of_slope(self, name: str, source: str, unit: str) -> Sequence[Column]:
        h = self.params["slope_window"]
        return (
            Column(f"{name}_mean_{h}s", f"{unit}: mean of {source} over {h} s"),
            Column(f"{name}_std_{h}s", f"{unit}: sample standard deviation of {source} over {h} s"),
        )

    @cached_property
    def windows(self) -> dict[str, Windows]:
        """Windows by the name of their series."""
        horizons, depth = self.params["horizons"], [self.params["depth_window"]]
        found = [
            moments("log_return", horizons, centred=False),
            sums("relative_spread", horizons),
            time_weighted("relative_spread_by_time", horizons),
            *(moments(source, [self.params["slope_window"]]) for source, _ in _SLOPES.values()),
            *(moments(name, depth) for name in (_DEPTH, "touch")),
        ]
        return {each.name: each for each in found}

    def start(self) -> State:
        return {name: array for each in self.windows.values() for name, array in each.start().items()}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        spread, touch = batch["relative_spread"], batch[_TOUCH[0]] + batch[_TOUCH[1]]
        mean, squares, variance = self.windows["log_return"].run(state, batch, batch["log_return"])
        columns = [*mean, *np.sqrt(variance), *np.sqrt(squares)]
        columns += [*self.windows["relative_spread"].run(state, batch, spread)[1]]
        columns += [*self.windows["relative_spread_by_time"].run(state, batch, spread)[0]]
        for source, _ in _SLOPES.values():
            mean, _, variance = self.windows[source].run(state, batch, batch[source])[:, 0]
            columns += [mean, np.sqrt(variance)]
        _, _, of_depth = self.windows[_DEPTH].run(state, batch, batch[_DEPTH])[:, 0]
        _, _, of_touch = self.windows["touch"].run(state, batch, touch)[:, 0]
        return *columns, np.sqrt(of_depth), of_touch, np.sqrt(of_touch)
