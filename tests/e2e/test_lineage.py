"""Lineage of columns: against expectations by hand, and against what changes when raw columns change."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import pytest
import yaml

from sqlgen.explore.lineage.columns import ColumnNode, ProjectLineage
from sqlgen.explore.lineage.pruned import column_sql
from sqlgen.run.engine import Engine
from sqlgen.sample import SampleSpec, write_sample
from tests.support.engine import published_sql, shipped_config, sqlgen
from tests.support.scratch import BTC, DAY1, LEDGER, Scratch

NODES = ("model", "kernel", "source", "files")


def below(node: ColumnNode) -> set[str]:
    """Every column that a column is made of, windows included, as ``dataset.column``; files as ``column``."""
    found = set[str]()
    todo = [node]
    while todo:
        for one in (*(top := todo.pop()).inputs, *top.by):
            assert one.kind in NODES
            found.add(one.column if one.kind == "files" else str(one))
            todo.append(one)
    return found


@pytest.fixture
def lineage(scratch: Scratch) -> ProjectLineage:
    return ProjectLineage.of(Engine.open(scratch.file))


@pytest.mark.slow
def test_expressions_windows_and_stages(scratch: Scratch, lineage: ProjectLineage) -> None:
    pair = lineage.column("pairs", "PAIR")
    assert pair.made == "cost + LAG(cost) OVER (PARTITION BY exchange, symbol ORDER BY ts, seq)"
    assert [str(one) for one in pair.inputs] == ["costs.cost"]
    assert {str(one) for one in pair.by} == {"costs.exchange", "costs.symbol", "costs.ts", "costs.seq"}
    (cost,) = pair.inputs
    assert cost.made == "price * amount"
    assert [str(one) for one in cost.inputs] == ["raw.amount", "raw.price"]
    assert below(cost) == {"raw.amount", "raw.price", "amount", "price"}
    assert lineage.column("pairs", "trade_id").made == ""
    assert [str(one) for one in lineage.users("raw", "price")] == ["costs.cost", "pairs.cost", "pairs.pair"]
    assert lineage.reads("costs")["raw"] == ["exchange", "symbol", "date", "ts", "seq", "trade_id", "price", "amount"]


def test_subqueries_unions_and_aliases(scratch: Scratch) -> None:
    scratch.template(
        "odd.sql.j2",
        "WITH t AS ({{ inputs.trades }}),\n"
        "twice AS (SELECT ts, price AS one, side AS kept FROM t UNION ALL SELECT ts, amount, side FROM t)\n"
        "SELECT 'x' AS exchange, 'y' AS symbol, ts::DATE AS date, ts, 1 AS seq,\n"
        "    one, 2 * one AS two, two + 1 AS three,\n"
        "    (SELECT max(side) FROM t) AS inner_side, list_transform([one], lambda x: x + 1)[1] AS listed,\n"
        "    * EXCLUDE (ts, one)\nFROM twice",
    )
    scratch.model("odd", sql="odd.sql.j2", inputs={"trades": "raw"}, output={"path": "out/odd"})
    found = ProjectLineage.of(Engine.open(scratch.file))
    for column, origins in {
        "one": {"price", "amount"},
        "three": {"price", "amount"},
        "inner_side": {"side"},
        "listed": {"price", "amount"},
        "kept": {"side"},
        "seq": set(),
    }.items():
        made = {name for name in below(found.column("odd", column)) if "." not in name}
        assert made - {"exchange"} == origins, column  # the exchange tells whose side a trade names


def test_columns_of_kernels_come_from_what_kernels_read(scratch: Scratch) -> None:
    scratch.kernel(LEDGER)
    scratch.model("costs", udfs=["ledger"])
    found = ProjectLineage.of(Engine.open(scratch.file))
    before = found.column("costs", "before")
    assert before.made == "kernel ledger 1"
    assert {"raw.price", "raw.amount", "price", "amount"} <= below(before)
    assert found.column("costs", "cost").made == "price * amount"
    sql = sqlgen("compile", scratch.file, "--select", "costs", "--column", "before", "--stdout").out
    assert "-- kernel ledger, version 1: Cost of the row before" in sql
    assert "trade_id" not in sql.partition("-- kernel ledger")[0].rpartition("SELECT")[2]


def test_compile_of_a_column_of_a_model_over_another(scratch: Scratch) -> None:
    scratch.trades(BTC, DAY1, [100.0, 101.0, 103.0])
    scratch.run()
    outcome = sqlgen("compile", scratch.file, "--select", "pairs", "--column", "pair")
    assert outcome.out == f"pairs.pair\t{scratch.folder / 'target/compiled/pairs.pair.sql'}\n"
    text = (scratch.folder / "target/compiled/pairs.pair.sql").read_text()
    assert "trade_id" not in text, "a column that does not lead to it"
    with contextlib.chdir(scratch.folder), duckdb.connect() as connection:
        found = connection.sql(text)
        assert found.columns == ["exchange", "symbol", "date", "ts", "seq", "pair"]
        rows = found.order("ts").fetchall()
    expected = [(row["ts"], row["pair"]) for row in scratch.table("pairs").to_pylist()]
    assert [row[5] for row in rows] == [pair for _, pair in expected] == [None, 201.0, 204.0]


@pytest.mark.slow
def test_the_command(scratch: Scratch) -> None:
    out = sqlgen("lineage", "pairs.pair", scratch.file).out.splitlines()
    assert out[0].startswith("pairs.pair = cost + LAG(cost) OVER")
    assert out[1] == "├─ costs.cost = price * amount"
    assert out[2].startswith("│  ├─ raw.amount = CASE WHEN amount > 0")
    assert out[-1] == "└─ in windows by costs.exchange, costs.seq, costs.symbol, costs.ts"
    tree = sqlgen("lineage", "pairs", scratch.file).out.splitlines()
    assert [line for line in tree if "read by" not in line] == [
        "model pairs = pairs.sql.j2",
        "└─ model costs = costs.sql.j2",
        "   └─ source raw = ccxt/trades over raw/ccxt/trades",
    ]
    assert sqlgen("lineage", "raw", "--down", scratch.file).out.split() == ["costs", "pairs"]
    assert sqlgen("lineage", "raw.amount", "--down", scratch.file).out.splitlines()[0] == "costs.cost = price * amount"
    as_json = sqlgen("lineage", "pairs", scratch.file, "--json").json
    assert as_json["made_from"] == ["costs", "raw"]
    assert as_json["columns"]["pair"]["from"] == ["costs.cost"]
    assert sqlgen("lineage", "pairs.pair", scratch.file, "--json").json["inputs"][0]["column"] == "cost"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lineage", "pair"), "no model or source 'pair'. Did you mean 'pairs'?"),
        (("lineage", "pairs.cots"), "pairs has no column 'cots'. Did you mean 'cost'? It has: exchange, symbol"),
        (("lineage", "raw.prize"), "raw has no column 'prize'. Did you mean 'price'?"),
        (("compile", "--column", "cots", "-s", "costs"), "costs has no column 'cots'. Did you mean 'cost'?"),
        (("compile", "--column", "cost"), "--column is of one model: choose it with --select"),
    ],
)
def test_names_that_do_not_exist(scratch: Scratch, arguments: tuple[str, ...], message: str) -> None:
    outcome = sqlgen(*arguments, scratch.file)
    assert outcome.code == 2
    assert message in outcome.err


def test_without_the_extra(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sqlglot", None)
    outcome = sqlgen("lineage", "pairs.pair", scratch.file)
    assert outcome.code == 2
    assert "lineage of columns needs the package sqlglot. Install it: pip install 'sqlgen[lineage]'" in outcome.err


@pytest.mark.slow
def test_events_of_a_run(scratch: Scratch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scratch.config["runs"] = {"openlineage": True}
    scratch.save()
    scratch.trades(BTC, DAY1, [100.0, 101.0])
    file = tmp_path / "openlineage.yml"
    sent = tmp_path / "events.ndjson"
    file.write_text(yaml.safe_dump({"transport": {"type": "file", "log_file_path": str(sent), "append": True}}))
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(file))
    scratch.run()
    events = [json.loads(line) for line in sent.read_text().splitlines()]
    jobs = ["project", "project.costs", "project.costs", "project.pairs", "project.pairs", "project"]
    assert [event["job"]["name"] for event in events] == jobs
    assert [event["eventType"] for event in events] == ["START", *("START", "COMPLETE") * 2, "COMPLETE"]
    ids = [event["run"]["runId"] for event in events]
    assert ids[0] == ids[5] != ids[1] == ids[2] != ids[3] == ids[4]
    assert events[2]["run"]["facets"]["parent"]["run"]["runId"] == ids[0]
    pairs = events[4]
    assert [(one["namespace"], one["name"]) for one in pairs["inputs"]] == [("file", str(scratch.lake / "out/costs"))]
    (output,) = pairs["outputs"]
    assert output["name"] == str(scratch.lake / "out/pairs")
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 2
    types = {field["name"]: field["type"] for field in output["facets"]["schema"]["fields"]}
    assert types["ts"] == "TIMESTAMP_NS"
    assert types["pair"] == "DOUBLE"
    fields = output["facets"]["columnLineage"]["fields"]["pair"]["inputFields"]
    direct = [field["field"] for field in fields if field["transformations"][0]["type"] == "DIRECT"]
    assert direct == ["cost"]
    assert {field["field"] for field in fields} - {*direct} == {"exchange", "symbol", "ts", "seq"}
    assert pairs["job"]["facets"]["sql"]["query"].startswith("-- model:       pairs")
    scratch.run()
    assert len(sent.read_text().splitlines()) == len(events), "a run with nothing to do sends nothing"
    (scratch.raw(BTC, DAY1) / "data.parquet").write_bytes(b"PAR1 and no more")
    scratch.run(code=1)
    failed = [json.loads(line) for line in sent.read_text().splitlines()][len(events) :]
    assert [event["eventType"] for event in failed][-1] == "FAIL"
    assert "data.parquet" in failed[-1]["run"]["facets"]["errorMessage"]["message"]


def test_events_that_cannot_be_sent_are_a_note(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch.trades(BTC, DAY1, [100.0])
    monkeypatch.setenv("SQLGEN_OPENLINEAGE", "1")
    outcome = sqlgen("run", scratch.file)
    assert outcome.code == 0
    assert "note: runs.openlineage: nothing says where to send events" in outcome.err
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", '{"type": "http", "url": "http://127.0.0.1:9", "retry": {"total": 0}}')
    outcome = sqlgen("run", scratch.file, "--full-refresh")
    assert outcome.code == 0
    assert "note: runs.openlineage: events are not sent" in outcome.err


class EventServer:
    """An OpenLineage server on this machine: what it got, and the status it answers with."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, dict[str, Any]]] = []
        self.status = 201
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.got.append((self.path, self.headers.get("Authorization", ""), json.loads(body)))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server() -> Iterator[EventServer]:
    found = EventServer()
    with mock.patch.dict(os.environ):  # the client sets variables of its own, and leaves them
        yield found
    found.stop()


