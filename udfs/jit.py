"""Compilation of kernels: Numba without fast maths, cached by content, loaded at the first call.

Numba's own cache notices a change of the file that defines a function, not of the files it calls into. Here the
folder of the cache is named after the content of every kernel file, so that a stale function cannot be loaded.
Declaring a kernel does not load Numba: planning needs the declarations alone.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from udfs.cache import cache_folder

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Compiled:
    """A function that Numba compiles at its first call; ``py_func`` is the function as written."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.py_func = function

    @functools.cached_property
    def dispatcher(self) -> Any:
        """Numba's function."""
        numba = _numba()
        with _cache_folder(Path(self.py_func.__code__.co_filename).parent) as cached:
            return numba.njit(cache=cached, nogil=True, error_model="numpy")(self.py_func)

    @property
    def _numba_type_(self) -> Any:
        """Type by which other compiled functions call this one."""
        return self.dispatcher._numba_type_

    def __call__(self, *arguments: Any) -> Any:
        return self.dispatcher(*arguments)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dispatcher, name)


@functools.cache
def _numba() -> Any:
    """Numba, set by its variables of the environment alone.

    It reads ``.numba_config.yaml`` in the current folder too, which may come from a stranger, and name a cache: code.
    """
    import numba
    from numba.core import config

    config._config_fname = ""
    config.reload_config()  # type: ignore[no-untyped-call]
    return numba


def jit(function: _Function) -> _Function:
    """Compile a function of numbers and contiguous arrays; ``.py_func`` is the function as written.

    Division by zero gives inf or NaN, as in NumPy. No reassociation, so that results do not depend on how rows are
    split into batches.
    """
    return cast(_Function, Compiled(function))


@contextmanager
def _cache_folder(sources: Path) -> Iterator[bool]:
    """Have Numba cache below a folder for the content of ``sources``; ``False`` if there can be no cache."""
    config: Any = _numba().config
    before = config.CACHE_DIR
    base = Path(before) if before else cache_folder()
    if base is not None:
        config.CACHE_DIR = str(base / _digest(sources))
    try:
        yield base is not None
    finally:
        config.CACHE_DIR = before


@functools.cache
def _digest(sources: Path) -> str:
    """Name of the cache of the kernels below ``sources``, which may call those of this package."""
    numba = _numba()
    config: Any = numba.config
    own = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted({*own.rglob("*.py"), *sources.glob("*.py")}):
        digest.update(path.read_bytes())
    digest.update(f"{numba.__version__} {config.BOUNDSCHECK}".encode())
    return f"kernels-{digest.hexdigest()}"
