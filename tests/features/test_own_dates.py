"""Rows that are filed under the date before or after their own: bars and grid points go by time, each row counts once.

A feed that is filed by arrival has rows of 23:59:59 under the next date, every night; a venue that files by trading
date has after-hours trades of 00:30 UTC under the date before.
"""

from __future__ import annotations

import datetime as dt
import math
import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.features.made import MIDNIGHT, keyed
from tests.oracles import bars, resample, trades
from tests.oracles.compare import assert_same, table_rows
from tests.oracles.rows import number_rows
from tests.support.engine import Outcome, published, sqlgen
from tests.support.lakes import read_rows, write_rows
from tests.support.modes import tried

Row = dict[str, Any]
DAY_MS = 86_400_000
DAYS = [dt.date(2026, 1, day) for day in range(1, 6)]


def trade(offset_ms: int, number: int = 0, price: float = 10.0) -> Row:
    row = {"timestamp": MIDNIGHT + offset_ms, "trade_id": f"t{number}", "price": price, "amount": 1.0 + number / 8}
    return row | {"side": ("buy", "sell")[number % 2]}


def filed(rows: Sequence[Row], hours: Sequence[float]) -> list[Row]:
    """Rows in the partitions of so many hours after their own times."""
    later = [row | {"timestamp": row["timestamp"] + int(3_600_000 * by)} for row, by in zip(rows, hours, strict=True)]
    moved = [row | {"date": late["date"]} for row, late in zip(keyed(rows), keyed(later), strict=True)]
    return number_rows(sorted(moved, key=lambda row: (row["date"], row["timestamp"])))


def project(folder: Path, **options: Any) -> Path:
    models = {
        "bars": {"sql": "trades/bars.sql.j2", "inputs": {"trades": "trades"}, "options": options},
        "grid": {"sql": "resample.sql.j2", "inputs": {"rows": "trades"}},
    }
    models["grid"]["options"] = {"frequency": 3600.0, "sum": ["amount"], "columns": ["price"], "emit_open": True}
    source = {"path": "raw/ccxt/trades", "adapter": "ccxt/trades"}
    models = {name: model | {"output": {"path": f"out/{name}"}} for name, model in models.items()}
    config = {"version": 1, "lake": "lake", "sources": {"trades": source}, "models": models}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder / "models.yaml"


def run(config: Path, *arguments: object) -> Outcome:
    outcome = sqlgen("run", config, *arguments)
    assert outcome.code == 0, outcome.out + outcome.err
    return outcome


def check(config: Path, **options: Any) -> list[Row]:
    """Compare what is published with the oracles; the bars."""
    lake = config.parent / "lake"
    raw = read_rows(lake, "trades")
    expected = bars.trade_bars(raw, **options)
    folder = lake / "out/bars"
    if not expected:
        assert not any(folder.rglob("*.parquet"))
    else:
        assert_same(published(folder), expected)
        for path in folder.rglob("*.parquet"):
            assert {row["date"] for row in table_rows(published(path.parent))} == {date_in(path)}
    points = resample.resample(
        [trades.canonical(row) for row in raw], frequency=3600.0, sum=["amount"], columns=["price"], emit_open=True
    )
    assert_same(published(lake / "out/grid"), points)
    assert math.isclose(sum(point["sum_amount"] for point in points), sum(row["amount"] for row in raw))
    return expected


def date_in(path: Path) -> dt.date:
    return dt.date.fromisoformat(next(part for part in path.parts if part.startswith("date="))[5:])


def test_one_bar_of_one_end(tmp_path: Path) -> None:
    """A trade of 23:59:59.5 filed under the next date is in the last bars of the day before, and in no other."""
    rows = [trade(-60_000, 0), trade(-30_000, 1), trade(-500, 2, 99.0), trade(700, 3), trade(4_000_000, 4)]
    write_rows(tmp_path / "lake", "trades", filed(rows, [0, 0, 1, 0, 0]))
    config = project(tmp_path, bar_durations=[60, 3600])
    run(config)
    expected = check(config, bar_durations=[60, 3600])
    ends = [(bar["bar_seconds"], bar["bar_end"]) for bar in expected]
    assert len(ends) == len(set(ends))
    (last,) = [bar for bar in expected if bar["bar_end"] == MIDNIGHT * 10**6 and bar["bar_seconds"] == 60]
    assert (last["date"], last["close"], last["trade_count"]) == (DAYS[0], 99.0, 3)


def test_the_first_file_holds_a_row_of_the_date_before(tmp_path: Path) -> None:
    """So that there is a partition of a date of which the input has none, and nothing is said of dates without rows."""
    write_rows(tmp_path / "lake", "trades", filed([trade(-500, 0), trade(500, 1), trade(70_000, 2)], [1, 0, 0]))
    config = project(tmp_path, bar_durations=[60])
    out = run(config, "--select", "bars").out
    assert [bar["date"] for bar in bars.trade_bars(read_rows(tmp_path / "lake", "trades"), bar_durations=[60])] == DAYS[
        :2
    ]
    assert sorted(path.name for path in (tmp_path / "lake/out/bars").rglob("date=*")) == [
        "date=2026-01-01",
        "date=2026-01-02",
    ]
    assert "2026-01-03" not in out
    assert "Nothing to do" in run(config, "--select", "bars").out


