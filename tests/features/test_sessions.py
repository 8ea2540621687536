"""`sessions` of a source: rows between sessions are left out and counted, and nothing reaches over their starts."""

from __future__ import annotations

import bisect
import datetime as dt
import gzip
import itertools
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from sqlgen.calendars import sessions as calendars
from sqlgen.errors import UsageError
from sqlgen.live.model import open_model
from tests.features.made import keyed
from tests.oracles.compare import table_rows
from tests.support import realdata
from tests.support.engine import published, shipped_config, sqlgen
from tests.support.lakes import Row, write_rows
from tests.support.vendors.lake import SHELL, VendorLake

Hours = tuple[str, str, str]
NEW_YORK: list[Hours] = [  # as nyse.com had announced them
    ("2024-03-08", "14:30", "21:00"),
    ("2024-03-11", "13:30", "20:00"),  # summer time from the day before on
    ("2024-07-02", "13:30", "20:00"),
    ("2024-07-03", "13:30", "17:00"),  # half a day before a holiday
    ("2024-07-05", "13:30", "20:00"),
    ("2024-11-29", "14:30", "18:00"),  # half a day after one
    ("2024-12-02", "14:30", "21:00"),
]
DAYS = ["2024-03-08", "2024-03-11", "2024-07-02", "2024-07-03", "2024-07-04", "2024-07-05", "2024-11-29", "2024-12-02"]
MINUTE = 60_000


def ms(day: str, clock: str) -> int:
    return int(dt.datetime.fromisoformat(f"{day}T{clock}+00:00").timestamp() * 1000)


def session_of(time: int, before: int = 0, after: int = 0) -> str | None:
    """By hand: the date of the session in which a time (ms) lies."""
    for day, opens, closes in NEW_YORK:
        if ms(day, opens) - before * MINUTE <= time < ms(day, closes) + after * MINUTE:
            return day
    return None


