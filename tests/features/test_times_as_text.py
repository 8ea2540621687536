"""Times as people and vendors write them, against Python's own reading of them."""

from __future__ import annotations

import csv
import datetime as dt
import random
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sqlgen.templating.templates import Library
from tests.support.adapters import SHELL, Project, rows_of

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
SECOND = 10**9
NORTH_AMERICA = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}


def nanoseconds(local: dt.datetime, zone: dt.tzinfo = dt.UTC) -> int | None:
    """Since 1970: the first of two hours in autumn, none in the hour that is left out in spring."""
    moment = local.replace(tzinfo=zone, fold=0).astimezone(dt.UTC)
    there = moment.astimezone(zone).replace(tzinfo=None) == local
    return (moment - EPOCH) // dt.timedelta(microseconds=1) * 1000 if there else None


def read(texts: list[str], zone: str = "", formats: list[str] | None = None) -> list[int | None]:
    """What the macros make of each text."""
    template = (
        "{% from 'macros/time.sql.j2' import from_text, from_format %}"
        "{{ from_format('x', formats, zone) if formats else from_text('x', zone) }}"
    )
    sql = Library().environment.from_string(template).render(zone=zone, formats=formats)
    query = f"SELECT epoch_ns({sql}) FROM (SELECT unnest(?) AS x, generate_subscripts(?, 1) AS i) ORDER BY i"
    return [row[0] for row in duckdb.execute(query, [texts, texts]).fetchall()]


def random_times(rng: random.Random, count: int) -> list[dt.datetime]:
    """Local times, a third of them near the changes of clocks."""
    near = [dt.datetime(2024, 3, 10), dt.datetime(2024, 11, 3), dt.datetime(2024, 3, 31), dt.datetime(2024, 10, 27)]
    found = []
    for _ in range(count):
        start = rng.choice(near) if rng.random() < 0.4 else dt.datetime(1991, 1, 1)
        span = 6 * 3600 if start.year == 2024 else 100 * 365 * 86_400
        found.append(start + dt.timedelta(seconds=rng.randrange(span)))
    return found


def test_texts_with_halves_offsets_zones_and_fractions() -> None:
    rng = random.Random(5)
    texts, expected = [], []
    for time in random_times(rng, 3000):
        digits = rng.randrange(10)
        fraction = rng.randrange(10**digits)
        half = rng.random() < 0.3
        text = f"{time:%Y-%m-%d}" + rng.choice(["T", " ", "t"])
        text += f"{time:%I:%M:%S}" if half else f"{time:%H:%M:%S}"
        text += f"{rng.choice('.,')}{fraction:0{digits}}" if digits else ""
        text += (rng.choice(["", " "]) + rng.choice([f"{time:%p}", f"{time:%p}".lower()])) if half else ""
        offset = rng.randrange(-14 * 60, 14 * 60)
        sign, hours, minutes = "-" if offset < 0 else "+", abs(offset) // 60, abs(offset) % 60
        fixed = dt.timezone(dt.timedelta(minutes=offset))
        whole = dt.timezone(dt.timedelta(minutes=(offset // abs(offset or 1)) * 60 * hours))
        name = rng.choice(["America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "Etc/GMT+5"])
        short = rng.choice(list(NORTH_AMERICA))
        suffix, zone = rng.choice(
            [
                ("", dt.UTC),
                ("Z", dt.UTC),
                (" UTC", dt.UTC),
                (" GMT", dt.UTC),
                (f"{sign}{hours:02}:{minutes:02}", fixed),
                (f" {sign}{hours:02}{minutes:02}", fixed),
                (f"{sign}{hours:02}", whole),
                (f" {name}", ZoneInfo(name)),
                (f" {short}", dt.timezone(dt.timedelta(hours=NORTH_AMERICA[short]))),
            ]
        )
        texts.append(text + (" " if half and suffix == "Z" else "") + suffix)
        moment = nanoseconds(time, zone)
        expected.append(None if moment is None else moment + fraction * 10 ** (9 - digits))
    found = read(texts)
    assert [(text, one) for text, one, other in zip(texts, found, expected, strict=True) if one != other] == []
    assert expected.count(None) > 2


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("20240103T143000Z", "2024-01-03T14:30:00Z"),
        ("20240103T143000.123Z", "2024-01-03T14:30:00.123Z"),
        ("20240103T143000,5+0100", "2024-01-03T13:30:00.5Z"),
        ("2024-01-03 143000 PST", "2024-01-03T22:30:00Z"),
        ("20240103 023000 PM", "2024-01-03T14:30:00Z"),
        ("20240703 143000123 Europe/Berlin", "2024-07-03T12:30:00.123Z"),
        ("20240103t143000-05:00", "2024-01-03T19:30:00Z"),
        ("2024/01/03  143000 UTC+2", "2024-01-03T12:30:00Z"),
    ],
)
def test_a_clock_of_digits_alone_with_what_may_follow(text: str, plain: str) -> None:
    assert read([text]) == [nanoseconds(dt.datetime.fromisoformat(plain).replace(tzinfo=None))]


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Asia/Tokyo", "Australia/Lord_Howe"])
@pytest.mark.parametrize("formats", [None, ["%d.%m.%Y %H:%M:%S.%g", "%Y%m%d %H%M%S%g"]])
def test_local_time_of_an_exchange(zone: str, formats: list[str] | None) -> None:
    rng = random.Random(zone)
    times = [time + dt.timedelta(milliseconds=rng.randrange(1000)) for time in random_times(rng, 1000)]
    if formats:
        ways = ("%d.%m.%Y %H:%M:%S.", "%Y%m%d %H%M%S")
        texts = [time.strftime(rng.choice(ways)) + f"{time.microsecond // 1000:03}" for time in times]
    else:
        texts = [time.isoformat(sep=" ") for time in times]
    expected = [nanoseconds(time, ZoneInfo(zone)) for time in times]
    found = read(texts, zone, formats)
    assert [(text, one) for text, one, other in zip(texts, found, expected, strict=True) if one != other] == []


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-03 14:30:00 PM",
        "20240103 143000 PM",
        "20240103T143000 IST",
        "20240103T143000Z?",
        "2024-01-03 14:30:00 IST",
        "2024-01-03 14:30:00 BST",
        "2024-01-03 14:30:00 Foo/Bar",
        "2024-01-03 14:30:00 (delayed)",
        "2024-01-03 14:30:00Z?",
        "2024-01-03 14:30:00 +02:00 PM",
        "2024-01-03 14:30:60",
        "2024-01-03 25:00:00",
        "2024-02-30 10:00:00",
        "0001-01-01 00:00:00",
        "9999-12-31 23:59:59",
        "03.01.2024 14:30:00",
        "14:30:00",
        "yesterday",
        "",
        "2024-01-03D14:30:00",  # time_format reads it
        "2024-01-03 14:30:00 +99:00",
        "2024-01-03 14:30:00+02:75",
        "2024-01-03 14:30:00 UTC+24",
    ],
)
def test_what_is_not_understood_whole_is_no_time(text: str) -> None:
    assert read([text]) == [None]
    assert read([text], "Europe/Berlin") == [None]


def trades(folder: Path, name: str, records: list[dict[str, Any]], **options: Any) -> Project:
    project = Project.of(folder, "generic/trades", exchange="x", pattern="{symbol}.*", options=options)
    path = project.raw / name
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(records[0]))
            writer.writeheader()
            writer.writerows(records)
    return project


