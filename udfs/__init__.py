"""Numba kernels, by subject, and the public face of what a kernel declares.

``udfs.jit`` (which loads Numba) and ``udfs.windows`` are public too; all else is reached through :func:`registry`.
"""

from udfs.cache import also_cache_in, cache_folder
from udfs.faults import DTYPES, FaultyKernelError
from udfs.kernel import (
    NANOSECONDS,
    NO_INTEGER,
    OVERLAP_NS,
    SEGMENT_START,
    Array,
    Batch,
    Column,
    Kernel,
    State,
    Trades,
    dtype_of,
    layout_of,
    record,
)
from udfs.options import Option
from udfs.pipeline import Pipeline, PipelineState
from udfs.registry import KernelError, Registry, is_own, kernels_of, registry, reload

__all__ = [
    "DTYPES",
    "NANOSECONDS",
    "NO_INTEGER",
    "OVERLAP_NS",
    "SEGMENT_START",
    "Array",
    "Batch",
    "Column",
    "FaultyKernelError",
    "Kernel",
    "KernelError",
    "Option",
    "Pipeline",
    "PipelineState",
    "Registry",
    "State",
    "Trades",
    "also_cache_in",
    "cache_folder",
    "dtype_of",
    "is_own",
    "kernels_of",
    "layout_of",
    "record",
    "registry",
    "reload",
]
