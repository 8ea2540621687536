"""Means and standard deviations of the days before a day."""

from __future__ import annotations

import datetime as dt

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Floats = npt.NDArray[np.float64]


class Scale(Struct):
    """Running count, mean and sum of squared deviations by column, each of shape (columns,).

    Days are merged as by Chan, Golub and LeVeque (1983), so that no digits cancel.
    """

    count: Floats
    mean: Floats
    squares: Floats

    @classmethod
    def empty(cls, columns: int) -> Scale:
        return cls(np.zeros(columns), np.zeros(columns), np.zeros(columns))

    def add(self, count: Floats, mean: Floats, variance: Floats) -> Scale:
        """The scale with one more day, of which each column has the count, mean and variance."""
        mean, variance = np.where(count > 0, mean, 0.0), np.where(count > 0, variance, 0.0)
        total = self.count + count
        share = count / np.maximum(total, 1)
        step = mean - self.mean
        squares = self.squares + variance * count + step * step * self.count * share
        return Scale(total, self.mean + step * share, squares)

    @property
    def deviation(self) -> Floats:
        """Population standard deviation; 1 where all values are equal, NaN without any."""
        variance = self.squares / np.where(self.count > 0, self.count, np.nan)
        return np.sqrt(np.where(variance == 0, 1.0, variance))

    def apply(self, values: Floats) -> Floats:
        """``(values - mean) / deviation`` over the last axis; NaN in columns that have no earlier value."""
        scaled: Floats = (values - self.mean) / self.deviation
        return scaled


class Day(Struct, frozen=True):
    """One day of a symbol."""

    exchange: str
    symbol: str
    date: dt.date
    scale: Scale
    """Statistics of all earlier days of this symbol."""
