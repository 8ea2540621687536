"""``sqlgen lake compact --source``: a user's own files, only when asked for, with the same rows in the same order."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sqlgen.lake import swap
from tests.e2e.test_lake_compact import copied, lake
from tests.support.scratch import BTC, DAY1, DAY2, ETH, Scratch


@pytest.fixture
def raw(built: Scratch, tmp_path: Path) -> Scratch:
    return copied(built, tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """Eleven files of BTC on one day, two of ETH, one of BTC the day after; built."""
    scratch = Scratch(tmp_path_factory.mktemp("raw") / "project")
    for number in range(11):
        scratch.trades(BTC, DAY1, [10.0 + number, 20.0 + number], name=f"part_{number}")
    for number in range(2):
        scratch.trades(ETH, DAY1, [5.0 + number], name=f"part_{number}")
    scratch.trades(BTC, DAY2, [50.0])
    scratch.run()
    return scratch


def files(project: Scratch, symbol: str = BTC, date: str = DAY1) -> list[Path]:
    return sorted(project.raw(symbol, date).glob("*.parquet"))


def compact(project: Scratch, *arguments: object, code: int = 0) -> str:
    return lake(project, "compact", "--source", "raw", "--settle", 0, *arguments, code=code).out


def test_raw_files_are_changed_only_by_name(raw: Scratch) -> None:
    lake(raw, "compact")
    assert len(files(raw)) == 11


def test_rows_order_and_records_stay(raw: Scratch) -> None:
    """``part_2`` comes before ``part_10``, also in the joined file; nothing is built again."""
    built = raw.table("costs").to_pylist()
    ids = [f"part_{number}-{row}" for number in range(11) for row in range(2)]
    (raw.raw(BTC, DAY1) / "notes.txt").write_text("mine")
    (raw.raw(BTC, DAY1) / "_hidden").write_text("mine")
    assert "Nothing was changed (--dry-run)" in compact(raw, "--dry-run")
    assert len(files(raw)) == 11
    compact(raw)
    (joined,) = files(raw)
    assert joined.name.startswith("part_0.compacted_")
    assert pq.read_table(joined, partitioning=None)["trade_id"].to_pylist() == ids
    assert sorted(path.name for path in raw.raw(BTC, DAY1).iterdir() if path != joined) == ["_hidden", "notes.txt"]
    assert [len(files(raw, ETH)), len(files(raw, BTC, DAY2))] == [1, 1]
    assert raw.plan() == {}
    assert raw.run() == {}
    raw.run("--full-refresh")
    assert raw.table("costs").to_pylist() == built
    assert compact(raw) == "No partition has small files to join\n"


def test_files_that_were_joined_go_while_others_are_joined(raw: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "GRACE", 0.0)
    left: list[int] = []
    publish = swap.publish_folder

    def noting(staged: Path, target: Path) -> None:
        left.append(len(list((raw.lake / ".sqlgen").rglob("part_*.parquet"))))
        publish(staged, target)

    monkeypatch.setattr(swap, "publish_folder", noting)
    compact(raw)
    assert left == [1, 1]  # the file that is about to be published


def test_a_new_file_is_joined_with_what_was_joined_before(raw: Scratch) -> None:
    compact(raw)
    raw.trades(BTC, DAY1, [99.0], name="part_11")
    assert set(raw.run()) == {f"{model} {BTC} {date}" for model, date in (
        ("costs", DAY1), ("pairs", DAY1), ("pairs", DAY2))}  # fmt: skip
    compact(raw, "--symbol", "btc/usdt")
    (joined,) = files(raw)
    assert joined.name.count("compacted_") == 1
    assert (pq.read_metadata(joined).num_rows, raw.plan()) == (23, {})


def test_units_that_were_stale_stay_stale(raw: Scratch) -> None:
    raw.trades(ETH, DAY1, [7.0], name="part_2")
    compact(raw)
    assert len(files(raw, ETH)) == 1
    assert set(raw.plan()) == {f"costs {ETH} {DAY1}", f"pairs {ETH} {DAY1}"}
    raw.run()
    assert sorted(cost for symbol, _, cost in raw.costs() if symbol == ETH) == [5.0, 6.0, 7.0]


def test_files_of_other_columns_and_large_ones_stay_apart(raw: Scratch) -> None:
    third = files(raw)[4]
    table = pq.read_table(third, partitioning=None)
    pq.write_table(table.append_column("note", pa.array(["x"] * table.num_rows)), third)
    order = raw.table("costs")["cost"].to_pylist()
    raw.run()
    compact(raw)
    assert len(files(raw)) == 3
    assert raw.plan() == {}
    raw.run("--full-refresh")
    assert raw.table("costs")["cost"].to_pylist() == order


def test_a_type_that_would_change_is_refused(raw: Scratch) -> None:
    """DuckDB has no half precision: it would write single."""
    for path in files(raw, ETH):
        table = pq.read_table(path, partitioning=None)
        pq.write_table(table.append_column("half", pa.array([1.0] * table.num_rows, pa.float16())), path)
    raw.run()
    before = raw.snapshot()
    assert "columns would change their types: half. It stays as it is" in compact(raw, "--symbol", ETH, code=1)
    assert {name: stat for name, stat in raw.snapshot().items() if "/raw/" in name} == {
        name: stat for name, stat in before.items() if "/raw/" in name
    }


def test_folders_into_which_somebody_writes_stay(raw: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    out = lake(raw, "compact", "--source", "raw", code=1).out
    assert "a file was written less than 60 s ago (--settle). It stays as it is" in out
    from sqlgen.operate.upkeep import rawfiles

    real = rawfiles._write

    def slow(*arguments: object) -> int:
        raw.trades(BTC, DAY1, [1.0], name="part_12")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rawfiles, "_write", slow)
    out = compact(raw, "--symbol", BTC, code=1)
    assert "files have come or changed meanwhile. It stays as it is" in out
    assert len(files(raw)) == 12


def test_damaged_files_and_links_are_not_touched(raw: Scratch) -> None:
    path, link = files(raw)[3], files(raw)[7]
    path.write_bytes(b"PAR1")
    elsewhere = raw.folder / "elsewhere.parquet"
    link.rename(elsewhere)
    link.symlink_to(elsewhere)
    compact(raw)
    assert path.read_bytes() == b"PAR1"
    assert link.readlink() == elsewhere


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": {"mode": "append"}}, "model 'costs' reads it in mode append, and knows by the names of files"),
        ({}, "its pattern finds keys in the names of files"),
    ],
)
def test_sources_whose_names_of_files_count_are_refused(
    scratch: Scratch, change: dict[str, object], message: str
) -> None:
    scratch.trades(BTC, DAY1, [1.0])
    scratch.model("costs", **change)
    if not change:
        scratch.config["sources"]["raw"]["pattern"] = "exchange={exchange}/symbol={symbol}/date={date}/*.parquet"
        scratch.save()
    assert message in lake(scratch, "compact", "--source", "raw", code=2).err
    assert "no source 'row'. Did you mean 'raw'?" in lake(scratch, "compact", "--source", "row", code=2).err
