"""``sqlgen watch``: a simulated day of arrivals, a crash and downtime gives the tables of one run over everything."""

from __future__ import annotations

import datetime as dt
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sqlgen.errors import UsageError
from sqlgen.lake import faults, lock
from sqlgen.operate.watch import Event, SystemClock, Watch
from sqlgen.run import report
from sqlgen.run.engine import Engine
from sqlgen.run.machine import Settings
from tests.support.lakes import write_trades
from tests.support.scratch import BTC, DAY1, DAY2, ETH, Scratch

MIDNIGHT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Killed(BaseException):
    """A crash that nothing catches."""


class SimulatedClock:
    """Time that passes when somebody sleeps; what was planned happens then."""

    def __init__(self) -> None:
        self.time = MIDNIGHT
        self.plans: list[tuple[dt.datetime, Callable[[], object]]] = []

    def now(self, zone: object = None) -> dt.datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += dt.timedelta(seconds=seconds)
        due = [plan for plan in self.plans if plan[0] <= self.time]
        self.plans = [plan for plan in self.plans if plan not in due]
        for _, act in due:
            act()

    def at(self, hours: float, act: Callable[[], object]) -> None:
        self.plans.append((MIDNIGHT + dt.timedelta(hours=hours), act))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimulatedClock:
    """The clock, which reports of runs go by too."""
    found = SimulatedClock()

    class Reported(dt.datetime):
        @classmethod
        def now(cls, tz: object = None) -> dt.datetime:  # type: ignore[override]
            return found.now()

    for module in (report, lock):
        monkeypatch.setattr(module, "datetime", Reported)
    return found


def watching(project: Scratch, clock: SimulatedClock, log: list[Event], every: float = 60.0) -> Watch:
    models = ("costs", "pairs")
    settings = Settings(threads=1)
    return Watch(
        lambda: Engine.open(project.file, settings), models, True, log.append, every, settle=2 * every, clock=clock
    )


def hour_of_trades(project: Scratch, symbol: str, hour: int, prices: list[float]) -> Path:
    start = round((MIDNIGHT + dt.timedelta(hours=hour)).timestamp() * 1000)
    rows = [
        {"timestamp": start + 60_000 * i, "trade_id": f"{hour}-{i}", "side": "buy", "price": price, "amount": 1.0}
        for i, price in enumerate(prices)
    ]
    write_trades(project.lake, "binance", symbol, DAY1 if hour < 24 else DAY2, rows, name=f"h{hour:02}")
    return project.raw(symbol, DAY1 if hour < 24 else DAY2) / f"h{hour:02}.parquet"


