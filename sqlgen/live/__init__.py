"""Models on a live feed."""

from sqlgen.live.bars import LiveBars, open_bars
from sqlgen.live.batches import LiveBatches, open_batches
from sqlgen.live.model import LiveModel, open_model

__all__ = ["LiveBars", "LiveBatches", "LiveModel", "open_bars", "open_batches", "open_model"]
