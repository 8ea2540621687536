"""Rolling means and deviations of returns, spreads, slopes and depths."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, reduce
from typing import Any

import numpy as np

from udfs.kernel import HORIZONS, SEGMENT_START, Array, Batch, Column, Kernel, State
from udfs.options import Option
from udfs.windows import Windows, moments, sums, time_weighted

_SLOPES = {
    "bid_slope_regression": ("bid_slope", "u/bps"),
    "ask_slope_regression": ("ask_slope", "u/bps"),
    "cog_vs_mid": ("cog_momentum", "bps"),
}
"""Series -> start of the names of its columns, and their unit."""
_RETURN, _SPREAD, _DEPTH, _TOUCH = "log_return", "relative_spread", "depth_0_5bps", "touch"
_BEST = "bid_size_00", "ask_size_00"
_SERIES = "series"
"""Parameter of a narrowed kernel: the series that it computes."""


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
        return tuple(dict.fromkeys((SEGMENT_START, *(name for names in self.series.values() for name in names))))

    def outputs(self) -> Sequence[Column]:
        return tuple(column for series in self.series for column in self._of(series))

    def narrowed(self, wanted: Collection[str]) -> Mapping[str, Any]:
        return {_SERIES: [name for name in self.series if any(column.name in wanted for column in self._of(name))]}

    @cached_property
    def series(self) -> Mapping[str, Sequence[str]]:
        """Series whose statistics are computed, with the columns that they are made of."""
        columns = {name: (name,) for name in (_RETURN, _SPREAD, *_SLOPES, _DEPTH)} | {_TOUCH: _BEST}
        return {name: columns[name] for name in self.params.get(_SERIES, columns)}

    def _of(self, series: str) -> Sequence[Column]:
        """Columns of one series."""
        if series == _RETURN:
            return (
                *self._per_window("mean_return_{h}s", "1: mean of log_return over {h} s"),
                *self._per_window("ret_std_{h}s", "1: sample standard deviation of log_return over {h} s"),
                *self._per_window("rv_{h}s", "1: square root of the sum of squares of log_return over {h} s"),
            )
        if series == _SPREAD:
            return (
                *self._per_window("mean_relative_spread_{h}s", "1: mean of relative_spread over {h} s"),
                *self._per_window("mean_relative_spread_tw_{h}s", "1: mean of relative_spread over {h} s, by time"),
            )
        if series in _SLOPES:
            h, (name, unit) = self.params["slope_window"], _SLOPES[series]
            return (
                Column(f"{name}_mean_{h}s", f"{unit}: mean of {series} over {h} s"),
                Column(f"{name}_std_{h}s", f"{unit}: sample standard deviation of {series} over {h} s"),
            )
        h, touch = self.params["depth_window"], " + ".join(_BEST)
        if series == _DEPTH:
            return (Column(f"{_DEPTH}_sigma", f"u: sample standard deviation of {_DEPTH} over {h} s"),)
        return (
            Column(f"depth_variance_{h}s", f"u2: sample variance of {touch} over {h} s"),
            Column(f"depth_sigma_{h}s", f"u: sample standard deviation of {touch} over {h} s"),
        )

    def _per_window(self, name: str, doc: str) -> Sequence[Column]:
        return [Column(name.format(h=h), doc.format(h=h)) for h in self.params["horizons"]]

    @cached_property
    def windows(self) -> dict[str, tuple[Windows, ...]]:
        """Windows by their series."""
        horizons, slope, depth = (self.params[name] for name in ("horizons", "slope_window", "depth_window"))
        found = {
            _RETURN: (moments(_RETURN, horizons, centred=False),),
            _SPREAD: (sums(_SPREAD, horizons), time_weighted("relative_spread_by_time", horizons)),
            **{name: (moments(name, [slope]),) for name in _SLOPES},
            **{name: (moments(name, [depth]),) for name in (_DEPTH, _TOUCH)},
        }
        return {name: found[name] for name in self.series}

    def start(self) -> State:
        every = (each for windows in self.windows.values() for each in windows)
        return {name: array for each in every for name, array in each.start().items()}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        return [column for series in self.series for column in self._statistics(series, state, batch)]

    def _statistics(self, series: str, state: State, batch: Batch) -> Sequence[Array]:
        """Values of the columns of one series."""
        windows, columns = self.windows[series], [batch[name] for name in self.series[series]]
        if series == _SPREAD:
            by_row, by_time = windows
            return *by_row.run(state, batch, *columns)[1], *by_time.run(state, batch, *columns)[0]
        mean, squares, variance = windows[0].run(state, batch, reduce(np.add, columns))
        if series == _RETURN:
            return *mean, *np.sqrt(variance), *np.sqrt(squares)
        if series in _SLOPES:
            return *mean, *np.sqrt(variance)
        return tuple(np.sqrt(variance)) if series == _DEPTH else (*variance, *np.sqrt(variance))