def test_events_over_http(scratch: Scratch, server: EventServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The official client posts each event; a server that refuses, or is down, is a note: the run has ended well."""
    pytest.importorskip("openlineage.client")
    scratch.config["runs"] = {"openlineage": True}
    scratch.save()
    scratch.trades(BTC, DAY1, [100.0, 101.0])
    monkeypatch.delenv("OPENLINEAGE_CONFIG", raising=False)
    monkeypatch.setenv("OPENLINEAGE_URL", server.url)
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "a-key")
    outcome = sqlgen("run", scratch.file)
    assert outcome.code == 0
    assert "note" not in outcome.err
    assert {(path, key) for path, key, _ in server.got} == {("/api/v1/lineage", "Bearer a-key")}
    events = [event for _, _, event in server.got]
    assert [event["eventType"] for event in events] == ["START", *("START", "COMPLETE") * 2, "COMPLETE"]
    assert [event["job"]["name"] for event in events[1::2]] == ["project.costs", "project.pairs", "project"]
    assert events[4]["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 2
    assert "a-key" not in json.dumps(events)

    server.status = 403
    outcome = sqlgen("run", scratch.file, "--full-refresh")
    assert outcome.code == 0
    assert "note: runs.openlineage: events are not sent: " in outcome.err
    assert "403" in outcome.err
    assert len(server.got) == len(events) + 1, "no more than the first is tried"

    server.stop()
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps({"type": "http", "url": server.url, "retry": {"total": 0}}))
    outcome = sqlgen("run", scratch.file, "--full-refresh")
    assert outcome.code == 0
    assert "note: runs.openlineage: events are not sent: " in outcome.err
    assert scratch.table("pairs").num_rows == 2


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project over two days of one symbol, with bars and features of trades and of books."""
    folder = tmp_path_factory.mktemp("lineage") / "project"
    write_sample(folder / "lake", SampleSpec(symbols=1, days=2, rows_per_day=250))
    config = shipped_config(Path("lake"))
    names = ("trades_features", "trades_bars", "orderbook_hf", "volume_bars")
    config["models"] = {name: config["models"][name] for name in names}
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


def compared(connection: duckdb.DuckDBPyConnection, sql: str, whole: str, column: str) -> None:
    """The rows of a pruned SELECT are those of the whole one; sums may differ in their last digits."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE pruned AS {sql}")
    kinds = {row[0]: row[1] for row in connection.execute("DESCRIBE pruned").fetchall()}
    keys = ", ".join(name for name in kinds if name != column)
    far = f"a.{column} IS DISTINCT FROM b.{column}"
    if kinds[column] == "DOUBLE":
        far += f" AND NOT coalesce(abs(a.{column} - b.{column}) <= 1e-12 * abs(b.{column}), false)"
    different = f"SELECT count(*), count(*) FILTER ({far}) FROM pruned AS a FULL JOIN {whole} AS b USING ({keys})"
    (rows,) = connection.execute(f"SELECT count(*) FROM {whole}").fetchall()[0]
    assert rows > 0
    assert connection.execute(different).fetchall() == [(rows, 0)], column


@pytest.mark.slow
def test_compile_of_one_column_gives_its_values(sample: Path) -> None:
    file = sample / "models.yaml"
    assert sqlgen("run", file, "--select", "trades_features").code == 0
    engine = Engine.open(file)
    columns = {
        "trades_features": ("vwap_60s", "segment_age_s"),
        "trades_bars": ("annualized_vol", "has_gap"),
        "orderbook_hf": ("depth_0_5bps",),
    }
    with contextlib.chdir(sample), duckdb.connect() as connection:
        for model, wanted in columns.items():
            pipeline = engine.project.models[model].pipeline
            compiler = engine.compiler([model])
            scope = compiler.whole_lake(engine.project.models[model])
            whole = (compiler.feed if pipeline else compiler.select)(engine.project.models[model], scope)
            connection.execute(f"CREATE TABLE {model} AS {whole}")
            for column in wanted:
                text = column_sql(engine, model, column)
                assert len(text) < 0.8 * len(compiler.compile(model).sql)
                compared(connection, text, model, column)
        # With whole days the running sums of windows begin elsewhere: the last digits may differ from the table's.
        connection.execute(f"CREATE TABLE built AS {published_sql(sample / 'lake/processed/ccxt/trades/features')}")
        far = "max(abs(b.vwap_60s / a.vwap_60s - 1)) < 1e-12, count(*) = (SELECT count(*) FROM built)"
        joined = f"SELECT {far} FROM built AS b JOIN trades_features AS a USING (exchange, symbol, date, ts, seq)"
        assert connection.execute(joined).fetchall() == [(True, True)]
        text = column_sql(engine, "orderbook_hf", "vpin")  # DuckDB can run what kernels read
        rows = [len(connection.sql(one.query).fetchall()) for one in connection.extract_statements(text)]
        assert len(rows) == 2, "rows, and trades beside them"
        assert min(rows) > 0
        text = column_sql(engine, "volume_bars", "vwap")
        assert len([*connection.extract_statements(text)]) == 1
        assert "-- kernel volume_bars, version" in text


@pytest.mark.slow
@pytest.mark.parametrize("raw", ["amount", "side"])
def test_a_column_that_changes_with_a_raw_column_is_made_of_it(sample: Path, raw: str) -> None:
    """The oracle is the data: a raw column is changed, and every column that changes must name it."""
    engine = Engine.open(sample / "models.yaml")
    found = ProjectLineage.of(engine)
    changed = {"amount": "3 * amount + 0.5", "price": "price * (1 + 0.1 * sin(timestamp))", "side": "'sell'"}[raw]
    with contextlib.chdir(sample), duckdb.connect() as connection:
        for model in ("trades_features", "trades_bars"):
            select = engine.compiler([model]).compile(model).select
            other = sample / f"changed_{raw}_{model}"
            for path in sorted(Path("lake/raw/ccxt/trades").rglob("*.parquet")):
                target = other / path
                target.parent.mkdir(parents=True, exist_ok=True)
                connection.execute(f"COPY (SELECT * REPLACE ({changed} AS {raw}) FROM '{path}') TO '{target}'")
            tables: list[list[dict[str, Any]]] = []
            for folder in (sample, other):
                with contextlib.chdir(folder):
                    tables.append(connection.sql(select).to_arrow_table().to_pylist())
            before, after = tables
            assert len(before) == len(after) > 0
            moved = {name for name in before[0] if any(a[name] != b[name] for a, b in zip(before, after, strict=True))}
            named = {name for name in before[0] if raw in below(found.column(model, name))}
            assert moved, model
            assert moved <= named, f"{model}: {moved - named} change with {raw}"
            assert {"exchange", "symbol"}.isdisjoint(named)
            assert len(named) < len(before[0]) - 5, "and not all columns are said to be made of it"
