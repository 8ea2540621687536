"""Fixtures that many tests share. Tests run in an empty folder and leave the checkout as it was."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from sqlgen.templating import secrets
from tests.support.checkout import contents
from tests.support.engine import ROOT
from tests.support.scratch import Scratch


def pytest_configure() -> None:
    # Time is measured in benchmarks, not in tests, which share their machine.
    hypothesis.settings.register_profile("sqlgen", deadline=None, max_examples=50)
    hypothesis.settings.load_profile("sqlgen")
    # No test cuts the power: what the engine flushes need not reach the disk.
    os.fsync = os.fstat  # type: ignore[assignment]
    # Commands that tests start import the sqlgen of this checkout, wherever they run.
    os.environ["PYTHONPATH"] = str(ROOT)


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


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    """A small project with an empty lake."""
    return Scratch(tmp_path / "project")
