"""Whatever happens to the inputs, in whatever order it is run: the end is what one fresh run gives."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.modes import tried
from tests.support.scratch import BTC, COSTS, DAY1, DAY2, DAY3, ETH, LEDGER, Scratch, state_files

SYMBOLS = st.sampled_from((BTC, ETH))
DAYS = st.sampled_from((DAY1, DAY2, DAY3))
NAMES = st.sampled_from(("a", "b"))
PRICES = st.lists(st.sampled_from((1.0, 2.0, 5.0)), min_size=1, max_size=3)


class Lake(RuleBasedStateMachine):
    """Files come, change and go; runs of parts happen in between."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="sqlgen-lake-"))
        self.project = Scratch(self.root / "project")
        self.project.kernel(LEDGER)
        self.project.model("costs", udfs=["ledger"])
        self.project.model("pairs", lookback=86_400)
        (self.project.lake / "raw").mkdir()
        self.dirty = False

    @rule(symbol=SYMBOLS, day=DAYS, name=NAMES, prices=PRICES)
    def write(self, symbol: str, day: str, name: str, prices: list[float]) -> None:
        self.project.trades(symbol, day, prices, name=name)
        self.dirty = True

    @rule(symbol=SYMBOLS, day=DAYS, name=NAMES)
    def delete(self, symbol: str, day: str, name: str) -> None:
        (self.project.raw(symbol, day) / f"{name}.parquet").unlink(missing_ok=True)
        self.dirty = True

    @rule(factor=st.sampled_from(("1", "2")))
    def change_the_template(self, factor: str) -> None:
        self.project.template("costs.sql.j2", COSTS.replace("price * amount AS", f"{factor} * price * amount AS"))
        self.dirty = True

    @rule(symbol=SYMBOLS, day=DAYS, content=st.sampled_from((None, b"", b"sqlgen kernel state 1")))
    def damage_a_kernel_state(self, symbol: str, day: str, content: bytes | None) -> None:
        path = state_files(self.project.lake, "costs").get(f"exchange=binance/symbol={symbol}/date={day}")
        if path is not None and content is None:
            path.unlink()
        elif path is not None and content is not None:
            path.write_bytes(content)

    @precondition(lambda self: self.dirty)
    @rule(
        arguments=st.sampled_from(
            ((), ("--symbol", BTC), ("--start", DAY2), ("--end", DAY2), ("--select", "costs"), ("--select", "pairs"))
        )
    )
    def run(self, arguments: tuple[str, ...]) -> None:
        self.project.run("--allow-empty", *arguments)

    @precondition(lambda self: self.dirty)
    @rule()
    def run_all_and_compare(self) -> None:
        self.project.run("--allow-empty", "--prune")
        fresh = Scratch(self.root / "fresh")
        fresh.kernel(LEDGER)
        fresh.model("costs", udfs=["ledger"])
        fresh.model("pairs", lookback=86_400)
        shutil.copytree(self.project.lake / "raw", fresh.lake / "raw", dirs_exist_ok=True)
        shutil.copytree(self.project.folder / "transforms_sql", fresh.folder / "transforms_sql", dirs_exist_ok=True)
        fresh.run("--allow-empty")
        for model in ("costs", "pairs"):
            assert rows(self.project, model) == rows(fresh, model)
        shutil.rmtree(fresh.folder)
        assert self.project.plan("--allow-empty", "--prune") == {}
        self.dirty = False

    @invariant()
    def nothing_is_staged(self) -> None:
        assert not list((self.project.lake / ".sqlgen/staging").glob("*"))

    def teardown(self) -> None:
        shutil.rmtree(self.root)


def rows(project: Scratch, model: str) -> list[dict[str, object]]:
    folder = project.lake / project.config["models"][model]["output"]["path"]
    return project.table(model).to_pylist() if any(folder.rglob("*.parquet")) else []


TestLake = pytest.mark.slow(Lake.TestCase)
TestLake.settings = settings(
    max_examples=tried(15), stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
