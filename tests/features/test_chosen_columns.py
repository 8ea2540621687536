"""Chosen columns are those of the whole table, bit by bit, and what they do not need is not computed."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from sqlgen.compile.compiler import Compiler
from sqlgen.live.model import open_model
from sqlgen.project.model import Model
from sqlgen.project.project import load
from sqlgen.sample import SampleSpec, write_sample
from tests.support.engine import published, shipped_config, sqlgen

ALWAYS = ["exchange", "symbol", "date", "ts", "seq"]
SYMBOL = "BTC-USDT"

CHOICES: dict[str, dict[str, Any]] = {
    "asked": {"features": ["microprice", "ofi*", "tag:toxicity"]},
    "sql": {"features": ["tag:imbalance", "spread_bps"]},
    "one": {"features": "ofi_sum_60s"},
    "level": {"features": "ofi_02"},
    "returns": {"features": ["rv_*", "bid_slope_std_60s", "spread_regime", "ofi_price"]},
    "depth": {"features": ["depth_*", "mean_relative_spread_tw_5s", "tfi", "tag:ofi_impact"]},
    "filtered": {"features": "best_bid", "filter": "spread > 0 AND tfi_60s IS NOT NULL"},
    "listed": {"columns": ["ts", "seq", "mlofi_sum_60s", "best_ask"]},
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A faulty sample lake with the whole table and one for each choice."""
    folder = tmp_path_factory.mktemp("chosen")
    write_sample(folder / "lake", SampleSpec(symbols=1, days=2, rows_per_day=20_000, seed=5, faults=True))
    for file in (folder / "lake/raw/ccxt").rglob("*.parquet"):  # the quarter of an hour around midnight
        rows = pq.read_table(file, partitioning=None)
        pq.write_table(rows.slice(max(len(rows) - 200, 0)) if "2026-01-01" in str(file) else rows.slice(0, 200), file)
    config = shipped_config(
        folder / "lake", max_levels=10, ofi_levels=5, vpin_bucket_volume="0.5", vpin_window_buckets=3
    )
    whole = config["models"]["orderbook_hf"]
    config["models"] = {"orderbook_hf": whole}
    for name, fields in CHOICES.items():
        config["models"][name] = copy.deepcopy(whole) | fields | {"output": {"path": f"chosen/{name}"}}
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    return folder


