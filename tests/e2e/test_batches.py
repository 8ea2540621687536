"""Batches: several units built by one statement are what they would be alone, and one bad unit costs itself."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from benchmarks.measure import python
from sqlgen.builders import batch as batch_module
from sqlgen.lake import swap
from sqlgen.lake.partitions import Partition
from sqlgen.plan import batches
from sqlgen.published import batchfooters, footers
from sqlgen.published.states import StateStore
from sqlgen.run.engine import Engine
from sqlgen.sources.decode import Decoded, Decoder
from tests.support.compare import same_tables
from tests.support.engine import ROOT
from tests.support.lakes import write_orderbook
from tests.support.scratch import BTC, COSTS, ETH, LEDGER, Scratch

DAYS = [f"2026-01-{day:02}" for day in range(1, 8)]
BARS = "trades/bars.sql.j2"
FEATURES = "trades/features.sql.j2"
NEAR = """\
{#-
description: Trades, for a kernel that sees those beside a date
inputs: [trades]
lookback: "43150"
lookahead: "43230"
batches: true
order_by: [ts, seq]
-#}
SELECT
    exchange,
    symbol,
    date,
    ts,
    seq,
    price -- q: price
FROM (
    {{ inputs.trades }}
)
ORDER BY exchange, symbol, ts, date, seq
"""
SEEN = '''\
"""The rows that are seen beside each."""

import numpy as np

from udfs.kernel import Column, Kernel


class Seen(Kernel):
    name = "seen"
    version = 1
    doc = "The rows that are seen"
    looks_ahead = True

    def inputs(self):
        return ("price",)

    def outputs(self):
        kinds = {"sum_seen": "double", "from_ts": "timestamp", "to_ts": "timestamp"}
        return tuple(Column(name, f"label: 1: {name}", kind) for name, kind in kinds.items())

    def start(self):
        return {}

    def run(self, state, batch):
        last = np.arange(len(batch)) == len(batch) - 1
        assert np.all(batch.ts[:-1] <= batch.ts[1:]) and not np.all(batch["price"] == 0)
        weights = np.where(last, 1e6, 1.0)  # of one row apart from the others, so that their order counts
        return [np.full(len(batch), found) for found in (weights @ batch["price"], batch.ts[0], batch.ts[-1])]
'''


@pytest.fixture
def bars(scratch: Scratch) -> Scratch:
    """Bars of seven days of two symbols, and one day apart from the others."""
    scratch.config["models"] = {}
    options = {"bar_durations": [1, 60]}
    scratch.model("bars", sql=BARS, inputs={"trades": "raw"}, options=options, output={"path": "out/bars"})
    for symbol, price in ((BTC, 100.0), (ETH, 10.0)):
        for number, date in enumerate([*DAYS, "2026-01-20"]):
            scratch.trades(symbol, date, [price + number, price + number / 3, price])
    return scratch


def published(scratch: Scratch) -> list[tuple[object, ...]]:
    """All rows with their places in their files."""
    files = f"{scratch.lake}/out/bars/**/*.parquet"
    query = f"""
        SELECT * EXCLUDE (filename), file_row_number
        FROM read_parquet('{files}', hive_partitioning = true, file_row_number = true, filename = true)
        ORDER BY exchange, symbol, date, file_row_number
    """
    return duckdb.execute(query).fetchall()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that are tried."""
    sizes: list[int] = []
    build: Callable[..., object] = batch_module.BatchBuild.build

    def noting(self: batch_module.BatchBuild) -> object:
        sizes.append(len(self.tasks))
        return build(self)

    monkeypatch.setattr(batch_module.BatchBuild, "build", noting)
    return sizes


@pytest.mark.slow
def test_units_of_a_batch_are_what_they_are_alone(
    bars: Scratch, monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    bars.run("--threads", "1")
    together = published(bars)
    assert len(together) == 92
    assert sorted(counted) == [6, 18]  # the last of each symbol know less of what follows
    monkeypatch.setattr(batches, "MAX_UNITS", 1)
    counted.clear()
    bars.run("--full-refresh", "--threads", "1")
    assert (published(bars), counted) == (together, [])


@pytest.mark.slow
def test_batches_are_bounded_by_what_they_read_and_write(
    bars: Scratch, monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    """By bytes of files, whether a source's or a model's, and by columns of the result."""
    header = "{#-\ndescription: Again\ninputs: [bars]\nbatches: true\norder_by: [bar_seconds, bar_start]\n-#}\n"
    bars.template("again.sql.j2", header + "SELECT * FROM ({{ inputs.bars }})")
    bars.model("again", sql="again.sql.j2", inputs={"bars": "bars"}, output={"path": "out/again"})
    bars.run("--threads", "1")
    together = published(bars)
    assert sorted(counted) == [6, 6, 18, 18]
    table = sum(path.stat().st_size for path in bars.lake.glob("out/bars/**/*.parquet"))
    of_model = {"OF_MODEL": 4 * batches.MAX_BYTES / table, "LARGE": 1e12}
    for limits, largest in (({"MAX_WRITTEN": 28 * 20_000}, 6), (of_model, 18)):
        counted.clear()
        with monkeypatch.context() as patch:
            for name, limit in limits.items():
                patch.setattr(batches, name, limit)
            bars.run("--full-refresh", "--threads", "1")
        assert (max(counted) <= largest, counted.count(18)) == (True, int(largest == 18))
        assert published(bars) == together
    for folder in ("out", ".sqlgen"):
        shutil.rmtree(bars.lake / folder)
    counted.clear()
    for name, limit in of_model.items():
        monkeypatch.setattr(batches, name, limit)
    bars.run("--threads", "1")  # the table that is read is built by the same run
    assert counted.count(18) == 1
    assert published(bars) == together


@pytest.mark.slow
def test_memory_of_a_run_has_a_limit(scratch: Scratch) -> None:
    """40 partitions of 5,000 trades, each with its windows, in batches: most memory that the process had."""
    scratch.config["models"] = {}
    scratch.model("t", sql=FEATURES, inputs={"trades": "raw"}, options={}, output={"path": "out/t"})
    for symbol in (BTC, ETH):
        for day in range(20):
            folder = scratch.raw(symbol, f"2026-01-{day + 1:02}")
            folder.mkdir(parents=True)
            midnight = 1_767_225_600_000 + 86_400_000 * day
            duckdb.sql(
                f"SELECT {midnight} + 17000 * i AS timestamp, {midnight} + 17000 * i AS collected_at,"
                " CAST(i AS VARCHAR) AS trade_id, 100 + sin(i) AS price, 1 + cos(i) AS amount, 'buy' AS side"
                f" FROM range(5000) AS t(i)"
            ).write_parquet(f"{folder}/data.parquet")
    peak = python("sqlgen", "run", scratch.file, "--threads", 2, "--memory-limit", "150MB").peak_mb
    assert 100 < peak < 410  # without the limit 500; of these Python and its libraries take about 200
    assert duckdb.read_parquet(f"{scratch.lake}/out/t/**/*.parquet").shape[0] == 200_000


@pytest.mark.slow
@pytest.mark.parametrize("sql", [BARS, FEATURES])
def test_rows_are_the_same_to_the_bit_on_any_number_of_threads(bars: Scratch, sql: str) -> None:
    """With prices and amounts whose sums depend on their order."""
    bars.model("bars", sql=sql, options={})
    for day in (0, 1):
        bars.trades(BTC, DAYS[day], [100 + (number * 7919 % 1009) / 997 for number in range(1500)])
    found = []
    for threads in (1, 2, 2):
        bars.run("--full-refresh", "--threads", threads)
        found.append(published(bars))
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"windows": [60, 86400]}, {"windows": [60, 172800]}, {"max_gap": 300}])
def test_features_of_trades_in_batches_see_no_further_back_than_alone(
    bars: Scratch, options: dict[str, object], monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    """Some days are missing."""
    bars.config["models"] = {}
    bars.model("bars", sql=FEATURES, inputs={"trades": "raw"}, options=options, output={"path": "out/bars"})
    for symbol, day in ((BTC, 3), (ETH, 4), (ETH, 5)):
        shutil.rmtree(next((bars.lake / "raw").rglob(f"symbol={symbol}/date={DAYS[day]}")))
    bars.run("--threads", "1")
    together = published(bars)
    assert (len(together), counted) == (39, [13])
    monkeypatch.setattr(batches, "MAX_UNITS", 1)
    bars.run("--full-refresh", "--threads", "1")
    assert (published(bars), counted) == (together, [13])


@pytest.mark.slow
def test_grid_points_in_batches_are_what_they_are_alone(
    bars: Scratch, monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    """Rows of dates beside their own, too."""
    bars.config["models"] = {}
    options = {"frequency": 7.5, "sum": ["amount"], "mean": ["price"]}
    bars.model("bars", sql="resample.sql.j2", inputs={"rows": "raw"}, options=options, output={"path": "out/bars"})
    bars.trades(BTC, DAYS[1], [100 + (number * 7919 % 1009) / 997 for number in range(300)])
    late = bars.trades(ETH, DAYS[2], [3.0, 4.0], name="later") / "later.parquet"
    late.rename(bars.raw(ETH, DAYS[1]) / "z.parquet")
    bars.run("--threads", "1")
    together = published(bars)
    assert (len(together) > 300, counted) == (True, [18, 6])  # the first and last days are of another kind
    assert bars.plan() == {}
    monkeypatch.setattr(batches, "MAX_UNITS", 1)
    bars.run("--full-refresh", "--threads", "1")
    assert (published(bars), counted) == (together, [18, 6])


@pytest.mark.slow
def test_kernels_that_look_ahead_see_in_batches_what_they_see_alone(
    bars: Scratch, monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    """Of noon before only the later trades, of noon after the first; also where a date has rows of the next one."""
    bars.config["models"] = {}
    bars.template("near.sql.j2", NEAR)
    bars.kernel(SEEN)
    bars.model("bars", sql="near.sql.j2", inputs={"trades": "raw"}, udfs=["seen"], output={"path": "out/bars"})
    late = bars.trades(ETH, DAYS[4], [3.0, 4.0], name="later") / "later.parquet"
    late.rename(bars.raw(ETH, DAYS[3]) / "z.parquet")
    shutil.rmtree(bars.raw(BTC, DAYS[5]))
    bars.run("--threads", "1")
    together = published(bars)
    assert (len(together), sum(counted)) == (47, 15)
    found = {(row["symbol"], str(row["date"])): row for row in bars.table("bars").to_pylist()}
    here, before = found[BTC, DAYS[1]], found[ETH, DAYS[4]]
    assert [str(here[name]) for name in ("from_ts", "to_ts")] == ["2026-01-01 12:01:00", "2026-01-03 12:00:00"]
    # 100 / 3 + 100 of the day before, three of its own, and one of the day after, the last
    assert here["sum_seen"] == pytest.approx(100 / 3 * 3 + 101 + 100 + 1 / 3 + 100 + 102e6)
    assert str(before["from_ts"]) == "2026-01-04 12:01:00"
    assert bars.plan() == {}
    monkeypatch.setattr(batches, "MAX_UNITS", 1)
    tried = sum(counted)
    bars.run("--full-refresh", "--threads", "1")
    assert (published(bars), sum(counted)) == (together, tried)


@pytest.mark.slow
def test_kernels_that_look_ahead_see_all_markets_of_a_file(
    bars: Scratch, monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    """Units of one file go together, whose markets alternate."""
    bars.config["models"] = {}
    columns = {"symbol": "symbol", "ts": "ts", "price": "price", "amount": "amount"}
    options = {"columns": columns}
    bars.config["sources"]["raw"] = {"path": "raw/x", "adapter": "generic/trades", "exchange": "x", "options": options}
    bars.template("near.sql.j2", NEAR)
    bars.kernel(SEEN)
    bars.model("bars", sql="near.sql.j2", inputs={"trades": "raw"}, udfs=["seen"], output={"path": "out/bars"})
    (bars.lake / "raw/x").mkdir()
    for number, day in enumerate(DAYS):
        noon = 1_767_268_800_000 + number * 86_400_000
        lines = [f"S{k % 3},{noon + 20_000 * k},{100 + number + k / 4},1" for k in range(12)]
        (bars.lake / f"raw/x/{day}.csv").write_text("symbol,ts,price,amount\n" + "\n".join(lines) + "\n")
    bars.run("--threads", "1")
    together = published(bars)
    assert (len(together), max(counted) > 8, sum(counted)) == (84, True, 21)
    monkeypatch.setattr(batches, "MAX_UNITS", 1)
    bars.run("--full-refresh", "--threads", "1")
    assert (published(bars), sum(counted)) == (together, 21)


@pytest.mark.slow
def test_bars_of_liquidity_in_batches_see_no_further_back_than_alone(
    bars: Scratch, monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    """Twenty bars of a tape with three trades a day reach back a week, and a date sees two days."""
    bars.config["models"] = {}
    bars.config["sources"]["book"] = {"path": "raw/ccxt/orderbook", "adapter": "ccxt/orderbook"}
    trades = {"sql": "trades/liquidity.sql.j2", "inputs": {"trades": "raw", "book": "book"}}
    both = {"liquidity": "trades", "book": "book"}
    bars.model("trades", **trades, output={"path": "out/trades"})
    bars.model("bars", sql="trades/liquidity_bars.sql.j2", inputs=both, output={"path": "out/bars"})
    for symbol in (BTC, ETH):
        for number, date in enumerate(DAYS):
            noon = 1_767_268_800_000 + number * 86_400_000
            quotes = [
                {"timestamp": noon + 25_000 * i, "bids": [(9.0 + i, 1.0)], "asks": [(99.0, 2.0)]} for i in range(9)
            ]
            write_orderbook(bars.lake, "binance", symbol, date, quotes)
    bars.run("--threads", "1", "--select", "trades")
    counted.clear()
    bars.run("--threads", "1")
    together = bars.table("bars")
    assert (together.num_rows, len(counted) < 4, sum(counted)) == (76, True, 18)
    monkeypatch.setattr(batches, "MAX_UNITS", 1)
    tried = sum(counted)
    bars.run("--full-refresh", "--threads", "1", "--select", "bars")
    assert sum(counted) == tried
    same_tables(together, bars.table("bars"))


def test_each_file_tells_its_own_unit(bars: Scratch) -> None:
    bars.run()
    builds = set()
    for path in sorted(bars.lake.glob("out/bars/**/*.parquet")):
        record = footers.read(path).stamp.record
        assert record.unit == str(path.parent.relative_to(bars.lake / "out/bars"))
        assert path.name == f"data_{record.build}.parquet"
        assert list(record.sources) == ["trades"]
        builds.add(record.build)
    assert len(builds) == 16


def test_a_table_of_batches_is_known_again_without_its_journal(bars: Scratch) -> None:
    bars.run()
    (bars.lake / ".sqlgen/manifest/bars.ndjson").unlink()
    assert bars.plan() == {}
    bars.trades(BTC, DAYS[3], [7.0], name="late")
    stale = {unit.split()[-1] for unit in bars.plan()}
    assert stale == {*DAYS[2:6]}  # bars read a date after their own, and two before


@pytest.mark.slow
def test_one_bad_file_costs_its_own_units_alone(bars: Scratch, counted: list[int]) -> None:
    bad = next((bars.lake / "raw").rglob(f"*symbol={ETH}/date={DAYS[2]}/*.parquet"))
    bad.write_bytes(bad.read_bytes()[:-9])
    outcome = bars.sqlgen("run", "--json")
    tasks = json.loads(outcome.out)["tasks"]
    failed = {
        (task["partition"].split("=")[2].split("/")[0], task["partition"][-10:]) for task in tasks if task["error"]
    }
    assert failed == {(ETH, date) for date in DAYS[1:5]}
    assert all(str(bad) in task["error"] for task in tasks if task["error"])
    assert sum(task["status"] == "published" for task in tasks) == 12
    assert max(counted) > 1


def test_what_is_said_of_rows_is_said_of_their_unit(bars: Scratch) -> None:
    bars.trades(BTC, DAYS[4], [-1.0], name="odd")
    report = bars.run()
    notes = {task: found["notes"] for task, found in report.items() if found["notes"]}
    assert list(notes) == [f"bars {BTC} {DAYS[4]}"]
    assert any("negative_prices" in note for note in notes[f"bars {BTC} {DAYS[4]}"]), notes


def test_a_file_of_others_stops_its_unit_alone(bars: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after planning."""
    build: Callable[..., object] = batch_module.BatchBuild.build
    theirs = bars.lake / f"out/bars/exchange=binance/symbol={BTC}/date={DAYS[3]}/theirs.csv"

    def late(self: batch_module.BatchBuild) -> object:
        theirs.parent.mkdir(parents=True, exist_ok=True)
        theirs.write_text("1")
        return build(self)

    monkeypatch.setattr(batch_module.BatchBuild, "build", late)
    tasks = json.loads(bars.sqlgen("run", "--json").out)["tasks"]
    failed = [task for task in tasks if task["error"]]
    assert [task["partition"][-10:] for task in failed] == [DAYS[3]]
    assert "theirs.csv" in failed[0]["error"]
    assert theirs.read_text() == "1"


def test_a_placeholder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    duckdb.sql(f"COPY (SELECT 1 AS a) TO '{path}' (FORMAT parquet, KV_METADATA {{sqlgen: 'aXbX'}})")
    for blank in ("c", "X"):  # not there; twice
        with pytest.raises(ValueError, match="does not hold the placeholder once"):
            batchfooters.BatchFooters(blank).overwrite(str(path), "")
    batchfooters.BatchFooters("aXbX").overwrite(str(path), "{}")
    assert pq.read_metadata(path).metadata[b"sqlgen"] == b"{}  "
    assert pq.read_table(path).to_pylist() == [{"a": 1}]


def test_footers_of_a_batch_are_those_that_pyarrow_reads(tmp_path: Path) -> None:
    """Of columns of all kinds, of more and fewer rows, and longer than what is read at once."""
    blank = batchfooters.placeholder(["x" * 50_000])
    nested = "[{b: i, c: [i::VARCHAR]}] AS a, i::DECIMAL(20, 3) AS d, TIME '01:02:03' AS t"
    for kind, columns in enumerate(("i AS a", nested)):
        written = batchfooters.BatchFooters(blank)
        for rows in (1, 7, 70_000):
            path = tmp_path / f"{kind}-{rows}.parquet"
            duckdb.sql(
                f"COPY (SELECT {columns}, TIMESTAMP_NS '2026-01-01' AS ts, MAP {{i: true}} AS m, uuid() AS u FROM"
                f" range({rows}) AS r(i)) TO '{path}' (FORMAT parquet, KV_METADATA {{sqlgen: '{blank}'}})"
            )
            footer = written.overwrite(str(path), "{}")
            known = footers.read(path)
            assert (footer.rows, footer.schema, footer.stat) == (known.rows, known.schema, known.stat)
            assert footer.rows == rows


@pytest.fixture
def chained(scratch: Scratch) -> Scratch:
    """A model with kernels over eight days of two symbols, one day apart from the others."""
    scratch.config["models"] = {}
    header = "{#-\ndescription: What each trade cost\nbatches: true\n-#}"
    scratch.template("costs.sql.j2", COSTS.replace("{#- description: What each trade cost -#}", header))
    scratch.kernel(LEDGER)
    scratch.model("bars", sql="costs.sql.j2", inputs={"trades": "raw"}, udfs=["ledger"], output={"path": "out/bars"})
    for symbol, price in ((BTC, 100.0), (ETH, 10.0)):
        for number, date in enumerate([*DAYS, "2026-01-20"]):
            scratch.trades(symbol, date, [price + number, price + number / 3, price])
    return scratch


def states(scratch: Scratch) -> dict[str, str]:
    """Digest of the kernel state of each partition."""
    records = (footers.read(path).stamp for path in scratch.lake.glob("out/bars/**/*.parquet"))
    found = {stamp.record.unit: stamp.record for stamp in records}
    folder = StateStore(scratch.lake / ".sqlgen/kernels")
    return {unit: folder.digest("bars", Partition.from_path(unit), record.build) for unit, record in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"columns": ["ts", "seq", "cost", "before"], "output": {"float": "single"}},
        {"output": {"order_by": ["Symbol", "seq", "ts"]}},
        {"filter": "date < DATE '2027-01-01'"},
    ],
    ids=["all", "some columns in single precision", "sorted by a key", "filtered by a key"],
)
def test_units_through_kernels_are_what_they_are_alone(
    chained: Scratch, monkeypatch: pytest.MonkeyPatch, counted: list[int], more: dict[str, Any]
) -> None:
    """Keys of the rows, which a batch leaves out where nothing reads them, are there for what reads them."""
    chained.model("bars", **more)
    chained.run("--threads", "1")
    together, left = published(chained), states(chained)
    assert (len(together), len(left), counted) == (48, 16, [16])
    assert chained.plan() == {}
    monkeypatch.setattr(batches, "MAX_UNITS", 1)
    chained.run("--full-refresh", "--threads", "1")
    assert (published(chained), states(chained), counted) == (together, left, [16])


LOOKING_BACK = """\
{#-
description: Cost of each trade, and of the one before it
batches: true
%s
-#}
WITH trades AS (
    {{ inputs.trades | indent(4) }}
),
before AS (
    SELECT *, lag(price) OVER in_order AS last_price, epoch_ns(ts) - lag(epoch_ns(ts)) OVER in_order AS age
    FROM trades
    WINDOW in_order AS (PARTITION BY exchange, symbol ORDER BY ts, date, seq)
)
SELECT
    exchange,
    symbol,
    %s AS date,
    ts,
    seq,
    price * amount + CASE WHEN age <= 86400000000000 THEN last_price ELSE 0 END AS cost -- quote: two prices
FROM before
"""


@pytest.mark.slow
@pytest.mark.parametrize("own_dates", [False, True])
def test_units_through_kernels_that_read_others_are_what_they_are_alone(
    own_dates: bool, chained: Scratch, monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    """Rows of the day before, and rows that are filed under the day before, and under one that has no other."""
    header = "lookback: '86400'" + ("\nown_dates: true" if own_dates else "")
    chained.template("costs.sql.j2", LOOKING_BACK % (header, "CAST(ts AS DATE)" if own_dates else "date"))
    for symbol, day in ((BTC, 1), (ETH, 2), (ETH, 6)):
        late = chained.trades(symbol, DAYS[day], [3.0, 4.0], name="later") / "later.parquet"
        late.rename(chained.raw(symbol, DAYS[day - 1] if own_dates else DAYS[day]) / "z.parquet")
    late = chained.trades(BTC, "2026-01-21", [5.0], name="later") / "later.parquet"
    if own_dates:  # a date without files
        late.rename(chained.raw(BTC, "2026-01-20") / "z.parquet")
        late.parent.rmdir()
    chained.run("--threads", "1")
    together, left = published(chained), states(chained)
    assert (len(together), max(counted) > 4) == (55, True)
    assert chained.plan() == {}
    monkeypatch.setattr(batches, "MAX_UNITS", 1)
    counted.clear()
    chained.run("--full-refresh", "--threads", "1")
    assert (published(chained), states(chained), counted) == (together, left, [])
    assert chained.plan() == {}


EVENT_BARS = {
    "volume_bars": {"volume_bar_size": 1.7, "emit_open_bars": True},
    "imbalance_bars": {"bar_unit": "tick", "initial_ticks": 2, "min_ticks": 1, "max_ticks": 10},
}


@pytest.mark.slow
@pytest.mark.parametrize("kernel", EVENT_BARS)
def test_bars_that_kernels_make_are_what_they_are_alone(
    bars: Scratch, kernel: str, monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    """Bars that begin on one day and close on another, or on none."""
    bars.config["models"] = {}
    bars.model(
        "bars",
        sql="trades/event_bars.sql.j2",
        inputs={"trades": "raw"},
        udfs=[kernel],
        options=EVENT_BARS[kernel],
        output={"path": "out/bars"},
    )
    bars.trades(BTC, DAYS[1], [100 + (number * 7919 % 1009) / 997 for number in range(300)])
    bars.run("--threads", "1")
    together, left = published(bars), states(bars)
    assert counted == ([14, 2] if "emit_open_bars" in EVENT_BARS[kernel] else [16])  # the last days show open bars
    assert len({row[2] for row in together}) > 3
    assert bars.plan() == {}
    monkeypatch.setattr(batches, "MAX_UNITS", 1)
    bars.run("--full-refresh", "--threads", "1")
    assert (published(bars), states(bars)) == (together, left)


def test_one_bad_day_stops_the_days_after_it_alone(chained: Scratch) -> None:
    bad = next((chained.lake / "raw").rglob(f"*symbol={ETH}/date={DAYS[2]}/*.parquet"))
    whole = bad.read_bytes()
    bad.write_bytes(whole[:-9])
    tasks = json.loads(chained.sqlgen("run", "--json").out)["tasks"]
    statuses = {task["partition"].split("symbol=")[1]: task["status"] for task in tasks}
    expected = {f"{symbol}/date={date}": "published" for symbol in (BTC, ETH) for date in (*DAYS, "2026-01-20")}
    expected |= {f"{ETH}/date={date}": "skipped" for date in (*DAYS[3:], "2026-01-20")}
    assert statuses == expected | {f"{ETH}/date={DAYS[2]}": "failed"}
    assert [str(bad) in task["error"] for task in tasks if task["status"] == "failed"] == [True]
    bad.write_bytes(whole)
    assert len(chained.run()) == 6


def test_a_batch_ends_where_kernel_states_stay_as_they_were(chained: Scratch, counted: list[int]) -> None:
    chained.run()
    chained.trades(BTC, DAYS[2], [100.0], name="zlate")
    report = chained.run()
    assert [unit.split()[-1] for unit, found in report.items() if found["status"] == "published"] == [DAYS[2]]


WITH_FINDINGS = [
    {"check": "predicate", "sql": "price <> 77", "on_fail": "fail", "name": "no 77"},
    {"check": "range", "columns": ["price"], "max": 150, "on_fail": "quarantine"},
    {"check": "monotonic", "on_fail": "drop"},
    {"check": "max_gap", "seconds": 90, "on_fail": "warn"},
]


def with_findings(scratch: Scratch) -> None:
    """Findings of every kind in some of the rows of ``chained`` and of ``bars``."""
    config = scratch.config
    config["sources"]["raw"]["checks"] = WITH_FINDINGS
    config["models"]["bars"]["checks"] = [
        {"check": "range", "columns": ["cost"], "max": 105, "on_fail": "quarantine"},
        {"check": "not_null", "columns": ["exchange"], "on_fail": "warn"},
    ]
    scratch.save()
    for day, prices in ((1, [1.0, 200.0]), (2, [300.0, 2.0]), (4, [-1.0])):
        scratch.trades(BTC, DAYS[day], prices, name="odd")
    scratch.trades(ETH, DAYS[5], [77.0], name="wrong")


def findings(scratch: Scratch) -> dict[str, Any]:
    """Results of all partitions but how long they took, and the quarantined rows."""
    tasks = json.loads(scratch.sqlgen("run", "--json", "--full-refresh", "--threads", "1").out)["tasks"]
    told = ("status", "rows_in", "rows_out", "checks", "notes", "error")
    aside = f"{scratch.lake}/out/bars_quarantine/**/*.parquet"
    columns = "exchange, symbol, date, source, check_name, reason, ts, seq, file, line, row"
    query = f"SELECT {columns} FROM read_parquet('{aside}', hive_partitioning = true) ORDER BY ALL"
    return {task["partition"]: {key: task[key] for key in told} for task in tasks} | {
        "": duckdb.execute(query).fetchall()
    }


@pytest.mark.slow
@pytest.mark.parametrize("model", ["costs", "chained"])
def test_findings_of_a_batch_are_those_of_each_unit_alone(
    model: str, chained: Scratch, monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    with_findings(chained)
    if model == "costs":
        text = (chained.folder / "transforms_sql/costs.sql.j2").read_text()
        header = "batches: true\norder_by: [ts, seq]\n"
        chained.template("costs.sql.j2", text.replace("batches: true\n", header))
        del chained.config["models"]["bars"]["udfs"]
        chained.save()
    together, rows = findings(chained), published(chained)
    assert counted == [16]
    assert len(together[""]) == 4, together[""]  # of each check
    monkeypatch.setattr(batches, "MAX_UNITS", 1)
    alone = findings(chained)
    assert counted == [16]
    assert (together, rows) == (alone, published(chained))
    failed = {unit[-10:]: task["status"] for unit, task in together.items() if unit and task["error"]}
    expected = {DAYS[5]: "failed"}
    if model == "chained":
        expected |= {DAYS[6]: "skipped", "2026-01-20": "skipped"}
    assert failed == expected


@pytest.fixture
def packed(scratch: Scratch) -> Scratch:
    """Packed files with trades of four symbols each, of which one tells of the day before it too."""
    scratch.config["sources"] = {
        "raw": {"path": "raw/mixed", "adapter": "generic/trades", "exchange": "x", "options": {"time_unit": "s"}}
    }
    scratch.config["models"] = {}
    folder = scratch.lake / "raw/mixed"
    folder.mkdir(parents=True)
    for number, begin in enumerate((1_767_225_600, 1_767_312_000 - 600, 1_767_398_400)):
        rows = [f"{begin + 60 * row},S{row % 4},{100 + row % 7},{1 + row % 3}" for row in range(240)]
        rows += ["soon,S1,1,1"] if number == 1 else []  # a row without a time
        with gzip.open(folder / f"t{number}.csv.gz", "wt") as file:
            file.write("\n".join(["ts,symbol,price,amount", *rows, ""]))
    return scratch


@pytest.mark.slow
@pytest.mark.parametrize(("sql", "large"), [(BARS, False), (FEATURES, True)])
def test_files_of_many_symbols_are_decoded_once(
    sql: str, large: bool, packed: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed.model("bars", sql=sql, inputs={"trades": "raw"}, output={"path": "out/bars"})
    packed.plan()  # looks up the symbols
    decoded: list[str] = []
    decode = Decoder.decode

    def noting(self: Decoder, path: Path, target: Path) -> Decoded:
        decoded.append(path.name)
        return decode(self, path, target)

    monkeypatch.setattr(Decoder, "decode", noting)
    with monkeypatch.context() as small:
        if large:
            small.setattr(batches, "LARGE", 0)
        report = packed.run("--threads", "1")
        together = published(packed)
    assert len(report) == 12
    assert len(decoded) <= 8, decoded  # the first and the last day are apart; days beside them are read too
    monkeypatch.setattr(batches, "_shared", lambda task, picture: ())
    monkeypatch.setattr(batches, "MAX_UNITS", 1)
    decoded.clear()
    alone = packed.run("--full-refresh", "--threads", "1")
    assert len(decoded) >= 12
    assert published(packed) == together
    told = ("status", "rows_in", "rows_out", "checks", "notes")
    assert [[task[key] for key in told] for task in report.values()] == [
        [task[key] for key in told] for task in alone.values()
    ]


@pytest.mark.slow
def test_what_a_batch_replaces_is_kept_for_readers_for_a_moment(bars: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a unit alone: a reader may have just listed the old files."""
    bars.run()
    old = {path.name for path in bars.lake.glob("out/bars/**/*.parquet")}
    retired: set[str] = set()
    retire = swap.retire

    def noting(folder: Path) -> None:
        retired.update(path.name for path in folder.rglob("data_*.parquet"))
        retire(folder)

    monkeypatch.setattr(swap, "retire", noting)
    bars.run("--full-refresh")
    assert (len(old), retired) == (16, old)
    assert not [*(bars.lake / ".sqlgen/staging").rglob("*.parquet")]


def _modes(folder: Path, output: dict[str, Any], checked: bool) -> tuple[list[Any], ...]:
    """Rows, quarantine and reports of a table of mode append or merge after each of three runs.

    Files come late, one day gets two at once, and others go.
    """
    made = Scratch(folder)
    header = "{#-\ndescription: Costs\nbatches: true\norder_by: [ts, seq]\n-#}"
    made.template("costs.sql.j2", COSTS.replace("{#- description: What each trade cost -#}", header))
    made.config["models"] = {}
    made.model("bars", sql="costs.sql.j2", inputs={"trades": "raw"}, output={"path": "out/bars", **output})
    if checked:
        made.config["sources"]["raw"]["checks"] = WITH_FINDINGS[1:]
        limit = {"check": "range", "columns": ["cost"], "max": 110, "on_fail": "quarantine"}
        made.model("bars", checks=[limit])
    reports: list[Any] = []
    aside = f"{made.lake}/out/bars_quarantine/**/*.parquet"
    query = f"SELECT * FROM read_parquet('{aside}', hive_partitioning = true) ORDER BY ALL"
    rows, quarantined = list[Any](), list[Any]()

    def go(*arguments: str) -> None:
        tasks = json.loads(made.sqlgen("run", "--json", "--threads", "1", *arguments).out)["tasks"]
        told = ("partition", "status", "rows_in", "rows_out", "checks", "notes", "error", "reason")
        reports.append([{key: task[key] for key in told} for task in tasks])
        rows.append(sorted(published(made), key=repr))
        quarantined.append(duckdb.execute(query).fetchall() if checked else [])
        assert made.plan() == {}

    for symbol, price in ((BTC, 100.0), (ETH, 10.0)):
        for number, date in enumerate(DAYS):
            made.trades(symbol, date, [price + number, price - number, 200.0], name="a")
    go()
    for number, date in enumerate(DAYS):
        made.trades(BTC, date, [50.0 + number, 300.0], name="b" if number < 4 else "a2")
    made.trades(BTC, DAYS[6], [1.0], name="c")  # two files at once
    made.trades(ETH, "2026-01-09", [7.0], name="a")
    go()
    shutil.rmtree(made.raw(ETH, DAYS[0]))
    made.trades(ETH, DAYS[1], [8.0], name="late")
    made.trades(ETH, DAYS[2], [9.0, 400.0], name="late")
    go()
    go("--full-refresh")
    return rows, quarantined, reports


@pytest.mark.slow
@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("mode", ["append", "merge"])
def test_tables_that_grow_are_built_in_batches_as_alone(
    mode: str, checked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    """With files of before, quarantined rows, trades that come twice, and a rebuild of all."""
    output: dict[str, Any] = {"mode": mode}
    if mode == "merge":
        output |= {"key": ["cost", "trade_id"], "order_by": ["ts"], "float": "single"}
    together = _modes(tmp_path / "together", output, checked)
    assert counted[0] == 14
    assert counted[1] >= 6
    assert (len(together[0][0]), [len(found) > 0 for found in together[1]]) == (42 - 14 * checked, [checked] * 4)
    counted.clear()
    monkeypatch.setattr(batches, "MAX_UNITS", 1)
    alone = _modes(tmp_path / "alone", output, checked)
    assert counted == []
    for one, other in zip(together, alone, strict=True):
        assert one == other


@pytest.mark.slow
def test_rows_that_a_failed_batch_has_set_aside_are_not_set_aside_twice(chained: Scratch, counted: list[int]) -> None:
    text = (chained.folder / "transforms_sql/costs.sql.j2").read_text()
    text = text.replace("batches: true\n", "batches: true\norder_by: [ts, seq]\n")
    chained.template(
        "costs.sql.j2", text.replace("seq,", "CASE WHEN price = 77 THEN error('77!') ELSE seq END AS seq,")
    )
    chained.config["sources"]["raw"]["checks"] = WITH_FINDINGS[1:2]
    chained.model("bars", udfs=[])
    for day in range(7):
        chained.trades(ETH, DAYS[day], [300.0 + day], name="odd")
    chained.trades(ETH, DAYS[5], [77.0], name="wrong")
    report = chained.run("--threads", "1", code=1)
    assert counted == [16, 8, 8, 4, 4, 2, 2]
    assert [unit for unit, told in report.items() if told["error"]] == [f"bars {ETH} {DAYS[5]}"]
    aside = [path.parent.name for path in chained.lake.glob("out/bars_quarantine/**/*.parquet")]
    assert sorted(aside) == [f"date={DAYS[day]}" for day in (0, 1, 2, 3, 4, 6)]
    assert [*chained.plan()] == [f"bars {ETH} {DAYS[5]}"]


def test_all_shipped_models_are_built_in_batches() -> None:
    models = Engine.open(ROOT / "models.yaml").project.models
    assert len(models) > 12
    assert {name for name, model in models.items() if not model.batched} == set()
