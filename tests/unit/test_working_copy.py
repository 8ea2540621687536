"""Contents that a working copy of a lake in an object store keeps on disk."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from sqlgen.lake.remote.address import Address
from sqlgen.lake.remote.store import Store
from sqlgen.lake.remote.workcopy import WorkingCopy

SIZE = 100_000
NAMES = [f"raw/{number}.bin" for number in range(5)]


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    """A lake of five objects, of which two may be kept."""
    store = Store(Address.of(f"memory://{secrets.token_hex(4)}/lake"))
    for number, name in enumerate(NAMES):
        content = tmp_path / "content"
        content.write_bytes(bytes([number + 1]) * SIZE)
        store.put(name, content)
    found = WorkingCopy(store, tmp_path / "cache", bound=2 * SIZE)
    found.refresh(["raw"])
    return found


def kept(copy: WorkingCopy) -> list[int]:
    """Numbers of the files whose content is there; the others are empty space of the same size."""
    contents = [(copy.root / name).read_bytes() for name in NAMES]
    assert {len(content) for content in contents} == {SIZE}
    assert all(content in (bytes(SIZE), bytes([n + 1]) * SIZE) for n, content in enumerate(contents))
    return [number for number, content in enumerate(contents) if content[0]]


def test_the_contents_used_longest_ago_go_first(copy: WorkingCopy) -> None:
    assert kept(copy) == []
    for name in NAMES[:3]:
        with copy.using():
            copy.fetch([name])
    assert kept(copy) == [1, 2]
    with copy.using():
        copy.fetch([NAMES[1]])
        copy.fetch([NAMES[4]])
    assert kept(copy) == [1, 4]


def test_what_is_in_use_stays(copy: WorkingCopy) -> None:
    with copy.using():
        copy.fetch(NAMES[:4])
        assert kept(copy) == [0, 1, 2, 3]
    assert kept(copy) == [2, 3]
    copy.refresh(["raw"])
    with copy.using():
        copy.fetch([NAMES[0]])
    assert kept(copy) == [0, 3]


def test_what_is_written_counts(copy: WorkingCopy, tmp_path: Path) -> None:
    with copy.using():
        copy.fetch(NAMES[:2])
    new = tmp_path / "new"
    new.write_bytes(b"x" * SIZE)
    copy.put(new, "out/new.bin")
    new.replace(_made(copy.root / "out/new.bin"))
    with copy.using():
        copy.fetch([NAMES[2]])
    assert kept(copy) == [2]
    assert (copy.root / "out/new.bin").read_bytes() == b"x" * SIZE


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
