"""Windows of a published table as NumPy arrays and PyTorch datasets."""

from sqlgen.arrays.windows import WindowBatch, WindowBatches, windows

__all__ = ["WindowBatch", "WindowBatches", "windows"]
