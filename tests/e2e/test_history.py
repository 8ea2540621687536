"""``sqlgen history`` and ``sqlgen status``, old reports, metrics and the command of a failure."""

from __future__ import annotations

import datetime as dt
import json
import re

import pytest

from sqlgen.operate.status import status
from sqlgen.run.engine import Engine
from tests.support.scratch import BTC, DAY1, DAY2, DAY3, ETH, Scratch

BROKEN = b"PAR1 and no more"


@pytest.fixture
def project(scratch: Scratch) -> Scratch:
    """Three days of two symbols, the last one of BTC alone."""
    for symbol in (BTC, ETH):
        scratch.trades(symbol, DAY1, [1.0, 2.0])
    scratch.trades(BTC, DAY2, [3.0])
    return scratch


def break_day(project: Scratch, date: str = DAY2) -> bytes:
    """Damage the raw file of a day; returns what it was."""
    path = project.raw(BTC, date) / "data.parquet"
    before = path.read_bytes()
    path.write_bytes(BROKEN)
    return before


def test_history_sums_what_runs_reported(project: Scratch) -> None:
    assert project.sqlgen("history").out == "No runs with tasks yet\n"
    first = project.run("--select", "costs")
    whole = break_day(project)
    second = project.run(code=1)
    (project.raw(BTC, DAY2) / "data.parquet").write_bytes(whole)
    newest, oldest = project.sqlgen("history", "--json").json
    assert (oldest["outcome"], newest["outcome"]) == ("ok", "failed")
    assert oldest["models"].keys() == {"costs"}
    for told, tasks in ((oldest, first), (newest, second)):
        for name, sums in told["models"].items():
            mine = [task for task in tasks.values() if task["model"] == name]
            assert sums["tasks"] == len(mine)
            assert sums["failed"] == sum(task["status"] == "failed" for task in mine)
            for field in ("rows_in", "rows_out", "bytes"):
                assert sums[field] == sum(task[field] for task in mine)
        assert told["totals"]["rows_out"] == sum(task["rows_out"] for task in tasks.values())
    assert (newest["totals"]["failed"], newest["totals"]["left"]) == (1, 1)  # pairs of that day waits for its costs
    assert len(newest["failures"]) == 1
    lines = project.sqlgen("history").out.splitlines()
    assert lines[0].split("\t") == [
        *("run", "began", "outcome", "tasks", "failed", "left", "rows in", "rows out", "size", "took")
    ]
    assert [line.split("\t")[2] for line in lines[1:3]] == ["failed", "ok"]
    assert lines[3].startswith(f"{newest['run_id']}: costs: ")
    assert len(project.sqlgen("history", "--failed").out.splitlines()) == 3
    assert len(project.sqlgen("history", "--last", 1).out.splitlines()) == 3
    models = [line.split("\t")[3] for line in project.sqlgen("history", "--by-model").out.splitlines()[1:4]]
    assert models == ["costs", "pairs", "costs"]
    assert len(project.sqlgen("history", "--select", "pairs", "--json").json) == 1


def test_a_killed_run_and_a_damaged_report(project: Scratch) -> None:
    """The results that it noted count; what is damaged is told."""
    project.run()
    (path,) = (project.lake / ".sqlgen/runs").glob("*.json")
    data = json.loads(path.read_text())
    results = data["tasks"]
    data |= {"ended_at": None, "tasks": [task | {"status": "pending"} for task in results]}
    del data["checksum"]
    path.write_text(json.dumps(data))
    path.with_suffix(".ndjson").write_text(json.dumps(results[0]) + "\n")
    (run,) = project.sqlgen("history", "--json").json
    assert (run["outcome"], run["counts"]) == ("not ended", {"published": 1, "pending": 5})
    path.write_text("{")
    outcome = project.sqlgen("history")
    assert outcome.out == "No runs with tasks yet\n"
    assert f"note: the run report {path} is damaged and is skipped" in outcome.err


def test_status(project: Scratch) -> None:
    """How far tables reach, by the times of their rows; what is stale and what failed, until it is built."""
    costs, _ = project.sqlgen("status", "--json").json["models"]
    assert (costs["partitions"], costs["watermark"], costs["stale"], costs["last_run"]) == (0, None, 3, None)
    project.run()
    project.trades(BTC, DAY3, [4.0, 5.0, 6.0])
    whole = break_day(project, DAY3)
    outcome = project.sqlgen("run")
    assert outcome.code == 1
    outcome = project.sqlgen("status", "--json")
    assert outcome.code == 1
    costs, pairs = outcome.json["models"]
    assert costs["watermark"] == "2026-01-02 12:00:00+00:00"
    assert (costs["partitions"], costs["rows"], costs["stale"], costs["failing"]) == (3, 5, 1, 1)
    assert costs["behind"] == [f"binance {ETH} {DAY1}"]
    assert costs["last_failure"]["partition"].endswith(f"date={DAY3}")
    assert (pairs["failing"], pairs["last_failure"]) == (1, None)
    said = project.sqlgen("status").out
    assert f"costs: behind: binance {ETH} {DAY1}\n" in said
    assert re.search(r"costs: failed 20[\d: -]+: costs: exchange=binance/symbol=BTC-USDT/date=2026-01-03: ", said)
    (project.raw(BTC, DAY3) / "data.parquet").write_bytes(whole)
    project.run()
    outcome = project.sqlgen("status", "--json")
    assert outcome.code == 0
    costs = outcome.json["models"][0]
    assert (costs["watermark"], costs["stale"], costs["failing"]) == ("2026-01-03 12:02:00+00:00", 0, 0)
    assert costs["last_failure"] is not None
    now = dt.datetime(2026, 1, 3, 13, tzinfo=dt.UTC)
    found = status(Engine.open(project.file), ["costs"], now).models[0]
    assert found.lag == 58 * 60


