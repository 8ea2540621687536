"""``sqlgen test``: what passes, what fails and how it is told, and the ways to give rows."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlgen.modeltests.file import EXAMPLE
from sqlgen.modeltests.values import python_rows
from tests.features.made import MIDNIGHT, keyed
from tests.support.engine import ROOT, Outcome, published_file, shipped_config, sqlgen
from tests.support.lakes import write_rows
from tests.support.scratch import LEDGER, Scratch

KEYS = {"exchange": "binance", "symbol": "BTC-USDT"}
TRADES = [
    {"timestamp": "2026-01-01 12:00:00", "price": 2, "amount": 3, "side": "buy", "trade_id": 1},
    {"timestamp": "2026-01-01 12:00:01", "price": 5, "amount": 1, "side": "sell", "trade_id": 2},
]
COSTS = [{"ts": "2026-01-01 12:00:00", "cost": 6}, {"ts": "2026-01-01 12:00:01", "cost": 5}]


def write(project: Path, tests: dict[str, Any] | str, name: str = "some.yaml") -> Path:
    path = project / "model_tests" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(tests if isinstance(tests, str) else yaml.safe_dump(tests, sort_keys=False))
    return path


def a_test(**fields: Any) -> dict[str, Any]:
    """A test of ``costs`` that passes, but for ``fields``; those that are None are left out."""
    test = {"model": "costs", "common": KEYS, "given": {"trades": TRADES}, "expect": COSTS} | fields
    return {name: value for name, value in test.items() if value is not None}


def outcome_of(scratch: Scratch, **fields: Any) -> Outcome:
    write(scratch.folder, {"t": a_test(**fields)})
    return scratch.sqlgen("test")


def failures(scratch: Scratch, **fields: Any) -> list[tuple[Any, ...]]:
    """(kind, row, column, expected, found) of each difference."""
    write(scratch.folder, {"t": a_test(**fields)})
    outcome = scratch.sqlgen("test", "--json")
    test, *batches = outcome.json["tests"]  # kernels of the project's own are tried with batches too
    assert outcome.code == (0 if test["ok"] else 1), outcome.err
    assert (test["name"], test["error"], [other for other in batches if not other["ok"]]) == ("t", None, [])
    assert test["ok"] is not bool(test["differences"])
    return [tuple(difference.values()) for difference in test["differences"]]


def problem(scratch: Scratch, **fields: Any) -> str:
    """What is wrong with a test that cannot run."""
    outcome = outcome_of(scratch, **fields)
    assert outcome.code == 2, outcome.out
    return outcome.err.removeprefix("error: ").replace(f"{scratch.folder}/model_tests/", "").strip()


@pytest.mark.slow
def test_the_tests_of_the_shipped_models_pass() -> None:
    outcome = sqlgen("test", ROOT / "models.yaml", "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    tested = {test["model"] for test in outcome.json["tests"]}
    assert tested >= {"trades_bars", "ticker_features", "orderbook_hf", "volume_bars", "orderbook_bars"}


def test_passing_and_failing(scratch: Scratch) -> None:
    write(scratch.folder, {"good": a_test(), "bad": a_test(expect=[COSTS[0], {"cost": None}])})
    before = scratch.snapshot()
    outcome = scratch.sqlgen("test")
    assert scratch.snapshot() == before
    assert outcome.code == 1
    assert f"{scratch.folder}/model_tests/some.yaml: 1 passed, 1 failed\n" in outcome.out
    assert f"FAILED bad (costs) {scratch.folder}/model_tests/some.yaml:24\n" in outcome.out
    assert ["2", "cost", "null", "5.0"] in [line.split() for line in outcome.out.splitlines()]
    assert "1 passed, 1 failed in " in outcome.out.splitlines()[-1]


@pytest.mark.parametrize(
    ("expect", "found"),
    [
        (COSTS, []),
        ([{"cost": 6.0}, {}], []),
        ([COSTS[0], {"cost": 7}], [("cell", 2, "cost", 7, 5.0)]),
        ([COSTS[0], {"cost": None}], [("cell", 2, "cost", None, 5.0)]),
        ([COSTS[0], {"ts": "2026-01-01 12:00:01.000000001"}], None),
        ([COSTS[0]], [("extra row", 2, None, None, {"ts": "2026-01-01 12:00:01", "cost": 5.0})]),
        ([COSTS[1]], [("extra row", 1, None, None, {"ts": "2026-01-01 12:00:00", "cost": 6.0})]),
        ([*COSTS, {"cost": 1}], [("missing row", 3, None, {"cost": 1}, None)]),
        ([COSTS[0], {"cost": 5 + 1e-7}], [("cell", 2, "cost", 5 + 1e-7, 5.0)]),
        ([COSTS[0], {"cost": 5 + 1e-10}], []),
        ([COSTS[0], {"trade_id": "3"}], [("cell", 2, "trade_id", "3", "2")]),
    ],
)
def test_differences(scratch: Scratch, expect: list[dict[str, Any]], found: list[tuple[Any, ...]] | None) -> None:
    result = failures(scratch, expect=expect)
    assert result == found if found is not None else len(result) == 1


def test_null_is_not_zero(scratch: Scratch) -> None:
    trades = [TRADES[0] | {"price": None}]
    assert failures(scratch, given={"trades": trades}, expect=[{"cost": 0}]) == [("cell", 1, "cost", 0, None)]
    assert failures(scratch, given={"trades": trades}, expect=[{"cost": None}]) == []


@pytest.mark.slow
def test_tolerances(scratch: Scratch) -> None:
    wrong = [COSTS[0], {"cost": 5.01}]
    assert failures(scratch, expect=wrong, tolerance=0.01) == []
    assert failures(scratch, expect=wrong, absolute_tolerance=0.011) == []
    assert len(failures(scratch, expect=wrong, tolerance=0.001)) == 1
    assert len(failures(scratch, expect=wrong, absolute_tolerance=0.009)) == 1


def test_rows_that_are_not_there(scratch: Scratch) -> None:
    assert failures(scratch, given={"trades": []}, expect=[]) == []
    assert failures(scratch, given={"trades": []}, expect=[{"cost": 1}]) == [
        ("missing row", 1, None, {"cost": 1}, None)
    ]
    assert [row[0] for row in failures(scratch, expect=[])] == ["extra row", "extra row"]


def test_whole_rows(scratch: Scratch) -> None:
    whole = {**KEYS, "date": "2026-01-01", "ts": "2026-01-01 12:00:00", "seq": 0, "trade_id": "1", "cost": 6}
    assert failures(scratch, given={"trades": TRADES[:1]}, expect=[whole], partial=False) == []
    del whole["seq"]
    told = problem(scratch, given={"trades": TRADES[:1]}, expect=[whole], partial=False)
    assert told == "some.yaml:14: t.expect.0: partial is false, and the row does not name seq"


def test_inputs_that_are_models(scratch: Scratch) -> None:
    """Columns that are left out are NULL, seq counts, the date follows from the time; days look back."""
    rows = [
        {"ts": "2026-01-01 23:59:59.999999999", "cost": 1},
        {"ts": "2026-01-02 00:00:00", "cost": 10},
        {"ts": "2026-01-02 02:00:00", "cost": 100},
    ]
    expect = [
        {"date": "2026-01-01", "ts": "2026-01-01 23:59:59.999999999", "seq": 0, "pair": None, "trade_id": None},
        {"date": "2026-01-02", "seq": 0, "pair": 11},
        {"date": "2026-01-02", "seq": 1, "pair": 110},
    ]
    assert failures(scratch, model="pairs", given={"costs": rows}, expect=expect) == []


@pytest.mark.slow
def test_kernels_run(scratch: Scratch) -> None:
    scratch.kernel(LEDGER)
    scratch.model("costs", udfs=["ledger"])
    days = [TRADES[0], TRADES[1] | {"timestamp": "2026-01-02 00:00:00"}]
    expect = [{"cost": 6, "before": None}, {"date": "2026-01-02", "cost": 5, "before": 6}]
    assert failures(scratch, given={"trades": days}, expect=expect) == []
    expect[1]["before"] = 12
    assert failures(scratch, given={"trades": days}, expect=expect, options={"factor": 2}) == []
    # A table downstream has the columns of the kernel.
    rows = [{"ts": "2026-01-01 12:00:00", "cost": 1, "before": 3}]
    assert failures(scratch, model="pairs", given={"costs": rows}, expect=[{"before": 3}]) == []


def test_a_disabled_model_can_be_tested(scratch: Scratch) -> None:
    scratch.model("costs", enabled=False)
    assert failures(scratch) == []


@pytest.mark.slow
def test_dates_that_rows_name(scratch: Scratch) -> None:
    """A row may lie under a date that its time does not tell, or have no time that is written as one."""
    late = [TRADES[0] | {"date": "2026-01-02", "timestamp": "2026-01-01 23:59:59"}]
    expect = [{"date": "2026-01-02", "ts": "2026-01-01 23:59:59"}]
    assert failures(scratch, given={"trades": late}, expect=expect) == []
    numbers = [TRADES[0] | {"timestamp": MIDNIGHT}, TRADES[1] | {"timestamp": MIDNIGHT + 86_400_000}]
    expect = [{"date": "2026-01-02", "seq": 0}, {"date": "2026-01-03", "seq": 0}]
    assert failures(scratch, given={"trades": numbers}, expect=expect) == []
    collected = [{"collected_at": "2026-01-03 00:00:00", "price": 1, "amount": 1}]
    expect = [{"date": "2026-01-03", "ts": "2026-01-03 00:00:00"}]
    assert failures(scratch, given={"trades": collected}, expect=expect) == []


@pytest.mark.parametrize("form", ["parquet", "ndjson"])
def test_sources_of_one_format(scratch: Scratch, form: str) -> None:
    scratch.config["sources"]["raw"]["format"] = form
    scratch.save()
    assert failures(scratch) == []


@pytest.mark.slow
def test_rows_in_files(scratch: Scratch) -> None:
    folder = scratch.folder / "model_tests"
    (folder / "data").mkdir(parents=True)
    (folder / "data/trades.csv").write_text(
        "exchange,symbol,timestamp,price,amount\n"
        "binance,BTC-USDT,2026-01-01 12:00:00,2,3\nbinance,BTC-USDT,2026-01-01 12:00:01,,1\n"
    )
    (folder / "data/costs.csv").write_text("ts,cost\n2026-01-01 12:00:00,6\n2026-01-01 12:00:01,\n")
    fields = {"given": {"trades": {"csv": "data/trades.csv"}}, "expect": {"csv": "data/costs.csv"}}
    assert failures(scratch, **fields) == []
    (folder / "data/costs.csv").write_text("ts,cost\n2026-01-01 12:00:00,6\n2026-01-01 12:00:01,0\n")
    assert failures(scratch, **fields) == [("cell", 2, "cost", 0, None)]
    rows = [{"ts": 1_767_268_800_000_000_001, "cost": 6.0}]
    table = pa.table({"ts": pa.array([rows[0]["ts"]], pa.timestamp("ns")), "cost": [6.0]})
    pq.write_table(table, folder / "data/costs.parquet")
    expect = [{"ts": "2026-01-01 12:00:00.000000001", "pair": None}]
    given = {"costs": {"parquet": "data/costs.parquet"}}
    assert failures(scratch, model="pairs", given=given, expect=expect) == []
    (folder / "data/costs.ndjson").write_text('{"ts": "2026-01-01 12:00:00.000000001", "cost": 6}\n')
    given = {"costs": {"ndjson": "data/costs.ndjson"}}
    assert failures(scratch, model="pairs", given=given, expect={"parquet": "data/costs.parquet"}) == []


OWN_ADAPTER = """\
SELECT exchange, symbol, date, ts, row_number() OVER () - 1 AS seq, price, amount, NULL AS trade_id
FROM read_parquet({{ source.files | literal }}, hive_partitioning = true, hive_types = {'date': DATE})
"""


def test_adapters_that_name_no_types(scratch: Scratch) -> None:
    """Types are those that the rows show, in the source and in a table whose columns cannot be told before."""
    scratch.template("sources/own.sql.j2", OWN_ADAPTER)
    scratch.config["sources"]["raw"]["adapter"] = "own"
    scratch.save()
    trades = [{"date": "2026-01-01", "ts": "2026-01-01 12:00:00", "price": 2.5, "amount": 2}]
    expect = [{"date": "2026-01-01", "ts": "2026-01-01 12:00:00", "seq": 0, "cost": 5}]
    assert failures(scratch, given={"trades": trades}, expect=expect) == []
    rows = [{"ts": "2026-01-01 12:00:00", "seq": 0, "cost": 5}, {"ts": "2026-01-01 12:00:01", "seq": 1, "cost": 1.5}]
    assert failures(scratch, model="pairs", given={"costs": rows}, expect=[{"pair": None}, {"pair": 6.5}]) == []


def test_raw_files(scratch: Scratch) -> None:
    path = write(scratch.folder, "{}").parent / "trades.ndjson.gz"
    row = {"trade_id": "1", "side": "buy", "price": 2, "amount": 3}
    lines = [json.dumps({"timestamp": MIDNIGHT + at} | row) for at in (0, 1)]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    given = {"trades": {"raw": path.name}}
    common = KEYS | {"date": "2026-01-02"}
    assert failures(scratch, given=given, common=common, expect=[{"cost": 6}, {"cost": 6}]) == []


@pytest.mark.slow
def test_books_as_pairs_and_optional_inputs(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(shipped_config(tmp_path / "lake"), sort_keys=False))
    book = {"timestamp": "2026-01-01 00:00:00"}
    levels = {"bids": [{"price": 100, "size": 1}], "asks": [{"price": 101, "size": 3}]}
    test = {"model": "orderbook_hf", "common": KEYS, "expect": [{"mid_price": 100.5, "microprice": 100.25}]}
    pairs = test | {"given": {"orderbook": [book | {"bids": [[100, 1]], "asks": [[101, 3]]}], "trades": []}}
    structs = test | {"given": {"orderbook": [book | levels]}}
    write(tmp_path, {"pairs": pairs, "structs": structs})
    outcome = sqlgen("test", tmp_path / "models.yaml")
    assert outcome.code == 0, outcome.out


def test_clocks_in_other_units(scratch: Scratch) -> None:
    """The adapter of ccxt reads ms; in a source with another clock the same moment is another number."""
    trades = {"rows": [TRADES[0] | {"date": "2024-10-04", "timestamp": "1970-01-21 00:00:00"}], "times": "us"}
    assert failures(scratch, given={"trades": trades}, expect=[{"ts": "2024-10-04 00:00:00"}]) == []


def test_expected_errors(scratch: Scratch) -> None:
    broken = [TRADES[0] | {"date": "2026-01-01", "timestamp": "noon"}]
    fields = {"given": {"trades": broken}, "expect": None}
    assert failures(scratch, **fields, expect_error="timestamp is not BIGINT: noon") == []
    outcome = outcome_of(scratch, **fields, expect_error="something else")
    assert outcome.code == 1
    assert "expected 'something else'; the error is:\ncosts: exchange=binance" in outcome.out
    assert str(scratch.folder / "lake") not in outcome.out
    outcome = outcome_of(scratch, expect=None, expect_error="timestamp is not BIGINT: noon")
    assert outcome.code == 1
    assert "expected 'timestamp is not BIGINT: noon'; the model returned 2 rows" in outcome.out


def test_errors_that_are_not_expected(scratch: Scratch) -> None:
    scratch.template("costs.sql.j2", "SELECT exchange, symbol, date, price * amount AS cost FROM nothing")
    outcome = outcome_of(scratch)
    assert outcome.code == 1
    assert "Table with name nothing does not exist" in outcome.out
    assert "SQL: " not in outcome.out


PROBLEMS = [
    ({"model": "cost"}, "some.yaml:2: t.model: unknown model 'cost'. Did you mean 'costs'? Known: costs, pairs"),
    ({"modle": "costs"}, "t.modle: unknown key. Did you mean 'model'? Allowed: absolute_tolerance, common,"),
    ({"model": None}, "some.yaml:1: t.model: missing. It is needed: The model that is tested"),
    ({"given": {}}, "t.given: found {}: Dictionary should have at least 1 item"),
    ({"given": {"trade": TRADES}}, "t.given.trade: model 'costs' has no such input. Did you mean 'trades'?"),
    ({"given": {"trade": TRADES}}, "t.given: input 'trades' is missing. Give its rows; [] for none"),
    ({"given": {"trades": [1]}}, "t.given.trades.0: found 1: Input should be a valid dictionary"),
    ({"given": {"trades": {"cvs": "x"}}}, "t.given.trades.cvs: unknown key. Did you mean 'csv'?"),
    ({"given": {"trades": {}}}, "t.given.trades: give rows in exactly one way: a list, or one of rows, csv, parquet"),
    ({"given": {"trades": {"rows": [], "csv": "x"}}}, "found rows and csv"),
    ({"given": {"trades": {"csv": "x.csv"}}}, "t.given.trades.csv: no such file: x.csv"),
    ({"given": {"trades": {"parquet": "some.yaml"}}}, "some.yaml cannot be read"),
    ({"given": {"trades": {"raw": "x.csv"}}}, "t.given.trades.raw: no such file: x.csv"),
    ({"given": {"trades": [TRADES[0] | {"amout": 1}, TRADES[1]]}}, None),
    (
        {"given": {"trades": [{"timestamp": "2026-01-01", "price": 1, "amout": 1}]}},
        "some.yaml:10: t.given.trades.0.amout: the adapter of 'raw' reads no column 'amout'. Did you mean 'amount'?",
    ),
    (
        {"given": {"trades": [TRADES[0], TRADES[1] | {"date": "2026-01-01"}]}},
        "rows of one source must name the same of exchange, symbol, date. Found row 1: exchange, symbol; row 2:",
    ),
    (
        {"given": {"trades": [TRADES[0] | {"timestamp": "2026-01-01 00:00:00.0001"}]}},
        "t.given.trades: row 1: timestamp: 2026-01-01 00:00:00.0001 is finer than the clock of the source",
    ),
    ({"given": {"trades": [TRADES[0] | {"date": "today"}]}}, "date: found 'today', expected a date like 2026-01-01"),
    ({"expect": [{"cots": 1}]}, "t.expect.0.cots: 'costs' has no column 'cots'. Did you mean 'cost'? It has: exchange"),
    ({"expect": None}, "t: give either expect (rows; [] for none) or expect_error (text of the error)"),
    ({"expect_error": "x"}, "t: give either expect"),
    ({"tolerance": -1}, "t.tolerance: found -1: Input should be greater than or equal to 0"),
    ({"options": {"x": 1}, "model": "bars"}, "t.options.x: unknown option. Template 'trades/bars.sql.j2' has: bar_"),
    ({"options": {"bar_durations": [0]}, "model": "bars"}, "t.options.bar_durations: Input should be greater than 0"),
    (
        {"model": "pairs", "given": {"costs": [{"ts": "2026-01-01", "cots": 1}]}},
        "t.given.costs.0.cots: 'costs' has no column 'cots'. Did you mean 'cost'? It has: exchange, symbol",
    ),
    ({"model": "pairs", "given": {"costs": [{"cost": 1}]}}, "t.given.costs: row 1 names no date, by which 'costs' is"),
    (
        {"model": "pairs", "given": {"costs": [{"ts": "2026-01-01", "cost": "x"}]}},
        "t.given.costs: rows do not have the types of their columns:",
    ),
    ({"model": "pairs", "given": {"costs": {"raw": "some.yaml"}}}, "t.given.costs.raw: 'costs' is a model, not a"),
    ({"model": "pairs", "given": {"costs": {"rows": [], "times": "s"}}}, "t.given.costs.times: 'costs' is a model"),
]


@pytest.mark.parametrize(("fields", "told"), PROBLEMS)
def test_problems(scratch: Scratch, fields: dict[str, Any], told: str | None) -> None:
    bars = {"sql": "trades/bars.sql.j2", "inputs": {"trades": "raw"}, "output": {"path": "out/bars"}}
    if fields.get("model") == "bars":
        scratch.model("bars", **bars)
    if told is None:
        assert outcome_of(scratch, **fields).code == 0
    else:
        assert told in problem(scratch, **fields)


def test_two_inputs_of_one_source(scratch: Scratch) -> None:
    scratch.template(
        "both.sql.j2",
        "WITH a AS ({{ inputs.a }}), b AS ({{ inputs.b }}) SELECT a.*, b.seq AS other FROM a JOIN b USING (ts)",
    )
    scratch.model("both", sql="both.sql.j2", inputs={"a": "raw", "b": "raw"}, output={"path": "out/both"})
    assert failures(scratch, model="both", given={"a": TRADES}, expect=[{"other": 0}, {"other": 1}]) == []
    told = problem(scratch, model="both", given={"a": TRADES, "b": TRADES}, expect=[])
    assert "t.given.b: it reads 'raw' as 'a' does. Give the rows once, for both" in told


def test_all_problems_at_once(scratch: Scratch) -> None:
    write(scratch.folder, {"one": a_test(model="x"), "two": a_test(given={"x": []})}, "a.yaml")
    write(scratch.folder, "three:\n  model: costs\n  model: pairs\n  given: {trades: []}\n  expect: []\n", "b.yml")
    told = scratch.sqlgen("test").err
    assert "b.yml:3: three.model: duplicate key (first on line 2). Keep one of them" in told
    (scratch.folder / "model_tests/b.yml").unlink()
    told = scratch.sqlgen("test").err
    assert "a.yaml:2: one.model: unknown model 'x'" in told
    assert "two.given.x: model 'costs' has no such input" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- 1\n", "some.yaml: must map names to tests, for example:\nbars_of_two_trades:"),
        ("t: 1\n", "some.yaml:1: t: found 1, expected a mapping. For example:"),
        ("t: [\n", "some.yaml:2: not valid YAML"),
    ],
)
def test_files_that_are_no_tests(scratch: Scratch, text: str, told: str) -> None:
    write(scratch.folder, text)
    outcome = scratch.sqlgen("test")
    assert (outcome.code, told in outcome.err) == (2, True), outcome.err


def test_no_tests(scratch: Scratch) -> None:
    outcome = scratch.sqlgen("test")
    assert outcome.code == 2
    assert f"error: no tests in {scratch.folder}/model_tests. Write one, for example in model_tests/" in outcome.err


@pytest.mark.slow
def test_choosing(scratch: Scratch) -> None:
    pairs = a_test(model="pairs", given={"costs": [{"ts": "2026-01-01", "cost": 1}]}, expect=[{"pair": None}])
    write(scratch.folder, {"first": a_test(), "second": a_test()})
    (scratch.folder / "model_tests/deeper").mkdir()
    (scratch.folder / "model_tests/deeper/third.yaml").write_text(yaml.safe_dump({"third": pairs}))
    (scratch.folder / "model_tests/_notes.yaml").write_text("no test")

    def names(*arguments: str) -> list[str]:
        return [test["name"] for test in scratch.sqlgen("test", "--json", *arguments).json["tests"]]

    assert names() == ["third", "first", "second"]
    assert names("--select", "pairs") == ["third"]
    assert names("--exclude", "pairs") == ["first", "second"]
    assert names("-k", "IR") == ["third", "first"]
    assert names("-k", "f*") == ["first"]
    assert names("--select", "costs", "-k", "sec") == ["second"]
    outcome = scratch.sqlgen("test", "-k", "firts")
    assert outcome.code == 2
    assert (
        "there is no test whose name matches 'firts'. Did you mean 'first'? Tests: third, first, second" in outcome.err
    )
    assert scratch.sqlgen("test", "--select", "cost").code == 2


def test_json(scratch: Scratch) -> None:
    write(scratch.folder, {"good": a_test(), "bad": a_test(expect=[])})
    outcome = scratch.sqlgen("test", "--json")
    found = outcome.json
    assert outcome.code == 1
    assert (found["ok"], found["passed"], found["failed"]) == (False, 1, 1)
    assert [(test["name"], test["model"], test["ok"]) for test in found["tests"]] == [
        ("good", "costs", True),
        ("bad", "costs", False),
    ]
    assert found["tests"][0]["where"] == f"{scratch.folder}/model_tests/some.yaml:1"


def test_long_tables_are_cut(scratch: Scratch) -> None:
    trades = [TRADES[0] | {"timestamp": MIDNIGHT + at} for at in range(30)]
    outcome = outcome_of(scratch, given={"trades": trades}, expect=[{"cost": 1}] * 30)
    assert outcome.out.count(" cost ") == 20
    assert "and 10 more" in outcome.out
    outcome = outcome_of(scratch, given={"trades": [TRADES[0] | {"trade_id": "x" * 1000}]}, expect=[])
    text = "".join(line.strip() for line in outcome.out.splitlines())
    assert 50 < text.count("x") < 200
    assert "(no such row)" in text
    assert "x ..." in text


def test_the_example_in_the_messages_passes(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(shipped_config(tmp_path / "lake"), sort_keys=False))
    write(tmp_path, EXAMPLE)
    assert sqlgen("test", tmp_path / "models.yaml").code == 0


def test_the_schema_of_tests_describes_every_key() -> None:
    schema = json.loads(sqlgen("schema", "--tests").out)
    nodes = schema["$defs"].values()
    assert {name for node in nodes for name, field in node["properties"].items() if "description" not in field} == set()
    text = (ROOT / "docs/model-tests.md").read_text()
    assert [name for node in nodes for name in node["properties"] if f"`{name}`" not in text] == []


@pytest.mark.slow
def test_the_tests_in_the_documentation_pass(tmp_path: Path) -> None:
    """The examples of the page, each a file, over the shipped models."""
    blocks = (ROOT / "docs/model-tests.md").read_text().split("```yaml\n")[1:]
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(shipped_config(tmp_path / "lake"), sort_keys=False))
    for number, block in enumerate(blocks):
        write(tmp_path, block.partition("```")[0], f"{number}.yaml")
    (tmp_path / "model_tests/book.csv").write_text("ts,mid_price\n2026-01-01 00:00:10,100\n2026-01-01 00:01:00,101\n")
    outcome = sqlgen("test", tmp_path / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    assert len(blocks) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("model", ["trades_bars", "trades_features", "volume_bars"])
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_what_a_model_gives_is_a_test_that_passes(
    tmp_path_factory: pytest.TempPathFactory, model: str, seed: int
) -> None:
    """A test that is made from a run passes to the last bit, and fails once a value is another one."""
    rng = random.Random(seed)
    folder = tmp_path_factory.mktemp("made")
    rows = [
        {
            "timestamp": MIDNIGHT + rng.randrange(-200_000, 400_000),
            "trade_id": str(number),
            "side": rng.choice(["buy", "sell", None]),
            "price": rng.choice([None, rng.uniform(90, 110)]),
            "amount": rng.uniform(0.1, 30),
        }
        for number in range(rng.randrange(1, 40))
    ]
    raw = keyed(rows)
    write_rows(folder, "trades", raw)
    config = shipped_config(folder)
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    assert sqlgen("run", folder / "models.yaml", "--select", model).code == 0
    expect = python_rows(published(folder / config["models"][model]["output"]["path"]))
    given_rows = [{name: value for name, value in row.items() if name != "collected_at"} for row in raw]
    test = {"model": model, "given": {"trades": given_rows}, "expect": expect, "partial": False, "tolerance": 0.0}
    write(folder, {"made": test})
    assert sqlgen("test", folder / "models.yaml").code == 0
    if expect:
        row = rng.choice(expect)
        name = rng.choice([name for name, value in row.items() if isinstance(value, float)])
        row[name] = row[name] + 1
        write(folder, {"made": test})
        assert sqlgen("test", folder / "models.yaml").code == 1


def published(folder: Path) -> pa.Table:
    """A table in the order of its files."""
    tables = [published_file(file) for file in sorted(folder.rglob("*.parquet"))]
    return pa.concat_tables(tables or [pa.table({})], promote_options="default")
