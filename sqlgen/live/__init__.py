"""Kernels on a live feed."""

from sqlgen.live.model import LiveModel, open_model

__all__ = ["LiveModel", "open_model"]
