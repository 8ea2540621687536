"""Windows as arrays, against an oracle that walks row by row."""

from __future__ import annotations

import datetime as dt
import math
import statistics
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlgen.arrays import scale, windows
from sqlgen.errors import SqlgenError, UsageError
from tests.support.lakes import write_trades
from tests.support.scratch import BTC, ETH, Scratch

ROWS = """\
{#- description: Values, as rows with segments -#}
SELECT
    exchange,
    symbol,
    date,
    ts,
    seq,
    amount - 1 AS segment_age_s, -- s: since the segment began
    CASE WHEN price < 900 THEN price END AS price, -- q: price
    price * price AS squared, -- q: its square
    CASE WHEN seq % 7 <> 3 THEN price / 2 END AS later -- label: q: half of the price
FROM ({{ inputs.trades }})
"""
MIDNIGHT = int(dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp() * 1000)
DAY = 86_400_000


def segments(gaps: list[int]) -> list[tuple[int, float, float]]:
    """Time in ms, age and price of rows so many seconds apart; a segment begins after more than a minute."""
    found, time, age = [], MIDNIGHT + DAY - 600_000, 0.0
    for number, gap in enumerate(gaps):
        time += gap * 1000
        age = 0.0 if gap > 60 or not number else age + gap
        found.append((time, age, 1000.0 if number % 41 == 17 else 100 + 10 * math.sin(3 * number) + number % 5))
    return found


def write(scratch: Scratch, symbol: str, gaps: list[int]) -> None:
    days: dict[str, list[dict[str, Any]]] = {}
    for number, (time, age, price) in enumerate(segments(gaps)):
        date = dt.datetime.fromtimestamp(time / 1000, dt.UTC).date().isoformat()
        row = {"timestamp": time, "trade_id": str(number), "side": "buy", "price": price, "amount": age + 1}
        days.setdefault(date, []).append(row)
    for date, found in days.items():
        write_trades(scratch.lake, "binance", symbol, date, found)


@pytest.fixture
def lake(scratch: Scratch) -> Scratch:
    """Rows of three days: segments over both midnights, gaps, missing values and labels."""
    scratch.config["models"] = {"rows": {"sql": "rows.sql.j2", "inputs": {"trades": "raw"}, "output": {"path": "out"}}}
    scratch.template("rows.sql.j2", ROWS)
    scratch.save()
    busy = [7 + (number * number) % 13 for number in range(80)]
    write(scratch, BTC, [*busy, 80_000, *busy, 500, *busy, 3_000, *busy, *busy])
    write(scratch, ETH, [*busy, 90_000, *busy])
    scratch.run()
    return scratch


