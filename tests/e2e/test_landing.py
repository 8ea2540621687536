"""Files that are decoded while a task runs: each once a source, and what cannot be read told once."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from sqlgen.sources import rawfile
from sqlgen.sources.decode import Decoder
from tests.support.scratch import Scratch

BOTH = "SELECT * FROM ({{ inputs.bids }}) UNION ALL BY NAME SELECT * FROM ({{ inputs.asks }})"
PATTERN = "{exchange}_{symbol}_{date}.csv"
DAY = 1_767_225_600
"""2026-01-01 in seconds."""


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were decoded, in their order."""
    names: list[str] = []
    decode = Decoder.decode

    def noted(self: Decoder, path: Path, target: Path) -> Any:
        names.append(path.name)
        return decode(self, path, target)

    monkeypatch.setattr(Decoder, "decode", noted)
    return names


@pytest.fixture
def quotes(tmp_path: Path) -> Scratch:
    """Two sources that read a price each of the same files, of which one line in the first column is broken."""
    project = Scratch(tmp_path / "project")
    project.template("both.sql.j2", BOTH)
    columns = {"ts": "time", "amount": "size"}
    project.config["sources"] = {
        side: {
            "path": "raw/quotes",
            "adapter": "generic/trades",
            "pattern": PATTERN,
            "options": {"columns": columns | {"price": side}, "time_unit": "s"},
        }
        for side in ("bid", "ask")
    }
    project.config["models"] = {}
    project.model("both", sql="both.sql.j2", inputs={"bids": "bid", "asks": "ask"}, output={"path": "out/both"})
    folder = project.lake / "raw/quotes"
    folder.mkdir(parents=True)
    for day in (1, 2):
        start = DAY + 86_400 * (day - 1)
        lines = [f"{start + 1},100,101,1", f"{start + 2},broken,102,1", f"{start + 3},103,104,1"]
        text = "\n".join(["time,bid,ask,size", *lines]) + "\n"
        (folder / f"x_A_2026-01-0{day}.csv").write_text(text)
    return project


def test_sources_that_read_other_columns_of_the_same_files(quotes: Scratch, decoded: list[str]) -> None:
    results = quotes.run()
    for result in results.values():
        assert [(check["of"], check["check"], check["rows"]) for check in result["checks"]] == [("bid", "readable", 1)]
        assert (result["rows_in"], result["rows_out"]) == (3, 5)
    table = "read_parquet('{}/**/*.parquet')".format(quotes.lake / "out/both_quarantine")
    rows = duckdb.sql(f"SELECT source, check_name, file, line, row FROM {table} ORDER BY file").fetchall()
    assert [(source, check, line) for source, check, _, line, _ in rows] == [("bid", "readable", 3)] * 2
    assert [row for *_, row in rows] == [f"{DAY + 2},broken,102,1", f"{DAY + 86_402},broken,102,1"]
    assert len(decoded) == 4, "each file once a source"


def test_a_file_that_is_read_for_lookback_is_decoded_once_a_task(quotes: Scratch, decoded: list[str]) -> None:
    quotes.model("both", inputs={"bids": "bid", "asks": "bid"}, lookback=3600)
    results = quotes.run("--threads", "1")
    assert [len(result["checks"]) for result in results.values()] == [1, 1], "the day before tells of its own"
    assert sorted(decoded) == ["x_A_2026-01-01.csv"] * 2 + ["x_A_2026-01-02.csv"]


@pytest.mark.slow
def test_the_quarantine_of_unreadable_lines_needs_no_checks(quotes: Scratch) -> None:
    """It has a view, and a partition whose quarantine is gone is built again."""
    quotes.run()
    assert quotes.plan() == {}
    assert "CREATE OR REPLACE VIEW both_quarantine" in quotes.sqlgen("catalog", "--stdout").out
    shutil.rmtree(quotes.lake / "out/both_quarantine/exchange=x/symbol=A/date=2026-01-02")
    assert [*quotes.plan()] == ["both A 2026-01-02"]
    shutil.rmtree(quotes.lake / "out/both_quarantine")
    assert [*quotes.plan()] == ["both A 2026-01-01", "both A 2026-01-02"]
    quotes.run()
    assert len(list((quotes.lake / "out/both_quarantine").rglob("*.parquet"))) == 2


def test_a_full_disk_is_no_fault_of_the_file(quotes: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in [*(quotes.lake / "raw/quotes").iterdir()]:
        file.with_name(f"{file.name}.zst").write_bytes(pa.Codec("zstd").compress(file.read_bytes(), asbytes=True))
        file.unlink()
    for source in quotes.config["sources"].values():
        source["pattern"] = f"{PATTERN}.zst"
    quotes.save()

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.unpacked")

    monkeypatch.setattr(rawfile, "_rewrite", full)
    for result in quotes.run(code=1).values():
        assert "The disk is full" in result["error"]
        assert "Fetch it again" not in result["error"]
