"""The compiled files in a real DuckDB shell give the tables that ``run`` publishes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from sqlgen.run.engine import Engine
from tests.support.compare import same_tables
from tests.support.engine import published, shipped_config, sqlgen

pytestmark = pytest.mark.slow
SHELL = shutil.which("duckdb", path=str(Path(sys.executable).parent)) or shutil.which("duckdb")
MODELS = ("ticker_features", "trades_features", "trades_bars", "orderbook_bars")
WITH_KERNELS = ("orderbook_hf", "volume_bars", "tick_bars", "dollar_bars", "imbalance_bars", "run_bars")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder over a faulty lake, built, with its compiled files."""
    return built(tmp_path_factory.mktemp("compiled"), "--rows-per-day", 500, "--days", 3)


def built(folder: Path, *options: object, models: tuple[str, ...] = ()) -> Path:
    assert sqlgen("sample", folder / "lake", "--faults", "all", *options).code == 0
    (folder / "models.yaml").write_text(yaml.safe_dump(shipped_config(Path("lake")), sort_keys=False))
    assert sqlgen("compile", folder / "models.yaml").code == 0
    outcome = sqlgen("run", folder / "models.yaml", *(f"--select=+{model}" for model in models))
    assert outcome.code == 0, outcome.out
    return folder


@pytest.mark.skipif(SHELL is None, reason="the duckdb shell is not installed (package duckdb-cli)")
@pytest.mark.parametrize("model", MODELS)
def test_the_shell_gives_the_published_table(lake: Path, model: str) -> None:
    assert_same_in_shell(lake, model)


@pytest.mark.skipif(SHELL is None, reason="the duckdb shell is not installed (package duckdb-cli)")
def test_the_shell_gives_the_published_table_of_hourly_lines(tmp_path: Path) -> None:
    """Of hourly folders of NDJSON instead of daily ones of Parquet."""
    some = ("--rows-per-day", 300, "--days", 2, "--symbols", 1)
    built(tmp_path, *some, "--layout", "ymdh", "--format", "ndjson", models=MODELS)
    for model in MODELS:
        assert_same_in_shell(tmp_path, model)


def assert_same_in_shell(lake: Path, model: str) -> None:
    shell(lake, (lake / f"target/compiled/{model}.sql").read_text())
    path = shipped_config(Path("lake"))["models"][model]["output"]["path"]
    same_tables(published(lake / "target/tables" / model), published(lake / "lake" / path))


@pytest.mark.skipif(SHELL is None, reason="the duckdb shell is not installed (package duckdb-cli)")
def test_the_shell_gives_what_goes_into_the_kernels(lake: Path) -> None:
    views, kernels, _ = (lake / "target/compiled/orderbook_hf.sql").read_text().partition("-- kernel ")
    assert kernels
    keys = "PARTITION_BY (exchange, symbol, date), WRITE_PARTITION_COLUMNS true"
    shell(lake, f"{views}COPY (FROM kernel_input) TO 'target/tables/input' (FORMAT parquet, {keys});")
    path = shipped_config(Path("lake"))["models"]["orderbook_hf"]["output"]["path"]
    given = published(lake / "target/tables/input")
    same_tables(given, published(lake / "lake" / path).select(given.schema.names))


def shell(folder: Path, script: str) -> None:
    assert SHELL is not None
    done = subprocess.run(
        [SHELL, "-bail", "-init", "/dev/null"], input=script, cwd=folder, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("model", [*MODELS, *WITH_KERNELS])
def test_every_column_says_its_unit_or_meaning(lake: Path, model: str) -> None:
    """In the compiled file and so in the catalog; keys apart."""
    project = Engine.open(lake / "models.yaml")
    path = project.project.models[model].output.path
    columns = set(published(lake / "lake" / path).schema.names) - {"exchange", "symbol", "date", "ts", "seq"}
    assert columns - project.compile([model])[model].descriptions.keys() == set()


def test_the_published_files_are_in_time_order(lake: Path) -> None:
    import pyarrow.parquet as pq

    for model in ("ticker_features", "trades_features"):
        path = shipped_config(Path("lake"))["models"][model]["output"]["path"]
        for file in sorted((lake / "lake" / path).rglob("*.parquet")):
            table = pq.read_table(file, columns=["ts", "seq"], partitioning=None)
            keys = list(zip(table["ts"].cast(pa.int64()).to_pylist(), table["seq"].to_pylist(), strict=True))
            assert keys == sorted(keys), file
