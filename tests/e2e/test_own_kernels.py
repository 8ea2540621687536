"""Kernels of a user's own that are faulty: which one, where, and on which partition; and those whose source changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.scratch import BTC, DAY1, DAY2, LEDGER, Scratch

RUN = LEDGER[LEDGER.index("        costs =") :]
LINE = LEDGER[: LEDGER.index("        costs =")].count("\n") + 1


def with_run(body: str) -> str:
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    return LEDGER.replace(RUN, lines)


@pytest.fixture
def costs(scratch: Scratch) -> Scratch:
    scratch.model("costs", udfs=["ledger"])
    scratch.trades(BTC, DAY1, [100.0, 101.0, 102.0])
    return scratch


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("x = 1\nreturn [batch['cost'] / {}[x]]", LINE + 1, "KeyError: 1"),
        ("raise ValueError('cost 7 is too low')", LINE, "cost 7 is too low"),
        ("raise ValueError", LINE, "ValueError: "),
        ("return None", LINE - 1, "run gives a NoneType, and not a list of arrays"),
        ("raise SystemExit(0)", LINE, "SystemExit: 0"),
        ("raise GeneratorExit", LINE, "GeneratorExit: "),
        ("return [batch['cost'][:2]]", LINE - 1, "column before has the shape (2,), and not (3,)"),
        ("return []", LINE - 1, "run gives 0 arrays, and outputs declares 1: before"),
        ("return [batch['cost'].astype(str)]", LINE - 1, "column before is <U32, and type double is float64"),
        ("return [list(batch['cost'])]", LINE - 1, "column before is a list, and not a NumPy array"),
        ("return [np.ma.array(batch['cost'], mask=True)]", LINE - 1, "column before is a MaskedArray, and not a NumPy"),
    ],
)
def test_a_faulty_kernel_is_named(costs: Scratch, body: str, line: int, message: str) -> None:
    costs.kernel(with_run(body))
    outcome = costs.sqlgen("run")
    assert outcome.code == 1
    place = (
        f"at the rows from {DAY1}T12:00:00.000000000 on: kernel ledger ({costs.folder}/udfs/mine.py:{line}): {message}"
    )
    assert f"costs: binance/{BTC}/{DAY1}: {place}" in outcome.out.replace("exchange=", "").replace(
        "symbol=", ""
    ).replace("date=", "").replace("\n", " "), outcome.out + outcome.err
    assert not list((costs.lake / "out").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("state['last'] = 'x'", "last of its state is str, and no NumPy array"),
        ("state['last'] = np.array([object()])", "last of its state is object, and no NumPy array"),
        ("state['more'] = [1.0]", "more of its state is list, and no NumPy array"),
        ("del state['last']", "last of its state is gone"),
        (
            "state['last'] = state['last'].astype('f4')",
            "is float32 in 1 dimension(s), and start gives float64 in 1 dimension(s)",
        ),
        ("state['last'] = np.zeros((1, 1))", "is float64 in 2 dimension(s), and start gives float64 in 1 dimension(s)"),
    ],
)
def test_a_state_unlike_the_start_is_named(costs: Scratch, change: str, message: str) -> None:
    """It would be stored, and the next day would start from something else."""
    costs.kernel(with_run(f"{change}\nreturn [batch['cost']]"))
    outcome = costs.sqlgen("run")
    said = " ".join(outcome.out.split())
    assert (outcome.code, message in said, "after its last row: kernel ledger (" in said) == (1, True, True), (
        outcome.out
    )
    assert not list((costs.lake / "out").rglob("*.parquet"))


START, INPUTS = 'return {"last": np.full(1, np.nan)}', 'return ("cost",)'
OUTPUTS = 'return (Column("before", "q: cost of the row before"),)'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (START, "return None", "start gives None, and not a dictionary of NumPy arrays"),
        (START, 'return {"last": 1.0}', "last of its state is float, and no NumPy array"),
        (START, "raise OSError('no')", "OSError: no"),
        ("    def inputs", "    def __init__(self, options):\n        raise ValueError('no')\n\n    def inputs", "no"),
        ("    def run", "    def ran", "kernel 'ledger' does not define run"),
        ('Column("before"', 'Column(""', "has no name, or a name or doc that is no text"),
        (INPUTS, 'return "cost"', "inputs gives 'cost', and not a tuple of names of columns"),
        (INPUTS, "return None", "inputs gives None, and not a tuple"),
        (OUTPUTS, "return ('before',)", "outputs gives ('before',), and not a tuple of Column"),
        (OUTPUTS, "raise KeyError(1)", "KeyError: 1"),
        ('before"),)', 'before", "decimal"),)', "column before has type decimal. Types: double, bigint"),
        ('name = "ledger"', "name = 3", "3 is no name of a kernel"),
        ('name = "ledger"', 'name = "../ledger"', "'../ledger' is no name of a kernel"),
        ("options = {", 'options = {"x": 3, ', "options of kernel 'ledger' is not a dictionary of Option"),
    ],
)
def test_a_kernel_that_declares_something_else_is_named(costs: Scratch, old: str, new: str, message: str) -> None:
    assert LEDGER.count(old) == 1
    costs.kernel(LEDGER.replace(old, new))
    outcome = costs.sqlgen("plan")
    assert (outcome.code, f"{costs.folder}/udfs/mine.py:" in outcome.err) == (2, True), outcome
    assert message in outcome.err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cost", "kernel ledger reads column cost, which it gives itself. Rename its output"),
        ("Cost", "the template and a kernel both return column Cost"),
        ('x", "q: x"), Column("X', "kernels ledger give a column twice: x"),
    ],
)
def test_columns_of_one_name_are_told(costs: Scratch, name: str, message: str) -> None:
    """DuckDB would read one of those that differ in case alone under another name."""
    costs.kernel(LEDGER.replace('Column("before"', f'Column("{name}"'))
    outcome = costs.sqlgen("plan")
    assert (outcome.code, message in outcome.err) == (2, True), outcome


def test_a_faulty_kernel_is_named_though_a_source_file_is_gone(costs: Scratch) -> None:
    raw = costs.raw(BTC, DAY1) / "data.parquet"
    delete = f"from pathlib import Path\nlen(batch) > 1 and Path({str(raw)!r}).unlink(missing_ok=True)"
    costs.kernel(with_run(f"{delete}\nraise ValueError('cost 7 is too low')"))
    outcome = costs.sqlgen("run")
    assert (outcome.code, "cost 7 is too low" in outcome.out) == (1, True), outcome.out
    assert not raw.exists()


@pytest.mark.parametrize("body", ["raise KeyError('x')", "return None"])
def test_notes_that_fail_are_named(costs: Scratch, body: str) -> None:
    costs.kernel(f"{LEDGER}\n    def notes(self, state):\n        {body}\n")
    outcome = costs.sqlgen("run")
    said = " ".join(outcome.out.split())
    assert (outcome.code, f"after its last row: kernel ledger ({costs.folder}/udfs/mine.py:" in said) == (1, True), said


OTHER = LEDGER.replace('"ledger"', '"other"').replace('"before"', '"after"').replace("class Ledger", "class Other")


def test_what_a_kernel_writes_into_its_inputs_no_other_reads(costs: Scratch) -> None:
    body = "costs = batch['cost'].copy()\nbatch['cost'][:] = 0\nbatch.ts[:] = 0\nreturn [costs]"
    costs.kernel(with_run(body) + OTHER[OTHER.index("class Other") :])
    costs.model("costs", udfs=["ledger", "other"])
    costs.run()
    rows = costs.table("costs").to_pylist()
    assert [row["before"] for row in rows] == [100.0, 101.0, 102.0]
    assert [row["after"] for row in rows] == [None, 100.0, 101.0]


def test_a_file_of_kernels_that_ends_the_process_is_named(costs: Scratch) -> None:
    costs.kernel("raise SystemExit(0)")
    outcome = costs.sqlgen("run")
    assert (outcome.code, f"{costs.folder}/udfs/mine.py: SystemExit: 0" in outcome.err) == (2, True)


def test_inf_is_no_value(costs: Scratch) -> None:
    costs.kernel(with_run("with np.errstate(all='ignore'):\n    return [1 / (batch['cost'] - 101.0)]"))
    outcome = costs.sqlgen("run")
    assert outcome.code == 1
    assert "kernel ledger" in outcome.out
    assert "column before is inf in row 2 of its batch. NaN is what is not known" in outcome.out.replace("\n", " ")


FORGETFUL = with_run("costs = np.concatenate([[np.nan], batch['cost']])\nreturn [costs[:-1]]")
"""The row before, but for the first one of a batch."""
STATEFUL = with_run("state['last'] = np.full(len(batch), 1.0)\nreturn [batch['cost']]")
GIVEN = """
t:
  model: costs
  common: {exchange: binance, symbol: BTC-USDT}
  given:
    trades:
      - {timestamp: "2026-01-01 12:00:00", price: 2, amount: 3, side: buy, trade_id: 1}
      - {timestamp: "2026-01-01 12:00:01", price: 5, amount: 1, side: sell, trade_id: 2}
  expect:
    - {cost: 6, before: null}
    - {cost: 5}
