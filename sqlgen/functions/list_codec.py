"""Conversion between DuckDB lists, one per group, and NumPy arrays: arguments and results of list functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from sqlgen.errors import UsageError
from sqlgen.stream.arrays import arrow
from udfs import Array, Column

Floats = NDArray[np.float64]

LEVELS = "STRUCT(price DOUBLE, size DOUBLE)[]"
"""One side of a book, best level first."""


class BookSideList(Struct, frozen=True):
    """One side of several books."""

    starts: NDArray[np.int64]
    """Offsets of the levels of each book, and the end of the last one."""
    price: Floats
    size: Floats

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, part: slice) -> BookSideList:
        return BookSideList(self.starts[part.start : part.stop + 1], self.price, self.size)

    def level(self, level: int) -> tuple[Floats, Floats]:
        """Price and size of a level, NaN where a book has no such level."""
        at = self.starts[:-1] + level
        there = at < self.starts[1:]
        price, size = np.full(len(self), np.nan), np.full(len(self), np.nan)
        price[there], size[there] = self.price[at[there]], self.size[at[there]]
        return price, size


Values = Array | BookSideList


class ListArgument:
    """One argument for a chunk of groups: a list for each group."""

    def __init__(self, column: pa.ChunkedArray, name: str, kind: str, positive: bool) -> None:
        """``kind``: SQL type of the elements. ``positive``: numbers that are not above 0 are treated as NULL."""
        lists = column.combine_chunks()
        self.name = name
        self.known = np.asarray(lists.is_valid())
        starts = lists.offsets.to_numpy().astype(np.int64)
        self.starts = starts - starts[0]
        self.values = _values(lists.values.slice(starts[0], starts[-1] - starts[0]), name, kind, positive)

    def __len__(self) -> int:
        return len(self.known)

    def of(self, group: int) -> Values | None:
        """The list of a group; ``None`` for NULL."""
        return self.values[self.starts[group] : self.starts[group + 1]] if self.known[group] else None


def _values(flat: pa.Array, name: str, kind: str, positive: bool) -> Values:
    if kind == LEVELS:
        starts = flat.offsets.to_numpy().astype(np.int64)
        fields = flat.values.slice(starts[0], starts[-1] - starts[0]).flatten()
        price, size = (_floats(part, positive) for part in fields)
        return BookSideList(starts - starts[0], price, size)
    if kind == "BIGINT":
        if flat.null_count:
            raise UsageError(f"{name} has a NULL in it")
        return np.array(flat.to_numpy())
    return _floats(flat, positive)


def _floats(flat: pa.Array, positive: bool) -> Floats:
    """NaN for NULL and for values that are not finite. A copy: kernels are compiled for writable arrays."""
    values = np.array(flat.to_numpy(zero_copy_only=False), np.float64)
    values[~np.isfinite(values) | (positive & (values <= 0))] = np.nan
    return values


def encode(groups: Sequence[Sequence[Array] | None], columns: Sequence[Column]) -> pa.Array:
    """A list for each group, of one column or of structs of several; NULL for ``None``."""
    arguments = [arrays for arrays in groups if arrays is not None]
    if not arguments:
        return pa.nulls(len(groups))
    sizes = [len(arrays[0]) if arrays is not None else 0 for arrays in groups]
    fields = [_plain(arrow(np.concatenate(parts), column)) for column, *parts in zip(columns, *arguments, strict=True)]
    flat = fields[0] if len(columns) == 1 else pa.StructArray.from_arrays(fields, [column.name for column in columns])
    starts = np.cumsum([0, *sizes], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(starts), flat, mask=pa.array([arrays is None for arrays in groups]))


def _plain(values: pa.Array) -> pa.Array:
    """The array without dictionary encoding, which DuckDB does not read in empty lists."""
    return values.dictionary_decode() if isinstance(values, pa.DictionaryArray) else values
