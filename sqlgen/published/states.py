"""Kernel states as files: versioned, checksummed, and the same bytes for the same state.

States lie under the state folder, by model, partition and build: each belongs to the data whose footer names that
build. It is written before the data is published; older ones are removed afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from msgspec import Struct, field

from sqlgen.lake import faults, sealed, storage
from sqlgen.lake.partitions import Partition
from sqlgen.lake.remote import mounts
from udfs import Array, dtype_of, layout_of

SUFFIX = ".state"
_MAGIC = b"sqlgen kernel state 2\n"
_DIGEST = 16

Arrays = Mapping[str, Array]


class StateError(Exception):
    """A state file that is damaged, or written by other kernels."""


class Snapshot(Struct, frozen=True):
    """Kernel state at the end of a partition, from which the next one starts."""

    kernels: dict[str, dict[str, Array]]
    """Kernel name -> its arrays."""
    trades: Arrays = field(default_factory=dict)
    """Trades after the last row, which the next partition's rows read."""
    last: int | None = None
    """Time of the last row in ns; earlier rows of the next partition are late."""


def encode(snapshot: Snapshot, identity: object) -> bytes:
    """The content of a state file. ``identity``: kernels that wrote it, versions, options, layout of their state."""
    arrays = [
        (group, name, np.ascontiguousarray(array))
        for group, members in sorted(({"": snapshot.trades} | snapshot.kernels).items())
        for name, array in sorted(members.items())
    ]
    index = [(group, name, layout_of(array), array.shape) for group, name, array in arrays]
    head = (
        json.dumps(
            {"identity": identity, "arrays": index, "kernels": sorted(snapshot.kernels), "last": snapshot.last}
        ).encode()
        + b"\n"
    )
    body = head + b"".join(array.tobytes() for _, _, array in arrays)
    return _MAGIC + hashlib.blake2b(body, digest_size=_DIGEST).digest() + zlib.compress(body, 1)


def digest(content: bytes) -> str:
    """Digest of a state file's content."""
    return content[len(_MAGIC) : len(_MAGIC) + _DIGEST].hex()


def decode(content: bytes, identity: object) -> Snapshot:
    """The state in a file's content; :class:`StateError` if it is incomplete, or not by these kernels."""
    if not content.startswith(_MAGIC):
        raise StateError("it is not a kernel state of this version of sqlgen")
    try:
        body = zlib.decompress(content[len(_MAGIC) + _DIGEST :])
    except zlib.error as error:
        raise StateError(f"it is damaged ({error})") from None
    if hashlib.blake2b(body, digest_size=_DIGEST).hexdigest() != digest(content):
        raise StateError("it is damaged (its checksum does not fit)")
    head, _, data = body.partition(b"\n")
    index = json.loads(head)
    if index["identity"] != json.loads(json.dumps(identity)):
        raise StateError("other kernels, or the same with other options or versions, wrote it")
    kernels: dict[str, dict[str, Array]] = {name: {} for name in index["kernels"]}
    trades: dict[str, Array] = {}
    at = 0
    for group, name, layout, shape in index["arrays"]:
        dtype = dtype_of(layout)
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        members = kernels[group] if group else trades
        members[name] = np.frombuffer(data[at : at + size], dtype).reshape(shape).copy()
        at += size
    return Snapshot(kernels, trades, index.get("last"))


class StateStore(Struct, frozen=True):
    """The states of all models."""

    folder: Path

    def path(self, model: str, unit: Partition, build: str) -> Path:
        return self.folder / model / unit.path / f"{build}{SUFFIX}"

    def write(self, model: str, unit: Partition, build: str, content: bytes, flush: bool = True) -> None:
        path = self.path(model, unit, build)
        storage.replace_bytes(path, content, flush)
        mounts.upload(path)

    def read(self, model: str, unit: Partition, build: str, expected: str, identity: object) -> Snapshot:
        """The state after a partition; :class:`StateError` if it is not the one recorded with it."""
        content = self._content(model, unit, build)
        snapshot = decode(content, identity)
        if digest(content) != expected:
            raise StateError("it is not the one that was published with the partition")
        return snapshot

    def digest(self, model: str, unit: Partition, build: str) -> str:
        """Digest of the state after a partition; :class:`StateError` where it cannot be read."""
        content = self._content(model, unit, build)
        if not content.startswith(_MAGIC):
            raise StateError("it is not a kernel state of this version of sqlgen")
        return digest(content)

    def keep(self, model: str, unit: Partition, build: str) -> None:
        """Remove all states of a partition except that of one build."""
        try:
            found = os.listdir(f"{self.folder}/{model}/{unit.path}")
        except (FileNotFoundError, NotADirectoryError):
            return
        folder = self.path(model, unit, build).parent
        storage.clear_drafts(folder)
        for name in found:
            if name.endswith(SUFFIX) and name != f"{build}{SUFFIX}":
                (folder / name).unlink(missing_ok=True)
                faults.point("old kernel state: deleted")

    def take_over(self, model: str, unit: Partition, old: str, new: str) -> None:
        """Write the state after a partition under another build, too; one that cannot be read stays where it is."""
        with contextlib.suppress(StateError):
            self.write(model, unit, new, self._content(model, unit, old))

    def _content(self, model: str, unit: Partition, build: str) -> bytes:
        path = self.path(model, unit, build)
        mounts.fetch([path])
        try:
            return sealed.read_bytes(path)
        except OSError as error:
            raise StateError(f"it cannot be read ({path}: {error.strerror})") from None
