"""Working copies of the lakes that this process has open, found by the paths below them.

Every function takes local paths, and does nothing where they belong to no lake in an object store: code that reads and
publishes files calls them without knowing which lake it works on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlgen.errors import UsageError

if TYPE_CHECKING:
    from sqlgen.lake.remote.mount import Mount

MOUNTS: dict[object, Mount] = {}
"""Address and folders -> the lake as it is open here."""
SCHEME = "lake"
"""Scheme of paths in working copies that DuckDB reads by way of them: each file is fetched when it is read first."""
_FIRST_HANDLE, _HANDLES = 512, 500
"""Numbers of handles of linked roots: above those that files get, below the limit that systems set (1,024)."""
_OPENED: set[int] = set()
_ALONE: dict[Path, Path] = {}
"""Links that lead to the folder of one process."""
_LINKS: dict[str, str] = {}
"""Links in lakes to the roots of others, each with a slash at its end -> these roots, too."""


def mount_of(path: Path | str) -> Mount | None:
    """The lake in an object store that a path is in."""
    return _located(path)[0] if MOUNTS else None


def _located(path: Path | str) -> tuple[Mount | None, str]:
    """The lake in an object store that a path is in, and the path below it."""
    text = os.fspath(path)
    for link, root in _LINKS.items():
        if text.startswith(link):
            text = root + text[len(link) :]
            break
    for mount in MOUNTS.values():
        if text.startswith(mount.inside) or text == mount.inside[:-1]:
            return mount, text[len(mount.inside) :]
    return None, text


def link(place: Path, root: Path) -> None:
    """Make ``place`` in a lake a link to the root of another.

    Each process has a working copy of its own, and the place is one for all of them: of a root in an object store the
    link leads to a handle, by a number that all have in common, which each process has opened for its own folder.
    """
    _LINKS[f"{place}/"] = f"{root}/"
    target = _handle(place, root) if mount_of(root) is not None else root
    if place.is_symlink() and place.readlink() == target:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_name(f".{place.name}.{os.getpid()}.draft")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(place)


def _handle(place: Path, root: Path) -> Path:
    """A path by which this process reaches a folder, and others their own; where there is none, the folder itself."""
    number = _FIRST_HANDLE + zlib.crc32(place.name.encode()) % _HANDLES
    found = Path(f"/proc/self/fd/{number}")
    _ALONE.pop(place, None)
    if found.parent.is_dir() and (number in _OPENED or not os.path.lexists(found)):
        opened = os.open(root, os.O_RDONLY)
        with contextlib.suppress(OSError):  # the system allows fewer
            os.dup2(opened, number, inheritable=False)
            _OPENED.add(number)
        os.close(opened)
        if number in _OPENED:
            return found
    _ALONE[place] = root
    return root


def check_places() -> None:
    """:class:`UsageError` where another process has made a link lead to its own folder."""
    for place, root in _ALONE.items():
        if place.is_symlink() and place.readlink() != root:
            raise UsageError(
                f"{place}: another process reads this source, too, and what was read here may be incomplete. Run one at"
                " a time on a system without /proc"
            )


def fetch(paths: Iterable[Path | str]) -> None:
    """Fetch the contents of files before they are read."""
    check_places()
    for mount, found in _by_mount(paths):
        mount.copy.fetch(found)


def fetch_ends(paths: Iterable[Path | str]) -> None:
    """Fetch the ends of Parquet files, which hold their footers."""
    for mount, found in _by_mount(paths):
        mount.copy.fetch_ends(found)


def first_byte(path: Path) -> int:
    """Place of the first byte of a fetched file that is there: a footer may be longer than the end that is fetched."""
    mount, inner = _located(path)
    return 0 if mount is None else mount.copy.first_byte(inner)


@contextlib.contextmanager
def using() -> Iterator[None]:
    """Keep what this thread fetches inside until the end."""
    with contextlib.ExitStack() as stack:
        for mount in MOUNTS.values():
            stack.enter_context(mount.copy.using())
        yield


def unlink(path: Path) -> bool:
    """Delete a file, and the object that it stands for; false, and nothing is done, if that is another by now."""
    mount, inner = _located(path)
    if mount is not None and not mount.copy.remove_listed(inner):
        return False
    path.unlink(missing_ok=mount is not None)
    return True


def remove_folder(folder: Path, first: Path) -> None:
    """Delete a folder with all objects in it, that of the file ``first`` before the others."""
    if (mount := mount_of(folder)) is not None:
        paths = [mount.inner(path) for path in folder.rglob("*") if path.is_file()]
        mount.copy.remove([mount.inner(first)])
        mount.copy.remove(paths)
    shutil.rmtree(folder)


def duplicate(source: Path, target: Path) -> bool:
    """Copy an object to a place where none is; false, and nothing is done, for files of a disk."""
    mount, inner = _located(source)
    if mount is not None:
        mount.copy.duplicate(inner, mount.inner(target))
    return mount is not None


def written_ns(path: Path) -> int:
    """Time at which a file, or the object that it stands for, was written."""
    mount, inner = _located(path)
    return mount.copy.known[inner].written_ns if mount is not None else path.stat().st_mtime_ns


def upload(path: Path) -> None:
    """Write a file that is complete to the store."""
    mount, inner = _located(path)
    if mount is not None:
        mount.copy.put(path, inner)


def save(path: Path, whole: bool = True) -> None:
    """Write the records of a lake to its store; not ``whole``: unless that was done a moment ago."""
    if (mount := mount_of(path)) is not None:
        if whole:
            mount.records.save()
        else:
            mount.records.save_sometimes()


def refresh(paths: Iterable[Path]) -> None:
    """List the lakes of some paths anew."""
    for mount in _mounts(paths):
        mount.refresh()


def notes(paths: Iterable[Path]) -> list[str]:
    """Notes on how the lakes of some paths are read, and on what of them is passed over."""
    return [note for mount in _mounts(paths) for note in mount.notes()]


def _mounts(paths: Iterable[Path]) -> list[Mount]:
    found = {mount.inside: mount for path in paths if (mount := mount_of(path)) is not None}
    return list(found.values())


def is_current(path: Path) -> bool:
    """True if the object that a file stands for is still the one that was listed."""
    mount, inner = _located(path)
    return mount is None or mount.copy.is_current(inner)


def _by_mount(paths: Iterable[Path | str]) -> Iterator[tuple[Mount, list[str]]]:
    found: dict[str, list[str]] = {}
    for path in paths if MOUNTS else ():
        mount, inner = _located(path)
        if mount is not None:
            found.setdefault(mount.inside, []).append(inner)
    for mount in list(MOUNTS.values()):
        if mount.inside in found:
            yield mount, found[mount.inside]
