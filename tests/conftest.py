"""Fixtures that many tests share. Tests run in an empty folder and leave the checkout as it was."""

from __future__ import annotations

import contextlib
import gc
import os
import secrets as secrets_module
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from sqlgen.lake import swap
from sqlgen.lake.remote import store
from sqlgen.templating import secrets
from tests.support.checkout import contents
from tests.support.engine import ROOT
from tests.support.modes import RANDOM
from tests.support.scratch import Scratch
from tests.support.stores import Bucket, Endpoint, environment, forget, planted_below, serving

MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that are to be free there: most tests take a few MB, and that of the wheel as much as a new environment."""


def in_memory() -> None:
    """Tests' files are in memory where there is room: to delete them from a disk takes ten times as long.

    Tests, and commands that they start, find the place as they find any other: ``TMPDIR``, if set, is left as it is.
    """
    usable = os.access(MEMORY, os.W_OK) and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    if "TMPDIR" not in os.environ and usable and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def pytest_configure() -> None:
    in_memory()
    # Time is measured in benchmarks, not in tests, which share their machine. The same commit tries the same examples
    # everywhere, so that a failure is of the change it shows at; ``make soak`` looks for new ones.
    hypothesis.settings.register_profile("sqlgen", deadline=None, max_examples=20, derandomize=RANDOM not in os.environ)
    hypothesis.settings.load_profile("sqlgen")
    # No test cuts the power: what the engine flushes need not reach the disk.
    os.fsync = os.fstat  # type: ignore[assignment]
    # Nobody reads what a test's run replaces, but for tests of readers, which set it back.
    swap.LEAST = 0.0
    # Commands that tests start import the sqlgen of this checkout, wherever they run.
    os.environ["PYTHONPATH"] = str(ROOT)


def pytest_collection_finish() -> None:
    """Python looks for garbage less often, and not among the thousands of tests that were collected."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty working directory: no test finds a lake of the checkout, nor writes one."""
    before, folder = contents(ROOT), tmp_path_factory.mktemp("elsewhere")
    with contextlib.chdir(folder):
        yield folder
    assert not any(folder.iterdir()), f"tests wrote into their working directory: {sorted(folder.iterdir())}"
    assert contents(ROOT) == before, "tests changed the checkout"


@pytest.fixture(autouse=True)
def no_secrets() -> Iterator[None]:
    """Secrets of one test are not hidden in the messages of the next ones of its process."""
    yield
    secrets._TEXTS.clear()


@pytest.fixture(scope="session")
def s3() -> Iterator[tuple[Endpoint, Any]]:
    """An S3 endpoint on loopback."""
    with serving() as found:
        yield found


@pytest.fixture
def bucket(s3: tuple[Endpoint, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty bucket, which the process under test reaches by environment variables; no file may hold these."""
    endpoint, client = s3
    for name, value in environment(endpoint, tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(store, "FIRST_PAUSE", 0.005)
    name = f"lake-{secrets_module.token_hex(6)}"
    client.create_bucket(Bucket=name)
    yield Bucket(name, endpoint, client)
    forget()
    assert not planted_below(tmp_path), "credentials are written into files"


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    """A small project with an empty lake."""
    return Scratch(tmp_path / "project")
