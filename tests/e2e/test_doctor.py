"""``sqlgen doctor``: damage is named, what loses nothing is repaired, and the exit code tells."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from sqlgen.lake.lock import run_lock
from sqlgen.published import footers
from tests.support.scratch import BTC, COSTS, DAY1, DAY2, LEDGER, Scratch


@pytest.fixture
def built(scratch: Scratch) -> Scratch:
    """Two days of trades through a kernel, and a model that looks back."""
    scratch.kernel(LEDGER)
    scratch.model("costs", udfs=["ledger"])
    scratch.trades(BTC, DAY1, [100.0, 101.0])
    scratch.trades(BTC, DAY2, [102.0])
    scratch.run()
    return scratch


def doctor(project: Scratch, *arguments: str, code: int) -> list[dict[str, Any]]:
    outcome = project.sqlgen("doctor", "--json", *arguments)
    assert outcome.code == code, outcome.out + outcome.err
    assert outcome.json["ok"] is (code == 0)
    return list(outcome.json["ailments"])


def published(project: Scratch, model: str = "costs", day: str = DAY1) -> Path:
    [path] = project.lake.glob(f"out/{model}/**/date={day}/*.parquet")
    return path


def test_a_healthy_project(built: Scratch) -> None:
    before = built.snapshot()
    assert doctor(built, code=0) == doctor(built, "--full", code=0) == doctor(built, "--fix", code=0) == []
    assert built.sqlgen("doctor").out == "0 finding(s), 0 of them to be seen to\n"
    assert built.snapshot().keys() == before.keys()


def _cut(content: bytes, after: int) -> bytes:
    """The footer ends some bytes after its columns, where the number of rows follows."""
    length = int.from_bytes(content[-8:-4], "little")
    footer = content[-8 - length : -8]
    at = len(footers.columns_in(footer)) + after
    return content[: -8 - length] + footer[:at] + bytes(length - at) + content[-8:]


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "without its last byte": lambda content: content[:-1],
    "another magic number": lambda content: content[:-4] + b"PAR2",
    "a footer of noise": lambda content: content[:-400] + bytes(392) + content[-8:],
    "a footer without rows": lambda content: _cut(content, after=0),
    "text": lambda content: b"price,amount\n1,2\n",
}


def test_a_published_file_without_its_record(built: Scratch) -> None:
    """It may be anybody's: it is named and not replaced."""
    path = published(built)
    path.write_bytes(DAMAGED["a footer of noise"](path.read_bytes()))
    assert str(path) in [found["where"] for found in doctor(built, code=1)]
    outcome = built.sqlgen("run")
    assert (outcome.code, path.name in outcome.out) == (1, True)


@pytest.mark.parametrize("damage", [name for name in DAMAGED if "footer" not in name])
def test_published_files_that_are_damaged(built: Scratch, damage: str) -> None:
    """Named by the doctor, rebuilt by the next run; readers get the rows again."""
    rows = built.costs()
    path = published(built)
    path.write_bytes(DAMAGED[damage](path.read_bytes()))
    [found] = doctor(built, code=1)
    assert (found["kind"], found["where"]) == ("table", "costs: exchange=binance/symbol=BTC-USDT/date=2026-01-01")
    assert "The next run builds the partition anew" in found["text"]
    assert [*doctor(built, "--fix", code=1)] == [found]
    built.run()
    assert built.costs() == rows
    assert doctor(built, code=0) == []


def test_a_raw_file_with_noise_where_nobody_looks(built: Scratch) -> None:
    """Its rows are all there: the run reads them, and the doctor names the file."""
    rows = built.costs()
    path = built.raw(BTC, DAY1) / "data.parquet"
    path.write_bytes(DAMAGED["a footer of noise"](path.read_bytes()))
    assert [found["where"] for found in doctor(built, code=1)] == [str(path)]
    built.run()
    assert built.costs() == rows


@pytest.mark.parametrize("damage", [name for name in DAMAGED if name != "a footer of noise"])
def test_raw_files_that_are_damaged(built: Scratch, damage: str) -> None:
    """Named by the doctor and by the run, which leaves what was published."""
    rows = built.costs()
    path = built.raw(BTC, DAY1) / "data.parquet"
    path.write_bytes(DAMAGED[damage](path.read_bytes()))
    [found] = doctor(built, code=1)
    assert (found["kind"], found["where"]) == ("raw file", str(path))
    outcome = built.sqlgen("run")
    assert outcome.code == 1
    assert "data.parquet" in outcome.out
    assert "The file is damaged" in outcome.out
    assert built.costs() == rows


def test_a_raw_file_whose_footer_does_not_tell_where_the_rows_are(built: Scratch) -> None:
    rows = built.costs()
    path = built.raw(BTC, DAY1) / "data.parquet"
    path.write_bytes(_cut(path.read_bytes(), after=3))  # the number of rows, and the head of an empty list
    assert duckdb.sql(f"FROM read_parquet('{path}')").fetchall() == []
    assert "and its footer says" in doctor(built, "--full", code=1)[0]["text"]
    outcome = built.sqlgen("run")
    assert outcome.code == 1
    assert f"{path}: its footer tells" in outcome.out
    assert "The file is damaged" in outcome.out
    assert built.costs() == rows


