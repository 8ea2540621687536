"""``sqlgen coverage`` against a count in plain Python."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import statistics
from collections import defaultdict

import pytest

from sqlgen.cli.operating.coverage import ranges
from tests.support.engine import sqlgen
from tests.support.lakes import write_trades
from tests.support.scratch import BTC, ETH, Scratch

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
GAP = 1800.0


@pytest.fixture(scope="module")
def times() -> dict[str, list[dt.datetime]]:
    """Times of trades of two symbols in a week: random ones, with holes of hours and of days."""
    draw = random.Random(7)
    found = {}
    for symbol, holes in ((BTC, [(20, 29), (72, 120)]), (ETH, [(0, 30)])):
        hours = sorted(draw.uniform(0, 24 * 7) for _ in range(900))
        kept = [hour for hour in hours if not any(first <= hour < last for first, last in holes)]
        extra = [24 * 6 + draw.uniform(0, 24) for _ in range(500)]  # a busy last day
        moments = {START + dt.timedelta(milliseconds=round(hour * 3_600_000)) for hour in [*kept, *extra]}
        found[symbol] = sorted(moments)
    return found


@pytest.fixture(scope="module")
def project(times: dict[str, list[dt.datetime]], tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    scratch = Scratch(tmp_path_factory.mktemp("coverage") / "project")
    for symbol, moments in times.items():
        by_day = defaultdict(list)
        for time in moments:
            row = {"timestamp": round(time.timestamp() * 1000), "price": 1.0, "amount": 1.0, "side": "buy"}
            by_day[str(time.date())].append(row)
        for day, rows in by_day.items():
            write_trades(scratch.lake, "binance", symbol, day, rows)
    scratch.run()
    return scratch


def counted(moments: list[dt.datetime]) -> dict[str, object]:
    """Coverage from scratch: every hour and day between the first and the last row is looked for."""
    hours = {time.replace(minute=0, second=0, microsecond=0) for time in moments}
    span = int((max(hours) - min(hours)) / dt.timedelta(hours=1))
    expected = [min(hours) + dt.timedelta(hours=number) for number in range(span + 1)]
    days = [time.date() for time in moments]
    all_days = sorted({hour.date() for hour in expected})
    rows = {day: days.count(day) for day in all_days if day in days}
    usual = statistics.median(rows.values())
    steps = [(after - before).total_seconds() for before, after in itertools.pairwise(moments)]
    long = [step for step in steps if step > GAP]
    missing = [hour for hour in expected if hour not in hours]
    return {
        "rows": len(moments),
        "usual_rows": usual,
        "missing_days": [str(day) for day in all_days if day not in rows],
        "missing_hours": len(missing),
        "expected_hours": len(expected),
        "gaps": len(long),
        "longest_gap": pytest.approx(max(long, default=0.0)),
        "gap_seconds": pytest.approx(sum(long)),
        "percent": pytest.approx(100 * (1 - len(missing) / len(expected))),
        "unusual_days": [str(day) for day, number in rows.items() if not 0.5 <= number / usual <= 2],
    }


@pytest.mark.parametrize("name", ["raw", "costs"])
def test_against_a_count(project: Scratch, times: dict[str, list[dt.datetime]], name: str) -> None:
    """A source and a table of the same rows have the same coverage."""
    outcome = sqlgen("coverage", name, "--project", project.file, "--gap", GAP, "--json")
    assert outcome.code == 0, outcome.err
    found = {one["symbol"]: one for one in outcome.json}
    assert found.keys() == times.keys()
    for symbol, moments in times.items():
        expected = counted(moments)
        assert {key: found[symbol][key] for key in expected} == expected
        days = {day["day"]: day for day in found[symbol]["days"]}
        assert sum(day["rows"] for day in days.values()) == len(moments)
        assert sum(day["gaps"] for day in days.values()) == expected["gaps"]
    assert found[BTC]["missing_days"] == ["2026-01-04", "2026-01-05"]
    assert "2026-01-07" in found[BTC]["unusual_days"]


def test_wanted_days_count_whole(project: Scratch, times: dict[str, list[dt.datetime]]) -> None:
    """With --start and --end, what is missing at the edges counts too."""
    dates = ("--start", "2025-12-31", "--end", "2026-01-02")
    outcome = sqlgen("coverage", "costs", "--project", project.file, "--symbol", "btc/usdt", *dates, "--json")
    (one,) = outcome.json
    inside = {time.replace(minute=0, second=0, microsecond=0) for time in times[BTC] if time.day <= 2}
    assert (one["expected_hours"], one["missing_hours"]) == (72, 72 - len(inside))
    assert one["missing_days"] == ["2025-12-31"]


def test_as_text_and_for_a_scheduler(project: Scratch) -> None:
    outcome = sqlgen("coverage", "raw", "--project", project.file, "--fail-under", 90)
    assert outcome.code == 1
    lines = outcome.out.splitlines()
    assert lines[0].split("\t")[:6] == ["exchange", "symbol", "first", "last", "missing days", "missing hours"]
    assert f"binance {BTC}: no rows on 2026-01-04 to 2026-01-05" in lines
    assert any(line.startswith(f"binance {BTC}: hours without rows: 2026-01-01 20h, 21h, 22h, 23h; ") for line in lines)
    assert any(line.startswith(f"binance {BTC}: unusual days: 2026-01-07 (") for line in lines)
    assert outcome.err.startswith(f"binance {BTC}: ")
    assert outcome.err.rstrip().endswith("of the hours have rows, fewer than 90%")
    assert sqlgen("coverage", "raw", "--project", project.file, "--symbol", ETH, "--fail-under", 90).code == 0


def test_all_sources(project: Scratch) -> None:
    one = sqlgen("coverage", "raw", "--project", project.file, "--json")
    every = sqlgen("coverage", "--project", project.file, "--json")
    assert (every.code, every.json) == (0, one.json)
    assert {found["name"] for found in every.json} == {"raw"}
    project.config["sources"]["other"] = {**project.config["sources"]["raw"], "path": "raw/none"}
    project.save()
    outcome = sqlgen("coverage", "--project", project.file)
    del project.config["sources"]["other"]
    project.save()
    assert outcome.out.splitlines()[0] == "source raw"
    assert "source other: no files in raw/none yet, or no model reads it" in outcome.err
    assert outcome.code == 2
    assert "--html is of one" in sqlgen("coverage", "--project", project.file, "--html", "x.html").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cots",), "no source or model 'cots'. Did you mean 'costs'? Known: raw, costs, pairs"),
        (("raw", "--symbol", "ETHUSD"), "raw has no rows of symbol 'ETHUSD'. Did you mean 'ETH-USDT'?"),
        (("raw", "--start", "2027-01-01"), "raw has no rows from 2027-01-01 to the end"),
        (("raw", "--start", "0001-01-01", "--end", "0001-01-02"), "raw has no rows from 0001-01-01 to 0001-01-02"),
        (("raw", "--start", "9999-12-31", "--end", "9999-12-31"), "raw has no rows from 9999-12-31 to 9999-12-31"),
        (("raw", "--start", "2027-01-01", "--end", "2026-01-01"), "--end 2026-01-01 is before --start 2027-01-01"),
    ],
)
def test_nothing_to_cover(project: Scratch, arguments: tuple[str, ...], message: str) -> None:
    outcome = sqlgen("coverage", *arguments, "--project", project.file)
    assert outcome.code == 2
    assert message in outcome.err


def test_before_anything_is_there(scratch: Scratch) -> None:
    assert "source raw: no files in raw/ccxt/trades yet" in sqlgen("coverage", "raw", "--project", scratch.file).err
    outcome = sqlgen("coverage", "costs", "--project", scratch.file)
    assert "model costs: nothing published yet. Build it: sqlgen run --select +costs" in outcome.err


def test_ranges() -> None:
    days = [dt.date(2026, 1, day) for day in (1, 3, 4, 5, 8)]
    assert ranges(days) == ["2026-01-01", "2026-01-03 to 2026-01-05", "2026-01-08"]
    assert ranges([]) == []
