"""One bad byte in what sqlgen keeps for itself is told, and costs no row."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from sqlgen.compile.statements import FOOTER_KEY
from sqlgen.lake import sealed
from tests.support.scratch import BTC, DAY1, DAY2, DAY3, Scratch

MANIFEST, INDEX, REPORT = "manifest/costs.ndjson", "index.json", "runs/*.json"


@pytest.fixture
def built(scratch: Scratch) -> Scratch:
    """A project of which everything is built; the partitions of its first source stand in the rows."""
    scratch.trades(BTC, DAY1, [100.0, 101.0])
    file = scratch.trades(BTC, DAY2, [102.0]) / "data.parquet"
    flat = scratch.lake / "raw/flat/rows.parquet"
    flat.parent.mkdir()
    with duckdb.connect() as connection:
        select = (
            f"SELECT *, 'binance' AS exchange, 'FLAT' AS symbol FROM read_parquet('{file}', hive_partitioning = false)"
        )
        connection.execute(f"COPY ({select}) TO '{flat}' (FORMAT parquet)")
    scratch.config["sources"]["flat"] = {"path": "raw/flat", "adapter": "ccxt/trades"}
    scratch.model("flat", sql="costs.sql.j2", inputs={"trades": "flat"}, output={"path": "out/flat"})
    scratch.model("costs", schedule="* * * * *")
    scratch.run()
    return scratch


def _flip(content: bytes, seed: int) -> bytes:
    chance = random.Random(seed)
    changed = bytearray(content)
    place = chance.randrange(len(changed) - 1)
    changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    **{f"flipped {seed}": lambda content, seed=seed: _flip(content, seed) for seed in range(2)},  # type: ignore[misc]
    "not UTF-8": lambda content: content[:30] + b"\xff" + content[31:],
    "a line end": lambda content: content[:30] + b"\n" + content[31:],
    "torn": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "nested": lambda content: b"[" * 100_000 + b"\n",
    "another": lambda content: b'{"a": 1}\n[]\n3\nnull\n"x"\n',
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("pattern", [MANIFEST, INDEX, REPORT])
def test_damage_is_no_traceback_and_costs_no_row(built: Scratch, pattern: str, damage: str) -> None:
    before = built.costs(), built.table("flat").num_rows, built.table("pairs").num_rows
    [path] = (built.lake / ".sqlgen").glob(pattern)
    damaged = DAMAGES[damage](path.read_bytes())
    for command in (("plan",), ("run", "--retry"), ("run", "--due"), ("run",)):
        path.write_bytes(damaged)
        outcome = built.sqlgen(*command)
        assert outcome.code in ((0, 2) if command[-1] == "--retry" else (0,)), (command, outcome.out, outcome.err)
    assert (built.costs(), built.table("flat").num_rows, built.table("pairs").num_rows) == before
    assert built.plan() == {}


@pytest.mark.parametrize("pattern", ["settled.json", INDEX, "bound.json", REPORT])
def test_a_pipe_in_place_of_a_file_is_damage(built: Scratch, pattern: str) -> None:
    """Who opened it would wait for its other end."""
    built.run()
    [path] = (built.lake / ".sqlgen").glob(pattern)
    path.unlink()
    os.mkfifo(path)
    for command in ("doctor", "history", "run"):
        outcome = built.sqlgen(command)
        assert outcome.code in (0, 1), (command, outcome.out, outcome.err)
    assert built.plan() == {}


@pytest.mark.slow
def test_a_folder_in_place_of_a_cache_costs_time_alone(built: Scratch) -> None:
    built.run()
    before, paths = built.costs(), [built.lake / ".sqlgen" / name for name in ("settled.json", INDEX, "bound.json")]
    for path in paths:
        path.unlink()
        path.mkdir()
    built.trades(BTC, DAY3, [1.0])
    assert len(built.run()) == 2
    assert built.run() == {}
    assert len(built.costs()) == len(before) + 1
    assert {each["where"] for each in built.sqlgen("doctor", "--json").json["ailments"]} == {*map(str, paths)}


def test_a_lake_that_is_only_read_can_be_compiled(built: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, content: bytes, flush: bool = True) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (built.lake / ".sqlgen/bound.json").unlink()
    monkeypatch.setattr("sqlgen.lake.storage.replace_bytes", refused)
    assert built.sqlgen("compile", "--stdout").code == 0


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_journal_that_is_no_file(built: Scratch, make: Callable[[Path], None]) -> None:
    before = built.costs()
    path = built.lake / ".sqlgen" / MANIFEST
    content = path.rename(path.with_suffix(".moved"))
    make(path)
    for command in ("plan", "run"):
        outcome = built.sqlgen(command)
        assert (outcome.code, f"{path} cannot be read: " in outcome.err) == (2, True), outcome.err
    found = built.sqlgen("doctor", "--json", "--fix")  # goes on with the rest
    [told] = found.json["ailments"]
    assert (found.code, f"{path} cannot be read: " in told["text"]) == (1, True)
    path.rmdir() if path.is_dir() else path.unlink()
    assert "move it away" in outcome.err
    assert built.plan() == {}
    content.unlink()
    assert built.costs() == before


@pytest.mark.parametrize("command", ["catalog", "compile", "ls"])
def test_commands_that_need_no_state(built: Scratch, command: str) -> None:
    for pattern in (MANIFEST, INDEX, REPORT):
        [path] = (built.lake / ".sqlgen").glob(pattern)
        path.write_bytes(b"\xff[")
    assert built.sqlgen(command).code == 0


def test_damage_is_said(built: Scratch) -> None:
    for pattern in (MANIFEST, INDEX):
        path = built.lake / ".sqlgen" / pattern
        path.write_bytes(path.read_bytes().replace(b"2026-01-01", b"2026-01-03").replace(b"FLAT", b"FLOT"))
    said = " ".join(built.sqlgen("run").out.split()).replace(" ", "")
    assert "costs.ndjsonaredamaged:theirrecordsarereadfromthetableitself" in said
    assert "index.jsonisdamaged:partitionsarelookedupinthefilesagain" in said
    assert "damaged" not in built.sqlgen("plan").out


def test_a_damaged_report_of_the_last_run_is_not_taken_up(built: Scratch) -> None:
    [path] = (built.lake / ".sqlgen").glob(REPORT)
    path.write_bytes(path.read_bytes().replace(b"published", b"pvblished"))
    outcome = built.sqlgen("run", "--retry")
    assert outcome.code == 2
    assert f"the report of the newest run, {path}, is damaged" in outcome.err
    said = built.sqlgen("run", "--due").out.replace("\n", "")
    assert "is damaged and is skipped" in " ".join(said.split())


def test_every_flipped_bit_is_found() -> None:
    data = {"unit": "symbol=A/date=2026-01-01", "rows": 12, "share": 0.1, "tags": ["ü", None, True], "files": {}}
    for text in (sealed.dumps(data).encode(), sealed.lines(sealed.seal(data)).encode()):
        assert sealed.loads(text.decode()) == data
        for place in range(len(text)):
            for bit in range(8):
                changed = bytearray(text)
                changed[place] ^= 1 << bit
                try:
                    found = sealed.loads(changed.decode("utf-8", "replace"))
                except ValueError:
                    continue
                assert found == data or set(found) != set(data), changed


LATER: dict[str, Callable[[dict[str, Any]], object]] = {
    "another format": lambda stamp: stamp.update(format=stamp["format"] + 1),
    "a member that is not known": lambda stamp: stamp["record"].update(priority=3),
}


@pytest.mark.parametrize("change", LATER.values(), ids=LATER)
@pytest.mark.parametrize("recorded", [True, False])
def test_tables_of_a_later_version_are_refused_and_stay(
    scratch: Scratch, change: Callable[[dict[str, Any]], object], recorded: bool
) -> None:
    """Also where the journal is of that version, too."""
    del scratch.config["models"]["pairs"]
    scratch.model("costs", output={"mode": "append"})
    scratch.trades(BTC, DAY1, [1.0])
    scratch.run()
    [file] = scratch.lake.glob("out/**/*.parquet")
    table = pq.read_table(file, partitioning=None)
    stamp = json.loads(table.schema.metadata[FOOTER_KEY.encode()])
    change(stamp)
    pq.write_table(table.replace_schema_metadata({FOOTER_KEY: json.dumps(stamp)}), file)
    [journal] = (scratch.lake / ".sqlgen").glob(MANIFEST)
    if recorded:
        record = json.loads(journal.read_text())
        journal.write_text(sealed.dumps({k: v for k, v in record.items() if k != "checksum"} | {"priority": 3}) + "\n")
    before, told = file.read_bytes(), f"{file}: a later version of sqlgen wrote it. Use that version"
    scratch.trades(BTC, DAY1, [2.0], name="more")
    for command in (("plan",), ("run", "--json"), ("run", "--full-refresh", "--json"), ("doctor", "--json")):
        outcome = scratch.sqlgen(*command)
        assert outcome.code == 1, outcome.out
        assert told in outcome.out + outcome.err or command[0] == "doctor"
    [found] = [each for each in outcome.json["ailments"] if each["kind"] == "foreign"]
    assert (found["where"], found["text"]) == (str(file), "a later version of sqlgen wrote it. Use that version")
    assert file.read_bytes() == before
    assert list(scratch.lake.glob("out/**/*.parquet")) == [file]


LOCKS: dict[str, bytes] = {
    "empty": b"",
    "torn": b'{"pid": 1, "host": "els',
    "noise": b"\xff\x00[",
    "of another machine": b'{"pid": 1, "host": "elsewhere", "since": "2020-01-01", "shard": null, "tables": {}}',
    "of a later version": b'{"format": 9, "holder": {"pid": 1}}',
}


@pytest.mark.parametrize("content", LOCKS.values(), ids=LOCKS)
def test_locks_are_what_the_system_says_whatever_they_hold(scratch: Scratch, content: bytes) -> None:
    """One that nobody holds is no lock; one that somebody holds is a lock of the whole lake, unless it tells less."""
    del scratch.config["models"]["pairs"]
    scratch.trades(BTC, DAY1, [1.0])
    locks = scratch.lake / ".sqlgen/locks"
    locks.mkdir(parents=True)
    run = locks / "20200101T120000000000-0a1b.json"
    for path in (run, locks / "guard", scratch.lake / ".sqlgen/lock"):
        path.write_bytes(content)
    assert scratch.run() != {}
    assert not run.exists()
    run.write_bytes(content)
    with run.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        outcome = scratch.sqlgen("run", "--full-refresh")
        tells_tables = b'"tables": {}' in content
        assert (outcome.code, "another run holds the lake" in outcome.err) == (
            (0, False) if tells_tables else (3, True)
        )
    assert [cost for _, _, cost in scratch.costs()] == [1.0]


def test_what_earlier_versions_wrote_is_read(tmp_path: Path) -> None:
    assert sealed.loads('{"a": [1]}') == {"a": [1]}