PACK: dict[str, Callable[[bytes], bytes]] = {
    "csv": lambda text: text,
    "csv.gz": lambda text: gzip.compress(text[:9]) + gzip.compress(text[9:]) + bytes(512),  # as tapes and tar pad
    "csv.xz": lzma.compress,
    "csv.bz2": bz2.compress,
    "ndjson.zst": lambda text: pa.compress(text, "zstd", asbytes=True),
    "csv.zip": lambda text: zipped(text),
}


def zipped(text: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.csv", text)
    return content.getvalue()


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("damage", ["empty", "cut off", "noise within"])
def test_raw_files_of_text_that_are_damaged(scratch: Scratch, suffix: str, damage: str) -> None:
    """Empty files are named at once, and packed ones that do not unpack by ``--full``; nothing of them is touched."""
    folder = scratch.raw(BTC, DAY1)
    folder.mkdir(parents=True)
    path = folder / f"data.{suffix}"
    chance = random.Random(1)
    content = PACK[suffix]("".join(f"{chance.random()},{chance.random()}\n" for _ in range(4000)).encode())
    path.write_bytes(content)
    assert [*_unwell(scratch, "--full")] == []
    middle = len(content) // 2
    noise = bytes(byte ^ 0x5A for byte in content[middle : middle + 40])
    damaged = {
        "empty": b"",
        "cut off": content[:middle],
        "noise within": content[:middle] + noise + content[middle + 40 :],
    }
    path.write_bytes(damaged[damage])
    kept = path.read_bytes()
    found = _unwell(scratch, "--full", "--fix")
    if (suffix == "csv" and damage != "empty") or (suffix, damage) == ("ndjson.zst", "noise within"):
        assert found == []  # lines are looked at by the run; these frames have no checksum
        return
    [ailment] = found
    assert (ailment["kind"], ailment["where"], ailment["fixed"]) == ("raw file", str(path), False)
    assert ("is empty" in ailment["text"]) == (damage == "empty")
    assert (_unwell(scratch) == []) == (damage != "empty")
    assert path.read_bytes() == kept


def _unwell(project: Scratch, *arguments: str) -> list[dict[str, Any]]:
    """Ailments of raw files."""
    found: list[dict[str, Any]] = project.sqlgen("doctor", "--json", *arguments).json["ailments"]
    return [ailment for ailment in found if ailment["kind"] == "raw file"]


def test_files_whose_rows_are_damaged(built: Scratch) -> None:
    """The footer is whole: only reading to the end tells. Size and time are as they were."""
    import os

    path = published(built)
    stat, content = path.stat(), bytearray(path.read_bytes())
    for place in range(8, 120):
        content[place] ^= 0x5A
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert doctor(built, code=0) == []
    [found] = doctor(built, "--full", code=1)
    assert (found["kind"], found["where"]) == ("table", str(path))
    path.unlink()
    built.run()
    assert doctor(built, "--full", code=0) == []


def test_missing_files_and_files_of_others(built: Scratch) -> None:
    path = published(built)
    shutil.copy(path, path.with_name("mine.parquet"))
    (path.parent / "_notes.txt").write_text("mine")
    published(built, day=DAY2).unlink()
    found = {ailment["kind"]: ailment for ailment in doctor(built, code=1)}
    assert found["foreign"]["where"] == str(path.with_name("mine.parquet"))
    assert "it is a copy of a published file" in found["foreign"]["text"]
    assert found["table"]["where"].endswith("date=2026-01-02")
    assert "are missing" in found["table"]["text"]
    assert (found["sidecar"]["where"], found["sidecar"]["harmless"]) == (str(path.parent / "_notes.txt"), True)


def test_two_projects_on_one_path(built: Scratch) -> None:
    other = Scratch(built.folder.parent / "other")
    other.config |= {"lake": str(built.lake), "state": "other-state"}
    other.template("costs.sql.j2", COSTS)
    other.save()
    ailments = doctor(other, code=1)
    assert {ailment["kind"] for ailment in ailments} == {"foreign"}
    assert all("of the project with the state folder '.sqlgen' published it" in each["text"] for each in ailments)


STATES: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "of another version": lambda path: path.write_bytes(path.read_bytes().replace(b"state 2", b"state 9")),
    "of another unit": lambda path: path.write_bytes(
        next(p for p in path.parents[1].rglob("*.state") if p != path).read_bytes()
    ),
}


