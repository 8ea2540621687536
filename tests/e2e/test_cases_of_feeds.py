"""Recordings of feeds that were read wrongly once: the values of their descriptions, or the message they ask for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.oracles.books import Message, level_books
from tests.support.engine import ROOT, published, sqlgen
from tests.support.feeds import MS, write_lines, write_project
from tests.support.updates import rows_of

CASES = ROOT.parent / "shared/cases"
NOON = 1_767_348_000_000


@pytest.fixture
def case(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of a case's folder."""
    folder = CASES / request.param
    if not folder.is_dir():
        pytest.skip(f"the case {folder} is not there")
    shutil.copytree(folder, tmp_path / "case", copy_function=shutil.copyfile)
    for path in (tmp_path / "case").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path / "case"


@pytest.mark.slow
@pytest.mark.parametrize("case", ["F01-several-symbols/bybit", "F01-several-symbols/coinbase"], indirect=True)
def test_f01_several_symbols(case: Path) -> None:
    """As it stands the partition fails and names them; by the entry that `inspect` proposes each has its book."""
    outcome = sqlgen("run", case / "models.yaml")
    assert outcome.code != 0
    names = ("BTCUSDT", "ETHUSDT") if "bybit" in str(list(case.rglob("*.ndjson"))) else ("BTC-USD", "ETH-USD")
    assert f"holds several symbols: {', '.join(names)}" in outcome.out
    found = sqlgen("inspect", case / "lake/raw", "--lake", case / "lake", "--json").json
    config: dict[str, Any] = yaml.safe_load((case / "models.yaml").read_text())
    [(name, entry)] = found["sources"].items()
    assert entry == {key: value for key, value in config["sources"][name].items() if key != "symbol"}
    config["sources"][name] = entry
    (case / "models.yaml").write_text(yaml.safe_dump(config))
    outcome = sqlgen("run", case / "models.yaml", "--select", f"{name}_book")
    assert outcome.code == 0, outcome.out + outcome.err
    for symbol, bid in zip(names, (60_000.0, 3_000.0), strict=True):
        rows = rows_of(published(next((case / f"lake/out/{name}_book").rglob(f"symbol={symbol}"))))
        assert [(row["bid_price_00"], row["ask_price_00"]) for row in rows] == [(bid, bid + 1)] * 3


@pytest.mark.slow
@pytest.mark.parametrize("case", ["F02-diff-depth-read-as-books"], indirect=True)
def test_f02_real_diff_depth(case: Path, tmp_path: Path) -> None:
    """Recognised for certain; as it is nothing is known of its book; with a snapshot it is that of a replay by hand."""
    [finding] = sqlgen("inspect", case / "lake/raw", "--lake", case / "lake", "--json").json["findings"]
    assert [(choice["adapter"], choice["sure"]) for choice in finding["choices"]] == [
        ("binance/depth_futures", "certain")
    ]
    assert finding["notes"][0].startswith("no snapshot")

    lines = [
        json.loads(line) for line in (case / "lake/raw/binance/BTCUSDT_2024-08-08.ndjson").read_text().splitlines()
    ]
    base = [[f"{61_800 - side * (k + 0.5):.2f}", "1.000"] for side in (1, -1) for k in range(40)]
    answer = {"lastUpdateId": lines[0]["u"], "bids": base[:40], "asks": base[40:], "collected_at": lines[0]["E"]}
    folder = tmp_path / "replay"
    write_lines(folder / "lake", "updates", "2024-08-08", [lines[0], answer, *lines[1:]])
    outcome = sqlgen("run", write_project(folder, "binance/depth_futures", {"max_levels": 20}), "--select", "book")
    assert outcome.code == 0, outcome.out + outcome.err
    messages = [
        Message(
            line["E"] * MS,
            tuple((s, float(p), float(q)) for s, name in ((1, "b"), (-1, "a")) for p, q in line[name]),
            first=line["U"],
            last=line["u"],
            prev=line["pu"],
        )
        for line in lines
    ]
    levels = tuple((s, float(p), float(q)) for s, name in ((1, "bids"), (-1, "asks")) for p, q in answer[name])
    snapshot = Message(lines[0]["E"] * MS, levels, snapshot=True, last=lines[0]["u"])
    assert rows_of(published(folder / "lake/book")) == level_books([messages[0], snapshot, *messages[1:]], depth=20)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["F02-diff-depth-read-as-books/hive"], indirect=True)
def test_f02_changes_that_wait(case: Path) -> None:
    outcome = sqlgen("run", case / "models.yaml")
    assert "no snapshot: 20 changes waited for one" in outcome.out