def test_due_times(project: Scratch) -> None:
    """Due since the last time of the schedule until a run has covered it, then at the next one."""
    now = dt.datetime.now(dt.UTC)
    following = now.replace(second=0, microsecond=0) + dt.timedelta(minutes=20)  # not while this test runs
    project.model("costs", schedule=f"{following.minute} * * * *")
    before = status(Engine.open(project.file), ["costs"], now).models[0].due
    assert before == following - dt.timedelta(hours=1)
    project.run()
    later = dt.datetime.now(dt.UTC)
    after = status(Engine.open(project.file), ["costs"], later).models[0].due
    assert after == following


def test_status_of_a_project_that_cannot_be_planned(project: Scratch) -> None:
    project.run()
    project.template("costs.sql.j2", "SELEC 1")
    outcome = project.sqlgen("status")
    assert outcome.code == 1
    assert "costs.sql.j2:1: Parser Error" in outcome.out
    assert outcome.out.splitlines()[1].split("\t")[:2] == ["costs", "3"]


def test_prometheus(project: Scratch) -> None:
    """Each sample is of a metric with help and type, and says what status says."""
    project.config["runs"] = {"metrics": "target/metrics/sqlgen.prom"}
    break_day(project)
    project.save()
    project.run(code=1)
    text = (project.folder / "target/metrics/sqlgen.prom").read_text()
    samples = dict(re.fullmatch(r"(\S+) (\S+)", line).groups() for line in text.splitlines() if line[0] != "#")  # type: ignore[union-attr]
    assert {name.partition("{")[0] for name in samples} <= set(re.findall(r"# TYPE (\S+) gauge", text))
    assert samples['sqlgen_rows{model="costs"}'] == "4"
    assert samples['sqlgen_failing_partitions{model="costs"}'] == "1"
    noon = dt.datetime(2026, 1, 1, 12, 1, tzinfo=dt.UTC).timestamp()
    assert float(samples['sqlgen_watermark_timestamp_seconds{model="costs"}']) == noon
    assert samples["sqlgen_run_failed"] == "1.0"
    assert samples['sqlgen_run_tasks{status="failed"}'] == "1.0"
    printed = project.sqlgen("status", "--prometheus")
    assert (printed.code, printed.out) == (1, text)


TELL = 'cat > said; echo "$SQLGEN_FAILED|$SQLGEN_MESSAGE|$SQLGEN_REPORT" > told'


def test_the_command_of_a_failure(project: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the messages; that it fails itself is a note; it is not run where all is well."""
    monkeypatch.setenv("SQLGEN_TRUSTED", str(project.folder))
    project.config["runs"] = {"on_failure": TELL}
    project.save()
    project.run()
    assert not (project.folder / "told").exists()
    break_day(project)
    project.run(code=1)
    failed, message, report = (project.folder / "told").read_text().strip().split("|")
    assert failed == "2"  # costs, and pairs that waits for it
    assert message.startswith("costs: exchange=binance/symbol=BTC-USDT/date=2026-01-02: ")
    assert "No magic bytes found at end of file" in message
    assert json.loads((project.lake / ".sqlgen/runs" / report).read_text())["ok"] is False
    assert (project.folder / "said").read_text().startswith(message)
    project.config["runs"] = {"on_failure": "echo not now >&2; exit 3"}
    project.template("pairs.sql.j2", "SELEC 1")
    project.save()
    outcome = project.sqlgen("run")
    assert outcome.code == 2
    assert "note: runs.on_failure: the command ended with exit code 3 (not now): echo not now" in outcome.err


def test_old_reports_are_removed(project: Scratch) -> None:
    project.config["runs"] = {"keep": 2}
    project.save()
    for price in (1.0, 2.0, 3.0):
        project.trades(BTC, DAY1, [price])
        project.run()
    (project.lake / ".sqlgen/runs/notes.json").write_text("{}")  # no report
    project.trades(BTC, DAY1, [4.0])
    project.run()
    reports = sorted(path.stem for path in (project.lake / ".sqlgen/runs").glob("*.json"))
    assert len(reports) == 3
    assert [run["run_id"] for run in project.sqlgen("history", "--json").json] == [*reversed(reports[:2])]