"""


@pytest.mark.parametrize(
    ("kernel", "given", "generated"),
    [
        (
            FORGETFUL,
            "column before depends on batches: in row 2 (2026-01-01T12:00:01.000000000) it is 6.0",
            "in row 2 (",
        ),
        (STATEFUL, "its state 'last' after the last row differs with rows one by one", "its state 'last'"),
        (LEDGER, "", ""),
    ],
    ids=["forgetful", "stateful", "ledger"],
)
def test_batches_must_not_matter(costs: Scratch, kernel: str, given: str, generated: str) -> None:
    costs.kernel(kernel)
    (costs.folder / "model_tests").mkdir()
    (costs.folder / "model_tests/costs.yaml").write_text(GIVEN)
    outcome = costs.sqlgen("test", "--json")
    on_given, on_generated = outcome.json["tests"]
    assert (on_given["name"], on_generated["name"]) == ("t", "batches_of_ledger")
    assert outcome.code == bool(given)
    assert on_given["ok"] is on_generated["ok"] is not bool(given)
    if given:
        assert f"kernel ledger ({costs.folder}/udfs/mine.py:" in on_given["error"]
        assert given in on_given["error"]
        assert generated in on_generated["error"]


@pytest.mark.parametrize(
    ("refuses", "said"),
    [
        ("True", "generated rows are refused, so only the rows of model_tests were tried: kernel ledger"),
        (
            "np.isnan(values).any()",
            "generated rows with NULLs are refused, so those without NULLs were tried: kernel",
        ),
    ],
)
def test_rows_that_a_kernel_refuses_are_told(costs: Scratch, refuses: str, said: str) -> None:
    values = "values = np.concatenate([np.zeros(1), *(batch[name] for name in self.inputs())])"
    check = (
        f"        {values}\n        if len(values) > 100 and {refuses}:\n            raise ValueError('no such rows')\n"
    )
    body = LEDGER.index("\n", LEDGER.index("def run(")) + 1
    costs.kernel(LEDGER[:body] + check + LEDGER[body:])
    (costs.folder / "model_tests").mkdir()
    (costs.folder / "model_tests/costs.yaml").write_text(GIVEN)
    outcome = costs.sqlgen("test", "--json")
    assert outcome.code == 0, outcome.out
    on_given, on_generated = outcome.json["tests"]
    assert on_given["note"] is None
    assert on_generated["note"].startswith(said)
    assert "no such rows" in on_generated["note"]
    printed = " ".join(costs.sqlgen("test").out.split())
    assert f"note: batches_of_ledger (costs): {said[:40]}" in printed


HELPER = "def twice(x):\n    return {} * x\n"
USES_HELPER = LEDGER.replace("from udfs.kernel import", "from .helper import twice\nfrom udfs.kernel import").replace(
    '[self.params["factor"] *', '[twice(self.params["factor"]) *'
)


@pytest.mark.slow
def test_a_changed_source_is_stale(costs: Scratch) -> None:
    helper = costs.folder / "udfs" / "helper.py"
    helper.parent.mkdir(exist_ok=True)
    helper.write_text(HELPER.format(2))
    other = Path(costs.folder / "udfs" / "other.py")
    costs.kernel(USES_HELPER)
    costs.trades(BTC, DAY2, [103.0])
    costs.run()
    assert [row["before"] for row in costs.table("costs").to_pylist()] == [None, 200.0, 202.0, 204.0]
    other.write_text('"""Nothing that the kernel imports."""\n')
    costs.kernel(USES_HELPER)
    assert costs.sqlgen("plan", "--json").json["tasks"] == []
    helper.write_text(HELPER.format(3))
    costs.kernel(USES_HELPER)
    reasons = [task["reason"] for task in costs.sqlgen("plan", "--json").json["tasks"] if task["model"] == "costs"]
    assert len(reasons) == 2
    assert all("kernels changed" in reason for reason in reasons)
    costs.run()
    assert [row["before"] for row in costs.table("costs").to_pylist()] == [None, 300.0, 303.0, 306.0]
    beside = {costs.folder / "constants.py": "", costs.folder / "udfs/lib/deep.py": ""}
    for path in beside:
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    helper.write_text(
        HELPER.format(3) + "\nfrom .lib.deep import *\ntry:\n    import constants\nexcept ImportError:\n    pass\n"
    )
    costs.kernel(USES_HELPER)
    costs.run()
    for path in beside:
        path.write_text("MORE = 1\n")
        costs.kernel(USES_HELPER)
        assert len([task for task in costs.sqlgen("plan", "--json").json["tasks"] if task["model"] == "costs"]) == 2
        path.write_text("")
    costs.kernel(USES_HELPER + "\n\nREMARK = 1\n")
    assert len(costs.sqlgen("plan", "--json").json["tasks"]) >= 2


def test_kernels_are_loaded_by_several_threads_at_once(scratch: Scratch) -> None:
    """All have the same classes: loading anew would take the modules of the first from under it."""
    from concurrent.futures import ThreadPoolExecutor

    from udfs.registry import registry, reload

    scratch.kernel(LEDGER)
    for _ in range(20):
        reload()
        with ThreadPoolExecutor(8) as pool:
            found = [*pool.map(lambda _: registry(scratch.folder / "udfs"), range(8))]
        assert all(one["ledger"] is found[0]["ledger"] for one in found)
