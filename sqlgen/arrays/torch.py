"""PyTorch dataset of windows; loaded only where torch is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

if TYPE_CHECKING:
    from sqlgen.arrays.windows import WindowBatches


class WindowDataset(IterableDataset[Any]):
    """Windows one by one: (x, y) of shapes (length, columns) and (), or x alone without a label."""

    def __init__(self, windows: WindowBatches) -> None:
        self.windows = windows

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        for number, batch in enumerate(self.windows):
            if worker is not None and number % worker.num_workers != worker.id:
                continue
            x = torch.from_numpy(batch.x)
            y = torch.from_numpy(batch.y) if batch.y is not None else None
            yield from (x if y is None else zip(x, y, strict=True))
