"""Options of the shipped kernels in models.yaml: what is not possible is said before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.engine import shipped_config, sqlgen


def plan(folder: Path, model: str, **fields: Any) -> tuple[int, str]:
    config = shipped_config(folder / "lake")
    options = fields.pop("options", {})
    config["models"][model] |= fields
    config["models"][model]["options"] = config["models"][model].get("options", {}) | options
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("compile", folder / "models.yaml", "--stdout", "--select", model)
    return outcome.code, outcome.err


@pytest.mark.parametrize(
    ("model", "option", "value", "message"),
    [
        ("orderbook_hf", "horizons", [5, 0], "options.horizons: Input should be greater than 0, found 0"),
        ("orderbook_hf", "horizons", [], "options.horizons: List should have at least 1 item"),
        ("trades_liquidity", "horizons", [5, 0], "options.horizons: Input should be greater than 0, found 0"),
        ("orderbook_labels", "horizons", [0], "options.horizons: Input should be greater than 0, found 0"),
        ("orderbook_labels", "barrier_horizon", 0, "options.barrier_horizon: Input should be greater than 0, found 0"),
        ("orderbook_hf", "max_gap", 0, "options.max_gap: Input should be greater than 0"),
        ("orderbook_hf", "ofi_levels", 0, "options.ofi_levels: Input should be greater than or equal to 1"),
        ("orderbook_hf", "impact_window", -1, "options.impact_window: Input should be greater than 0"),
        ("orderbook_hf", "kyle_window", 0, "options.kyle_window: Input should be greater than 0"),
        ("orderbook_hf", "regime_window", 0, "options.regime_window: Input should be greater than 0"),
        ("orderbook_hf", "regime_mode", "dynamic", "options.regime_mode: Input should be 'percentile' or 'static'"),
        ("orderbook_hf", "vpin_window_buckets", 0, "options.vpin_window_buckets: Input should be greater than 0"),
        ("orderbook_hf", "vpin_bucket_volume", "0", "vpin_bucket_volume"),
        ("orderbook_hf", "vpin_bucket_volume", "-1.5", "vpin_bucket_volume"),
        ("orderbook_hf", "vpin_bucket_volume", "a tenth", "vpin_bucket_volume"),
        ("orderbook_hf", "tight_percentile", 0.9, "tight_percentile"),
        ("orderbook_hf", "kyle_windw", 300, "unknown option. Did you mean 'kyle_window'?"),
        ("volume_bars", "volume_bar_size", 0, "options.volume_bar_size: Input should be greater than 0"),
        ("tick_bars", "tick_bar_size", 0, "options.tick_bar_size: Input should be greater than 0"),
        ("dollar_bars", "dollar_bar_size", -1, "options.dollar_bar_size: Input should be greater than 0"),
        ("dollar_bars", "lot_size", 0, "options.lot_size: Input should be greater than 0"),
    ],
)
def test_values_that_are_not_possible(tmp_path: Path, model: str, option: str, value: object, message: str) -> None:
    code, error = plan(tmp_path, model, options={option: value})
    assert code == 2
    assert message in error
    assert f"models.{model}.options" in error


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        ("orderbook_hf", {"inputs": {"orderbook": "ccxt_orderbook"}}, "kernel tfi, vpin, kyle_lambda reads trades"),
        (
            "trades_liquidity",
            {"inputs": {"trades": "ccxt_trades"}},
            "template 'trades/liquidity.sql.j2' needs input 'book'. Add book: SOURCE_OR_MODEL",
        ),
        ("orderbook_hf", {"udfs": ["ofi", "tick_bars"]}, "a kernel that gives other rows stands alone"),
        (
            "volume_bars",
            {"udfs": []},
            "udfs: missing. Template 'trades/event_bars.sql.j2' works on what a kernel gives",
        ),
    ],
)
def test_kernels_that_do_not_fit(tmp_path: Path, model: str, fields: dict[str, Any], message: str) -> None:
    code, error = plan(tmp_path, model, **fields)
    assert code == 2
    assert message in error


@pytest.mark.slow
def test_without_vpin(tmp_path: Path) -> None:
    config = shipped_config(tmp_path / "lake", enable_vpin=False)
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("compile", tmp_path / "models.yaml", "--stdout", "--select", "orderbook_hf")
    assert outcome.code == 0, outcome.err
    assert "gives vpin:" not in outcome.out
    assert "gives tfi:" in outcome.out
