"""docs/kernels.md: it names every kernel and option, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from sqlgen.sample import SampleSpec, write_sample
from tests.support.engine import ROOT, shipped_config, sqlgen
from udfs.registry import registry

TEXT = (ROOT / "docs/kernels.md").read_text(encoding="utf-8")


def test_every_kernel_and_option_is_named() -> None:
    for name, kind in registry().items():
        assert f"`{name}`" in TEXT, name
        for option in kind.options:
            assert re.search(rf"`{option}`", TEXT), f"{name}: {option}"


def test_every_column_is_named() -> None:
    """By itself, or as a family with {h} for the window."""
    names = {name for name, kind in registry().items() if not kind.replaces_rows}
    every = {option: value.default for kind in registry().values() for option, value in kind.options.items()}
    columns = [c.name for name in names for c in registry()[name](every).outputs() if not c.hidden]
    told = {"bid_slope", "ask_slope", "cog_momentum"}  # told in words
    for column in columns:
        family = re.sub(r"_\d+s$", "_{h}s", column)
        assert family in TEXT or column in TEXT or column[:4] == "ofi_" or column.startswith(tuple(told)), column


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path) -> None:
    example = re.search(r"```python\n(\"\"\"How long.*?)```", TEXT, re.DOTALL)
    assert example is not None
    (tmp_path / "udfs").mkdir()
    (tmp_path / "udfs/bid_age.py").write_text(example.group(1))
    write_sample(tmp_path, SampleSpec(symbols=1, days=2, rows_per_day=2000, seed=3))
    config = shipped_config(tmp_path)
    config["models"]["orderbook_hf"] |= {"udfs": ["bid_age"], "inputs": {"orderbook": "ccxt_orderbook"}, "options": {}}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", tmp_path / "models.yaml", "--select", "orderbook_hf")
    assert outcome.code == 0, outcome.out
    files = sorted((tmp_path / "processed/ccxt/orderbook/hf").rglob("*.parquet"))
    rows = [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]
    since, bid = rows[0]["ts"], rows[0]["best_bid"]
    for row, before in zip(rows[1:], rows, strict=False):
        if row["best_bid"] != bid or (row["ts"] - before["ts"]).total_seconds() > 300:
            since, bid = row["ts"], row["best_bid"]
        assert row["bid_age_s"] == (row["ts"] - since).total_seconds()
    assert max(row["bid_age_s"] for row in rows) > 0
