"""`sign`: models that read sides take the sign of a rule instead, from a model that signs trades."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.features.made import MIDNIGHT, keyed
from tests.oracles import event_flow
from tests.oracles.compare import assert_same, table_rows
from tests.support.engine import published, shipped_config, sqlgen
from tests.support.lakes import Row, write_rows

RULES = ("aggressor", "tick", "quote", "lee_ready", "aggressor_or_lee_ready")
READERS = {
    "trades_features": ("trades/features", {"windows": [60]}),
    "trades_bars": ("trades/bars", {"bar_durations": [60]}),
    "tick_bars": ("trades/tick_bars", {"tick_bar_size": 7}),
    "event_flow_bars": ("orderbook/event_flow_bars", {"bar_durations": [60], "max_levels": 1, "emit_open_bars": True}),
    "orderbook_hf": ("orderbook/hf", {"max_levels": 1, "vpin_bucket_volume": "2.0", "vpin_window_buckets": 3}),
}
INPUTS = {"event_flow_bars": "events"}
"""Input with trades, where it is not called so."""
BESIDE_A_BOOK = ("aggressor", "lee_ready")
"""Rules of the dearest of them."""


def market(seed: int = 4) -> tuple[list[Row], list[Row]]:
    """A book every two seconds, and trades between, some of them at its mid or without a side."""
    rng = random.Random(seed)
    books, ticks, mid = [], [], 1000
    for i in range(240):
        mid += rng.choice([-1, 0, 0, 1])
        books.append(
            {"timestamp": MIDNIGHT + 2_000 * i, "bids": [((mid - 1) / 10, 1.0)], "asks": [((mid + 1) / 10, 2.0)]}
        )
        ticks += [
            {"timestamp": MIDNIGHT + 2_000 * i + 500 * k, "side": rng.choice(["buy", "sell", None])}
            | {"price": (mid + rng.choice([-1, 0, 1])) / 10, "amount": rng.randrange(1, 9) / 10}
            | {"trade_id": f"{i}-{k}"}
            for k in (1, 2, 3)
        ]
    return books, ticks


def signs(books: list[Row], ticks: list[Row]) -> dict[str, list[int | None]]:
    """By hand: the sign of each trade by each rule."""
    found: dict[str, list[int | None]] = {rule: [] for rule in RULES}
    tick, before = None, None
    for row in ticks:
        price = row["price"]
        if before is not None and price != before:
            tick = 1 if price > before else -1
        before = price
        quote = [book for book in books if book["timestamp"] < row["timestamp"]][-1]
        doubled = round(20 * price) - round(10 * (quote["bids"][0][0] + quote["asks"][0][0]))
        side = {"buy": 1, "sell": -1, None: None}[row["side"]]
        by_quote = None if doubled == 0 else 1 if doubled > 0 else -1
        values = (side, tick, by_quote, by_quote or tick, side or by_quote or tick)
        for rule, value in zip(RULES, values, strict=True):
            found[rule].append(value)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row], dict[str, list[int | None]]]:
    """Each model by each rule, in one lake; `plain` ones have no option and read the source."""
    folder = tmp_path_factory.mktemp("signs")
    books, ticks = market()
    write_rows(folder / "lake", "orderbook", keyed(books))
    write_rows(folder / "lake", "trades", keyed(ticks))
    config = shipped_config(Path("lake"))
    shipped = config["models"]
    config["models"] = {"signed": shipped["trades_liquidity"] | {"enabled": True, "options": {"horizons": []}}}
    for name, (_, options) in READERS.items():
        for rule in (*(BESIDE_A_BOOK if name == "orderbook_hf" else RULES), "plain"):
            model = copy.deepcopy(shipped[name]) | {"output": {"path": f"out/{name}/{rule}"}, "enabled": True}
            model["options"] = {**model.get("options", {}), **options}
            if name == "orderbook_hf":
                model["features"] = ["tag:trade_flow", "tag:toxicity"]
            if rule != "plain":
                model["inputs"][INPUTS.get(name, "trades")] = "signed"
                model["options"]["sign"] = rule
            config["models"][f"{name}_{rule}"] = model
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    return folder, ticks, signs(books, ticks)


def table(folder: Path, model: str, rule: str) -> Any:
    return published(folder / f"lake/out/{model}/{rule}")


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_features_and_bars_take_the_sign(made: tuple[Path, list[Row], dict[str, list[int | None]]], rule: str) -> None:
    folder, ticks, expected = made
    rows = table_rows(table(folder, "trades_features", rule))
    assert [row["side"] for row in rows] == expected[rule]
    bars = table_rows(table(folder, "trades_bars", rule))
    assert bars
    for bar in bars:
        start = bar["bar_start"] // 1_000_000
        own = [(row, s) for row, s in zip(ticks, expected[rule], strict=True) if 0 <= row["timestamp"] - start < 60_000]
        bought, sold = (sum(row["amount"] for row, s in own if s == sign) for sign in (1, -1))
        assert (bar["buy_volume"], bar["sell_volume"]) == (pytest.approx(bought), pytest.approx(sold))
    for number, bar in enumerate(table_rows(table(folder, "tick_bars", rule))):
        own = [*zip(ticks, expected[rule], strict=True)][7 * number : 7 * number + 7]
        assert bar["buy_volume"] == pytest.approx(sum(row["amount"] for row, sign in own if sign == 1))


@pytest.mark.parametrize("rule", RULES)
def test_event_flow_takes_the_sign(made: tuple[Path, list[Row], dict[str, list[int | None]]], rule: str) -> None:
    folder, ticks, expected = made
    words = {1: "buy", -1: "sell", None: None}
    signed = [row | {"side": words[sign]} for row, sign in zip(ticks, expected[rule], strict=True)]
    bars = event_flow.features(keyed(market()[0]), keyed(signed), 1, bar_durations=[60], emit_open_bars=True)
    assert sum(bar["bid_market_volume_best"] for bar in bars) > 0
    assert_same(table(folder, "event_flow_bars", rule), bars)


@pytest.mark.parametrize("rule", BESIDE_A_BOOK)
def test_kernels_beside_a_book_take_the_sign(
    made: tuple[Path, list[Row], dict[str, list[int | None]]], rule: str
) -> None:
    folder, ticks, expected = made
    rows = table_rows(table(folder, "orderbook_hf", rule))
    for row, before in zip(rows[1:], rows, strict=False):
        until, since = row["ts"] // 1_000_000, before["ts"] // 1_000_000
        own = [(t, sign) for t, sign in zip(ticks, expected[rule], strict=True) if since < t["timestamp"] <= until]
        assert row["buy_volume"] == pytest.approx(sum(t["amount"] for t, sign in own if sign == 1))
        assert row["sell_volume"] == pytest.approx(sum(t["amount"] for t, sign in own if sign == -1))
    assert any(row["vpin"] is not None for row in rows)


def test_by_default_the_numbers_are_those_of_the_source(
    made: tuple[Path, list[Row], dict[str, list[int | None]]],
) -> None:
    """To the bit; other rules give others."""
    folder, _, _ = made
    for model in READERS:
        plain = table(folder, model, "plain")
        assert plain.equals(table(folder, model, "aggressor")), model
        assert not plain.equals(table(folder, model, "lee_ready")), model


@pytest.mark.parametrize("model", READERS)
def test_trades_without_quotes(tmp_path: Path, model: str) -> None:
    config = shipped_config(tmp_path / "lake")
    config["models"] = {name: config["models"][name] for name in (model, "trades_liquidity")}
    config["models"][model]["options"]["sign"] = "lee_ready"
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("compile", tmp_path / "models.yaml", "--stdout")
    assert outcome.code == 2
    assert (
        f"models.{model}.options.sign: found 'lee_ready', and source 'ccxt_trades' has the sides as sent" in outcome.err
    )
    assert "trades/liquidity.sql.j2, which signs trades by ticks and quotes: trades_liquidity" in outcome.err


def test_events_of_orders_have_no_sign(tmp_path: Path) -> None:
    config = shipped_config(tmp_path / "lake")
    config["models"] = {name: config["models"][name] for name in ("event_flow_bars", "trades_liquidity")}
    flow = config["models"]["event_flow_bars"]
    flow |= {"enabled": True, "options": {"sign": "lee_ready"}}
    flow["inputs"]["events"] = "trades_liquidity"
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("compile", tmp_path / "models.yaml", "--stdout", "--select", "event_flow_bars")
    assert (outcome.code, "Leave sign out, or say explained_by: trades" in outcome.err) == (2, True), outcome.err


def test_a_sign_that_is_none(tmp_path: Path) -> None:
    config = shipped_config(tmp_path / "lake")
    config["models"]["trades_bars"]["options"]["sign"] = "leeready"
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("compile", tmp_path / "models.yaml", "--stdout")
    assert (outcome.code, "models.trades_bars.options.sign: " in outcome.err) == (2, True)
    assert "lee_ready" in outcome.err