def expected(table: list[dict[str, Any]], length: int, stride: int) -> list[tuple[Any, ...]]:
    """(symbol, ts, x, y) of each window: the rule, row by row."""
    found = []
    for symbol in sorted({row["symbol"] for row in table}):
        mine = sorted((row for row in table if row["symbol"] == symbol), key=lambda row: row["ts"])
        segment: list[dict[str, Any]] = []
        for row in mine:
            segment = [row] if row["segment_age_s"] == 0 else [*segment, row]
            if len(segment) < length or (len(segment) - length) % stride:
                continue
            before = [other for other in mine if other["date"] < row["date"]]
            window = segment[-length:]
            if not before or row["later"] is None or any(each["price"] is None for each in window):
                continue
            x = []
            for name in ("price", "squared"):
                values = [each[name] for each in before if each[name] is not None]
                mean, deviation = statistics.fmean(values), statistics.pstdev(values)
                x.append([(each[name] - mean) / deviation for each in window])
            found.append((symbol, row["ts"], x, row["later"]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("length", "stride"), [(1, 1), (5, 1), (20, 7), (40, 3)])
def test_windows_equal_the_oracle(lake: Scratch, length: int, stride: int) -> None:
    wanted = expected(lake.table("rows").to_pylist(), length, stride)
    asked = windows(
        "rows", ["price", "squared"], length, stride, label="later", batch=3, dtype=np.float64, project=lake.file
    )
    batches = list(asked)
    assert max(len(batch.x) for batch in batches) <= 3
    assert [batch.symbol for batch in batches for _ in batch.ts] == [each[0] for each in wanted]
    x, y, ts = asked.arrays()
    assert y is not None
    assert x.shape == (len(wanted), length, 2)
    np.testing.assert_allclose(x, np.array([each[2] for each in wanted]).transpose(0, 2, 1), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(y, [each[3] for each in wanted])
    assert [str(time) for time in ts] == [str(np.datetime64(each[1], "ns")) for each in wanted]
    assert asked.left_out["no earlier day to scale by"] > 0


@pytest.mark.slow
def test_days_that_are_asked_for(lake: Scratch) -> None:
    """The days of the last rows; windows begin on the day before all the same."""
    everything = windows("rows", ["squared"], 10, dtype=np.float64, project=lake.file)
    x, _, ts = everything.arrays()
    last = dt.date(2026, 1, 3)
    chosen = np.asarray(ts, "datetime64[D]") == np.datetime64(last)
    assert 0 < chosen.sum() < len(ts)
    part = windows("rows", ["squared"], 10, dtype=np.float64, start=last, end=last, project=lake.file)
    np.testing.assert_array_equal(part.arrays()[0], x[chosen])
    before = windows("rows", ["squared"], 10, dtype=np.float64, end=dt.date(2026, 1, 2), project=lake.file)
    assert len(before.arrays()[0]) == len(ts) - chosen.sum()
    one = windows("rows", ["squared"], 10, symbols=[ETH], scale=False, dtype=np.float64, project=lake.file)
    table = [row["squared"] for row in lake.table("rows").to_pylist() if row["symbol"] == ETH]
    assert set(one.arrays()[0].ravel()) <= set(table)
    assert {batch.symbol for batch in one} == {ETH}


@pytest.mark.slow
def test_bars_that_are_missing(scratch: Scratch) -> None:
    """A window of bars never crosses a bar that is not there."""
    bars = """\
{#- description: Bars -#}
SELECT exchange, symbol, date, seq, 60 AS bar_seconds,
    CAST(ts AS TIMESTAMP) AS bar_start, CAST(ts AS TIMESTAMP) + INTERVAL 60 SECONDS AS bar_end, price
FROM ({{ inputs.trades }})
WHERE seq % 10 <> 9
"""
    scratch.config["models"] = {"bars": {"sql": "bars.sql.j2", "inputs": {"trades": "raw"}, "output": {"path": "out"}}}
    scratch.template("bars.sql.j2", bars)
    scratch.save()
    scratch.trades(BTC, "2026-01-01", [float(number) for number in range(1, 36)])
    scratch.run()
    with pytest.raises(UsageError, match="several durations"):
        windows("bars", ["price"], 4, project=scratch.file)
    asked = windows("bars", ["price"], 4, scale=False, where={"bar_seconds": 60}, project=scratch.file)
    x, y, ts = asked.arrays()
    assert y is None
    starts = [number for number in range(1, 36) if number % 10 in range(1, 7) and number + 3 < 36]
    assert [int(each[0, 0]) for each in x] == starts
    assert str(ts[0]) == "2026-01-01T12:04:00.000000000"


def test_bars_of_sessions_and_with_gaps(scratch: Scratch) -> None:
    """Bars that follow each other: of sessions that touch, over midnight too, and some that begin with a gap."""
    bars = """\
{#- description: Bars -#}
SELECT exchange, symbol, date, seq, 60 AS bar_seconds,
    DATE '2026-01-01' + CAST(price // 100 AS INTEGER) AS session_date,
    CAST(ts AS TIMESTAMP) AS bar_start, CAST(ts AS TIMESTAMP) + INTERVAL 60 SECONDS AS bar_end,
    price, amount > 1 AS has_gap
FROM ({{ inputs.trades }})
"""
    scratch.config["models"] = {"bars": {"sql": "bars.sql.j2", "inputs": {"trades": "raw"}, "output": {"path": "out"}}}
    scratch.template("bars.sql.j2", bars)
    scratch.save()
    gaps, sessions, session = {4, 22}, {7: 100, 25: 200}, 0
    rows = list[dict[str, Any]]()
    for number in range(30):
        session = sessions.get(number, session)
        row = {"timestamp": MIDNIGHT + DAY + 60_000 * (number - 15), "trade_id": str(number), "side": "buy"}
        rows.append(row | {"price": 1.0 + session + number, "amount": 2.0 if number in gaps else 1.0})
    write_trades(scratch.lake, "binance", BTC, "2026-01-01", rows[:15])
    write_trades(scratch.lake, "binance", BTC, "2026-01-02", rows[15:])
    scratch.run()
    asked = windows("bars", ["price"], 3, scale=False, where={"bar_seconds": 60}, project=scratch.file)
    found = [int(each[0, 0]) % 100 - 1 for each in asked.arrays()[0]]
    begins = {*gaps, *sessions}
    assert found == [first for first in range(28) if not begins & {first + 1, first + 2}]


def test_without_torch(lake: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "sqlgen.arrays.torch", raising=False)
    with pytest.raises(UsageError, match="needs PyTorch"):
        windows("rows", ["price"], 3, project=lake.file).torch()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": "row"}, "no table 'row' is published here. Did you mean 'rows'?"),
        ({"columns": ["prise"]}, "'rows' has no column 'prise'. Did you mean 'price'?"),
        ({"columns": ["later"]}, "column 'later' of 'rows' is a label"),
        ({"label": "latter"}, "no column 'latter'. Did you mean 'later'?"),
        ({"where": {"colour": 1}}, "no column 'colour'"),
        ({"length": 0}, "a length, a stride and a batch of at least 1"),
        ({"columns": []}, "at least one column"),
    ],
)
def test_what_bad_input_gets(lake: Scratch, arguments: dict[str, Any], said: str) -> None:
    usual: dict[str, Any] = {"model": "rows", "columns": ["price"], "length": 5}
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        windows(**{**usual, **arguments}, project=lake.file)


