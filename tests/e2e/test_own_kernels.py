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
        ("raise SystemExit(0)", LINE, "SystemExit: 0"),
        ("return [batch['cost'][:2]]", LINE - 1, "column before has the shape (2,), and not (3,)"),
        ("return []", LINE - 1, "run gives 0 arrays, and outputs declares 1: before"),
        ("return [batch['cost'].astype(str)]", LINE - 1, "column before is <U32, and type double is float64"),
        ("return [list(batch['cost'])]", LINE - 1, "column before is a list, and not a NumPy array"),
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


def test_a_kernel_without_a_start_is_named(costs: Scratch) -> None:
    body = with_run("return [batch['cost']]")
    costs.kernel(body.replace('return {"last": np.full(1, np.nan)}', "raise OSError('no')"))
    outcome = costs.sqlgen("run")
    assert outcome.code == 1
    assert f"date={DAY1}: kernel ledger ({costs.folder}/udfs/mine.py:" in outcome.out
    assert "OSError: no" in outcome.out


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
    costs.kernel(USES_HELPER + "\n\nREMARK = 1\n")
    assert len(costs.sqlgen("plan", "--json").json["tasks"]) >= 2
