"""Models of SQL over earlier rows, live: batches of rows give what a run publishes."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from sqlgen.errors import SqlgenError, UsageError
from sqlgen.live import LiveBatches, open_bars, open_batches, open_model
from sqlgen.live.feed import LateError
from sqlgen.live.rowwise import RowError
from tests.e2e.test_live_bars import rows
from tests.features.made import keyed, tickers
from tests.support.engine import ROOT, published, shipped_config, sqlgen
from tests.support.lakes import Row, write_rows
from tests.support.scratch import BTC

MODELS: dict[str, dict[str, Any]] = {
    "trades_features": {"windows": [5, 60]},
    "trades_bars": {"bar_durations": [7, 60]},
    "ticker_features": {"windows": [5, 60], "max_gap": 40},
    "trades_liquidity": {"horizons": [], "max_quote_age": 20, "max_gap": 40},
    "event_flow_bars": {"bar_durations": [7, 60], "max_gap": 40},
}
INPUTS = {
    "trades_features": {"trades": "trades"},
    "trades_bars": {"trades": "trades"},
    "ticker_features": {"ticker": "ticker"},
    "trades_liquidity": {"trades": "trades", "book": "orderbook"},
    "event_flow_bars": {"book": "orderbook", "events": "trades"},
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Row]]]:
    """A lake of three dates with the tables of all models."""
    folder, found = tmp_path_factory.mktemp("batches"), rows()
    found["ticker"] = tickers(random.Random(6), [row["timestamp"] for row in found["orderbook"]])
    for kind, part in found.items():
        write_rows(folder / "lake", kind, keyed(part))
    config = shipped_config(Path("lake"))
    config["models"] = {
        name: config["models"][name] | {"enabled": True, "options": config["models"][name]["options"] | options}
        for name, options in MODELS.items()
    }
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    return folder, found


def opened(folder: Path, model: str) -> LiveBatches:
    return open_batches(folder / "models.yaml", model, exchange="binance", symbol=BTC)


def table(folder: Path, model: str) -> list[Row]:
    """Published rows; times as ns."""
    config = yaml.safe_load((folder / "models.yaml").read_text())["models"][model]
    found = published(folder / "lake" / config["output"]["path"])
    for number, field in enumerate(found.schema):
        if pa.types.is_timestamp(field.type):
            found = found.set_column(number, field.name, found[field.name].cast(pa.timestamp("ns")).cast(pa.int64()))
    return sorted(found.to_pylist(), key=place)


def place(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("date", "bar_seconds", "bar_start", "ts", "seq") if name in row)


def batches(feed: dict[str, list[Row]], inputs: dict[str, str], seed: int) -> list[dict[str, list[Row]]]:
    """The feed cut at times, into batches that hold few rows, many, or those of two dates."""
    rng = random.Random(seed)
    times = sorted({row["timestamp"] for kind in inputs.values() for row in feed[kind]})
    cuts = [*sorted(rng.sample(times, 6)), times[-1]]
    return [
        {name: [row for row in feed[kind] if low < row["timestamp"] <= high] for name, kind in inputs.items()}
        for low, high in zip([0, *cuts], cuts, strict=False)
    ]


SUMS = ("volume", "dollar_volume", "buy_volume", "sell_volume", "unknown_volume", "realized_var", "vwap", "tfi")
MEANS = ("annualized_vol", "mid_price_mean_", "mid_price_std_", "spread_mean_", "volume_imbalance_mean_")
"""Starts of the columns whose last bits depend on what is added up before (docs/publishing.md)."""


def same(name: str, got: object, expected: object) -> bool:
    """The same bits, but for sums and means."""
    if isinstance(got, float) and isinstance(expected, float) and name.startswith((*SUMS, *MEANS)):
        return math.isclose(got, expected, rel_tol=1e-11, abs_tol=1e-11)
    return repr(got) == repr(expected)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_rows_are_the_published_ones(lake: tuple[Path, dict[str, list[Row]]], model: str) -> None:
    folder, feed = lake
    found = list[Row]()
    with opened(folder, model) as live:
        for batch in batches(feed, INPUTS[model], seed=len(model)):
            found += live.update(**batch)
    expected = table(folder, model)
    assert len(found) == len(expected) > 20
    for got, want in zip(sorted(found, key=place), expected, strict=True):
        assert got.keys() == want.keys()
        assert [name for name, value in got.items() if not same(name, value, want[name])] == []
    assert len({row["date"] for row in found}) == 3


@pytest.mark.slow
def test_rows_that_are_not_rows_or_late_do_no_harm(lake: tuple[Path, dict[str, list[Row]]]) -> None:
    folder, feed = lake
    trades, books = feed["trades"], feed["orderbook"]
    with opened(folder, "trades_liquidity") as live:
        with pytest.raises(UsageError, match=r"has no input quotes\. It has trades, book"):
            live.update(quotes=[])
        with pytest.raises(RowError, match="column 'price' must be DOUBLE"):
            live.update(trades=[trades[0], {**trades[1], "price": "cheap"}])
        assert len(live.update(trades=trades[:3])) == 3
        with pytest.raises(LateError, match=r"input 'trades': the row of .* comes after that of"):
            live.update(trades=trades[:1])
        early = [book for book in books if book["timestamp"] <= trades[2]["timestamp"]]
        with pytest.raises(LateError, match=r"input 'book': the row of .* comes after that of"):
            live.update(book=early[:1])
        assert live.update() == live.update(trades=[]) == []


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("trades_liquidity", r"its labels \(realized_spread_1s, .*\) know later rows, which no feed has yet"),
        ("orderbook_labels", "kernel triple_barrier looks ahead"),
        ("orderbook_hf", r"it has kernels \(segments.*which keep a state. Open it with open_model"),
        ("volume_bars", r"it has kernels \(volume_bars\), which keep a state. Open it with open_bars"),
        ("orderbook_bars", "its input 'hf' is model 'orderbook_hf', not a source"),
    ],
)
def test_models_that_take_no_batches(model: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"'{model}' cannot run live: {message}"):
        open_batches(ROOT / "models.yaml", model, exchange="binance", symbol=BTC)


def test_bars_of_a_model_are_sent_nowhere_else() -> None:
    with pytest.raises(UsageError, match=r"cannot run live: its input 'hf' is model 'orderbook_hf', not a source$"):
        open_bars(ROOT / "models.yaml", "orderbook_bars", exchange="binance", symbol=BTC)


def test_the_others_name_it(lake: tuple[Path, dict[str, list[Row]]]) -> None:
    for opener, model in ((open_model, "trades_features"), (open_bars, "event_flow_bars")):
        with pytest.raises(SqlgenError, match=r"nly kernels .*remember rows.*\. Open it with open_batches"):
            opener(lake[0] / "models.yaml", model, exchange="binance", symbol=BTC)
