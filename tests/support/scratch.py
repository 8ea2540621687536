"""A small project of its own, with templates that are easy to reason about."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from tests.support.engine import DUMPER, Outcome, published, sqlgen
from tests.support.lakes import write_trades

COSTS = """\
{#- description: What each trade cost -#}
WITH trades AS (
    {{ inputs.trades | indent(4) }}
)
SELECT
    exchange,
    symbol,
    date,
    ts,
    seq,
    trade_id,
    price * amount AS cost -- quote: price times amount
FROM trades
"""
PAIRS = """\
{#-
description: Cost of each trade and the one before it
inputs: [costs]
-#}
WITH costs AS (
    {{ inputs.costs | indent(4) }}
)
SELECT *, cost + lag(cost) OVER (PARTITION BY exchange, symbol ORDER BY ts, seq) AS pair
FROM costs
ORDER BY exchange, symbol, ts, seq
"""
LEDGER = '''\
"""The cost before each row, and a count that forgets."""

import numpy as np

from udfs.options import Option
from udfs.kernel import Column, Kernel


class Ledger(Kernel):
    name = "ledger"
    version = 1
    doc = "Cost of the row before"
    options = {"factor": Option(type="float", default=1.0, gt=0, doc="of the cost before")}

    def inputs(self):
        return ("cost",)

    def outputs(self):
        return (Column("before", "q: cost of the row before"),)

    def start(self):
        return {"last": np.full(1, np.nan)}

    def run(self, state, batch):
        costs = np.concatenate([state["last"], batch["cost"]])
        state["last"] = costs[-1:].copy()
        return [self.params["factor"] * costs[:-1]]
'''
BTC, ETH = "BTC-USDT", "ETH-USDT"
DAY1, DAY2, DAY3 = "2026-01-01", "2026-01-02", "2026-01-03"


@dataclass
class Scratch:
    """A project folder: ``costs`` reads raw trades, ``pairs`` reads ``costs`` and looks back an hour."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lake.mkdir(exist_ok=True)
        self.template("costs.sql.j2", COSTS)
        self.template("pairs.sql.j2", PAIRS)
        self.config = {
            "version": 1,
            "lake": "lake",
            "sources": {"raw": {"path": "raw/ccxt/trades", "adapter": "ccxt/trades"}},
            "models": {
                "costs": {"sql": "costs.sql.j2", "inputs": {"trades": "raw"}, "output": {"path": "out/costs"}},
                "pairs": {
                    "sql": "pairs.sql.j2",
                    "inputs": {"costs": "costs"},
                    "lookback": 3600,
                    "output": {"path": "out/pairs"},
                },
            },
        }
        self.save()

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def file(self) -> Path:
        return self.folder / "models.yaml"

    def save(self) -> None:
        self.file.write_text(yaml.dump(self.config, Dumper=DUMPER, sort_keys=False))

    def template(self, name: str, text: str) -> None:
        path = self.folder / "transforms_sql" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def kernel(self, text: str) -> None:
        """Write a kernel of the project's own."""
        from udfs.registry import reload

        path = self.folder / "udfs" / "mine.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        reload()

    def model(self, name: str, **fields: Any) -> None:
        """Set fields of a model and save; ``output`` is merged."""
        model = self.config["models"].setdefault(name, {})
        output = model.get("output", {}) | fields.pop("output", {})
        model.update(fields, output=output)
        self.save()

    def trades(self, symbol: str, date: str, prices: list[float], name: str = "data", **where: str) -> Path:
        """Write one file of trades, a minute apart from noon on; the folder of the file."""
        noon = int(dt.datetime.fromisoformat(f"{date}T12:00:00+00:00").timestamp() * 1000)
        rows = [
            {"timestamp": noon + 60_000 * i, "trade_id": f"{name}-{i}", "side": "buy", "price": price, "amount": 1.0}
            for i, price in enumerate(prices)
        ]
        write_trades(self.lake, "binance", symbol, date, rows, name=name, **where)
        return self.raw(symbol, date)

    def raw(self, symbol: str, date: str) -> Path:
        return self.lake / f"raw/ccxt/trades/exchange=binance/symbol={symbol}/date={date}"

    def state_file(self, model: str, unit: str) -> Path:
        """The kernel state after a published partition."""
        return state_files(self.lake, model)[unit]

    def sqlgen(self, command: str, *arguments: object) -> Outcome:
        return sqlgen(command, self.file, *arguments)

    def plan(self, *arguments: object) -> dict[str, str]:
        """``model symbol date`` -> why it is stale."""
        tasks = self.sqlgen("plan", "--json", *arguments).json["tasks"]
        return {label(task["model"], task["partition"]): task["reason"] for task in tasks}

    def run(self, *arguments: object, code: int = 0) -> dict[str, dict[str, Any]]:
        """``model symbol date`` -> result; the exit code must be ``code``."""
        outcome = self.sqlgen("run", "--json", *arguments)
        assert outcome.code == code, outcome.out + outcome.err
        return {label(task["model"], task["partition"]): task for task in outcome.json["tasks"]}

    def table(self, model: str) -> pa.Table:
        return published(self.lake / self.config["models"][model]["output"]["path"])

    def costs(self) -> list[tuple[str, str, float]]:
        """(symbol, date, cost) of every published row."""
        return [(row["symbol"], str(row["date"]), row["cost"]) for row in self.table("costs").to_pylist()]

    def snapshot(self) -> dict[str, tuple[int, int]]:
        """Every file below the project with its size and modification time."""
        return {
            str(path.relative_to(self.folder)): (path.stat().st_size, path.stat().st_mtime_ns)
            for path in self.folder.rglob("*")
            if path.is_file()
        }


def state_files(lake: Path, model: str) -> dict[str, Path]:
    """Partition -> the kernel state after it: one each."""
    root = lake / ".sqlgen/kernels" / model
    files = sorted(root.rglob("*.state"))
    found = {str(path.parent.relative_to(root)): path for path in files}
    assert len(found) == len(files), files
    return found


def label(model: str, partition: str) -> str:
    values = dict(part.split("=") for part in partition.split("/") if part)
    return " ".join(part for part in (model, values.get("symbol"), values.get("date")) if part)
