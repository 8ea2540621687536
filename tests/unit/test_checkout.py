"""The README's commands are what CI runs, and a test that writes into the checkout is found out."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.checkout import contents
from tests.support.engine import ROOT


def test_ci_runs_the_commands_of_the_readme_as_they_stand() -> None:
    block = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    commands = [line.partition("#")[0].strip() for line in block[1].splitlines()]
    script = (ROOT / ".ci/run").read_text().splitlines()
    assert commands == ["make demo", "make test"]
    assert [line for line in script if line in commands] == commands
    assert "make slow" in script, "what the README's command leaves out is run too"
    assert not [line for line in script if line.startswith("make demo") and line != "make demo"]


def test_tests_run_in_an_empty_folder() -> None:
    assert Path.cwd() != ROOT
    assert list(Path.cwd().iterdir()) == []


def test_what_is_written_into_a_checkout_is_seen(tmp_path: Path) -> None:
    (tmp_path / "lake/raw").mkdir(parents=True)
    (tmp_path / "lake/raw/x.csv").write_text("a")
    before = contents(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    assert contents(tmp_path) == before
    (tmp_path / "lake/raw/x.csv").write_text("ab")
    assert contents(tmp_path) != before
    (tmp_path / "lake/raw/x.csv").unlink()
    assert contents(tmp_path) != before
    assert contents(tmp_path).keys() ^ {"target"} == contents_with(tmp_path, "target").keys()


def contents_with(root: Path, name: str) -> dict[str, tuple[int, int]]:
    (root / name).touch()
    return contents(root)
