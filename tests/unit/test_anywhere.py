"""Places where Python runs: no home, caches that cannot be written to, few CPUs, other systems, other packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sqlgen.lake.cpus import cpus
from tests.support.engine import ROOT
from tests.support.scratch import BTC, DAY1, LEDGER, Scratch
from udfs import cache


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No home and no added folders; the folder for temporary files."""
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr(cache, "_MORE", [])
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def test_the_first_place_that_can_be_written_to(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = nowhere / f"sqlgen-{os.getuid()}"
    assert cache.cache_folder() == own
    assert own.stat().st_mode & 0o777 == 0o700
    cache.also_cache_in(nowhere / "state")
    assert cache.cache_folder() == nowhere / "state"
    monkeypatch.setenv("HOME", str(nowhere / "home"))
    assert cache.cache_folder() == nowhere / "home/.cache/sqlgen"
    monkeypatch.setenv("XDG_CACHE_HOME", str(nowhere / "xdg"))
    assert cache.cache_folder() == nowhere / "xdg/sqlgen"


def test_a_folder_of_others_is_not_used(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in a cache is executed."""
    own = nowhere / f"sqlgen-{os.getuid()}"
    own.mkdir(parents=True)
    own.chmod(0o777)
    assert cache.cache_folder() is None
    own.chmod(0o700)
    assert cache.cache_folder() == own
    whose = os.getuid() + 1
    (nowhere / f"sqlgen-{whose}").mkdir(mode=0o700)  # made by this user, who is another then
    monkeypatch.setattr(cache.os, "getuid", lambda: whose)
    assert cache.cache_folder() is None


OLD = "cpu/x/cpu.cfs_"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000"}, 1),
        ("0::/docker/of-the-host\n", {"cpu.max": "300000 100000\n"}, 3),
        (
            "3:cpu,cpuacct:/x\n1:memory:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "200000", "cpu/x/cpu.cfs_period_us": "50000"},
            4,
        ),
        ("3:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "50000"}, 8),
        ("nothing at all\n", {"cpu.max": "nonsense"}, 8),
        ("0::/\n", {}, 8),
    ],
)
def test_cpus_of_a_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(8)}, raising=False)
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert cpus(tmp_path / "groups", tmp_path / "own") == expected
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5}, raising=False)
    assert cpus(tmp_path / "groups", tmp_path / "own") == 1
    assert cpus(tmp_path / "none", tmp_path / "none") == 1


JITTED = LEDGER.replace("from udfs.kernel import", "from .helpers import shifted\nfrom udfs.kernel import").replace(
    'np.concatenate([state["last"], batch["cost"]])', 'shifted(state["last"], batch["cost"])'
)
HELPERS = """\
import numpy as np

from udfs.jit import jit


@jit
def shifted(last, costs):
    return np.concatenate((last, costs))
"""


@pytest.mark.slow
def test_a_project_with_a_package_of_kernels_and_no_home(scratch: Scratch, tmp_path: Path) -> None:
    """In its folder, which Python puts on the path; compiled kernels lie under the state folder."""
    scratch.model("costs", udfs=["ledger"])
    scratch.trades(BTC, DAY1, [100.0, 101.0, 102.0])
    scratch.kernel(JITTED)
    (scratch.folder / "udfs/__init__.py").write_text("raise ImportError('not to be imported')\n")
    (scratch.folder / "udfs/helpers.py").write_text(HELPERS)
    (tmp_path / "file").write_text("")
    environment = {key: value for key, value in os.environ.items() if key != "XDG_CACHE_HOME"}
    environment |= {"HOME": str(tmp_path / "file"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["SQLGEN_TRUSTED"] = str(scratch.folder)
    done = subprocess.run(
        [sys.executable, "-m", "sqlgen", "run"], cwd=scratch.folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "compiling kernels, once on this machine: helpers\n" in done.stdout
    assert scratch.table("costs")["before"].to_pylist()[1:] == [100.0, 101.0]
    assert list((scratch.lake / ".sqlgen/cache").rglob("*.nbi"))


def test_another_udfs_is_told(tmp_path: Path) -> None:
    (tmp_path / "udfs.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.insert(0, '.'); import udfs; import sqlgen"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert "ImportError: the package udfs is " in done.stderr
    assert "import sqlgen before it" in done.stderr


def test_no_module_needs_fcntl() -> None:
    """Modules load where there is no fcntl, SIGHUP or O_NOFOLLOW, as on Windows."""
    code = (
        "import os, signal, sys; sys.modules['fcntl'] = None; del signal.SIGHUP, signal.SIGPIPE, os.O_NOFOLLOW;"
        "sys.platform = 'win32'; sys.modules['msvcrt'] = type(sys)('msvcrt');"
        "import importlib, pkgutil, sqlgen.cli.signals, sqlgen.lake;"
        "[importlib.import_module(m.name) for m in pkgutil.walk_packages(sqlgen.lake.__path__, 'sqlgen.lake.')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
