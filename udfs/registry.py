"""The kernels there are: those of this package, and a user's own in ``udfs/`` beside models.yaml."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from udfs.kernel import Kernel

_OWN = "_sqlgen_user_udfs"
"""Package of the kernels of a user's own."""
PACKAGED = Path(__file__).resolve().parent


class KernelError(Exception):
    """A kernel that cannot be loaded, or that does not fit the others."""


Registry = dict[str, type[Kernel]]


@cache
def registry(folder: Path | None = None) -> Registry:
    """Kernels by name; one in ``folder`` hides a packaged one of the same name."""
    found: Registry = {}
    for place in (PACKAGED, folder):
        if place is not None and (place is PACKAGED or place.resolve() != PACKAGED):
            found |= _kernels_in(place)
    return found


def _kernels_in(folder: Path) -> Registry:
    found: Registry = {}
    for path in sorted(folder.glob("*.py")):
        if path.stem == "__init__":
            continue
        module = _load(path, packaged=folder is PACKAGED)
        for kind in vars(module).values():
            if not (inspect.isclass(kind) and issubclass(kind, Kernel) and kind.__module__ == module.__name__):
                continue
            if inspect.isabstract(kind) or "name" not in vars(kind):
                continue
            if kind.name in found:
                raise KernelError(f"{path}: kernel '{kind.name}' is declared twice in {folder}")
            if not isinstance(getattr(kind, "version", None), int) or not getattr(kind, "doc", ""):
                raise KernelError(f"{path}: kernel '{kind.name}' needs an integer version and a doc")
            found[kind.name] = kind
    return found


def _load(path: Path, packaged: bool) -> ModuleType:
    if packaged:
        return importlib.import_module(f"udfs.{path.stem}")
    # A package, so that Numba can find again what a cached function refers to.
    package = sys.modules.setdefault(_OWN, ModuleType(_OWN))
    package.__path__ = []
    name = f"{_OWN}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise KernelError(f"{path}: {type(error).__name__}: {error}") from error
    return module