def table(lake: Path, name: str) -> pa.Table:
    return published(lake / "lake" / ("processed/ccxt/orderbook/hf" if name == "orderbook_hf" else f"chosen/{name}"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOICES)
def test_chosen_columns_are_those_of_the_whole_table(lake: Path, name: str) -> None:
    whole, found = table(lake, "orderbook_hf"), table(lake, name)
    if name == "filtered":
        pick = [
            a is not None and a > 0 and b is not None
            for a, b in zip(*_columns(whole, "spread", "tfi_60s"), strict=True)
        ]
        whole = whole.filter(pa.array(pick))
        assert 0 < len(whole) < len(pick)
    assert len(found) == len(whole)
    for column in found.column_names:
        assert found[column].equals(whole[column]), column  # NULLs and every bit: no column holds NaN
    empty = {column for column in found.column_names if found[column].null_count == len(found)}
    assert all("bps" in column for column in empty)  # of books that are cut off nearer


def _columns(rows: pa.Table, *names: str) -> list[list[Any]]:
    return [rows[name].to_pylist() for name in names]


def wanted(whole: Sequence[str], *patterns: str) -> list[str]:
    return [name for name in whole if name in ALWAYS or any(fnmatch.fnmatchcase(name, each) for each in patterns)]


@pytest.mark.slow
def test_names_globs_and_tags(lake: Path) -> None:
    """In the order of the whole table, with keys, ts and seq; a kernel's name is a tag too."""
    whole = table(lake, "orderbook_hf").column_names
    assert table(lake, "asked").column_names == wanted(whole, "microprice", "ofi*", "vpin")
    imbalances = ("imbalance_top*", "total_imbalance", "smart_depth_imbalance", "imb_band_*")
    assert table(lake, "sql").column_names == wanted(whole, "spread_bps", *imbalances)
    depth = ("depth_*", "mean_relative_spread_tw_5s", "tfi", "ofi_impact*")
    assert table(lake, "depth").column_names == wanted(whole, *depth)
    assert table(lake, "filtered").column_names == [*ALWAYS, "best_bid"]
    assert table(lake, "listed").column_names == [*ALWAYS[:3], "ts", "seq", "mlofi_sum_60s", "best_ask"]


def kernels(model: Model) -> list[str]:
    return [kernel.name for kernel in model.pipeline.kernels] if model.pipeline else []


def deepest(model: Model) -> int:
    return max(int(name[-2:]) for name in model.fed if name.startswith("bid_price_"))


LEVELS: dict[str, Callable[[Model], bool]] = {
    "one": lambda model: deepest(model) == 0,
    "level": lambda model: deepest(model) == 2,
    "returns": lambda model: deepest(model) == 9,
    "listed": lambda model: deepest(model) == 4,
}


EVERY = ["segments", "returns", "ofi", "mlofi", "tfi", "vpin", "kyle_lambda", "ofi_impact", "rolling", "spread_regime"]


@pytest.mark.parametrize(
    ("name", "expected", "reads_trades"),
    [
        ("orderbook_hf", EVERY, True),
        ("sql", [], False),
        ("one", ["segments", "ofi"], False),
        ("level", ["segments", "mlofi"], False),
        ("returns", ["segments", "returns", "ofi", "rolling", "spread_regime"], False),
        ("depth", ["segments", "returns", "ofi", "tfi", "ofi_impact", "rolling"], True),
        ("filtered", ["segments", "tfi"], True),
        ("listed", ["segments", "mlofi"], False),
    ],
)
def test_only_what_is_needed(lake: Path, name: str, expected: list[str], reads_trades: bool) -> None:
    model = load(lake / "models.yaml").models[name]
    assert kernels(model) == expected
    assert [entry.name for entry in model.inputs] == ["orderbook", *(["trades"] if reads_trades else [])]
    assert LEVELS.get(name, lambda _: True)(model)
    outputs = {
        column.name for kernel in (model.pipeline.kernels if model.pipeline else ()) for column in kernel.outputs()
    }
    assert name not in ("one", "level") or not outputs & {"ofi_price", "mlofi_sum_60s", "ofi_03"}
    assert name != "returns" or not {"depth_0_5bps", "cog_vs_mid", "relative_spread"} & {*model.fed}


def test_all_columns_chosen_is_the_whole(lake: Path) -> None:
    config = yaml.safe_load((lake / "models.yaml").read_text())
    config["models"] = {"every": config["models"]["orderbook_hf"] | {"features": "*"}}
    (lake / "every.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    model = load(lake / "every.yaml").models["every"]
    assert list(model.columns) == table(lake, "orderbook_hf").column_names
    assert (len(kernels(model)), model.fed) == (10, ())


def test_the_compiled_file_shows_the_choice(lake: Path) -> None:
    text = sqlgen("compile", lake / "models.yaml", "--stdout", "--select", "one").out
    assert "columns:     exchange, symbol, date, ts, seq, ofi_sum_60s" in text
    assert "CREATE OR REPLACE VIEW compiled_one.centred AS" in text
    assert "kernel vpin" not in text
    assert "ofi_sum_60s: double" in text


@pytest.mark.slow
def test_live_gives_the_chosen_columns(lake: Path) -> None:
    with open_model(lake / "models.yaml", "one", exchange="binance", symbol=SYMBOL) as live:
        for second in range(2):
            time = 1_767_312_000_000 + second * 1_000
            size = 3.0 + 2 * second
            sides = {"bids": [{"price": 99.0, "size": size}], "asks": [{"price": 101.0, "size": 2.0}]}
            row = live.update({"timestamp": time, "collected_at": time, "nonce": None, **sides})
        assert list(row) == [*ALWAYS, "ofi_sum_60s"]
        assert row["ofi_sum_60s"] == 2.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"features": "micro_price"}, "features: no column matches 'micro_price'. Did you mean 'microprice'?"),
        ({"features": ["ofi", "vpn*"]}, "features: no column matches 'vpn*'. Did you mean 'vpin'?"),
        ({"features": "tag:toxicty"}, "no column has 'tag:toxicty'. Did you mean 'tag:toxicity'? Tags are: tag:book, "),
        ({"features": "toxicity"}, "no column matches 'toxicity'. Did you mean 'tag:toxicity'?"),
        ({"features": "ofi", "columns": "ofi"}, "features: 'columns' lists the columns too"),
        ({"features": []}, "features: empty, which would keep no column. Name some, or leave it out"),
        ({"columns": []}, "columns: empty, which would keep no column"),
        ({"columns": ["vpinn"]}, "columns: no column 'vpinn'. Did you mean 'vpin'?"),
        (
            {"features": "ofi", "checks": [{"check": "positive", "columns": "vpin"}]},
            "The model keeps: exchange, symbol",
        ),
    ],
)
def test_what_matches_nothing(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    config = shipped_config(tmp_path / "lake")
    config["models"] = {"orderbook_hf": config["models"]["orderbook_hf"] | fields}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    write_sample(tmp_path / "lake", SampleSpec(symbols=1, days=1, rows_per_day=5))
    outcome = sqlgen("run", tmp_path / "models.yaml")
    assert outcome.code == 2
    assert message in outcome.err, outcome.err


@pytest.mark.slow
def test_other_models_choose_too(tmp_path: Path) -> None:
    """Tables without kernels, and bars made of what a kernel gives."""
    write_sample(tmp_path / "lake", SampleSpec(symbols=1, days=1, rows_per_day=400, seed=3))
    config = shipped_config(tmp_path / "lake")
    models = {name: config["models"][name] for name in ("trades_bars", "volume_bars")}
    for name in list(models):
        models[f"{name}_chosen"] = copy.deepcopy(models[name]) | {"features": ["close", "*_volume"]}
        models[f"{name}_chosen"]["output"] = {"path": f"chosen/{name}"}
    config["models"] = models
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    assert sqlgen("run", tmp_path / "models.yaml").code == 0
    for name in ("trades_bars", "volume_bars"):
        whole = published(tmp_path / f"lake/processed/ccxt/trades/{name.removeprefix('trades_')}")
        found = published(tmp_path / f"lake/chosen/{name}")
        assert {"close", "buy_volume"} < {*found.column_names} < {*whole.column_names}
        assert found.equals(whole.select(found.column_names))


@pytest.mark.slow
def test_each_shipped_model_chooses(tmp_path: Path) -> None:
    """Which columns a template has is known without data, whatever it asks of its scope."""
    config = shipped_config(tmp_path / "lake")
    for model in config["models"].values():
        model.pop("columns", None)
        model |= {"enabled": True, "features": "*"}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    project = load(tmp_path / "models.yaml")
    for name, model in project.models.items():
        assert len(model.chosen) > 20
        assert {*model.chosen} <= {*Compiler(project).compile(name).descriptions}
