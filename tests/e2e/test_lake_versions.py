"""``keep_versions``, ``sqlgen lake restore`` and ``vacuum``: earlier versions of partitions come back whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_lake_compact import UNIT, copied, files, lake
from tests.support.scratch import BTC, DAY1, DAY2, LEDGER, Scratch


def costs(project: Scratch, date: str = DAY1) -> list[float]:
    return [cost for symbol, day, cost in project.costs() if day == date]


def listed(project: Scratch, *arguments: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lake(project, "restore", "costs", "--list", "--json", *arguments).json
    return found


def kept(project: Scratch) -> list[Path]:
    return sorted((project.lake / ".sqlgen/versions/out/costs").rglob("*.version"))


@pytest.fixture
def versioned(built: Scratch, tmp_path: Path) -> Scratch:
    return copied(built, tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """``costs`` of one day in four versions of 1 to 4 rows, of which the last two before the present are kept."""
    scratch = Scratch(tmp_path_factory.mktemp("versions") / "project")
    del scratch.config["models"]["pairs"]
    scratch.model("costs", output={"keep_versions": 2})
    for number in range(1, 5):
        scratch.trades(BTC, DAY1, [float(n) for n in range(1, number + 1)])
        scratch.run()
    return scratch


def test_the_last_versions_are_kept(versioned: Scratch) -> None:
    assert [version["rows"] for version in listed(versioned)] == [3, 2]
    assert len(kept(versioned)) == 2
    versioned.run()  # with nothing to do
    assert [version["rows"] for version in listed(versioned)] == [3, 2]
    text = lake(versioned, "restore", "costs", "--list").out.splitlines()
    assert text[0] == "partition\tversion\tpublished\trows\tsize\tedited"
    assert text[1].startswith(f"{UNIT}\t")


def test_a_restored_version_stays_until_it_is_discarded(versioned: Scratch) -> None:
    assert "Nothing was changed (--dry-run)" in lake(versioned, "restore", "costs", "--dry-run").out
    assert costs(versioned) == [1.0, 2.0, 3.0, 4.0]
    lake(versioned, "restore", "costs")
    assert costs(versioned) == [1.0, 2.0, 3.0]
    assert [version["rows"] for version in listed(versioned)] == [4, 3]
    outcome = versioned.sqlgen("run")  # its file is another now
    assert outcome.code == 1
    assert "would discard edits of their rows" in outcome.out
    assert "(restored as of 20" in outcome.out
    assert costs(versioned) == [1.0, 2.0, 3.0]
    versioned.run("--discard-edits")
    assert costs(versioned) == [1.0, 2.0, 3.0, 4.0]


def test_an_edit_is_undone(versioned: Scratch) -> None:
    """What comes back is what the inputs give, and no edit."""
    lake(versioned, "delete", "costs", "--where", "cost < 3")
    lake(versioned, "compact", "costs")  # no version of its own
    assert (costs(versioned), [version["rows"] for version in listed(versioned)]) == ([3.0, 4.0], [4, 3])
    lake(versioned, "restore", "costs")
    assert costs(versioned) == [1.0, 2.0, 3.0, 4.0]
    assert versioned.plan() == {}
    versioned.trades(BTC, DAY1, [9.0])
    versioned.run()
    assert costs(versioned) == [9.0]


def test_versions_are_chosen_by_name_or_time(versioned: Scratch) -> None:
    newest, oldest = listed(versioned)
    versioned.model("costs", output={"keep_versions": 5})
    for _ in range(2):  # the second time, too, it is what another build has changed
        lake(versioned, "restore", "costs", "--version", oldest["build"])
        assert costs(versioned) == [1.0, 2.0]
        assert versioned.sqlgen("plan").code == 1
    later = lake(versioned, "restore", "costs", "--before", "2020-01-01", code=2)
    assert "there is no earlier version before 2020-01-01 00:00:00+00:00 of the selected partitions" in later.err
    lake(versioned, "restore", "costs", "--before", "2199-01-01T00:00:00Z")
    assert costs(versioned) == [1.0, 2.0, 3.0, 4.0]
    assert newest["rows"] == 3
    assert "--before noon: no time" in lake(versioned, "restore", "costs", "--before", "noon", code=2).err


def test_nothing_is_kept_unless_it_is_asked_for(scratch: Scratch) -> None:
    for prices in ([1.0], [1.0, 2.0]):
        scratch.trades(BTC, DAY1, prices)
        scratch.run()
    assert not (scratch.lake / ".sqlgen/versions").exists()
    assert "None are kept: set output.keep_versions in models.yaml" in lake(scratch, "restore", "costs", code=2).err
    assert lake(scratch, "restore", "costs", "--list").out == "No versions are kept: see output.keep_versions\n"


def test_a_removed_partition_comes_back(versioned: Scratch) -> None:
    versioned.trades(BTC, DAY2, [5.0])
    versioned.run()
    (versioned.raw(BTC, DAY1) / "data.parquet").unlink()
    versioned.run("--prune")
    assert costs(versioned) == []
    lake(versioned, "restore", "costs")
    assert costs(versioned) == [1.0, 2.0, 3.0, 4.0]
    assert costs(versioned, DAY2) == [5.0]


@pytest.mark.slow
def test_quarantine_and_kernel_state_come_back_with_their_rows(scratch: Scratch) -> None:
    del scratch.config["models"]["pairs"]
    scratch.kernel(LEDGER)
    checks = [{"check": "range", "columns": ["cost"], "max": 90.0}]
    scratch.model("costs", udfs=["ledger"], checks=checks, output={"keep_versions": 1})
    scratch.trades(BTC, DAY1, [10.0, 20.0, 95.0])
    scratch.trades(BTC, DAY2, [1.0])
    scratch.run()
    state = scratch.state_file("costs", UNIT).read_bytes()
    scratch.trades(BTC, DAY1, [10.0, 30.0])
    scratch.run()
    assert not files(scratch, table="out/costs_quarantine")
    lake(scratch, "restore", "costs", "--end", DAY1)
    assert len(files(scratch, table="out/costs_quarantine")) == 1
    assert scratch.state_file("costs", UNIT).read_bytes() == state
    # The day after starts from that state, so that it is stale; the restored day is not touched.
    assert scratch.sqlgen("run").code == 1
    rows = scratch.table("costs").to_pylist()
    assert [row["before"] for row in rows if str(row["date"]) == DAY2] == [95.0]
    assert costs(scratch) == [10.0, 20.0]


def test_appended_rows_that_a_restore_takes_do_not_come_again(scratch: Scratch) -> None:
    del scratch.config["models"]["pairs"]
    scratch.model("costs", output={"mode": "append", "keep_versions": 3})
    for number in range(3):
        scratch.trades(BTC, DAY1, [float(number + 1)], name=f"f{number}")
        scratch.run()
    lake(scratch, "restore", "costs", "--version", listed(scratch)[-1]["build"])
    scratch.trades(BTC, DAY1, [9.0], name="f9")
    scratch.run()
    assert sorted(costs(scratch)) == [1.0, 9.0]


def test_vacuum_frees_what_is_not_to_be_kept(versioned: Scratch) -> None:
    assert lake(versioned, "vacuum").out == "Nothing to remove\n"
    would = lake(versioned, "vacuum", "costs", "--keep", "1", "--dry-run", "--json").json
    assert [one["what"] for one in would["removed"]] == ["version"]
    assert would["bytes"] > 500
    assert len(kept(versioned)) == 2
    lake(versioned, "vacuum", "costs", "--keep", "1")
    assert [version["rows"] for version in listed(versioned)] == [3]
    (torn,) = kept(versioned)
    (torn / "record.json").write_text("{")
    versioned.model("costs", output={"keep_versions": 0})
    out = lake(versioned, "vacuum").out
    assert "incomplete version" in out
    assert out.splitlines()[-1].endswith(" freed")
    assert not kept(versioned)
    assert costs(versioned) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("content", ["{", '{"format": 9}'])
def test_a_version_whose_record_cannot_be_read(versioned: Scratch, content: str) -> None:
    """It is told; one that a later version of sqlgen has kept is removed by nobody else."""
    folder = kept(versioned)[0]
    (folder / "record.json").write_text(content)
    rows = sorted(folder.rglob("*.parquet"))
    assert rows
    outcome = versioned.sqlgen("doctor", "--json")
    [found] = outcome.json["ailments"]
    assert (outcome.code, found["kind"], found["where"]) == (1, "version", str(folder))
    assert "is damaged, or of a later version of sqlgen: it cannot be restored here" in found["text"]
    lake(versioned, "vacuum", "--keep", "0")
    assert kept(versioned) == ([folder] if "format" in content else [])
    assert sorted(folder.rglob("*.parquet")) == (rows if "format" in content else [])
