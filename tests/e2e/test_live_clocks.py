"""Sources with two times, live: the rows of a run, ordered by the time that counts."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from sqlgen.live import open_bars, open_model
from sqlgen.live.rowwise import RowError
from tests.support.engine import published, sqlgen
from tests.support.feeds import write_project

pytestmark = pytest.mark.slow

NOON = 1_767_355_200_000
"""2026-01-02 12:00 UTC in ms."""
DATES = ("2026-01-02", "2026-01-03")
CLOCKS = ["exchange", "received"]
UPDATES = """\
{#- description: Changes of levels, one a row -#}
{% from 'macros/rows.sql.j2' import positioned %}
{% from 'macros/time.sql.j2' import since_epoch %}
{% set columns = {
    'timestamp': 'BIGINT', 'collected_at': 'BIGINT', 'side': 'SMALLINT', 'price': 'DOUBLE', 'size': 'DOUBLE',
    'is_snapshot': 'BOOLEAN', 'message_end': 'BOOLEAN',
} %}
WITH {{ positioned(source, columns, since_epoch('timestamp', 'ms'), received=since_epoch('collected_at', 'ms')) }}
SELECT exchange, symbol, date, ts, seq, {{ source.other_time }}, side, price, size, is_snapshot, false AS feed_break,
    message_end, CAST(NULL AS BIGINT) AS first_id, CAST(NULL AS BIGINT) AS last_id, CAST(NULL AS BIGINT) AS prev_id
FROM positioned
"""


def rows(clock: str) -> list[dict[str, Any]]:
    """Changes over a midnight, a row for each; in order of the clock, and of the other time some are missing."""
    rng, found = random.Random(3), list[dict[str, Any]]()
    for number in range(80):
        own = NOON + number * 1_080_000 + rng.randrange(2_000)
        other = None if number % 5 == 3 else own + rng.randrange(-3_000, 3_000)
        times = (own, other) if clock == "exchange" else (other, own)
        for side in (1, -1):
            level = {"side": side, "price": 100.0 - side * rng.randint(1, 5), "size": float(rng.randint(1, 9))}
            state = {"is_snapshot": number == 0, "message_end": side == -1}
            found.append(dict(zip(("timestamp", "collected_at"), times, strict=True)) | level | state)
    return found


def write(folder: Path, config: dict[str, Any], feed: list[dict[str, Any]], clock: str) -> Path:
    """A project, its rows in files by the date of the clock, and what a run makes of them."""
    own = "timestamp" if clock == "exchange" else "collected_at"
    for number, date in enumerate(DATES):
        place = folder / f"lake/raw/updates/exchange=x/symbol=A/date={date}/data.ndjson"
        place.parent.mkdir(parents=True)
        lines = [json.dumps(row) + "\n" for row in feed if (row[own] >= NOON + 43_200_000) == bool(number)]
        place.write_text("".join(lines))
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", path)
    assert outcome.code == 0, outcome.out + outcome.err
    return path


def as_given(table: pa.Table) -> list[dict[str, Any]]:
    """Published rows with times as ns, as a live model gives them."""
    for number, kind in enumerate(table.schema):
        if pa.types.is_timestamp(kind.type):
            table = table.set_column(number, kind.name, table[kind.name].cast(pa.timestamp("ns")).cast(pa.int64()))
    return table.to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("interval", [0.0, 3600.0])
@pytest.mark.parametrize("clock", CLOCKS)
def test_a_book_that_is_rebuilt(clock: str, interval: float, tmp_path: Path) -> None:
    """Row by row, saved and opened again now and then."""
    (tmp_path / "transforms_sql/sources/mine").mkdir(parents=True)
    (tmp_path / "transforms_sql/sources/mine/updates.sql.j2").write_text(UPDATES)
    config = yaml.safe_load(write_project(tmp_path, "mine/updates", {"emit_interval": interval}).read_text())
    config["sources"]["updates"]["clock"] = clock
    path = write(tmp_path, config, rows(clock), clock)
    found, saved = list[dict[str, Any]](), tmp_path / "saved"
    live = open_bars(path, "book", exchange="x", symbol="A")
    for number, row in enumerate(rows(clock)):
        found += live.update(row)
        if number % 53 == 7:
            live.save(saved)
            live.close()
            live = open_bars(path, "book", exchange="x", symbol="A", state=saved)
    live.close()
    other = "received_ts" if clock == "exchange" else "exchange_ts"
    expected = as_given(published(tmp_path / "lake/book"))
    assert len(expected) >= len(found) >= len(expected) - bool(interval) > 10  # one row waits for the end of its day
    columns = [name for name in found[0] if name != "seq"]
    assert other in columns
    assert [[repr(row[name]) for name in columns] for row in found] == [
        [repr(row[name]) for name in columns] for row in expected[: len(found)]
    ]
    assert {row[other] is None for row in found} == {True, False}


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_snapshot(clock: str, tmp_path: Path) -> None:
    config = yaml.safe_load(write_project(tmp_path, "ccxt/orderbook", {}).read_text())
    config["sources"]["updates"]["clock"] = clock
    config["models"] = {"hf": config["models"]["hf"] | {"inputs": {"orderbook": "updates"}}}
    config["models"]["hf"]["options"].pop("feed_resets")
    feed = [
        {
            "timestamp": row["timestamp"],
            "collected_at": row["collected_at"],
            "bids": [{"price": 99.0, "size": row["size"]}],
            "asks": [{"price": 101.0 + row["size"], "size": 1.0}],
        }
        for row in rows(clock)
    ]
    path = write(tmp_path, config, feed, clock)
    expected = as_given(published(tmp_path / "lake/hf"))
    with open_model(path, "hf", exchange="x", symbol="A") as live:
        found = [live.update(row) for row in feed]
        with pytest.raises(RowError, match=f"the row has no time: {live._rows.clock[0]} is missing"):
            live.update(feed[0] | {live._rows.clock[0]: None})
    assert len(found) == len(expected) == 160
    for got, want in zip(found, expected, strict=True):
        assert {name: repr(value) for name, value in got.items()} == {name: repr(want[name]) for name in got}
    assert {"latency_ms", "received_ts" if clock == "exchange" else "exchange_ts"} <= found[0].keys()
