"""The shipped models day by day: one run over all days, a run for each, and days that come late give the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from sqlgen.sample import SampleSpec, write_sample
from tests.support.compare import same_tables
from tests.support.engine import published_file, shipped_config, sqlgen
from tests.support.scratch import state_files

pytestmark = pytest.mark.slow
BARS = ("volume_bars", "tick_bars", "dollar_bars")
MODELS = ("orderbook_hf", "orderbook_bars", *BARS)
DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three faulty days of two symbols."""
    folder = tmp_path_factory.mktemp("raw")
    write_sample(folder, SampleSpec(symbols=2, days=3, rows_per_day=8_000, seed=11, faults=True))
    return folder


@pytest.fixture(scope="module")
def at_once(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = project(raw, tmp_path_factory.mktemp("once"))
    run(lake)
    return lake


def project(raw: Path, lake: Path) -> Path:
    shutil.copytree(raw / "raw", lake / "raw")
    config = shipped_config(lake, volume_bar_size=0.5, tick_bar_size=25, vpin_bucket_volume="0.05", lot_size=1e-6)
    (lake / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return lake


def run(lake: Path, *arguments: str) -> None:
    outcome = sqlgen("run", lake / "models.yaml", *(f"--select={model}" for model in MODELS), *arguments)
    assert outcome.code == 0, outcome.out + outcome.err


def units(lake: Path) -> dict[Path, Path]:
    """Folder of each published unit -> its one file."""
    files = sorted((lake / "processed").rglob("*.parquet"))
    found = {file.parent.relative_to(lake): file for file in files}
    assert len(found) == len(files)
    return found


def assert_equal(lake: Path, other: Path) -> None:
    """The same rows in the same order, bit by bit, and the same states. (Time bars are sums that DuckDB adds up on
    several threads; these are equal but for their last bits.)
    """
    ours, theirs = units(lake), units(other)
    assert len(theirs) > 3 * len(MODELS)
    assert ours.keys() == theirs.keys()
    for unit, file in theirs.items():
        mine, expected = (pq.read_table(path, partitioning=None) for path in (ours[unit], file))
        if "orderbook/bars" in str(unit):
            same_tables(mine, expected)
        else:
            assert mine.equals(expected), unit
    states = 0
    for model in ("orderbook_hf", *BARS):
        kept, known = (
            {unit: path.read_bytes() for unit, path in state_files(folder, model).items()} for folder in (lake, other)
        )
        assert kept == known
        states += len(kept)
    assert states == 2 * 3 * 4


def test_day_by_day(raw: Path, at_once: Path, tmp_path: Path) -> None:
    lake = project(raw, tmp_path)
    for day in DAYS:
        run(lake, "--end", day)
    assert_equal(lake, at_once)


def test_the_last_day_first_and_files_that_come_late(raw: Path, at_once: Path, tmp_path: Path) -> None:
    lake = project(raw, tmp_path)
    late = [
        lake / f"raw/ccxt/{kind}/exchange=binance/symbol=BTC-USDT/date={DAYS[1]}" for kind in ("orderbook", "trades")
    ]
    for folder in late:
        shutil.move(folder, tmp_path / f"late-{folder.parts[-4]}")
    run(lake, "--start", DAYS[2])
    for folder in late:
        shutil.move(tmp_path / f"late-{folder.parts[-4]}", folder)
        run(lake)
    assert_equal(lake, at_once)


def test_bars_of_a_symbol_in_one_partition(raw: Path, at_once: Path, tmp_path: Path) -> None:
    lake = project(raw, tmp_path)
    config = yaml.safe_load((lake / "models.yaml").read_text())
    for name in BARS:
        config["models"][name]["output"]["partition_by"] = ["exchange", "symbol"]
    (lake / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", lake / "models.yaml", *(f"--select={model}" for model in BARS))
    assert outcome.code == 0, outcome.out + outcome.err
    for name in BARS:
        files = sorted((lake / f"processed/ccxt/trades/{name}").rglob("*.parquet"))
        assert len(files) == 2
        for file in files:
            whole = published_file(file)
            folder = at_once / file.parent.relative_to(lake)
            days = [published_file(day) for day in sorted(folder.rglob("*.parquet"))]
            assert len(days) == 3
            assert whole.equals(pa.concat_tables(days)), file


def test_every_kernel_has_a_say(at_once: Path) -> None:
    """No column is empty, so that the comparisons above compare something."""
    table = pq.read_table(next((at_once / "processed/ccxt/orderbook/hf").rglob(f"date={DAYS[2]}/*.parquet")))
    empty = {name for name in table.column_names if table[name].null_count == len(table)}
    deep = ("band", "convexity")  # the sample's books end before the widest bands
    assert {name for name in empty if not any(part in name for part in deep)} == set()
