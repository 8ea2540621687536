"""Streams of a few levels: depth behind the last one is not known, whichever of them a source reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.adapters import Project, rows_of
from tests.support.engine import sqlgen

TIME = 1_767_312_000_000


def binance(depth: int) -> dict[str, Any]:
    data = {
        "e": "depthUpdate",
        "E": TIME,
        "T": TIME + depth,
        "s": "BTCUSDT",
        "U": 1,
        "u": 2,
        "pu": 0,
        **_sides(depth, ("b", "a")),
    }
    return {"stream": f"btcusdt@depth{depth}@100ms", "data": data}


def deribit(depth: int) -> dict[str, Any]:
    data = {"timestamp": TIME + depth, "instrument_name": "BTC", "change_id": 1, **_sides(depth or 3, ("bids", "asks"))}
    if not depth:
        data |= {"type": "snapshot"} | {side: [["new", *level] for level in data[side]] for side in ("bids", "asks")}
    kind = f"none.{depth}.100ms" if depth else "100ms"
    return {"method": "subscription", "params": {"channel": f"book.BTC.{kind}", "data": data}}


def _sides(count: int, names: tuple[str, str]) -> dict[str, Any]:
    return {name: [[100 + step * (i + 1), 1] for i in range(count)] for name, step in zip(names, (-1, 1), strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("adapter", "lines", "depth", "levels"),
    [
        ("binance/partial_depth", [binance(5), binance(20)], None, [5, 20]),
        ("binance/partial_depth", [binance(5), binance(20)], 20, [20]),
        ("deribit/book", [deribit(0), deribit(10)], None, [3]),
        ("deribit/book", [deribit(0), deribit(10)], 10, [10]),
    ],
)
def test_streams_are_told_apart(
    tmp_path: Path, adapter: str, lines: list[dict[str, Any]], depth: int | None, levels: list[int]
) -> None:
    options = {} if depth is None else {"depth": depth}
    pattern = "{symbol}_{date}.ndjson"
    project = Project.of(tmp_path, adapter, exchange="x", pattern=pattern, options=options)
    (project.raw / "BTC_2026-01-02.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = rows_of(project.run())
    if adapter.startswith("binance"):
        assert [row["bid_levels"] for row in rows] == levels
    else:
        assert [sum(row["side"] == 1 for row in rows)] == levels


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "said"), [(20, {"options": {"depth": 20}}), (0, {})])
def test_inspect_says_how_deep(tmp_path: Path, depth: int, said: dict[str, Any]) -> None:
    raw = tmp_path / "lake/raw"
    raw.mkdir(parents=True)
    (raw / "BTC_2026-01-02.ndjson").write_text((json.dumps(deribit(depth)) + "\n") * 3)
    outcome = sqlgen("inspect", raw, "--lake", tmp_path / "lake", "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    [entry] = outcome.json["sources"].values()
    found = {name: entry[name] for name in ("captured_levels", "options") if name in entry}
    assert (entry["adapter"], found) == ("deribit/book", said)
