"""Nothing published is lost, doubled or wrong where the ground shifts: schemas, layouts, modes, state, names."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sqlgen.builders import unit as building
from sqlgen.builders.job import Job
from sqlgen.plan.selection import Selection
from sqlgen.published.publication import StagedUnit
from sqlgen.run.engine import Engine
from sqlgen.run.machine import Settings
from sqlgen.run.watcher import Watcher
from tests.support.engine import ROOT, sqlgen
from tests.support.scratch import BTC, COSTS, DAY1, DAY2, DAY3, ETH, Scratch

PASS = """\
WITH trades AS (
    {{ inputs.trades | indent(4) }}
)
SELECT * FROM trades
"""


@pytest.fixture
def single(scratch: Scratch) -> Scratch:
    """One model, ``costs``, that passes trades on."""
    del scratch.config["models"]["pairs"]
    scratch.template("costs.sql.j2", PASS)
    scratch.save()
    return scratch


def prices(project: Scratch, model: str = "costs") -> list[Any]:
    return sorted(project.table(model)["price"].to_pylist())


def copy(select: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")


def raw(price: str, side: str = "'buy'", at: str = "1767225600000") -> str:
    times = f"{at}::BIGINT AS timestamp, 0::BIGINT AS collected_at"
    return f"SELECT {times}, 'x' AS trade_id, {price} AS price, 1.0::DOUBLE AS amount, {side} AS side"


# Schemas and layouts of the inputs


def test_files_with_other_column_types(single: Scratch) -> None:
    folder = single.raw(BTC, DAY1)
    copy(raw("100", "NULL::INTEGER"), folder / "a.parquet")
    copy(raw("100.4::DOUBLE"), folder / "b.parquet")
    single.run()
    assert prices(single) == [100.0, 100.4]
    assert single.table("costs")["side"].to_pylist() == [None, 1]


@pytest.mark.parametrize("keys", ["year=2026/month=1/day=1", "exchange=binance/symbol=A/year=2026/month=1", ""])
def test_keys_that_the_path_lacks_come_from_the_rows(single: Scratch, keys: str) -> None:
    rows = raw("1.0::DOUBLE").replace("SELECT", "SELECT 'binance' AS exchange, 'A' AS symbol,")
    other = raw("2.0::DOUBLE").replace("SELECT", "SELECT 'binance' AS exchange, 'B' AS symbol,")
    text = rows if "symbol" in keys else f"{rows} UNION ALL {other}"
    copy(text, single.lake / "raw/ccxt/trades" / keys / "a.parquet")
    results = single.run()
    assert set(results) == {"costs A 2026-01-01"} | (set() if "symbol" in keys else {"costs B 2026-01-01"})
    assert prices(single) == ([1.0] if "symbol" in keys else [1.0, 2.0])
    assert single.plan() == {}


def test_another_adapter_finds_other_partitions(single: Scratch) -> None:
    adapter = (ROOT / "transforms_sql/sources/ccxt/trades.sql.j2").read_text()
    single.template("sources/own.sql.j2", adapter)
    single.config["sources"]["raw"]["adapter"] = "own"
    single.save()
    rows = raw("1.0::DOUBLE").replace("SELECT", "SELECT 'binance' AS exchange, 'a' AS symbol,")
    copy(rows, single.lake / "raw/ccxt/trades/a.parquet")
    single.run()
    shouted = "shouted AS (SELECT * REPLACE (upper(symbol) AS symbol) FROM positioned)"
    changed = adapter
    for old, new in (("}}\n{{ canonical", f"}}}},\n{shouted}\n{{{{ canonical"), ('END", ', "END\", 'shouted', ")):
        assert changed.count(old) == 1
        changed = changed.replace(old, new)
    single.template("sources/own.sql.j2", changed)
    assert set(single.run("--prune")) >= {"costs A 2026-01-01"}
    assert single.table("costs")["symbol"].to_pylist() == ["A"]


def test_a_source_that_cannot_be_listed_stops_only_its_models(single: Scratch) -> None:
    single.config["sources"]["other"] = {"path": "raw/other", "adapter": "ccxt/trades"}
    single.config["models"]["others"] = {
        "sql": "costs.sql.j2",
        "inputs": {"trades": "other"},
        "output": {"path": "out/others"},
    }
    single.save()
    single.trades(BTC, DAY1, [1.0])
    (single.lake / "raw/other").mkdir(parents=True)
    (single.lake / "raw/other/x.parquet").write_bytes(b"PAR1 and no more")
    outcome = single.sqlgen("run", "--json")
    assert outcome.code == 1
    assert [task["status"] for task in outcome.json["tasks"]] == ["published"]
    assert "raw/other/x.parquet" in outcome.json["errors"][0]
    assert prices(single) == [1.0]


def test_hidden_files_are_read_neither_by_run_nor_by_the_compiled_file(single: Scratch) -> None:
    folder = single.trades(BTC, DAY1, [1.0])
    for name in ("_tmp.parquet", ".hid.parquet"):
        shutil.copy(folder / "data.parquet", folder / name)
    single.run()
    assert prices(single) == [1.0] == compiled(single)


def compiled(project: Scratch, model: str = "costs") -> list[Any]:
    """Prices by the compiled file, in this DuckDB."""
    project.sqlgen("compile")
    sql = (project.folder / f"target/compiled/{model}.sql").read_text()
    sql = sql.replace("'lake/", f"'{project.lake}/").replace("'target/tables/", f"'{project.folder}/target/tables/")
    duckdb.execute(sql)
    query = f"SELECT price FROM read_parquet('{project.folder}/target/tables/{model}/**/*.parquet') ORDER BY ALL"
    return [row[0] for row in duckdb.execute(query).fetchall()]


def test_merge_keys_are_those_of_a_partition_in_the_compiled_file_too(single: Scratch) -> None:
    single.model("costs", output={"mode": "merge", "key": ["trade_id"], "order_by": ["ts"]})
    single.trades(BTC, DAY1, [1.0])
    single.trades(ETH, DAY1, [2.0])
    single.run()
    assert prices(single) == [1.0, 2.0] == compiled(single)


def test_a_filter_that_ends_in_a_comment(single: Scratch) -> None:
    single.model("costs", filter="price > 1 -- the dear ones")
    single.trades(BTC, DAY1, [1.0, 2.0])
    single.run()
    assert prices(single) == [2.0] == compiled(single)


def test_an_optional_input_without_files(single: Scratch) -> None:
    single.template("costs.sql.j2", PASS + "{% if inputs.more is defined %}WHERE false{% endif %}\n")
    single.config["sources"]["more"] = {"path": "raw/more", "adapter": "ccxt/trades"}
    single.model("costs", inputs={"trades": "raw", "more": {"ref": "more", "optional": True}})
    single.trades(BTC, DAY1, [1.0])
    single.run()
    assert prices(single) == [1.0] == compiled(single)


@pytest.mark.slow
def test_rows_filed_after_midnight_that_happened_before(tmp_path: Path) -> None:
    """Windows and gaps are the same, computed day by day and in one statement."""
    from tests.e2e.test_compiled_sql import same_tables
    from tests.support.engine import published, shipped_config
    from tests.support.lakes import write_trades

    midnight = 1_767_312_000_000
    days = {DAY1: (-9000, -3000, -1000, -500), DAY2: (-2000, -700, 500, 900, 400_000)}
    for day, offsets in days.items():
        rows = [
            {"timestamp": midnight + at, "trade_id": str(at), "side": "buy", "price": 100.0 + i, "amount": 1.0}
            for i, at in enumerate(offsets)
        ]
        write_trades(tmp_path / "lake", "binance", BTC, day, rows)
    import yaml

    (tmp_path / "models.yaml").write_text(yaml.safe_dump(shipped_config(Path("lake")), sort_keys=False))
    assert sqlgen("run", tmp_path / "models.yaml", "--allow-empty").code == 0
    sqlgen("compile", tmp_path / "models.yaml")
    for model, path in (("trades_features", "trades/features"), ("trades_bars", "trades/bars")):
        sql = (tmp_path / f"target/compiled/{model}.sql").read_text()
        sql = sql.replace("'lake/", f"'{tmp_path}/lake/").replace("'target/", f"'{tmp_path}/target/")
        duckdb.execute(sql)
        same_tables(published(tmp_path / "target/tables" / model), published(tmp_path / "lake/processed/ccxt" / path))


# Deleting processed inputs


@pytest.fixture
def deleting(single: Scratch) -> Scratch:
    single.model("costs", output={"mode": "append"}, delete_after_processing=True)
    return single


def test_a_file_is_deleted_only_when_all_its_partitions_are_published(deleting: Scratch) -> None:
    rows = " UNION ALL ".join(
        raw(f"{i}.0::DOUBLE").replace("SELECT", f"SELECT 'binance' AS exchange, '{symbol}' AS symbol,")
        for i, symbol in enumerate("AB", start=1)
    )
    file = deleting.lake / "raw/ccxt/trades/a.parquet"
    copy(rows, file)
    deleting.run("--symbol", "A")
    assert file.exists()
    deleting.run()
    assert not file.exists()
    assert prices(deleting) == [1.0, 2.0]


def test_a_name_that_comes_again_is_another_file(deleting: Scratch) -> None:
    folder = deleting.trades(BTC, DAY1, [1.0], name="x")
    deleting.run()
    deleting.trades(BTC, DAY1, [2.0, 3.0], name="x")
    deleting.trades(BTC, DAY1, [4.0], name="y")
    deleting.run()
    assert prices(deleting) == [1.0, 2.0, 3.0, 4.0]
    assert not list(folder.glob("*.parquet"))


def test_pruning_spares_what_was_built_from_deleted_files(deleting: Scratch) -> None:
    deleting.trades(BTC, DAY1, [1.0])
    deleting.run()
    assert deleting.run("--prune") == {}
    assert prices(deleting) == [1.0]


def test_files_that_a_disabled_model_still_needs_stay(deleting: Scratch) -> None:
    deleting.config["models"]["later"] = {
        "sql": "costs.sql.j2",
        "inputs": {"trades": "raw"},
        "output": {"path": "out/later", "mode": "append"},
        "enabled": False,
    }
    deleting.save()
    folder = deleting.trades(BTC, DAY1, [1.0])
    deleting.run()
    assert (folder / "data.parquet").exists()


def test_nothing_is_pruned_while_the_source_is_away(single: Scratch) -> None:
    single.trades(BTC, DAY1, [1.0])
    single.run()
    (single.lake / "raw").rename(single.lake / "unmounted")
    assert single.run("--prune", code=1) == {}
    assert single.run("--prune", "--allow-empty") == {}
    assert prices(single) == [1.0]


# Changes of layout and mode


def test_a_new_layout_is_not_built_in_parts(single: Scratch) -> None:
    single.trades(BTC, DAY1, [1.0])
    single.trades(ETH, DAY1, [2.0])
    single.run()
    single.model("costs", output={"partition_by": ["exchange", "date"]})
    outcome = single.sqlgen("run", "--full-refresh", "--symbol", BTC)
    assert (outcome.code, "Rebuild it whole, with all its partitions" in outcome.out) == (1, True)
    assert prices(single) == [1.0, 2.0]


def test_a_new_layout_that_fails_leaves_the_old_table(single: Scratch) -> None:
    single.trades(BTC, DAY1, [1.0])
    folder = single.trades(BTC, DAY2, [2.0])
    single.run()
    single.model("costs", output={"partition_by": ["exchange", "date"]})
    good = (folder / "data.parquet").read_bytes()
    (folder / "data.parquet").write_bytes(good[:100])
    single.run("--full-refresh", code=1)
    assert prices(single) == [1.0, 2.0]
    assert (single.lake / "out/costs/exchange=binance/symbol=BTC-USDT/date=2026-01-01").is_dir()
    (folder / "data.parquet").write_bytes(good)
    single.run("--full-refresh")
    assert prices(single) == [1.0, 2.0]
    assert list((single.lake / "out/costs/exchange=binance/date=2026-01-01").glob("*.parquet"))
    assert single.plan() == {}


def test_a_table_built_in_another_mode_is_not_appended_to(single: Scratch) -> None:
    single.trades(BTC, DAY1, [1.0])
    single.run()
    single.model("costs", output={"mode": "append"})
    assert single.sqlgen("run").code == 1
    assert prices(single) == [1.0]
    single.run("--full-refresh")
    assert prices(single) == [1.0]


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_damaged_file_stops_append_and_merge(single: Scratch, mode: str) -> None:
    extra = {"key": ["trade_id"], "order_by": ["ts"]} if mode == "merge" else {}
    single.model("costs", output={"mode": mode, **extra})
    folder = single.trades(BTC, DAY1, [1.0], name="a")
    single.run()
    (folder / "a.parquet").unlink()
    single.trades(BTC, DAY1, [2.0], name="b")
    file = next((single.lake / "out/costs").rglob("*.parquet"))
    good = file.read_bytes()
    file.write_bytes(good[:-20])
    results = single.run(code=1)
    assert "some published files are missing, damaged" in results["costs BTC-USDT 2026-01-01"]["error"]
    file.write_bytes(good)
    single.run()
    assert prices(single) == [1.0, 2.0]
    outcome = single.sqlgen("run", "--full-refresh")
    assert (outcome.code, "--full-refresh would lose published rows" in outcome.out) == (1, True)
    assert prices(single) == [1.0, 2.0]
    (single.lake / "out/costs").rename(single.folder / "moved")
    single.run("--full-refresh")
    assert prices(single) == [2.0]


def test_merge_keeps_what_is_published_when_its_input_becomes_empty(single: Scratch) -> None:
    single.config["models"]["merged"] = {
        "sql": "costs.sql.j2",
        "inputs": {"trades": "costs"},
        "output": {"path": "out/merged", "mode": "merge", "key": ["trade_id"], "order_by": ["ts"]},
    }
    single.save()
    single.trades(BTC, DAY1, [1.0])
    single.run()
    single.model("costs", filter="price > 5")
    single.run()
    assert prices(single, "merged") == [1.0]
    assert single.plan() == {}


def test_what_reads_a_merged_table_sees_every_change_of_it(single: Scratch) -> None:
    single.model("costs", output={"mode": "merge", "key": ["trade_id"], "order_by": ["ts"]})
    single.config["models"]["after"] = {
        "sql": "costs.sql.j2",
        "inputs": {"trades": "costs"},
        "output": {"path": "out/after"},
    }
    single.save()
    folder = single.trades(BTC, DAY1, [1.0], name="a")
    single.run()
    single.trades(BTC, DAY1, [2.0], name="b")
    single.run("--select", "costs")
    (folder / "b.parquet").unlink()
    single.run("--select", "costs")
    single.run()
    assert prices(single, "after") == prices(single) == [1.0, 2.0]


def test_a_partition_column_of_the_result_keeps_its_type_downstream(single: Scratch) -> None:
    single.template("costs.sql.j2", PASS.replace("SELECT *", "SELECT *, 60 AS bar_seconds"))
    single.model("costs", output={"partition_by": ["exchange", "symbol", "date", "bar_seconds"]})
    single.template("twice.sql.j2", PASS.replace("SELECT *", "SELECT * REPLACE (bar_seconds * 2 AS bar_seconds)"))
    single.config["models"]["after"] = {
        "sql": "twice.sql.j2",
        "inputs": {"trades": "costs"},
        "output": {"path": "out/after"},
    }
    single.save()
    single.trades(BTC, DAY1, [1.0])
    single.run()
    assert single.table("after")["bar_seconds"].to_pylist() == [120]


def test_partitions_that_cannot_know_their_place_are_refused(single: Scratch) -> None:
    single.model("costs", sql="trades/bars.sql.j2", output={"partition_by": ["date"]})
    single.trades(BTC, DAY1, [1.0])
    outcome = single.sqlgen("run")
    assert outcome.code == 1
    assert "partition_by must name exchange, symbol, date" in outcome.out


# Runs and their state


def test_two_runs_with_other_state_folders_do_not_meet(single: Scratch) -> None:
    from sqlgen.lake.lock import run_lock

    single.config["state"] = "elsewhere"
    single.save()
    with run_lock(single.lake / ".sqlgen"):
        assert single.sqlgen("run").code == 3


def test_a_staged_file_that_vanishes_is_a_failure(single: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    single.trades(BTC, DAY1, [1.0])
    single.run()
    single.trades(BTC, DAY1, [2.0])
    real = Path.exists
    staged = lambda self: ".sqlgen/staging" in str(self) and self.suffix == ".parquet"  # noqa: E731
    monkeypatch.setattr(Path, "exists", lambda self: not staged(self) and real(self))
    assert "has vanished" in single.run(code=1)["costs BTC-USDT 2026-01-01"]["error"]
    assert prices(single) == [1.0]


def test_without_checkpoints_every_partition_is_built(single: Scratch) -> None:
    single.model("costs", checkpoint_enabled=False)
    single.trades(BTC, DAY1, [1.0])
    for _ in range(2):
        assert single.run()["costs BTC-USDT 2026-01-01"]["status"] == "published"


def test_retry_goes_on_as_it_began(single: Scratch) -> None:
    single.trades(BTC, DAY1, [1.0])
    single.run()
    single.run("--full-refresh", "--memory-limit", "1MB", code=1)
    assert single.run("--retry")["costs BTC-USDT 2026-01-01"]["status"] == "published"


def test_due_remembers_a_run_with_nothing_to_do(single: Scratch) -> None:
    single.model("costs", schedule="0 0 29 2 *")
    single.trades(BTC, DAY2, [1.0])
    single.run()
    assert single.run("--due") == {}
    single.trades(BTC, DAY1, [1.0])
    assert single.run("--due") == {}


def test_an_input_that_is_taken_out_of_the_model(single: Scratch) -> None:
    single.config["sources"]["more"] = {"path": "raw/more", "adapter": "ccxt/trades"}
    inputs = {"trades": "raw", "more": {"ref": "more", "optional": True}}
    single.model("costs", inputs=inputs)
    single.trades(BTC, DAY1, [1.0])
    folder = single.lake / "raw/more/exchange=binance/symbol=BTC-USDT/date=2026-01-01"
    copy(raw("1.0"), folder / "a.parquet")
    single.run()
    single.model("costs", inputs={"trades": "raw"})
    assert "input more is no longer there" in single.plan()["costs BTC-USDT 2026-01-01"]


def test_two_mistakes_in_one_partition_do_not_stop_the_others(single: Scratch) -> None:
    folder = single.raw(BTC, DAY1)
    copy(raw("1.0").replace("1.0 AS price,", ""), folder / "a.parquet")
    (folder / "b.parquet").write_bytes(b"PAR1")
    single.trades(ETH, DAY1, [2.0])
    results = single.run(code=1)
    assert results["costs ETH-USDT 2026-01-01"]["status"] == "published"


def test_where_the_lake_is_named_otherwise_nothing_is_stale(single: Scratch) -> None:
    single.trades(BTC, DAY1, [1.0])
    single.run()
    for name in ("./lake", str(single.lake), "../project/lake"):
        single.config["lake"] = name
        single.save()
        assert single.plan() == {}


def test_a_published_file_that_is_gone_is_built_again(single: Scratch) -> None:
    single.trades(BTC, DAY1, [1.0])
    single.run()
    next((single.lake / "out").rglob("*.parquet")).unlink()
    assert single.plan() == {"costs BTC-USDT 2026-01-01": "published files are missing"}
    single.run()
    assert prices(single) == [1.0]


def test_a_selection_without_a_match_is_said(single: Scratch) -> None:
    single.trades(BTC, DAY1, [1.0])
    single.trades(BTC, DAY3, [1.0])
    outcome = single.sqlgen("run", "--symbol", "NOPE")
    assert "costs: none of its 2 partition(s) matches the selection" in outcome.out


def test_brackets_in_descriptions_on_a_terminal(single: Scratch) -> None:
    single.model("costs", description="flow [bps] per [/s]")
    if shutil.which("script") is None:
        pytest.skip("the command script is not installed")
    done = subprocess.run(
        ["script", "-qec", f"{sys.executable} -m sqlgen ls {single.file}", "/dev/null"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "[bps]" in done.stdout


def test_files_that_cannot_be_written_are_an_error_not_a_traceback(single: Scratch) -> None:
    outcome = single.sqlgen("compile", "--output", "/dev/null/x")
    assert outcome.code == 2
    assert outcome.err.startswith("error: /dev/null")


@pytest.mark.slow
def test_ctrl_c_stops_a_running_statement(single: Scratch) -> None:
    endless = "(SELECT max(a.range * b.range) FROM range(3000000) AS a, range(3000000) AS b)"
    single.template("costs.sql.j2", COSTS.replace("price * amount", endless))
    single.trades(BTC, DAY1, [1.0])
    process = subprocess.Popen(
        [sys.executable, "-m", "sqlgen", "run", str(single.file)], stderr=subprocess.PIPE, text=True
    )
    staging = single.lake / ".sqlgen/staging"
    deadline = time.monotonic() + 60
    while not list(staging.glob("*/*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()  # it has ended; if it has not, it never would
    assert process.returncode == 130
    assert "run again to continue" in err
    assert not (single.lake / "out").exists()


def test_ctrl_c_reaches_a_task_between_two_statements(single: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    single.trades(BTC, DAY1, [1.0])
    single.trades(ETH, DAY1, [1.0])
    builder_of = building.builder_of

    def late(job: Job) -> StagedUnit:
        if job.task.unit["symbol"] == ETH:
            time.sleep(1)  # while the other one ends, and with it the run
            job.checks.execute("SELECT max(a.range * b.range) FROM range(300000) AS a, range(300000) AS b")
        return builder_of(job.model)(job)

    class Impatient(Watcher):
        def finished(self, result: object) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(building, "builder_of", lambda model: late)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Engine.open(single.file, Settings(threads=2)).run(Selection(("costs",)), Impatient())
    assert time.monotonic() - begun < 20
    assert not list((single.lake / "out").glob(f"*/symbol={ETH}/*"))
