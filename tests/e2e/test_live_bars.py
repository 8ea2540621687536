"""Bars of kernels, live: each bar that a run publishes comes out of the feed, bit by bit, when it closes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from sqlgen.errors import SqlgenError, UsageError
from sqlgen.live import LiveBars, open_bars, open_model
from sqlgen.live.feed import LateError
from tests.features.made import MIDNIGHT, event_times, faulty_books, keyed, trades, walking_books
from tests.support.engine import ROOT, published, shipped_config, sqlgen
from tests.support.lakes import Row, write_rows
from tests.support.scratch import BTC

MODELS: dict[str, dict[str, Any]] = {
    "ofi_bars": {"next_return": False, "ofi_levels": 2, "ofi_window": 7, "fit_window": 120, "max_gap": 40},
    "volume_bars": {"volume_bar_size": 7.5},
    "tick_bars": {"tick_bar_size": 7, "classification": "bulk", "bulk_bars": 5},
    "dollar_bars": {"dollar_bar_size": 20_000.0, "split_trades": False},
    "imbalance_bars": {"initial_ticks": 8, "min_ticks": 3, "max_ticks": 30},
    "run_bars": {"bar_unit": "volume", "initial_ticks": 8, "min_ticks": 3, "max_ticks": 30},
}


QUICK = ("ofi_bars", "volume_bars")


def rows() -> dict[str, list[Row]]:
    """Around two midnights, with gaps, books that are not valid, and trades of unknown side or size."""
    import random

    rng = random.Random(4)
    day = 86_400_000
    times = event_times(rng, 200, MIDNIGHT - 400_000, gaps=(60,))
    times += event_times(rng, 80, MIDNIGHT + day - 100_000)
    books = [*walking_books(rng, times), *faulty_books(5, 1, start=MIDNIGHT + day // 2)]
    books.sort(key=lambda book: book["timestamp"])
    tape = trades(rng, [time - rng.choice((0, 1, 300)) for time in times])
    for trade in tape:
        if rng.random() < 0.1:
            trade[rng.choice(("side", "amount"))] = None
    return {"orderbook": books, "trades": sorted(tape, key=lambda trade: trade["timestamp"])}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Row]]]:
    """A lake with the bars of all models."""
    folder, found = tmp_path_factory.mktemp("bars"), rows()
    for kind, part in found.items():
        write_rows(folder / "lake", kind, keyed(part))
    config = shipped_config(Path("lake"))
    config["sources"].pop("ccxt_ticker")
    shipped = config["models"]
    config["models"] = {
        name: shipped[name] | {"enabled": True, "options": shipped[name]["options"] | options}
        for name, options in MODELS.items()
    }
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    return folder, found


def kind_of(model: str) -> str:
    return "orderbook" if model == "ofi_bars" else "trades"


def opened(folder: Path, model: str, **arguments: Any) -> LiveBars:
    return open_bars(folder / "models.yaml", model, exchange="binance", symbol=BTC, **arguments)


def table(folder: Path, model: str) -> list[Row]:
    """Published bars in time order; times as ns."""
    path = yaml.safe_load((folder / "models.yaml").read_text())["models"][model]["output"]["path"]
    found = published(folder / "lake" / path)
    for number, field in enumerate(found.schema):
        if pa.types.is_timestamp(field.type):
            found = found.set_column(number, field.name, found[field.name].cast(pa.timestamp("ns")).cast(pa.int64()))
    place = "bar_end" if model == "ofi_bars" else "bar_id"
    return sorted(found.to_pylist(), key=lambda bar: bar[place])


@pytest.mark.parametrize(
    "model", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
)
def test_bars_are_the_published_ones(lake: tuple[Path, dict[str, list[Row]]], model: str, tmp_path: Path) -> None:
    """Also when the feed is saved and opened again between any two rows of a day, or at midnight."""
    folder, feed = lake
    found, saved = list[Row](), tmp_path / "saved"
    live = opened(folder, model)
    for number, row in enumerate(feed[kind_of(model)]):
        found += live.update(row)
        if number % 131 == 5:
            live.save(saved)
            live.close()
            live = opened(folder, model, state=saved)
    live.close()
    expected = table(folder, model)
    assert len(found) == len(expected) > 10
    for got, want in zip(found, expected, strict=True):
        assert {name: repr(value) for name, value in got.items()} == {name: repr(want[name]) for name in got}
        assert got.keys() == want.keys()
    assert len({bar["date"] for bar in found}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("model", QUICK)
def test_bars_go_on_after_a_published_day(lake: tuple[Path, dict[str, list[Row]]], model: str) -> None:
    folder, feed = lake
    expected, days = table(folder, model), sorted({str(row["date"]) for row in keyed(feed[kind_of(model)])})
    path = yaml.safe_load((folder / "models.yaml").read_text())["models"][model]["output"]["path"]
    unit = folder / "lake" / path / f"exchange=binance/symbol={BTC}/date={days[1]}"
    later = [row for row in keyed(feed[kind_of(model)]) if str(row["date"]) > days[1]]
    with opened(folder, model, state=unit) as live:
        with pytest.raises(LateError, match="comes after the row of"):
            live.update(feed[kind_of(model)][0])
        found = [bar for row in later for bar in live.update(row)]
    last = [bar for bar in expected if str(bar["date"]) > days[1]]
    assert [list(map(repr, bar.values())) for bar in found] == [[repr(bar[name]) for name in found[0]] for bar in last]


def test_what_gives_no_bars(lake: tuple[Path, dict[str, list[Row]]]) -> None:
    folder, _ = lake
    with pytest.raises(UsageError, match=r"'volume_bars' cannot run live: .* Open it with open_bars"):
        open_model(folder / "models.yaml", "volume_bars", exchange="binance", symbol=BTC)
    for model, message in {
        "orderbook_hf": "no kernel of it gives other rows than its input rows. Open it with open_model",
        "ofi_bars": r"its labels \(next_return\) know later rows",
        "event_flow_bars": "SQL makes its rows, over earlier rows or several inputs, and only kernels remember rows",
    }.items():
        with pytest.raises(UsageError, match=message):
            open_bars(ROOT / "models.yaml", model, exchange="binance", symbol=BTC)


@pytest.mark.slow
def test_a_row_that_is_not_one_does_no_harm(lake: tuple[Path, dict[str, list[Row]]]) -> None:
    folder, feed = lake
    with opened(folder, "tick_bars") as live:
        found = list[Row]()
        for row in feed["trades"]:
            with pytest.raises(SqlgenError, match="column 'price'"):
                live.update({**row, "price": "cheap"})
            found += live.update(row)
        with pytest.raises(SqlgenError, match="comes after"):
            live.update(feed["trades"][0])
    assert [bar["bar_id"] for bar in found] == [bar["bar_id"] for bar in table(folder, "tick_bars")]
