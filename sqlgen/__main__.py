"""``python -m sqlgen`` and the ``sqlgen`` script."""

import atexit
import gc
import sys
import threading
from collections.abc import Sequence
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from sqlgen.cli import signals

_LATE = ("numpy", "pyarrow", "pyarrow.parquet")
_LOADING = threading.RLock()
_NEW_OBJECTS = 100_000
"""Objects that are made before Python looks for cycles among them; by itself it does so after 700."""


def main() -> None:
    """Run the command line; a signal ends it with a message from the first moment on."""
    with signals.ended():
        gc.set_threshold(_NEW_OBJECTS)  # nearly all that loading makes stays
        atexit.register(_set_aside)
        sys.meta_path.insert(0, _BeforeDuckDB)
        for name in _LATE:
            _load_late(name)
        from sqlgen.cli.app import main as run

        run()


class _Late(ModuleType):
    """Package that is loaded once something of it is used, by one thread: others wait.

    They wait before they import a part of it, too: they would hold a part that the thread that loads it needs.
    """

    def __getattr__(self, name: str) -> Any:
        with _LOADING:
            spec = self.__dict__.pop("_late", None)
            if spec is not None:
                spec.loader.exec_module(self)
                self.__path__ = spec.submodule_search_locations
                self.__class__ = ModuleType  # type: ignore[assignment]
            elif name == "__path__":  # asked for by its own parts, while it is loaded
                return self.__spec__.submodule_search_locations if self.__spec__ is not None else None
        return ModuleType.__getattribute__(self, name)


def _load_late(name: str) -> None:
    """Have a package loaded once something of it is used: kernels name NumPy, and plans need what they declare.

    Python's own ``LazyLoader`` loads it when it is imported for the second time.
    """
    package, _, part = name.rpartition(".")
    spec = PathFinder.find_spec(name, _places(package)) if name not in sys.modules else None
    if spec is not None:
        late = _Late(name)
        late.__spec__, late.__file__, late.__loader__ = spec, spec.origin, spec.loader
        late.__dict__["_late"] = spec
        sys.modules[name] = late
        if package:
            sys.modules[package].__dict__[part] = late


def _places(package: str) -> Sequence[str] | None:
    """Folders of a package's parts, which is not loaded for that; those of ``sys.path`` without a package."""
    spec = sys.modules[package].__spec__ if package else None
    return spec.submodule_search_locations if spec is not None else None


class _BeforeDuckDB:
    """Sets aside what was loaded before DuckDB is; it finds no module."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: object = None) -> None:
        if name == "_duckdb":
            _set_aside()


def _set_aside() -> None:
    """Keep Python from looking for cycles in all that was loaded, most of all as it ends: a tenth of a short command.

    What DuckDB has loaded is looked through: it reports to standard error what is not freed.
    """
    if "_duckdb" not in sys.modules:
        gc.freeze()


if __name__ == "__main__":
    main()
