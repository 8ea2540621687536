"""Compilation of kernels: Numba without fast maths, cached by content.

Numba's own cache notices a change of the file that defines a function, not of the files it calls into. Here the
folder of the cache is named after the content of every kernel file, so that a stale function cannot be loaded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

_config: Any = numba.config
_Function = TypeVar("_Function", bound=Callable[..., Any])


def jit(function: _Function) -> _Function:
    """Compile a function of numbers and contiguous arrays; ``.py_func`` is the function as written.

    Division by zero gives inf or NaN, as in NumPy. No reassociation, so that results do not depend on how rows are
    split into batches.
    """
    with _cache_folder(Path(function.__code__.co_filename).parent):
        return cast(_Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


@contextmanager
def _cache_folder(sources: Path) -> Iterator[None]:
    before = _config.CACHE_DIR
    _config.CACHE_DIR = str(_folder(sources))
    try:
        yield
    finally:
        _config.CACHE_DIR = before


@cache
def _folder(sources: Path) -> Path:
    """Cache folder of the kernels below ``sources``, which may call those of this package."""
    own = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted({*own.rglob("*.py"), *sources.glob("*.py")}):
        digest.update(path.read_bytes())
    digest.update(f"{numba.__version__} {_config.BOUNDSCHECK}".encode())
    base = _config.CACHE_DIR or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sqlgen"
    return Path(base) / f"kernels-{digest.hexdigest()}"
