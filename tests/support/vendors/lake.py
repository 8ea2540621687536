"""A lake of one vendor's files, read by its adapters: by a run, and by the compiled file in the DuckDB shell."""

from __future__ import annotations

import datetime as dt
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from tests.support.compare import values
from tests.support.engine import Outcome, published, shipped_config, sqlgen
from tests.support.lakes import write_rows
from tests.support.vendors.rows import MS, Book, Level, Trade

SHELL = shutil.which("duckdb", path=str(Path(sys.executable).parent)) or shutil.which("duckdb")
needs_shell = pytest.mark.skipif(SHELL is None, reason="the duckdb shell is not installed (package duckdb-cli)")
AS_THEY_ARE = """{#
description: Canonical rows as an adapter gives them
inputs: [rows]
#}
SELECT *
FROM (
    {{ inputs.rows | indent(4) }}
)
"""


@dataclass(frozen=True)
class VendorLake:
    """A project folder with a lake in it."""

    folder: Path

    @property
    def raw(self) -> Path:
        return self.folder / "lake/raw"

    def run(self, source: Mapping[str, Any], *arguments: object, **options: Any) -> Outcome:
        """Publish the canonical rows of a source as model ``rows``."""
        (self.folder / "transforms_sql").mkdir(parents=True, exist_ok=True)
        (self.folder / "transforms_sql/as_they_are.sql.j2").write_text(AS_THEY_ARE)
        model = {"sql": "as_they_are.sql.j2", "inputs": {"rows": "it"}, "output": {"path": "rows"}}
        config = {"version": 1, "lake": "lake", "sources": {"it": {"path": "raw", **source}}}
        self._write(config | {"models": {"rows": {**model, **options}}})
        return sqlgen("run", self.folder / "models.yaml", *arguments)

    def rows(self, source: Mapping[str, Any], **options: Any) -> pa.Table:
        """The canonical rows of a source."""
        outcome = self.run(source, **options)
        assert outcome.code == 0, outcome.out + outcome.err
        return published(self.folder / "lake/rows")

    def shell_rows(self) -> pa.Table:
        """What the compiled file of the last run gives in the DuckDB shell, somewhere else on earth."""
        assert sqlgen("compile", self.folder / "models.yaml").code == 0
        script = (self.folder / "target/compiled/rows.sql").read_text()
        done = self.shell(script)
        assert (done.returncode, done.stderr) == (0, "")
        return published(self.folder / "target/tables/rows")

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        assert SHELL is not None
        return subprocess.run(
            [SHELL, "-bail", "-init", "/dev/null"],
            input=script,
            cwd=self.folder,
            env={**os.environ, "TZ": "Asia/Kolkata"},
            capture_output=True,
            text=True,
        )

    def features(self, sources: Mapping[str, Mapping[str, Any]], *models: str, **options: Any) -> list[pa.Table]:
        """Shipped models over these sources in place of those of ccxt."""
        config = shipped_config(Path("lake"), **options)
        config["sources"] |= sources
        self._write(config)
        arguments = [part for model in models for part in ("--select", model)]
        outcome = sqlgen("run", self.folder / "models.yaml", *arguments)
        assert outcome.code == 0, outcome.out + outcome.err
        return [published(self.folder / "lake" / config["models"][model]["output"]["path"]) for model in models]

    def _write(self, config: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def identical(left: pa.Table, right: pa.Table, but: Iterable[str] = ()) -> None:
    """The same columns, and the same values to the last bit, apart from the columns that are named."""
    names = [name for name in left.schema.names if name not in set(but)]
    assert names == [name for name in right.schema.names if name not in set(but)]
    assert left.num_rows == right.num_rows > 0
    for name in names:
        assert values(left, name) == values(right, name), name
        assert left[name].type == right[name].type, name


def timeless(hf: pa.Table) -> pa.Table:
    """The columns of orderbook_hf that tell the same whether times are whole milliseconds or not."""
    structure = ("bid", "ask", "imb", "total", "micro", "ofi")
    windowed = re.compile(r".*_\d+s|.*impact.*")
    names = [name for name in hf.schema.names if name.startswith(structure) and not windowed.fullmatch(name)]
    assert len(names) > 80
    return hf.select(names)


def market(
    seed: int, start: int, count: int, step: int = 1_100 * MS, levels: int = 10
) -> tuple[list[Book], list[Trade]]:
    """Books in cents with whole sizes, now and then with fewer levels or one side only, and trades among them.

    Times are whole milliseconds, a trade often that of a book.
    """
    rng = random.Random(seed)
    books, trades, mid = [], [], 23_400
    for number in range(count):
        mid += rng.randint(-2, 2)
        ts = start + number * step
        there = {side: levels if rng.random() < 0.8 else rng.randint(0, levels) for side in (-1, 1)}
        bids, asks = (_side(rng, mid, sign, there[sign]) for sign in (-1, 1))
        books.append(Book(ts, bids, asks, ts + 20_000))
        for _ in range(rng.choice((0, 0, 1, 2))):
            price = Decimal(mid + rng.choice((-1, 1))) / 100
            side = rng.choice(("buy", "sell"))
            at = ts + rng.choice((0, 0, 5 * MS))
            trades.append(Trade(at, None, side, price, Decimal(rng.randint(1, 300)), at + 20_000))  # type: ignore[arg-type]
    return books, trades


def _side(rng: random.Random, mid: int, sign: int, count: int) -> tuple[Level, ...]:
    price, levels = mid, []
    for _ in range(count):
        price += sign * rng.randint(1, 3)
        levels.append((Decimal(price) / 100, Decimal(rng.randint(1, 500))))
    return tuple(levels)


def states(books: Sequence[Book], trades: Sequence[Trade]) -> list[Book]:
    """The book of each event, as vendors write it who put trades among books: a trade shows the book before it."""
    state, found = Book(0, (), ()), []
    for event in sorted([*trades, *books], key=lambda event: (event.ts, isinstance(event, Book))):
        if isinstance(event, Book):
            state = event
        found.append(Book(event.ts, state.bids, state.asks))
    return found


def write_ccxt(lake: Path, books: Iterable[Book], trades: Iterable[Trade], date: str) -> None:
    """The same market as ccxt would have it, under the keys nasdaq and AAPL."""
    keys = {"exchange": "nasdaq", "symbol": "AAPL", "date": dt.date.fromisoformat(date)}
    write_rows(lake, "orderbook", [{**keys, **_book(book)} for book in books])
    write_rows(lake, "trades", [{**keys, **_trade(trade)} for trade in sorted(trades, key=lambda trade: trade.ts)])


def _book(book: Book) -> dict[str, Any]:
    assert book.ts % MS == 0
    sides = {"bids": book.bids, "asks": book.asks}
    return {
        "timestamp": book.ts // MS,
        **{side: [tuple(map(float, level)) for level in levels] for side, levels in sides.items()},
    }


def _trade(trade: Trade) -> dict[str, Any]:
    assert trade.ts % MS == 0
    return {
        "timestamp": trade.ts // MS,
        "trade_id": trade.trade_id,
        "side": trade.side,
        "price": float(trade.price),
        "amount": float(trade.amount),
    }
