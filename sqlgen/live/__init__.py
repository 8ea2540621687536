"""Kernels on a live feed."""

from sqlgen.live.bars import LiveBars, open_bars
from sqlgen.live.model import LiveModel, open_model

__all__ = ["LiveBars", "LiveModel", "open_bars", "open_model"]
