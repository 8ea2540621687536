"""Rolling means and deviations of returns, spreads, slopes and depths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from udfs.held import held
from udfs.kernel import HORIZONS, SEGMENT_START, Array, Batch, Column, Kernel, State
from udfs.windows import Windows, moments, sums


@dataclass(frozen=True)
class _Fixed:
    """A series with one window, and the columns made of it: name -> (unit and meaning, statistic)."""

    sources: Sequence[str]
    """Columns whose sum is the series."""
    seconds: int
    columns: dict[str, tuple[str, str]]

    @property
    def windows(self) -> Windows:
        return moments("+".join(self.sources), [self.seconds])


def _mean_and_std(name: str, source: str, unit: str) -> _Fixed:
    return _Fixed(
        [source],
        60,
        {
            f"{name}_mean_60s": (f"{unit}: mean of {source} over 60 s", "mean"),
            f"{name}_std_60s": (f"{unit}: sample standard deviation of {source} over 60 s", "std"),
        },
    )


_TOUCH = "bid_size_00 + ask_size_00"
_FIXED = (
    _mean_and_std("bid_slope", "bid_slope_regression", "u/bps"),
    _mean_and_std("ask_slope", "ask_slope_regression", "u/bps"),
    _mean_and_std("cog_momentum", "cog_vs_mid", "bps"),
    _Fixed(
        ["depth_0_5bps"],
        300,
        {"depth_0_5bps_sigma": ("u: sample standard deviation of the depth within 5 bps over 300 s", "std")},
    ),
    _Fixed(
        ["bid_size_00", "ask_size_00"],
        300,
        {
            "depth_variance_300s": (f"u2: sample variance of {_TOUCH} over 300 s", "variance"),
            "depth_sigma_300s": (f"u: sample standard deviation of {_TOUCH} over 300 s", "std"),
        },
    ),
)


class Rolling(Kernel):
    """Windows over what others give row by row."""

    name = "rolling"
    version = 2
    doc = "Rolling means and standard deviations of returns, spreads, slopes and depths"
    options = {"horizons": HORIZONS}

    def inputs(self) -> Sequence[str]:
        fixed = (source for series in _FIXED for source in series.sources)
        return SEGMENT_START, "log_return", "relative_spread", *fixed

    def outputs(self) -> Sequence[Column]:
        return (
            *self._per_window("mean_return_{h}s", "1: mean of log_return over {h} s"),
            *self._per_window("ret_std_{h}s", "1: sample standard deviation of log_return over {h} s"),
            *self._per_window("rv_{h}s", "1: square root of the sum of squares of log_return over {h} s"),
            *self._per_window("mean_relative_spread_{h}s", "1: mean of relative_spread over {h} s"),
            *self._per_window("mean_relative_spread_tw_{h}s", "1: mean of relative_spread over {h} s by time"),
            *(Column(name, doc) for series in _FIXED for name, (doc, _) in series.columns.items()),
        )

    def _per_window(self, name: str, doc: str) -> Iterable[Column]:
        return (Column(name.format(h=h), doc.format(h=h)) for h in self.given["horizons"])

    @cached_property
    def returns(self) -> Windows:
        return moments("log_return", self.given["horizons"])

    @cached_property
    def spreads(self) -> Windows:
        return sums("relative_spread", self.given["horizons"])

    @cached_property
    def held_spreads(self) -> Windows:
        return held("held_spread", self.given["horizons"])

    def start(self) -> State:
        windows = (self.returns, self.spreads, self.held_spreads, *(series.windows for series in _FIXED))
        return {name: array for each in windows for name, array in each.start().items()}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        mean, squares, variance = self.returns.run(state, batch, batch["log_return"], False)
        spread = batch["relative_spread"]
        columns = [*mean, *np.sqrt(variance), *np.sqrt(squares)]
        columns += [*self.spreads.run(state, batch, spread)[1], *self.held_spreads.run(state, batch, spread)[0]]
        for series in _FIXED:
            values = sum((batch[source] for source in series.sources[1:]), batch[series.sources[0]])
            mean, _, variance = series.windows.run(state, batch, values, True)[:, 0]
            given = {"mean": mean, "variance": variance, "std": np.sqrt(variance)}
            columns += [given[statistic] for _, statistic in series.columns.values()]
        return columns