@pytest.mark.parametrize("damage", STATES)
def test_kernel_states_that_do_not_fit(built: Scratch, damage: str) -> None:
    STATES[damage](built.state_file("costs", f"exchange=binance/symbol={BTC}/date={DAY1}"))
    [found] = doctor(built, code=1)
    assert (found["kind"], found["where"]) == ("kernel state", f"costs: exchange=binance/symbol={BTC}/date={DAY1}")
    built.trades(BTC, DAY2, [103.0], name="more")
    built.run()
    assert doctor(built, code=0) == []
    assert built.table("costs")["before"].to_pylist()[1:3] == [100.0, 101.0]


RECORDS: dict[str, bytes] = {
    "empty": b"",
    "torn": b'{"unit": "exch',
    "another version": b'{"format": 99}\n',
    "noise": b"\xff[\n",
}


@pytest.mark.parametrize("damage", RECORDS)
@pytest.mark.parametrize("name", ["manifest/costs.ndjson", "index.json", "bound.json"])
def test_records_are_repaired_and_lose_nothing(built: Scratch, name: str, damage: str) -> None:
    rows, path = built.costs(), built.lake / ".sqlgen" / name
    path.write_bytes(RECORDS[damage])
    told = _is_told(name, damage)
    assert [each["where"] for each in doctor(built, code=int(told))] == [str(path)] * told
    assert [each["fixed"] for each in doctor(built, "--fix", code=0)] == [True] * told
    assert doctor(built, code=0) == []
    assert built.run() == {}
    assert built.costs() == rows


def test_files_in_place_of_folders_and_folders_in_place_of_files(built: Scratch) -> None:
    """Every run ends with an error there."""
    state = built.lake / ".sqlgen"
    places = [state / name for name in ("runs", "kernels", "lock", "bound.json")]
    loop = state / "manifest/pairs.ndjson"
    for path in places:
        path.rename(path.with_suffix(".moved"))
        path.write_text("text") if path.with_suffix(".moved").is_dir() else path.mkdir()
    loop.rename(loop.with_suffix(".moved"))
    loop.symlink_to(loop)
    found = {each["where"] for each in doctor(built, code=1) if each["kind"] == "place"}
    assert found == {str(path) for path in (*places, loop)}
    loop.with_suffix(".moved").rename(loop)
    for path in places:
        path.unlink() if path.is_file() else path.rmdir()
        path.with_suffix(".moved").rename(path)
    assert doctor(built, code=0) == []


def _is_told(name: str, damage: str) -> bool:
    """A journal that is empty, torn at its end or of another version lacks records, which the footers have."""
    return damage == "noise" if name.startswith("manifest") else damage != "another version"


def test_leftovers_of_killed_runs_and_of_models_that_are_gone(built: Scratch) -> None:
    state = built.lake / ".sqlgen"
    staged = state / "staging/20260101T120000000000-0a1b/abc"
    staged.mkdir(parents=True)
    (state / ".bound.json.17123456789.draft").write_text("{")
    old = built.state_file("costs", f"exchange=binance/symbol={BTC}/date={DAY1}")
    shutil.copy(old, old.with_name("0f.state"))
    (state / "lock").write_text('{"pid": 1, "host": "elsewhere"')  # a stale lock is held by nobody
    del built.config["models"]["pairs"]
    (state / "kernels/pairs").mkdir()
    shutil.copy(old, state / "kernels/pairs/0f.state")
    built.save()
    kinds = [ailment["kind"] for ailment in doctor(built, code=0)]
    assert sorted(kinds) == ["orphan", "orphan", "orphan", "staging", "staging"]
    assert sum(ailment["fixed"] for ailment in doctor(built, "--fix", code=0)) == 4
    [left] = doctor(built, code=0)  # records of a table that is still there
    assert left["where"] == str(state / "manifest/pairs.ndjson")
    assert old.exists()
    assert built.run() == {}


def test_nothing_is_repaired_while_a_run_goes_on(built: Scratch) -> None:
    (built.lake / ".sqlgen/bound.json").write_text("{")
    with run_lock(built.lake / ".sqlgen"):
        outcome = built.sqlgen("doctor", "--fix")
    assert (outcome.code, "another run holds the lake" in outcome.err) == (3, True)
    assert (built.lake / ".sqlgen/bound.json").read_text() == "{"


def test_what_is_printed(built: Scratch) -> None:
    (built.lake / ".sqlgen/bound.json").write_text("{")
    outcome = built.sqlgen("doctor")
    path = built.lake / ".sqlgen/bound.json"
    assert outcome.out.splitlines() == [
        f"error: cache: {path}: damaged: SQL is bound again",
        "1 finding(s), 1 of them to be seen to; 1 can be repaired with --fix",
    ]
    assert outcome.code == 1
    assert built.sqlgen("doctor", "--fix").out.splitlines()[0].startswith("fixed: cache: ")


def test_a_source_that_is_away(built: Scratch) -> None:
    shutil.rmtree(built.lake / "raw")
    [found] = doctor(built, code=1)
    assert (found["kind"], found["where"]) == ("source", "raw")