def trades(seed: int = 1, days: list[str] = DAYS, every: int = 4) -> list[Row]:
    """Trades around the clock, among them some at the very open, at the close and a millisecond before."""
    rng = random.Random(seed)
    times = {ms(day, "00:00") + rng.randrange(0, 24 * 60 * MINUTE) for day in days for _ in range(24 * 60 // every)}
    for day, opens, closes in NEW_YORK:
        if day in days:
            times |= {ms(day, opens), ms(day, opens) - 1, ms(day, closes), ms(day, closes) - 1}
    return [
        {"timestamp": time, "side": rng.choice(["buy", "sell"]), "price": 100 + rng.randrange(100) / 10}
        | {"amount": rng.randrange(1, 20) / 10, "trade_id": str(time)}
        for time in sorted(times)
    ]


def run(folder: Path, rows: dict[str, list[Row]], sessions: Any, models: dict[str, dict[str, Any]]) -> list[Any]:
    """Publish models of the shipped project over a lake with sessions; the report's checks."""
    for kind, found in rows.items():
        write_rows(folder / "lake", kind, keyed(found))
    config = shipped_config(Path("lake"))
    for kind in rows:
        config["sources"][f"ccxt_{kind}"]["sessions"] = sessions
    config["models"] = {
        name: config["models"][name] | {"options": config["models"][name].get("options", {}) | options, "enabled": True}
        for name, options in models.items()
    }
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", folder / "models.yaml", "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    return [(task["model"], check) for task in outcome.json["tasks"] for check in task["checks"]]


MODELS: dict[str, dict[str, Any]] = {
    "trades_features": {"windows": [900]},
    "trades_bars": {"bar_durations": [3600]},
    "volume_bars": {"volume_bar_size": 5.0},
}
TABLES = {"trades_features": "features", "trades_bars": "bars", "volume_bars": "volume_bars"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row], list[Any]]:
    folder, rows = tmp_path_factory.mktemp("sessions"), trades()
    return folder, rows, run(folder, {"trades": rows}, "XNYS", MODELS)


def table(folder: Path, model: str) -> list[Row]:
    return table_rows(published(folder / "lake/processed/ccxt/trades" / TABLES[model]))


def within(rows: list[Row], **hours: int) -> list[tuple[str, Row]]:
    """Rows with the session that they lie in."""
    return [(session, row) for row in rows if (session := session_of(row["timestamp"], **hours)) is not None]


@pytest.mark.slow
def test_the_calendar_of_the_exchange_stands_beside_that_of_utc(made: tuple[Path, list[Row], list[Any]]) -> None:
    """Also where summer time begins or ends."""
    found = table(made[0], "trades_features")
    assert len(found) == len(within(made[1]))
    hours = set()
    for row in found:
        utc = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=row["ts"] // 1000)
        for suffix, time in (("", utc), ("_local", utc.astimezone(ZoneInfo("America/New_York")))):
            expected = (time.hour, time.minute, time.weekday(), time.weekday() >= 5)
            names = ("hour_of_day", "minute_of_hour", "day_of_week", "is_weekend")
            assert tuple(row[f"{name}{suffix}"] for name in names) == expected, (suffix, time)
        hours.add((utc.hour - row["hour_of_day_local"], row["minute_of_hour"] - row["minute_of_hour_local"]))
    assert hours == {(4, 0), (5, 0)}


@pytest.mark.slow
def test_rows_between_sessions_are_left_out_and_counted(made: tuple[Path, list[Row], list[Any]]) -> None:
    folder, rows, checks = made
    kept = within(rows)
    found = table(folder, "trades_features")
    assert [row["trade_id"] for row in found] == [row["trade_id"] for _, row in kept]
    assert [str(row["session_date"]) for row in found] == [session for session, _ in kept]
    dropped = sum(check["rows"] for model, check in checks if model == "trades_features")
    assert dropped == len(rows) - len(kept) > 0
    assert {check["check"] for _, check in checks} == {"in a session of XNYS"}
    assert {session for session, _ in kept} == {day for day, _, _ in NEW_YORK}


@pytest.mark.slow
def test_windows_and_returns_start_anew(made: tuple[Path, list[Row], list[Any]]) -> None:
    """By brute force, session by session."""
    folder, rows, _ = made
    found, expected = table(folder, "trades_features"), []
    for _, group in itertools.groupby(within(rows), key=lambda pair: pair[0]):
        own = [row for _, row in group]
        times = [row["timestamp"] for row in own]
        for i, row in enumerate(own):
            first = bisect.bisect_right(times, row["timestamp"] - 900_000)
            change = math.log(row["price"] / own[i - 1]["price"]) if i else None
            expected.append((change, sum(other["amount"] for other in own[first : i + 1]), i - first + 1))
    for row, (change, volume, count) in zip(found, expected, strict=True):
        assert row["log_return"] == (None if change is None else pytest.approx(change, rel=1e-9))
        assert row["volume_900s"] == pytest.approx(volume, rel=1e-9)
        assert row["trade_count_900s"] == count


def test_bars_lie_in_one_session(made: tuple[Path, list[Row], list[Any]]) -> None:
    folder, rows, _ = made
    expected: dict[tuple[str, int], list[Row]] = {}
    for session, row in within(rows):
        expected.setdefault((session, row["timestamp"] // 3_600_000), []).append(row)
    bars = table(folder, "trades_bars")
    found = {(str(row["session_date"]), row["bar_start"] // 3_600_000_000_000): row for row in bars}
    newest = max(expected)  # still open
    assert found.keys() == expected.keys() - {newest}
    for key, bar in found.items():
        own = expected[key]
        assert (bar["trade_count"], bar["open"], bar["close"]) == (len(own), own[0]["price"], own[-1]["price"])
        if len(own) > 1 and bar["realized_variance"]:
            assert bar["annualized_vol"] == pytest.approx(math.sqrt(bar["realized_variance"] * 252 * 23_400 / 3600))


def test_event_bars_end_with_their_session(made: tuple[Path, list[Row], list[Any]]) -> None:
    """A bar that is not full at the close is dropped, and its number goes to the first of the next session."""
    folder, rows, _ = made
    full = {}
    for session, group in itertools.groupby(within(rows), key=lambda pair: pair[0]):
        full[session] = int(sum(round(row["amount"] * 10) for _, row in group)) // 50
    found = table(folder, "volume_bars")
    assert [row["bar_id"] for row in found] == list(range(sum(full.values())))
    counts = {day: sum(str(row["session_date"]) == day for row in found) for day in full}
    assert counts == full
    for row in found:
        assert row["volume"] == 5.0
        assert {session_of(row[time] // 1_000_000) for time in ("start_time", "end_time")} == {str(row["session_date"])}


@pytest.mark.slow
def test_extended_hours(tmp_path: Path) -> None:
    """From 4:00 to 20:00 in New York, three hours less on half a day; in winter past midnight UTC."""
    rows = trades(seed=2, days=["2024-07-03", "2024-11-29", "2024-12-02"], every=10)
    rows += [{**rows[-1], "timestamp": ms("2024-12-03", clock)} for clock in ("00:30", "01:00")]
    hours = {"before": 330, "after": 240}
    run(tmp_path, {"trades": rows}, {"calendar": "XNYS"} | hours, {"trades_features": {}})
    found, kept = table(tmp_path, "trades_features"), within(rows, **hours)
    assert [str(row["session_date"]) for row in found] == [session for session, _ in kept]
    late = [row for row in found if str(row["date"]) == "2024-12-03"]
    assert [str(row["session_date"]) for row in late] == ["2024-12-02"]


@pytest.mark.slow
def test_kernels_start_anew_at_each_session(tmp_path: Path) -> None:
    """Sessions that touch, at 23:00 UTC; no silence starts a segment here, and the date of UTC is no edge."""
    begin = ms("2024-03-07", "21:00")
    books = [
        {"timestamp": begin + i * 10 * MINUTE, "bids": [(100 + i % 3, 1.0 + i)], "asks": [(104 + i % 2, 2.0)]}
        for i in range(30)
    ]
    models: dict[str, dict[str, Any]] = {
        "orderbook_hf": {"max_gap": None, "vpin_bucket_volume": "1.0"},
        "orderbook_bars": {"bar_durations": [86_400], "emit_open_bars": True, "max_gap": 700},
        "orderbook_labels": {"horizons": [600], "smooth_rows": [1], "max_gap": 700},
    }
    run(tmp_path, {"orderbook": books, "trades": []}, "CMES", models)
    found = table_rows(published(tmp_path / "lake/processed/ccxt/orderbook/hf"))
    by_hand = ["2024-03-07" if book["timestamp"] < ms("2024-03-07", "23:00") else "2024-03-08" for book in books]
    assert [str(row["session_date"]) for row in found] == by_hand
    starts = [i for i in range(len(found)) if i == 0 or by_hand[i] != by_hand[i - 1]]
    assert [i for i, row in enumerate(found) if row["log_return"] is None] == starts
    assert [i for i, row in enumerate(found) if row["ofi"] is None] == starts
    assert [i for i, row in enumerate(found) if row["segment_age_s"] == 0] == starts
    assert len({row["date"] for row in found}) == 2
    labels = table_rows(published(tmp_path / "lake/processed/ccxt/orderbook/labels"))
    assert [str(row["session_date"]) for row in labels] == by_hand
    assert [i + 1 for i, row in enumerate(labels) if row["fwd_return_600s"] is None] == [*starts[1:], len(labels)]
    bars = table_rows(published(tmp_path / "lake/processed/ccxt/orderbook/bars"))
    counts = {(str(row["date"]), str(row["session_date"])): row["snapshot_count"] for row in bars}
    seventh, eighth = "2024-03-07", "2024-03-08"
    assert counts == {(seventh, seventh): 12, (seventh, eighth): 6, (eighth, eighth): 12}


@pytest.mark.skipif(SHELL is None, reason="the duckdb shell is not installed (package duckdb-cli)")
def test_the_compiled_file_has_the_sessions_as_data(made: tuple[Path, list[Row], list[Any]]) -> None:
    """A shell gives the published table, without the calendar."""
    folder, _, _ = made
    assert sqlgen("compile", folder / "models.yaml", "--select", "trades_features").code == 0
    text = (folder / "target/compiled/trades_features.sql").read_text()
    assert "TIMESTAMP_NS '2024-11-29 14:30:00' AS opens" in text
    assert "TIMESTAMP_NS '2024-11-29 18:00:00' AS closes" in text
    script = [SHELL or "", "-bail", "-init", "/dev/null"]
    done = subprocess.run(script, input=text, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    given = published(folder / "target/tables/trades_features")
    assert table_rows(given) == table(folder, "trades_features")


def test_a_new_day_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    run(tmp_path, {"trades": trades(days=["2024-07-02", "2024-07-03"], every=60)}, "XNYS", {"trades_features": {}})
    write_rows(tmp_path / "lake", "trades", keyed(trades(days=["2024-12-02"], every=60)))
    outcome = sqlgen("run", tmp_path / "models.yaml", "--json").json
    assert [task["partition"][-10:] for task in outcome["tasks"]] == ["2024-12-02"]


@pytest.mark.parametrize(
    ("calendar", "longer", "seconds"),
    [
        ("XNYS", (0, 0), 252 * 23_400),
        ("XNYS", (330, 240), 252 * 57_600),
        ("XHKG", (0, 0), 246 * 19_800),  # a break at noon
        ("24/7", (0, 0), 365 * 86_400),
    ],
)
def test_seconds_of_a_year(calendar: str, longer: tuple[float, float], seconds: float) -> None:
    """Half days count as whole ones."""
    assert calendars.seconds_per_year(calendar, *longer) == seconds


def test_a_break_at_noon() -> None:
    found = calendars.intervals("XTKS", dt.date(2024, 3, 8), dt.date(2024, 3, 8), 0, 0)
    hours = [(f"{part.opens:%H:%M}", f"{part.closes:%H:%M}") for part in found]
    assert hours == [("00:00", "02:30"), ("03:30", "06:00")]


@pytest.mark.parametrize(
    ("sessions", "message"),
    [
        ("XNYE", "sources.ccxt_trades.sessions: unknown calendar 'XNYE'. Did you mean 'XN"),
        ("xnys", "unknown calendar 'xnys'. Did you mean 'XNYS' or "),
        ("zzz%", "unknown calendar 'zzz%'. Give the MIC of an exchange: XNYS, XLON, CMES"),
        ({"calendar": "XNYS", "befor": 5}, "unknown key. Did you mean 'before'?"),
        ({"calendar": "XNYS", "before": -5}, "greater than or equal to 0"),
    ],
)
def test_what_is_not_possible(tmp_path: Path, sessions: Any, message: str) -> None:
    config = shipped_config(tmp_path / "lake")
    config["sources"]["ccxt_trades"]["sessions"] = sessions
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("compile", tmp_path / "models.yaml", "--stdout", "--select", "trades_bars")
    assert outcome.code == 2
    assert message in outcome.err, outcome.err


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    test_what_is_not_possible(tmp_path, "XNYS", "Install it: pip install 'sqlgen[calendars]'")


def test_books_made_of_messages_need_all_of_them(tmp_path: Path) -> None:
    config = shipped_config(tmp_path / "lake")
    config["sources"]["it"] = {"path": "raw/it", "adapter": "bybit/orderbook", "sessions": "XNYS"}
    model = {"sql": "orderbook/book.sql.j2", "udfs": "book", "inputs": {"updates": "it"}, "output": {"path": "books"}}
    config["models"] = {"books": model}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("compile", tmp_path / "models.yaml", "--stdout")
    assert outcome.code == 2
    assert "models.books.inputs: kernel book builds books from every message, and 'it' leaves out those" in outcome.err


def test_a_live_feed_has_no_calendar(tmp_path: Path) -> None:
    config = shipped_config(tmp_path / "lake")
    config["sources"]["ccxt_orderbook"]["sessions"] = "XNYS"
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    with pytest.raises(UsageError, match=r"sessions \(XNYS of ccxt_orderbook\) leave rows out; a feed has no calendar"):
        open_model(tmp_path / "models.yaml", exchange="nyse", symbol="AAPL")


@pytest.mark.slow
def test_real_books_of_one_session(tmp_path: Path) -> None:
    """Databento, AAPL on 2024-10-21, before the open: an hour and a half of it belongs to the session here."""
    lake = VendorLake(tmp_path)
    name = "databento_mbp10_AAPL_2024-10-21.csv"
    lake.raw.mkdir(parents=True)
    (lake.raw / name).write_bytes(gzip.decompress(realdata.data_file(f"{name}.gz").read_bytes()))
    source = {"adapter": "databento/mbp10", "pattern": "databento_mbp10_{symbol}_{date}.csv", "exchange": "nasdaq"}
    table = lake.rows({**source, "sessions": {"calendar": "XNYS", "before": 90}})
    times = [event["ts_event"][11:19] for number, event in enumerate(realdata.databento_events()) if number != 20]
    inside = [time for time in times if "12:00:00" <= time < "20:00:00"]
    assert 0 < len(inside) < len(times)
    assert [f"{dt.datetime.fromtimestamp(row['ts'] // 10**9, dt.UTC):%H:%M:%S}" for row in table_rows(table)] == inside
    assert {str(row["session_date"]) for row in table_rows(table)} == {"2024-10-21"}
