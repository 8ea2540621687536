"""Groups of files under a path, each of one kind."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from sqlgen.detect.files.pathnames import folder_of, shape
from sqlgen.detect.files.sniff import Sniffed, sniff
from sqlgen.detect.files.vendors import KnownNames, Vendor, suffix_of
from sqlgen.errors import UsageError
from sqlgen.lake.remote.mounts import mount_of
from sqlgen.lake.walk import can_be_read, shown
from sqlgen.published import footers
from sqlgen.published.tables import LEGACY
from sqlgen.templating.secrets import show_as

LOOKED_AT = 8
"""Files of a group whose content is read, if they are alike."""
MOST = 500
"""Files of a group whose content is read, if they differ."""
NO_DATA = (".CHECKSUM", ".md", ".yaml", ".yml", ".py", ".sql", ".pdf", ".html")
_ALIKE = 0.5


class FileGroup(Struct, frozen=True):
    """Files that seem to be of one kind."""

    paths: tuple[str, ...]
    """Absolute, sorted."""
    sizes: Mapping[str, int]
    sniffed: Mapping[str, Sniffed] = field(default_factory=dict)
    """Contents of the files that were read."""

    @property
    def sample(self) -> Sniffed:
        """Content of the first file that has any."""
        ranked = sorted(self.sniffed.values(), key=lambda one: (bool(one.problem), one.empty, not one.format))
        return ranked[0]

    @property
    def example(self) -> str:
        return next(path for path, one in self.sniffed.items() if one is self.sample)


def find(root: Path) -> tuple[dict[str, int], int, list[str]]:
    """Absolute path -> size of every file below ``root``; number of skipped published tables; non-data files."""
    if root.is_file():
        return {str(root): root.stat().st_size}, 0, []
    found: dict[str, int] = {}
    published = 0
    non_data: list[str] = []
    tables: dict[str, bool] = {}
    for folder, folders, names in os.walk(root, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")) and can_be_read(name))
        sizes = {name: size for name in names if can_be_read(name) and (size := _size(Path(folder, name))) is not None}
        non_data += [shown(f"{folder}/{name}") for name in names if name not in sizes]
        names = [*sizes]
        table = _table_of(folder) if mount_of(root) is not None else folder  # there, each footer is a request
        if table not in tables:
            tables[table] = _is_published(folder, names)
        if tables[table]:
            published += 1
            folders.clear()
            continue
        for name in names:
            if not name.startswith((".", "_")) and not name.endswith(NO_DATA):
                found[str(Path(folder, name))] = sizes[name]
    return found, published, non_data


def _size(path: Path) -> int | None:
    """Size of a regular file; ``None`` of anything else."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _table_of(folder: str) -> str:
    """The folder above hive folders."""
    return folder.partition("=")[0].rpartition("/")[0] if "=" in folder else folder


def _is_published(folder: str, names: Sequence[str]) -> bool:
    """True if the files of a folder are published ones; a folder has only such files, or none."""
    if LEGACY in names:
        return True
    name = next((name for name in names if name.endswith(".parquet")), None)
    if name is None:
        return False
    path = Path(folder, name)
    try:
        return footers.may_be_ours(path) and footers.read(path).text is not None
    except (footers.ForeignFileError, OSError):
        return False


def _raise(error: OSError) -> None:
    raise UsageError(f"{error.filename}: {error.strerror}. It cannot be listed")


def grouped(files: Mapping[str, int], root: Path, vendors: Mapping[str, Vendor]) -> list[FileGroup]:
    """Files by kind: by vendors' names, then the form of their names, then the content of the first ones."""
    by_form: dict[tuple[str, str], list[str]] = {}
    above = str(root if root.is_dir() else root.parent)
    known = KnownNames((adapter, name) for adapter, vendor in vendors.items() for name in vendor.names)
    for path in sorted(files):
        adapter = next((_named(name, vendors[name], found) for name, found in known.fitting(path)), "")
        below = path[len(above) + 1 :]
        key = (adapter, suffix_of(path) if adapter else shape(_hive_part(path) or below))
        by_form.setdefault(key, []).append(path)
    groups = []
    for key, paths in by_form.items():
        looked = {path: sniff(Path(path)) for path in spread(paths, LOOKED_AT)}
        for part, sniffed in [(paths, looked)] if key[0] else _alike(paths, looked):
            groups.append(FileGroup(tuple(part), {path: files[path] for path in part}, sniffed))
    return groups


def _named(adapter: str, vendor: Vendor, name: str) -> str:
    """Files of one vendor's name pattern; pairs of files stay together."""
    return f"{adapter}/{name.count('/') if vendor.pairs else name}"


def _hive_part(path: str) -> str:
    """A path from its first ``key=value`` folder on, with the folder above that."""
    parts = path.split("/")
    cut = next((place for place, part in enumerate(parts[:-1]) if "=" in part), None)
    return "/".join(parts[max(cut - 1, 0) :]) if cut is not None else ""


def _alike(paths: list[str], sniffed: dict[str, Sniffed]) -> Iterable[tuple[list[str], dict[str, Sniffed]]]:
    """Parts of a group with the same content, by reading some files or, if these differ, many."""
    if len(_kinds(sniffed)) <= 1:
        return [(paths, sniffed)]
    sniffed = {path: sniff(Path(path)) for path in spread(paths, MOST)}
    kinds = _kinds(sniffed)
    by_folder = {folder_of(path): number for number, kind in enumerate(kinds) for path in kind}
    parts: list[list[str]] = [[] for _ in kinds]
    known = {path: number for number, kind in enumerate(kinds) for path in kind}
    for path in paths:
        parts[known.get(path, by_folder.get(folder_of(path), 0))].append(path)
    return [(part, {path: sniffed[path] for path in part if path in sniffed}) for part in parts]


def _kinds(sniffed: Mapping[str, Sniffed]) -> list[list[str]]:
    """Paths grouped by similar content; empty files join the first group."""
    kinds: list[tuple[Sniffed, list[str]]] = []
    quiet = []
    for path, one in sniffed.items():
        if one.empty or (one.problem and not one.columns):
            quiet.append(path)
            continue
        for first, members in kinds:
            if similar(first, one):
                members.append(path)
                break
        else:
            kinds.append((one, [path]))
    if not kinds:
        return [quiet] if quiet else []
    kinds[0][1].extend(quiet)
    return [members for _, members in kinds]


def similar(left: Sniffed, right: Sniffed) -> bool:
    """True if two files have the same format and most columns in common."""
    if left.format != right.format or left.schema != right.schema:
        return False
    if not left.columns and not right.columns:
        return left.fields == right.fields
    union = {*left.columns, *right.columns}
    return len({*left.columns} & {*right.columns}) >= _ALIKE * len(union)


def spread(items: Sequence[str], count: int) -> list[str]:
    """``count`` of the items, evenly, the first and the last among them."""
    if len(items) <= count or count < 2:
        return list(items[:count])
    step = (len(items) - 1) / (count - 1)
    return [items[round(place * step)] for place in range(count)]


def of_store(address: str, lake: str) -> tuple[Path, Path | None]:
    """Local paths that stand for what an address names, and for ``lake`` if that holds it."""
    from sqlgen.lake.remote.mount import located  # loads fsspec

    mount, below = located(address, lake)
    show_as(str(mount.root), mount.address.url())
    return mount.root / below, mount.root if mount.address.url() == lake else None