@pytest.mark.slow
def test_no_windows_is_an_error(lake: Scratch) -> None:
    with pytest.raises(SqlgenError, match=r"gives no windows of 1000 rows .*segments that are shorter"):
        windows("rows", ["price"], 1000, project=lake.file).arrays()
    with pytest.raises(SqlgenError, match=r"[0-9]+ left out: no earlier day to scale by"):
        list(windows("rows", ["price"], 5, end=dt.date(2026, 1, 1), project=lake.file))


@given(st.lists(st.lists(st.floats(-1e6, 1e6) | st.none(), max_size=6), min_size=1, max_size=6))
def test_days_merge_as_if_they_were_one(days: list[list[float | None]]) -> None:
    merged = scale.Scale.empty(1)
    for day in days:
        found = [value for value in day if value is not None]
        mean, variance = (statistics.fmean(found), statistics.pvariance(found)) if found else (math.nan, math.nan)
        merged = merged.add(np.array([len(found)]), np.array([mean]), np.array([variance]))
    everything = [value for day in days for value in day if value is not None]
    assert merged.count[0] == len(everything)
    if everything:
        assert merged.mean[0] == pytest.approx(statistics.fmean(everything), rel=1e-9, abs=1e-6)
        spread = statistics.pstdev(everything) or 1.0
        assert merged.deviation[0] == pytest.approx(spread, rel=1e-6, abs=1e-6) or spread < 1e-3
    else:
        assert math.isnan(merged.deviation[0])


def test_torch_dataset(lake: Scratch) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    asked = windows("rows", ["price", "squared"], 5, label="later", batch=8, project=lake.file)
    x, y, _ = asked.arrays()
    for workers in (0, 2):
        found = list(DataLoader(asked.torch(), batch_size=16, num_workers=workers))
        assert sum(len(each[0]) for each in found) == len(x)
        mine = sorted(value for _, labels in found for value in labels.tolist())
        assert mine == sorted(y.tolist())
        assert found[0][0].dtype == torch.float32
