"""The state folder may be shared with files of others; temporary files are a run's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from tests.support.scratch import BTC, DAY1, Scratch


@pytest.fixture
def single(scratch: Scratch) -> Scratch:
    del scratch.config["models"]["pairs"]
    scratch.trades(BTC, DAY1, [1.0])
    return scratch


@pytest.mark.parametrize("state", ["../../home", "{home}", "kept"])
def test_what_others_keep_in_the_state_folder_stays(
    single: Scratch, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLGEN_TRUSTED", str(single.folder))
    home = single.lake / "kept" if state == "kept" else single.folder.parent / "home"
    theirs = [home / name for name in ("tmp/draft.txt", "tmp-1/x", "staging/y", "failed/z")]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")
    single.config["state"] = state.format(home=home)
    single.save()
    single.run()
    single.run()
    single.run("--full-refresh", "--memory-limit", "1MB", code=1)
    assert [path.read_text() for path in theirs] == ["precious"] * 4
    assert (home / "manifest/costs.ndjson").exists()


@pytest.mark.parametrize("state", ["", ".", "./", "{lake}", "../lake", "raw/..", "link"])
def test_the_state_is_not_the_lake(single: Scratch, state: str) -> None:
    (single.lake / "link").symlink_to(single.lake)
    single.config["state"] = state.format(lake=single.lake)
    single.save()
    before = single.snapshot()
    for command in ("run", "plan"):
        outcome = single.sqlgen(command)
        assert outcome.code == 2
        line = 1 + single.file.read_text().splitlines().index(f"state: {_yaml(single.config['state'])}")
        assert f"models.yaml:{line}: state: found '{single.config['state']}': this is the lake itself" in outcome.err
    assert single.snapshot() == before


@pytest.mark.parametrize("state", ["../../home", "{home}", "x/../../../home"])
def test_a_state_elsewhere_needs_trust(single: Scratch, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's project would write there."""
    home = single.folder.parent / "home"
    single.config["state"] = state.format(home=home)
    single.save()
    outcome = single.sqlgen("run")
    assert outcome.code == 2
    assert "it lies neither in the lake nor in the folder of models.yaml. Give a folder there" in outcome.err
    assert f"set SQLGEN_TRUSTED={single.file}" in outcome.err
    assert not home.exists()
    monkeypatch.setenv("SQLGEN_TRUSTED", str(single.file))
    assert single.sqlgen("ls").code == 0
    monkeypatch.delenv("SQLGEN_TRUSTED")
    single.config["state"] = "../kept"  # beside the lake, in the project
    single.save()
    assert single.sqlgen("ls").code == 0


@pytest.mark.parametrize("state", [".sqlgen/staging", ".sqlgen/staging/x", ".sqlgen/lock", ".sqlgen/locks"])
def test_the_state_is_not_where_runs_stage(single: Scratch, state: str) -> None:
    single.config["state"] = state
    single.save()
    outcome = single.sqlgen("run")
    assert outcome.code == 2
    assert f"state: found '{state}': the lock and the staging folder are there. Give another folder" in outcome.err


@pytest.mark.parametrize(
    "state", ["raw", "raw/ccxt/trades", "raw/ccxt/trades/deep", "out", "out/costs/x", "out/costs_quarantine", ".."]
)
def test_the_state_is_no_source_and_no_table(single: Scratch, state: str) -> None:
    single.config["state"] = state
    single.save()
    before = single.snapshot()
    outcome = single.sqlgen("run")
    assert outcome.code == 2
    assert f"overlaps '{state}' of state. Give each a folder of its own" in outcome.err
    assert single.snapshot() == before


def test_temporary_files_lie_in_the_folder_of_the_run(single: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlgen.run import engine
    from sqlgen.run.machine import Instance, Settings

    seen: list[Path] = []
    real = engine.opening

    def opening(settings: Settings) -> Instance:
        instance = real(settings)

        def opened(folders: Sequence[Path], temp: Path | None) -> duckdb.DuckDBPyConnection:
            assert temp is not None
            assert temp.is_dir()
            seen.append(temp)
            return instance(folders, temp)

        return opened

    monkeypatch.setattr(engine, "opening", opening)
    single.run()
    [temp] = seen
    assert temp.parent.parent == single.lake / ".sqlgen/staging"
    assert not temp.parent.exists()
    assert not os.listdir(temp.parent.parent)


def _yaml(text: str) -> str:
    return {"": "''", ".": ".", "./": "./"}.get(text, text)