@pytest.mark.slow
def test_a_day(scratch: Scratch, clock: SimulatedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs are built on change and pairs by schedule; a crash in a run and hours of downtime lose nothing."""
    scratch.model("pairs", schedule="30 */6 * * *")
    log: list[Event] = []
    for hour in (1, 3, 5, 9, 15, 22, 25):
        for symbol in (BTC, ETH):
            clock.at(hour, lambda s=symbol, h=hour: hour_of_trades(scratch, s, h, [1.0 + h, 2.0 + h]))  # type: ignore[misc]
    watch = watching(scratch, clock, log, every=600)
    watch.until(MIDNIGHT + dt.timedelta(hours=8))
    assert scratch.table("costs").num_rows == 2 * 2 * 3
    assert scratch.table("pairs").num_rows == 2 * 2 * 3  # at 6:30

    crashed: list[str] = []

    def crash(point: str) -> None:
        """The end of the process, after it has published one unit, and before it has recorded it."""
        if crashed or point == "unit: published":
            crashed.append(point)
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(faults, "point", crash)
        with pytest.raises(Killed):
            watch.until(MIDNIGHT + dt.timedelta(hours=12))
    assert crashed
    assert dt.timedelta(hours=9) < clock.time - MIDNIGHT < dt.timedelta(hours=10)  # in the run on the files of 9:00
    assert watch.running
    assert 2 * 2 * 3 < scratch.table("costs").num_rows < 2 * 2 * 4  # half of that run's units
    clock.sleep(9 * 3600)  # nobody watches; files of 15:00 come
    assert dt.timedelta(hours=18) < clock.time - MIDNIGHT < dt.timedelta(hours=18.5)
    begun = clock.time
    again: list[Event] = []
    watching(scratch, clock, again, every=600).until(MIDNIGHT + dt.timedelta(hours=31))
    first = next(event for event in again if event.what == "run" and event.message.startswith("schedule: pairs"))
    assert first.at == begun  # what was missed is made up for at once
    failed = [event for event in (*log, *again) if event.what == "failed"]
    assert [event.at - MIDNIGHT for event in failed] == [dt.timedelta(0), dt.timedelta(minutes=40)]  # no files yet
    served = [event.at - MIDNIGHT for event in (*log, *again) if event.message.startswith("schedule: pairs")]
    looks = [dt.timedelta(hours=hour, minutes=40) for hour in (0, 6, 18, 24, 30)]  # the first after 30 past
    assert served == [dt.timedelta(0), *looks[:2], begun - MIDNIGHT, *looks[2:]]

    fresh = Scratch(tmp_path / "fresh")
    for hour in (1, 3, 5, 9, 15, 22, 25):
        for symbol in (BTC, ETH):
            hour_of_trades(fresh, symbol, hour, [1.0 + hour, 2.0 + hour])
    fresh.run()
    for name in ("costs", "pairs"):
        assert scratch.table(name).equals(fresh.table(name)), name
        assert scratch.table(name).num_rows == 2 * 2 * 7


def test_files_that_are_still_written(scratch: Scratch, clock: SimulatedClock) -> None:
    """None is read before all have stayed as they are for the settle time; that it takes long is told."""
    log: list[Event] = []
    path = hour_of_trades(scratch, BTC, 1, [1.0, 2.0])
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    for minute in range(1, 40):
        clock.at(minute / 60, lambda m=minute: path.write_bytes(whole[: 100 + m]))  # type: ignore[misc]
    clock.at(40 / 60, lambda: path.write_bytes(whole))
    watching(scratch, clock, log).until(MIDNIGHT + dt.timedelta(hours=1))
    told = [(event.what, event.at - MIDNIGHT) for event in log]
    assert told[0] == ("watching", dt.timedelta(0))
    assert [what for what, _ in told[1:]] == ["waiting", "waiting", "run"]
    assert told[1][1] == dt.timedelta(minutes=20)
    assert "the newest is raw/ccxt/trades/exchange=binance" in log[1].message
    assert told[3][1] == dt.timedelta(minutes=42)
    assert log[3].message.startswith("change: costs, pairs: 2 published in ")
    assert scratch.table("costs").num_rows == 2


def test_failures_are_told_and_tried_again(
    scratch: Scratch, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition that fails is told once, until its files change; a project that does not load, every minute.

    ``on_failure`` gets what failed in a run, once.
    """
    log: list[Event] = []
    monkeypatch.setenv("SQLGEN_TRUSTED", str(scratch.folder))
    scratch.config["runs"] = {"on_failure": 'echo "$SQLGEN_FAILED $SQLGEN_MESSAGE" >> told'}
    scratch.save()
    path = hour_of_trades(scratch, BTC, 1, [1.0])
    whole = path.read_bytes()
    path.write_bytes(b"PAR1 and no more")
    clock.at(0.5, lambda: path.write_bytes(whole))
    text = scratch.file.read_text()
    clock.at(0.9, lambda: scratch.file.write_text("version: 2\n"))
    clock.at(0.91, lambda: hour_of_trades(scratch, BTC, 2, [2.0]))
    clock.at(1.1, lambda: scratch.file.write_text(text))
    watching(scratch, clock, log).until(MIDNIGHT + dt.timedelta(hours=1.5))
    assert log[1].what == "failed"
    assert "costs: exchange=binance/symbol=BTC-USDT/date=2026-01-01: " in log[1].message
    assert log[2].what == "run"
    assert {event.what for event in log[3:-1]} == {"failed"}
    assert "version: found 2" in log[3].message
    assert 5 <= len(log[3:-1]) <= 13
    assert log[-1].what == "run"
    told = (scratch.folder / "told").read_text().splitlines()
    assert [line.partition(": ")[0] for line in told] == ["2 costs"]  # costs, and pairs that waits for it
    assert scratch.table("costs").num_rows == 2


def test_nothing_to_watch(scratch: Scratch) -> None:
    with pytest.raises(UsageError, match="no selected model has a schedule"):
        Watch(lambda: Engine.open(scratch.file), ("costs",), False, print).begin()
    outcome = scratch.sqlgen("watch")
    assert (outcome.code, outcome.out) == (2, "")
    assert "or watch with --on-change" in outcome.err


def test_the_command(scratch: Scratch, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line a run, with a time; it ends after --for."""
    monkeypatch.setattr(SystemClock, "now", lambda self: clock.now())
    monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: clock.sleep(seconds))
    scratch.trades(BTC, DAY1, [1.0, 2.0])
    outcome = scratch.sqlgen("watch", "--on-change", "--every", 0.05, "--settle", 0.1, "--for", 1.5, "--json")
    assert outcome.code == 0, outcome.err
    first, second = map(json.loads, outcome.out.splitlines())
    assert (first["what"], second["what"], second["counts"]) == ("watching", "run", {"published": 2})
    assert dt.datetime.fromisoformat(second["at"]).tzinfo is not None


@pytest.mark.slow
def test_a_signal_between_runs_ends_it_quietly(scratch: Scratch) -> None:
    scratch.model("costs", schedule="0 0 1 1 *")
    scratch.trades(BTC, DAY1, [1.0])
    process = subprocess.Popen(
        [sys.executable, "-m", "sqlgen", "watch", scratch.file, "--every", "0.1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert " watching costs (0 0 1 1 *)" in process.stdout.readline()
    assert " run schedule: costs: 1 published in " in process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "stopped by SIGTERM: published partitions stay\n")
