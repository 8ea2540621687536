"""Feeds in the files of vendors: projects that rebuild their books, and what their lines say, read by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from tests.oracles.books import Message
from tests.support.engine import Outcome, published, sqlgen
from tests.support.feeds import write_project

DEPTH = 25
Cells = tuple[str, ...]
Level = tuple[int | None, float | None, float | None]
LOST: Level = (0, None, None)


def project(folder: Path, source: Mapping[str, Any], kernel: str = "book", **options: Any) -> Path:
    """A project with the book of one source and its features; its models.yaml."""
    path = write_project(folder, str(source["adapter"]), {"max_levels": DEPTH, **options})
    config = yaml.safe_load(path.read_text())
    config["sources"]["updates"] = {"path": "raw", **source}
    config["models"]["book"]["udfs"] = kernel
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def run(config: Path, *arguments: object) -> Outcome:
    outcome = sqlgen("run", config, *arguments)
    assert outcome.code == 0, outcome.out + outcome.err
    return outcome


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of a book, as the oracle gives them; times in ns."""
    position = table.schema.get_field_index("ts")
    exact = table.set_column(position, "ts", table["ts"].cast(pa.int64()))
    for other in {"received_ts", "exchange_ts"} & {*exact.schema.names}:
        exact = exact.set_column(exact.schema.get_field_index(other), other, exact[other].cast(pa.int64()))
    names = [name for name in exact.schema.names if name not in ("exchange", "symbol", "date", "seq")]
    return exact.select(names).to_pylist()


def latencies(rows: Iterable[Mapping[str, Any]], other: str) -> list[float | None]:
    """Milliseconds from the exchange to the arrival, of rows whose time that is not ts is in the column ``other``."""
    sign = 1 if other == "received_ts" else -1
    return [None if row[other] is None else sign * (row[other] - row["ts"]) / 10**6 for row in rows]


def book_rows(folder: Path) -> list[dict[str, Any]]:
    """The published book of a project in this folder."""
    return rows_of(published(folder / "lake/book"))


def tardis_messages(lines: Iterable[Cells | str], clock: str = "exchange") -> list[Message]:
    """Messages of one file of incremental_book_L2, from its lines; a line that cannot be read is a text.

    Such a line may belong to the message before it or after it: they are one with it.
    """
    groups: list[list[tuple[Cells | None, bool]]] = []
    before: Cells | None = None
    for line in lines:
        row = None if isinstance(line, str) else line
        turns = row is not None and row[4] == "true" and (before is None or before[4] != "true")
        goes_on = row is None or (groups and groups[-1][-1][0] is None)
        same = before is not None and row is not None and row[3] == before[3] and not turns
        if groups and (goes_on or same):
            groups[-1].append((row, turns))
        else:
            groups.append([(row, turns)])
        before = row
    return _messages(groups, clock)


def _messages(groups: Iterable[list[tuple[Cells | None, bool]]], clock: str) -> list[Message]:
    own, beside = (2, 3) if clock == "exchange" else (3, 2)
    messages: list[Message] = []
    latest = books = 0
    for group in groups:
        latest = max([latest, *(int(row[own]) * 1000 for row, _ in group if row is not None)])
        books += sum(turns for _, turns in group)
        lost = any(row is None for row, _ in group)
        if not (books or lost or messages):
            continue  # left over from before the first book
        levels = tuple(_level(row) for row, _ in group)
        begins = group[0][1]
        last = group[-1][0]
        other = int(last[beside]) * 1000 if last is not None and last[beside] else None
        messages.append(Message(latest, levels, snapshot=begins, feed_break=begins and books > 1, other=other))
    return messages


def _level(row: Cells | None) -> Level:
    if row is None:
        return LOST
    _, _, _, _, _, side, price, amount = row
    return {"bid": 1, "ask": -1}.get(side), float(price) if price else None, float(amount) if amount else None
