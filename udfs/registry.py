"""Registry of kernels: those of this package, and a user's own in ``udfs/`` beside models.yaml."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import inspect
import sys
import threading
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

from udfs.kernel import Kernel
from udfs.options import Option

_OWN = "_sqlgen_user_udfs_"
"""Start of the name of a package of the kernels of a user's own: each folder is a package."""
PACKAGED = Path(__file__).resolve().parent


class KernelError(Exception):
    """A kernel that cannot be loaded, or that does not fit the others."""


Registry = dict[str, type[Kernel]]


_LOADING = threading.RLock()
"""Loading replaces modules, which threads that open one project at once must not do to each other."""


def registry(folder: Path | None = None) -> Registry:
    """Kernels by name; one in ``folder`` hides a packaged one of the same name."""
    with _LOADING:
        return _registry(folder)


def reload() -> None:
    """Load kernels anew when they are asked for next: files of a project's own may have changed."""
    _registry.cache_clear()


@cache
def _registry(folder: Path | None) -> Registry:
    found: Registry = {}
    for path in (PACKAGED, folder):
        if path is not None and (path is PACKAGED or path.resolve() != PACKAGED):
            found |= _kernels_in(path)
    return found


def kernels_of(folder: Path | None, names: Iterable[str]) -> Registry:
    """Kernels that models name. The code in ``folder`` is run only if one of these may be there."""
    packaged = registry()
    if folder is None or folder.resolve() == PACKAGED:
        return packaged
    needed = not packaged.keys() >= {*names} or not packaged.keys().isdisjoint(_named(folder))
    return registry(folder) if needed else packaged


def _named(folder: Path) -> set[str]:
    """Texts that the code in a folder assigns, found without running it: among them are the names of its kernels."""
    return {name for path in _files(folder) for name in _assigned(path.read_bytes())}


@lru_cache(64)
def _assigned(code: bytes) -> frozenset[str]:
    """Texts that some code assigns."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return frozenset()  # told when it is run
    return frozenset(
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _files(folder: Path) -> list[Path]:
    """Python files of a folder of kernels; :class:`KernelError` for links that lead out of it."""
    found = sorted(folder.rglob("*.py") if folder is PACKAGED else folder.glob("*.py"))
    for path in found if folder is not PACKAGED else ():
        if not path.resolve().is_relative_to(folder.parent.resolve()):
            raise KernelError(f"{path} is a link that leads out of the project, to {path.resolve()}. Copy the file")
    return [path for path in found if path.stem != "__init__"]


def _kernels_in(folder: Path) -> Registry:
    found: Registry = {}
    if folder is not PACKAGED:
        _forget(_package(folder))
    for path in _files(folder):
        module = _load(path, packaged=folder is PACKAGED)
        for kind in vars(module).values():
            if not (inspect.isclass(kind) and issubclass(kind, Kernel) and kind.__module__ == module.__name__):
                continue
            if "name" not in vars(kind) or (folder is PACKAGED and inspect.isabstract(kind)):
                continue
            _check(kind, path)
            if kind.name in found:
                raise KernelError(f"{path}: kernel '{kind.name}' is declared twice in {folder}")
            if folder is not PACKAGED:
                kind.sources = _digest(path)
            found[kind.name] = kind
    return found


def _check(kind: type[Kernel], path: Path) -> None:
    """Raise :class:`KernelError` unless a class declares what a kernel has."""
    if not isinstance(kind.name, str) or not kind.name.isidentifier():
        raise KernelError(f"{path}: {kind.name!r:.99} is no name of a kernel: letters, digits and _")
    if inspect.isabstract(kind):
        lacks = ", ".join(sorted(kind.__abstractmethods__))
        raise KernelError(f"{path}: kernel '{kind.name}' does not define {lacks}")
    options = getattr(kind, "options", {})
    if not isinstance(options, dict) or not all(isinstance(option, Option) for option in options.values()):
        raise KernelError(f"{path}: options of kernel '{kind.name}' is not a dictionary of Option")
    if not isinstance(getattr(kind, "version", None), int) or not getattr(kind, "doc", ""):
        raise KernelError(f"{path}: kernel '{kind.name}' needs an integer version and a doc")


def _load(path: Path, packaged: bool) -> ModuleType:
    if packaged:
        return importlib.import_module(".".join(("udfs", *path.relative_to(PACKAGED).with_suffix("").parts)))
    # A package, so that Numba can find again what a cached function refers to, and kernels can share helpers.
    name = _package(path.parent)
    package = sys.modules.setdefault(name, ModuleType(name))
    package.__path__ = [str(path.parent)]
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    try:
        return importlib.import_module(f"{name}.{path.stem}")
    except (Exception, SystemExit) as error:
        raise KernelError(f"{path}: {type(error).__name__}: {error}") from error


class _OwnSource(importlib.machinery.SourceFileLoader):
    """Loader of a project's own kernels, of their source alone.

    Bytecode beside it need not be what the source says, and would not tell two changes within a second.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _OwnFinder(importlib.abc.MetaPathFinder):
    """Finder of the modules of a project's own kernels."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_OWN):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _OwnSource(fullname, spec.loader.path)
        return spec


_FINDER = _OwnFinder()


def _package(folder: Path) -> str:
    return _OWN + hashlib.blake2b(str(folder.resolve()).encode(), digest_size=6).hexdigest()


def _forget(package: str) -> None:
    """Unload a package, whose files may have changed since."""
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


def is_own(kernel: type[Kernel]) -> bool:
    """True if a kernel is a user's own."""
    return kernel.__module__.startswith(_OWN)


def _digest(path: Path) -> str:
    """Digest of a kernel's source: its file, and those of the project that it imports."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(_imported(path, path.parent.parent, set())):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _imported(path: Path, project: Path, found: set[Path]) -> set[Path]:
    """A file and all of the project that it imports: of its own package, and modules beside models.yaml."""
    if path in found or not path.is_file() or not path.is_relative_to(project):
        return found
    found.add(path)
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # told, if it is run
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1] if 0 < node.level <= len(path.parents) else project
            names = [f"{node.module or ''}.{alias.name}".removeprefix(".") for alias in node.names]
        else:
            base, names = project, [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            at = base
            for part in () if base == project and name.startswith("udfs.") else name.split("."):
                at /= part
                _imported(at.with_name(f"{part}.py"), project, found)
                _imported(at / "__init__.py", project, found)
    return found