def times(project: Project) -> list[int]:
    found = [row["ts"] for row in rows_of(project.run())]
    if SHELL is not None:
        assert [row["ts"] for row in rows_of(project.in_shell())] == found
    return found


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("02.01.2020 00:00:00.123", {"time_format": "%d.%m.%Y %H:%M:%S.%g"}),
        ("20200102 000000123", {"time_format": ["%Y-%m-%d", "%Y%m%d %H%M%S%g"]}),
        ("2020-01-02D00:00:00.123000000", {"time_format": "%Y-%m-%dD%H:%M:%S.%n"}),
        ("2020-01-01 19:00:00.123", {"time_unit": "text", "timezone": "America/New_York"}),
        ("02.01.2020 01:00:00.123 +0100", {"time_format": ["%d.%m.%Y %H:%M:%S.%g %z"], "timezone": "Asia/Tokyo"}),
    ],
)
def test_formats_in_models_yaml(tmp_path: Path, text: str, options: dict[str, Any]) -> None:
    project = trades(tmp_path, "A.csv", [{"ts": text, "price": 1, "amount": 1}], **options)
    assert times(project) == [nanoseconds(dt.datetime(2020, 1, 2, 0, 0, 0, 123_000))]


def test_date_and_time_in_two_columns(tmp_path: Path) -> None:
    records = [
        {"Date": "2024-01-03", "Time": "09:30:00.5", "price": 1, "amount": 1},
        {"Date": "2024-07-03", "Time": "2:30:00 PM", "price": 1, "amount": 1},
    ]
    columns = {"ts": ["Date", "Time"]}
    project = trades(tmp_path, "A.csv", records, columns=columns, time_unit="text", timezone="America/New_York")
    expected = [dt.datetime(2024, 1, 3, 14, 30, 0, 500_000), dt.datetime(2024, 7, 3, 18, 30)]
    assert times(project) == [nanoseconds(time) for time in expected]


def test_two_columns_called_date_and_time_in_a_format_of_their_own(tmp_path: Path) -> None:
    records = [{"date": "03/01/2024", "time": "093000123", "price": 1, "amount": 1}]
    project = trades(tmp_path, "A.csv", records, columns={"ts": ["date", "time"]}, time_format=["%d/%m/%Y %H%M%S%g"])
    assert times(project) == [nanoseconds(dt.datetime(2024, 1, 3, 9, 30, 0, 123_000))]


@pytest.mark.parametrize("aware", [True, False])
def test_timestamps_of_parquet_in_local_time(tmp_path: Path, aware: bool) -> None:
    """One that names its zone is what it says."""
    moment = dt.datetime(2024, 1, 3, 9, 30, tzinfo=dt.UTC if aware else None)
    records = [{"ts": moment, "price": 1.0, "amount": 1.0}]
    project = trades(tmp_path, "A.parquet", records, time_unit="timestamp", timezone="America/New_York")
    hour = 9 if aware else 14
    assert times(project) == [nanoseconds(dt.datetime(2024, 1, 3, hour, 30))]


def test_a_zone_for_counts_is_refused(tmp_path: Path) -> None:
    project = trades(tmp_path, "A.csv", [{"ts": 1, "price": 1, "amount": 1}], timezone="Asia/Tokyo")
    assert "times in ms since 1970 are the same everywhere" in " ".join(project.failure().split())


def test_a_price_is_one_column(tmp_path: Path) -> None:
    project = trades(tmp_path, "A.csv", [{"ts": 1, "price": 1, "amount": 1}], columns={"price": ["a", "b"]})
    assert "'price' must be one name" in " ".join(project.failure().split())
