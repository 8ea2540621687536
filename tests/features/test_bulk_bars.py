"""`classification: bulk`: bought and sold volume of bars of trades from the changes of their closes."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.features.made import MIDNIGHT, keyed
from tests.oracles.bulk import buy_shares
from tests.oracles.compare import table_rows
from tests.support.engine import published, shipped_config, sqlgen
from tests.support.lakes import Row, write_rows

DAY = 86_400_000
BARS: dict[str, dict[str, Any]] = {
    "volume_bars": {"volume_bar_size": 3.0},
    "tick_bars": {"tick_bar_size": 6, "max_gap": 3_000},
    "dollar_bars": {"dollar_bar_size": 300.0},
    "imbalance_bars": {"initial_ticks": 5, "min_ticks": 3, "max_ticks": 40},
    "run_bars": {"initial_ticks": 5, "min_ticks": 3, "max_ticks": 40},
}
BULK = {"classification": "bulk", "bulk_bars": 5, "emit_open_bars": True}


def trades() -> list[Row]:
    """A random walk over a midnight, with an hour of silence before it."""
    rng, price, rows, time = random.Random(8), 1_000, [], MIDNIGHT + 20 * 3_600_000
    for i in range(400):
        time += rng.randrange(1_000, 80_000) + (3_600_000 if i == 90 else 0)
        price += rng.choice([-2, -1, 0, 0, 1, 2])
        side = rng.choice(["buy", "sell", None])
        rows.append({"timestamp": time, "side": side, "price": price / 10, "amount": rng.randrange(1, 12) / 10})
        rows[-1]["trade_id"] = str(time)
    return rows


def project(folder: Path, models: dict[str, Any]) -> None:
    config = shipped_config(Path("lake"))
    config["models"] = models
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def run(folder: Path) -> None:
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars of each kind as they are shipped, and by bulk classification: all at once, and day after day."""
    folder = tmp_path_factory.mktemp("bulk")
    shipped, models = shipped_config(Path("lake"))["models"], {}
    for name, options in BARS.items():
        for how, more in (("plain", {"emit_open_bars": True}), ("bulk", BULK), ("daily", BULK)):
            model = copy.deepcopy(shipped[name]) | {"output": {"path": f"out/{name}/{how}"}}
            models[f"{name}_{how}"] = model | {"options": options | more}
    project(folder, models)
    rows = keyed(trades())
    write_rows(folder / "lake", "trades", [row for row in rows if row["timestamp"] < MIDNIGHT + DAY])
    assert sqlgen("run", folder / "models.yaml", "--select", "*_daily").code == 0
    write_rows(folder / "lake", "trades", [row for row in rows if row["timestamp"] >= MIDNIGHT + DAY])
    run(folder)
    return folder


def table(lake: Path, name: str, how: str) -> list[Row]:
    return table_rows(published(lake / f"lake/out/{name}/{how}"))


@pytest.mark.slow
@pytest.mark.parametrize("name", BARS)
def test_volumes_follow_the_closes(lake: Path, name: str) -> None:
    plain, bulk = table(lake, name, "plain"), table(lake, name, "bulk")
    same = [column for column in plain[0] if column not in ("buy_volume", "sell_volume", "unknown_volume", "buy_ratio")]
    assert [{c: row[c] for c in same} for row in bulk] == [{c: row[c] for c in same} for row in plain]
    gaps = [bool(row["has_gap"]) for row in plain]
    shares = buy_shares([row["close"] for row in plain], 5, gaps)
    assert len(bulk) > 12
    for row, share in zip(bulk, shares, strict=True):
        assert row["buy_volume"] == pytest.approx(row["volume"] * share, rel=1e-9)
        assert row["buy_volume"] + row["sell_volume"] == pytest.approx(row["volume"], rel=1e-12)
        assert (row["unknown_volume"], row["buy_ratio"]) == (0, pytest.approx(share, rel=1e-9))
    assert any(0.5 < share < 1 for share in shares)
    assert len({str(row["date"]) for row in bulk}) == 2
    assert (sum(gaps) == 1) is (name == "tick_bars")


@pytest.mark.parametrize("name", BARS)
def test_day_after_day_is_all_at_once(lake: Path, name: str) -> None:
    assert table(lake, name, "daily") == table(lake, name, "bulk")


def test_the_share_by_hand(tmp_path: Path) -> None:
    """Closes 10, 11, 13, 12: the changes 1 and 2 have a sigma of sqrt(1 / 2), and -1 / sigma is -1.414."""
    assert buy_shares([10.0, 11.0, 13.0, 12.0], 50) == [0.5, 0.5, 0.5, pytest.approx(0.0786496035)]
    ticks = [
        {"timestamp": MIDNIGHT + 1_000 * i, "side": "buy", "price": price, "amount": 2.0, "trade_id": str(i)}
        for i, price in enumerate((10.0, 11.0, 13.0, 12.0))
    ]
    write_rows(tmp_path / "lake", "trades", keyed(ticks))
    model = shipped_config(Path("lake"))["models"]["tick_bars"]
    project(tmp_path, {"tick_bars": model | {"options": {"tick_bar_size": 1, "classification": "bulk"}}})
    run(tmp_path)
    rows = table_rows(published(tmp_path / "lake" / model["output"]["path"]))
    assert [row["buy_volume"] for row in rows] == [1.0, 1.0, 1.0, pytest.approx(2 * 0.0786496035)]
