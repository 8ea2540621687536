"""A project of one model that publishes the canonical rows of one source as they are, and what they should be."""

from __future__ import annotations

import datetime as dt
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from tests.support.engine import Outcome, published, sqlgen
from tests.support.vendors.rows import Book, Level, Trade

SHELL = shutil.which("duckdb", path=str(Path(sys.executable).parent)) or shutil.which("duckdb")
DAY = "2026-01-02"
MIDNIGHT = int(dt.datetime.fromisoformat(f"{DAY}T00:00:00+00:00").timestamp()) * 10**9
EXCHANGE, SYMBOL = "binance", "BTCUSDT"
HIVE = f"exchange={EXCHANGE}/symbol={SYMBOL}/date={DAY}"
Row = dict[str, Any]


@dataclass(frozen=True)
class Project:
    """A folder with a lake whose raw files lie under ``raw``."""

    folder: Path

    @classmethod
    def of(cls, folder: Path, adapter: str, model: dict[str, Any] | None = None, **source: Any) -> Project:
        """``model``: what else models.yaml says of the model; ``source``: of the source."""
        (folder / "transforms_sql").mkdir(parents=True, exist_ok=True)
        (folder / "transforms_sql/rows.sql.j2").write_text(
            "{#- {description: Rows as they are, inputs: [rows]} -#}\n{{ inputs.rows }}\n"
        )
        spec = {"sql": "rows.sql.j2", "inputs": {"rows": "raw"}, "output": {"path": "out"}} | (model or {})
        config = {
            "version": 1,
            "lake": "lake",
            "sources": {"raw": {"path": "raw", "adapter": adapter} | source},
            "models": {"rows": spec},
        }
        (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        project = cls(folder)
        project.raw.mkdir(parents=True, exist_ok=True)
        return project

    @property
    def raw(self) -> Path:
        return self.folder / "lake/raw"

    def sqlgen(self, command: str, *arguments: object) -> Outcome:
        return sqlgen(command, self.folder / "models.yaml", *arguments)

    def run(self) -> pa.Table:
        """What a run publishes; it must succeed."""
        outcome = self.sqlgen("run")
        assert outcome.code == 0, outcome.out + outcome.err
        return published(self.folder / "lake/out")

    def failure(self) -> str:
        """What a run says that must fail."""
        outcome = self.sqlgen("run")
        assert outcome.code != 0, outcome.out
        return outcome.out + outcome.err

    def in_shell(self) -> pa.Table:
        """What the compiled file gives in a DuckDB shell."""
        assert SHELL is not None
        assert self.sqlgen("compile").code == 0
        script = (self.folder / "target/compiled/rows.sql").read_text()
        command = [SHELL, "-bail", "-init", "/dev/null"]
        done = subprocess.run(command, input=script, cwd=self.folder, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return published(self.folder / "target/tables/rows")


def rows_of(table: pa.Table) -> list[Row]:
    """Rows with times in ns, in the order of their partitions and ``seq``."""
    plain = table.set_column(table.schema.get_field_index("ts"), "ts", table["ts"].cast(pa.int64()))
    rows: list[Row] = plain.to_pylist()
    return sorted(rows, key=lambda row: (row["exchange"], row["symbol"], row["date"], row["seq"]))


def keyed(ts: int, seq: int, exchange: str = EXCHANGE, symbol: str = SYMBOL, date: str = DAY) -> Row:
    return {"exchange": exchange, "symbol": symbol, "date": dt.date.fromisoformat(date), "ts": ts, "seq": seq}


def book_rows(books: Iterable[Book], levels: int, unit: int = 1, **keys: str) -> list[Row]:
    """Canonical rows of books that need no cleaning; ``unit``: what is left of their time, in ns."""
    rows = []
    for seq, book in enumerate(books):
        row = keyed(book.ts // unit * unit, seq, **keys)
        for side, found in (("bid", book.bids[:levels]), ("ask", book.asks[:levels])):
            row[f"{side}_levels"] = len(found)
            for i in range(levels):
                price, size = found[i] if i < len(found) else (None, None)
                row[f"{side}_price_{i:02d}"] = None if price is None else float(price)
                row[f"{side}_size_{i:02d}"] = None if size is None else float(size)
        rows.append(row)
    return rows


def trade_rows(trades: Iterable[Trade], unit: int = 1, **keys: str) -> list[Row]:
    """Canonical rows of trades."""
    return [
        keyed(trade.ts // unit * unit, seq, **keys)
        | {
            "trade_id": trade.trade_id,
            "price": float(trade.price),
            "amount": float(trade.amount),
            "side": {"buy": 1, "sell": -1, None: None}[trade.side],
        }
        for seq, trade in enumerate(trades)
    ]


def random_books(seed: int, count: int, depth: int, full: float = 0.5) -> list[Book]:
    """Books from midnight on, some with fewer levels or none on a side."""
    rng = random.Random(seed)
    books, ts = [], MIDNIGHT
    for _ in range(count):
        ts += rng.randrange(1, 10**9)
        mid = Decimal(rng.randrange(10**9, 10**13)) / 10**8
        sides = [_side(rng, mid, sign, depth if rng.random() < full else rng.randrange(depth + 1)) for sign in (-1, 1)]
        books.append(Book(ts, *sides, ts + rng.randrange(10**7), rng.randrange(10**9)))
    return books


def _side(rng: random.Random, mid: Decimal, sign: int, count: int) -> tuple[Level, ...]:
    steps: Sequence[Decimal] = [Decimal(rng.randrange(1, 10**5)) / 10**8 for _ in range(count)]
    return tuple(
        (mid + sign * sum(steps[: i + 1], Decimal(0)), Decimal(rng.randrange(1, 10**10)) / 10**8) for i in range(count)
    )


def random_trades(seed: int, count: int, unknown: bool = True) -> list[Trade]:
    """Trades from midnight on; ``unknown``: some have no side, some no id."""
    rng = random.Random(seed)
    trades, ts = [], MIDNIGHT
    for number in range(count):
        ts += rng.randrange(1, 10**9)
        side = rng.choice(["buy", "sell", None] if unknown else ["buy", "sell"])
        trade_id = None if unknown and rng.random() < 0.1 else str(number + 1)
        price, amount = (Decimal(rng.randrange(1, 10**13)) / 10**8 for _ in range(2))
        trades.append(Trade(ts, trade_id, side, price, amount, ts + rng.randrange(10**7)))  # type: ignore[arg-type]
    return trades
