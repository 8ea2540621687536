"""A model row by row gives the rows and the states that a run over files publishes, bit by bit."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from sqlgen.errors import SqlgenError, UsageError
from sqlgen.live.model import LateError, LiveModel, open_model
from sqlgen.live.rowwise import RowError
from tests.support.engine import ROOT, published_file, shipped_config, sqlgen
from tests.support.lakes import Row, read_rows
from tests.support.scratch import BTC, DAY1, DAY2, ETH, Scratch, state_files

MIDNIGHT = int(dt.datetime.fromisoformat(f"{DAY2}T00:00:00+00:00").timestamp() * 1000)
MINUTE = 60_000
HF = "processed/ccxt/orderbook/hf/exchange=binance/symbol=BTC-USDT/date={}"


@dataclass
class Played:
    """Two days, built by a run and played to a live model."""

    folder: Path
    events: dict[str, list[tuple[bool, Row]]] = field(default_factory=dict)
    """Date -> trades (True) and rows in time order."""
    rows: dict[str, list[Row]] = field(default_factory=dict)
    """Date -> what the live model gave."""
    states: dict[str, bytes] = field(default_factory=dict)
    """Date -> its state after the day."""

    @property
    def saved(self) -> Path:
        """The state in the middle of the second day, with trades that wait."""
        return self.folder / "saved.state"

    def unit(self, date: str) -> Path:
        return self.folder / "lake" / HF.format(date)

    def state_file(self, date: str) -> Path:
        unit = self.unit(date)
        return state_files(self.folder / "lake", "orderbook_hf")["/".join(unit.parts[-3:])]

    def open(self, **arguments: Any) -> LiveModel:
        return open_model(self.folder / "models.yaml", exchange="binance", symbol=BTC, **arguments)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The minutes around a midnight of a busy faulty feed, with a gap, and with files that came late."""
    played = Played(tmp_path_factory.mktemp("live"))
    lake = played.folder / "lake"
    faults = "missing_levels,one_sided,crossed,null_timestamp,unknown_side,duplicates"
    size = ("--symbols", BTC, "--rows-per-day", 20_000, "--days", 2, "--seed", 11)
    assert sqlgen("sample", lake, *size, "--faults", faults).code == 0
    for kind in ("orderbook", "trades"):
        for path in (lake / "raw/ccxt" / kind).rglob("data.parquet"):
            _cut(path, late="date=2026-01-02" in str(path))
    config = shipped_config(Path("lake"))
    config["models"]["orderbook_hf"]["options"] |= {"vpin_bucket_volume": "0.1", "vpin_window_buckets": 5}
    (played.folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", played.folder / "models.yaml", "--select", "orderbook_hf")
    assert outcome.code == 0, outcome.out + outcome.err
    with played.open() as live:
        for date in (DAY1, DAY2):
            played.events[date] = events(lake, date)
            save_at = len(played.events[date]) * 2 // 3 if date == DAY2 else -1
            played.rows[date] = play(live, played.events[date][:save_at])
            if date == DAY2:
                live.save(played.saved)
            played.rows[date] += play(live, played.events[date][save_at:])
            played.states[date] = live.state()
    return played


def _cut(path: Path, late: bool) -> None:
    """Keep 12 minutes before and 22 after midnight, without 6 in between; maybe put some rows into another file."""
    table = pq.read_table(path, partitioning=None)
    times = pc.coalesce(table["timestamp"], table["collected_at"]).to_numpy()
    minutes = (times - MIDNIGHT) / MINUTE
    table = table.filter((minutes >= -12) & (minutes < 22) & ~((minutes >= 10) & (minutes < 16)))
    if late:
        pq.write_table(table.slice(30, 20), path.with_name("late.parquet"))
        table = pa.concat_tables([table.slice(0, 30), table.slice(50)])
    pq.write_table(table, path)


def events(lake: Path, date: str) -> list[tuple[bool, Row]]:
    """Trades (True) and rows of a date in time order, trades first where the times are the same."""
    timed = [
        (row["timestamp"] if row["timestamp"] is not None else row["collected_at"], kind == "orderbook", number, row)
        for kind in ("orderbook", "trades")
        for number, row in enumerate(read_rows(lake, kind))
        if str(row["date"]) == date
    ]
    return [(not is_row, row) for _, is_row, _, row in sorted(timed, key=lambda event: event[:3])]


def play(live: LiveModel, feed: Iterable[tuple[bool, Row]]) -> list[Row]:
    found = []
    for is_trade, row in feed:
        if is_trade:
            live.trade(row)
        else:
            found.append(live.update(row))
    return found


def published(folder: Path) -> list[Row]:
    """Rows in the order of their file, times as ns."""
    table = published_file(next(folder.glob("*.parquet")))
    return table.set_column(table.schema.get_field_index("ts"), "ts", table["ts"].cast(pa.int64())).to_pylist()


def same(found: list[Row], expected: list[Row], leave_out: str = "") -> None:
    """The same columns with the same values, bit by bit: floats that are not the same are not written the same."""
    assert len(found) == len(expected)
    for number, (one, two) in enumerate(zip(found, expected, strict=True)):
        assert [*one] == [*two]
        unequal = {name: (one[name], two[name]) for name in one if repr(one[name]) != repr(two[name])}
        unequal.pop(leave_out, None)
        assert not unequal, number


@pytest.mark.slow
def test_the_played_days_have_what_they_should(played: Played) -> None:
    """Or equal rows would not mean much."""
    rows = played.rows[DAY1] + played.rows[DAY2]
    assert {"ok", "crossed", "one_sided"} <= {row["book_state"] for row in rows}
    assert {0.0} < {row["segment_age_s"] for row in played.rows[DAY2]}, "a segment starts in the second day"
    columns = ["ofi_sum_900s", "mlofi", "kyle_lambda", "ofi_impact", "tfi_60s", "spread_percentile", "vpin"]
    for column in columns:
        assert sum(row[column] is not None for row in rows) > 100, column
    times = [row["ts"] for row in rows]
    assert len(set(times)) < len(times), "duplicates"


@pytest.mark.slow
def test_every_row_is_the_published_one(played: Played) -> None:
    same(played.rows[DAY1], published(played.unit(DAY1)))


def test_a_day_whose_files_came_late_is_that_of_the_sorted_run(played: Played) -> None:
    """A run numbers the rows as their files have them, a feed as they come."""
    expected = published(played.unit(DAY2))
    assert [row["seq"] for row in played.rows[DAY2]] == list(range(len(expected)))
    assert [row["seq"] for row in expected] != list(range(len(expected)))
    same(played.rows[DAY2], expected, leave_out="seq")


@pytest.mark.parametrize("date", [DAY1, DAY2])
def test_the_state_is_that_of_the_run(played: Played, date: str) -> None:
    assert played.states[date] == played.state_file(date).read_bytes()


@pytest.mark.slow
def test_it_goes_on_after_a_published_day(played: Played) -> None:
    feed = played.events[DAY2][:60]
    with played.open(state=played.unit(DAY1)) as live:
        found = play(live, feed)
    assert len(found) > 20
    same(found, played.rows[DAY2][: len(found)])


@pytest.mark.slow
def test_it_goes_on_after_the_last_published_day(played: Played) -> None:
    with played.open(state="last") as live:
        assert live.state() == played.states[DAY2]
        assert live.last == played.rows[DAY2][-1]["ts"]
        row = {"timestamp": MIDNIGHT + 23 * MINUTE, "bids": [[99.0, 1.0]], "asks": [[101, 2]]}
        found = live.update(row)
        assert (found["seq"], found["mid_price"]) == (len(played.rows[DAY2]), 100.0)
        row["timestamp"] += 24 * 60 * MINUTE
        found = live.update(row)
        assert (found["seq"], found["date"]) == (0, dt.date(2026, 1, 3))


@pytest.mark.slow
def test_it_goes_on_in_the_middle_of_a_day(played: Played) -> None:
    feed = played.events[DAY2][len(played.events[DAY2]) * 2 // 3 :]
    with played.open(state=played.saved) as live:
        found = play(live, feed)
        assert live.state() == played.states[DAY2]
    assert len(found) > 50
    same(found, played.rows[DAY2][-len(found) :])


def test_a_state_of_another_symbol_is_refused(played: Played) -> None:
    with pytest.raises(SqlgenError, match=r"saved for exchange=binance/symbol=BTC-USDT, not for .*symbol=ETH-USDT"):
        open_model(played.folder / "models.yaml", exchange="binance", symbol=ETH, state=played.saved)
    with pytest.raises(SqlgenError, match="holds another symbol than exchange=binance/symbol=ETH-USDT"):
        open_model(played.folder / "models.yaml", exchange="binance", symbol=ETH, state=played.unit(DAY1))
    with pytest.raises(SqlgenError, match="has published nothing for exchange=binance/symbol=ETH-USDT"):
        open_model(played.folder / "models.yaml", exchange="binance", symbol=ETH, state="last")


def test_a_damaged_state_is_refused(played: Played, tmp_path: Path) -> None:
    path = tmp_path / "torn.state"
    path.write_bytes(played.saved.read_bytes()[:-3])
    with pytest.raises(SqlgenError, match=r"torn.state cannot be used: it is damaged"):
        played.open(state=path)
    with pytest.raises(SqlgenError, match="cannot be read"):
        played.open(state=tmp_path / "none.state")


@pytest.mark.slow
def test_the_replay_example(played: Played) -> None:
    command = [sys.executable, ROOT / "examples/replay.py", played.folder / "models.yaml", "--exchange", "binance"]
    done = subprocess.run(
        [*map(str, command), "--symbol", BTC, "--date", DAY2, "--rows", "80"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "all 80 rows equal, bit by bit" in done.stdout


COUNT = '''\
"""Rows so far."""

import numpy as np

from udfs.kernel import Column, Kernel


class Count(Kernel):
    name = "count"
    version = 1
    doc = "Rows so far"

    def inputs(self):
        return ("cost",)

    def outputs(self):
        return (Column("rows", "1: rows so far", "bigint"),)

    def start(self):
        return {"rows": np.zeros(1, np.int64)}

    def run(self, state, batch):
        if np.any(batch["cost"] > 1000):
            raise ValueError("too dear")
        rows = state["rows"] + np.arange(1, len(batch) + 1)
        state["rows"] = rows[-1:].copy()
        return [rows]
'''


@pytest.fixture
def costs(scratch: Scratch) -> Scratch:
    """``costs``, a model whose rows are trades, with a kernel that counts them."""
    from udfs.registry import reload

    (scratch.folder / "udfs").mkdir()
    (scratch.folder / "udfs/count.py").write_text(COUNT)
    reload()
    scratch.model("costs", udfs=["count"])
    return scratch


def live(project: Scratch, model: str = "costs", **arguments: Any) -> LiveModel:
    return open_model(project.file, model, exchange="binance", symbol=BTC, **arguments)


T = 1_767_225_600_000
"""2026-01-01 in ms."""


def trade(**fields: Any) -> Row:
    return {"timestamp": T + 1000, "trade_id": "1", "side": "buy", "price": 2.0, "amount": 3.0} | fields


def test_a_row_as_a_dictionary(costs: Scratch) -> None:
    with live(costs) as model:
        assert model.update(trade(timestamp=None, collected_at=T + 7)) == {
            "exchange": "binance",
            "symbol": BTC,
            "date": dt.date(2026, 1, 1),
            "ts": (T + 7) * 1_000_000,
            "seq": 0,
            "trade_id": "1",
            "cost": 6.0,
            "rows": 1,
        }
        assert model.update(trade(price=None))["cost"] is None
        assert model.update(trade(price=float("nan"), amount=4))["cost"] is None
        assert model.update(trade())["rows"] == 4


def test_columns_and_a_model_without_kernels(costs: Scratch) -> None:
    columns = ["cost", "exchange", "symbol", "date"]
    costs.model("costs", udfs=[], columns=columns)
    with live(costs) as model:
        assert model.update(trade())["cost"] == 6.0
        assert [*model.update(trade())] == columns
    costs.trades(BTC, DAY1, [1.0, 2.0])
    costs.run("--select", "costs")
    with live(costs, state="last") as model:
        assert model.last is None, "the table has no ts"
        assert model.update(trade())["cost"] == 6.0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (trade(timestamp=None), r"model 'costs', input 'trades': the row has no time: timestamp and collected_at are"),
        (trade(timestamp="noon"), "'noon' is no time of a row: ms since 1970 as a whole number are needed"),
        (trade(timestamp=1e12), "1000000000000.0 is no time of a row"),
        (trade(timestamp=10**18), "1000000000000000000 is no time of a row"),
        (trade(timestamp=T // 1000), "1767225600 is no time of a row: ms since 1970 as a whole number are needed"),
        (trade(price="2.0"), r"column 'price' must be DOUBLE; found '2.0'"),
        (trade(trade_id=1), r"column 'trade_id' must be VARCHAR; found 1"),
        (
            {"timestamp": T + 1000, "cost": 1},
            r"the row has no column 'trade_id' \(None is NULL\). It has: timestamp, cost",
        ),
    ],
)
def test_a_row_that_is_not_one(costs: Scratch, row: Row, message: str) -> None:
    with live(costs) as model:
        with pytest.raises(RowError, match=message):
            model.update(row)
        assert model.update(trade())["rows"] == 1, "the row before left no trace"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bids", "message"),
    [
        ("100 1", "column 'bids': a list is needed, found '100 1'"),
        ([100.0, 1.0], r"column 'bids': \(price, size\) is needed, found 100.0"),
        ([[100.0]], r"column 'bids': \(price, size\) is needed, found \[100.0\]"),
        ([{"price": 100.0, "amount": 1.0}], r"column 'bids': \(price, size\) is needed, found {'price'"),
        ([("a", 1.0)], r"column 'bids' must be STRUCT\(price DOUBLE, size DOUBLE\)\[\]; found"),
    ],
)
def test_a_book_that_is_not_one(played: Played, bids: Any, message: str) -> None:
    with played.open() as model, pytest.raises(RowError, match=message):
        model.update({"timestamp": T + 1000, "bids": bids, "asks": []})


def test_rows_that_come_late(costs: Scratch) -> None:
    with live(costs) as model:
        model.update(trade(timestamp=T + 2000))
        with pytest.raises(LateError, match=r"the row of 2026-01-01 00:00:01.000000000 comes after the row of .*:02"):
            model.update(trade(timestamp=T + 1000))
        assert model.update(trade(timestamp=T + 2000))["rows"] == 2
        with pytest.raises(UsageError, match="sees no trades"):
            model.trade(trade())


@pytest.mark.slow
def test_trades_that_come_late(played: Played) -> None:
    with played.open() as model:
        model.update({"timestamp": T + 5000, "bids": [], "asks": []})
        for time in (T + 4999, T + 5000):
            with pytest.raises(LateError, match=r"the trade of .* comes after the row of .* which should have seen it"):
                model.trade(trade(timestamp=time))
        model.trade(trade(timestamp=T + 5002, amount=7.0))
        model.trade(trade(timestamp=T + 5001))
        assert model.update({"timestamp": T + 5001, "bids": None, "asks": []})["trade_volume"] == 3.0
        assert model.update({"timestamp": T + 5003, "bids": [], "asks": []})["trade_volume"] == 7.0


def test_a_kernel_that_fails_ends_the_feed(costs: Scratch) -> None:
    with live(costs) as model:
        model.update(trade())
        model.save(costs.folder / "saved")
        for row in (trade(price=1e6), trade()):
            with pytest.raises(SqlgenError, match=r"stopped at the row of .*: too dear.*Its state is lost"):
                model.update(row)
        with pytest.raises(SqlgenError, match="Its state is lost"):
            model.state()
    with live(costs, state=costs.folder / "saved") as model:
        assert model.update(trade())["rows"] == 2


def test_sql_that_fails_at_a_row_does_no_harm(costs: Scratch) -> None:
    costs.template("costs.sql.j2", "SELECT *, 1.0 / CAST(trade_id AS INTEGER) AS cost FROM ({{ inputs.trades }})")
    with live(costs) as model:
        assert model.update(trade())["rows"] == 1
        with pytest.raises(SqlgenError, match=r"model 'costs', input 'trades': .*Could not convert string 'x'"):
            model.update(trade(trade_id="x"))
        assert model.update(trade())["rows"] == 2


@pytest.mark.parametrize("tail", ["WHERE price > 5", ", (VALUES (1), (2)) AS twice(n)", "ORDER BY price"])
def test_a_template_that_is_not_row_by_row(costs: Scratch, tail: str) -> None:
    costs.template("costs.sql.j2", f"SELECT *, price * amount AS cost FROM ({{{{ inputs.trades }}}}) {tail}")
    with pytest.raises(SqlgenError, match="does not return one row for each row"), live(costs) as model:
        play(model, [(False, trade()), (False, trade(timestamp=T + 2000))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lookback": 60}, "'costs' cannot run live: its SQL looks back 60 s into earlier rows. Only kernels"),
        ({"filter": "cost > 1"}, "its filter drops rows"),
        ({"inputs": {"trades": "raw", "more": "raw"}}, "it also reads more"),
        ({"inputs": {"trades": {"ref": "raw", "symbol": "ETH-USDT"}}}, "excludes .*symbol=BTC-USDT from its input"),
    ],
)
def test_models_that_cannot_run_live(costs: Scratch, change: dict[str, Any], message: str) -> None:
    costs.model("costs", **change)
    with pytest.raises(UsageError, match=message):
        live(costs)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("volume_bars", "kernel volume_bars returns other rows than its input rows"),
        ("trades_features", "its SQL looks back 86400 s"),
        ("trades_bars", "its SQL looks back"),
        ("orderbook_bars", "its input 'hf' is model 'orderbook_hf'"),
        ("trades_liquidity", r"its labels \(realized_spread_1s, realized_spread_1s_bps, price_impact_1s \.\.\.\) know"),
        (
            "orderbook_labels",
            r"kernel triple_barrier looks ahead: its labels \(barrier_label, barrier_ts, barrier_return\) know",
        ),
    ],
)
def test_shipped_models_that_cannot_run_live(model: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_model(ROOT / "models.yaml", model, exchange="binance", symbol=BTC)


def test_other_models_that_cannot_run_live(costs: Scratch) -> None:
    with pytest.raises(UsageError, match="'pairs' cannot run live: its input 'costs' is model 'costs', not a source"):
        live(costs, "pairs")
    with pytest.raises(UsageError, match=r"unknown model 'cost'. Did you mean 'costs'\? Known: costs, pairs"):
        live(costs, "cost")
    costs.model("costs", udfs=["count", "returns"])
    with pytest.raises(SqlgenError, match="kernel returns needs column mid_price, which the template does not return"):
        live(costs)


def test_dates_that_models_yaml_leaves_out(costs: Scratch) -> None:
    costs.model("costs", inputs={"trades": {"ref": "raw", "date_start": DAY2}})
    with live(costs) as model:
        with pytest.raises(RowError, match=r"models.yaml excludes rows of 2026-01-01 \(date_start, date_end\)"):
            model.update(trade(timestamp=MIDNIGHT - 1))
        assert model.update(trade(timestamp=MIDNIGHT))["rows"] == 1


@pytest.mark.slow
def test_a_program_that_does_not_close_its_model_ends_quietly(costs: Scratch) -> None:
    program = f"""
from sqlgen.live.model import open_model
live = open_model({str(costs.file)!r}, "costs", exchange="binance", symbol="BTC-USDT")
print(live.update({trade()!r})["cost"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "6.0\n", "")


@pytest.mark.slow
def test_every_adapter_reads_a_table() -> None:
    """With the types that it names for NDJSON files."""
    import duckdb

    from sqlgen.compile.compiler import Compiler
    from sqlgen.compile.scope import Scan, SourceLayout
    from sqlgen.live.rowwise import RawRows, RowStatement
    from sqlgen.project import project

    loaded = project.load(ROOT / "models.yaml")
    compiler = Compiler(loaded)
    read = {}
    with duckdb.connect() as connection:
        for model in loaded.models.values():
            for entry in model.inputs:
                if entry.source is not None:
                    rows = RawRows.of(
                        entry.ref, compiler.raw_form(model, entry, SourceLayout()).known_columns, connection
                    )
                    statement = RowStatement(
                        compiler.input_select(model, entry, Scan(("t",), "table")), "t", rows, connection
                    )
                    batch = rows.batch(
                        dict.fromkeys(rows.types) | {"timestamp": T}, exchange="a", symbol="b", date=None, seq=3
                    )
                    read[entry.ref] = statement.row(batch, T * 1_000_000).to_pylist()[0]["seq"]
                    statement.close()
    assert read == dict.fromkeys(loaded.sources, 3)