def test_after_hours_filed_under_the_trading_date(tmp_path: Path) -> None:
    """Trades of Friday's session after 00:00 UTC have a Saturday of their own, Sunday evening's a Sunday."""
    friday = [trade(-3_600_000 * h, h) for h in (5, 1)]
    saturday, sunday = trade(1_800_000, 7), trade(2 * DAY_MS - 1_800_000, 8)
    monday = trade(2 * DAY_MS + 5_000_000, 9)
    write_rows(tmp_path / "lake", "trades", filed([*friday, saturday, sunday, monday], [0, 0, -1, 1, 0]))
    config = project(tmp_path, bar_durations=[3600])
    run(config)
    assert [bar["date"].day for bar in check(config, bar_durations=[3600])] == [1, 1, 2, 3]


def test_filled_bars_have_no_hole_at_midnight(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "lake",
        "trades",
        keyed([trade(-240_000, 0), trade(-170_000, 1), trade(130_000, 2), trade(200_000, 3)]),
    )
    config = project(tmp_path, bar_durations=[60], fill=True)
    run(config)
    expected = check(config, bar_durations=[60], fill=True)
    starts = [(bar["bar_start"] - MIDNIGHT * 10**6) // 10**9 for bar in expected]
    assert starts == list(range(-240, 180, 60))
    assert [bar["close"] for bar in expected] == [10.0] * 7


@pytest.mark.slow
def test_bars_wait_for_the_watermark(tmp_path: Path) -> None:
    """The next date's file holds nothing yet but a late trade: the last minute is not over."""
    rows = [trade(-130_000, 0), trade(-61_000, 1), trade(-500, 2), trade(100, 3), trade(100_000, 4)]
    config = project(tmp_path, bar_durations=[60])
    for known, minutes in ((3, [-180, -120]), (4, [-180, -120, -60]), (5, [-180, -120, -60, 0])):
        shutil.rmtree(tmp_path / "lake/raw", ignore_errors=True)
        write_rows(tmp_path / "lake", "trades", filed(rows[:known], [0, 0, 1, 0, 0][:known]))
        run(config)
        starts = [(bar["bar_start"] - MIDNIGHT * 10**6) // 10**9 for bar in check(config, bar_durations=[60])]
        assert starts == minutes


def test_what_is_stale_when_a_later_date_comes(tmp_path: Path) -> None:
    write_rows(tmp_path / "lake", "trades", keyed([trade(DAY_MS * day, day) for day in range(4)]))
    late = tmp_path / "lake/raw/ccxt/trades/exchange=binance/symbol=BTC-USDT/date=2026-01-05"
    shutil.move(late, tmp_path / "late")
    config = project(tmp_path)
    run(config, "--select", "bars")
    shutil.move(tmp_path / "late", late)
    plan = sqlgen("plan", config, "--json", "--select", "bars").json
    reasons = {task["partition"][-2:]: task["reason"] for task in plan["tasks"]}
    assert list(reasons) == ["03", "04", "05"]
    assert reasons["03"] == "a later partition has come"  # the one after its own was the newest
    assert "(the day after)" in reasons["04"]
    assert reasons["05"] == "new"


few = settings(max_examples=tried(8), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.slow
@few
@given(
    seed=st.integers(0, 10**9),
    fill=st.booleans(),
    emit=st.booleans(),
    durations=st.sampled_from([[60], [3600, 7], [900, 5003]]),
)
def test_any_filing_and_any_order(seed: int, fill: bool, emit: bool, durations: list[int]) -> None:
    """Some trades are filed a date early or late, some dates are missing, files come in any order: as by the oracle."""
    rng = random.Random(seed)
    steps = (1, 999, 30_000, 60_000, 299_999, 300_001, 4_000_000, 20_000_000)
    offsets = [rng.randrange(-DAY_MS // 4, DAY_MS // 4)]
    for _ in range(rng.randrange(3, 25)):
        offsets.append(offsets[-1] + rng.choice(steps))
    rows = [trade(offset, number, 10.0 + rng.randrange(20)) for number, offset in enumerate(offsets)]
    raw = filed(rows, [rng.choice((0, 0, 0, 0.001, 11.9, -0.001, -11.9)) for _ in rows])
    options = {"bar_durations": durations, "fill": fill and durations != [3600, 7], "emit_open_bars": emit}
    order = sorted({row["date"] for row in raw})
    rng.shuffle(order)
    with tempfile.TemporaryDirectory() as folder:
        config = project(Path(folder), **options)
        for number, date in enumerate(order):
            write_rows(Path(folder) / "lake", "trades", [row for row in raw if row["date"] == date])
            if number % 2 or number == len(order) - 1:
                run(config)
        check(config, **options)
