"""Properties that hold for any input, of the oracle and of the engine alike.

Each example writes its variants as symbols of one lake, so that one run serves all of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.features.lake_checks import KINDS, ORACLES
from tests.features.made import MIDNIGHT, keyed
from tests.oracles.compare import same, slack, table_rows
from tests.support.engine import run_model
from tests.support.lakes import write_rows

Row = dict[str, Any]
Variants = dict[str, Sequence[Row]]
few = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])

KEYS = ("exchange", "symbol", "date", "ts", "seq")
# Prices are whole ticks and sizes are eighths: sums and mirrored distances are then exact in binary.
sizes = st.integers(1, 800).map(lambda eighths: eighths / 8)
bid_levels = st.lists(st.tuples(st.integers(900, 1004), sizes), max_size=30)
ask_levels = st.lists(st.tuples(st.integers(996, 1100), sizes), max_size=30)
books = st.lists(st.tuples(bid_levels, ask_levels), min_size=5, max_size=25)
steps = st.lists(st.sampled_from([0, 1, 999, 1000, 59_999, 60_000, 60_001, 300_000, 300_001]), min_size=3, max_size=40)


def by_engine(model: str, variants: Variants) -> dict[str, list[Row]]:
    with tempfile.TemporaryDirectory() as folder:
        for symbol, rows in variants.items():
            write_rows(Path(folder), KINDS[model], keyed(rows, symbol=symbol))
        return _by_symbol(table_rows(run_model(Path(folder), model)))


def by_oracle(model: str, variants: Variants) -> dict[str, list[Row]]:
    raw = [row for symbol, rows in variants.items() for row in keyed(rows, symbol=symbol)]
    return _by_symbol(ORACLES[model](raw))


def _by_symbol(rows: Sequence[Row]) -> dict[str, list[Row]]:
    symbols: dict[str, list[Row]] = {}
    for row in rows:
        symbols.setdefault(row["symbol"], []).append(row)
    return symbols


runners = pytest.mark.parametrize("run", [by_oracle, by_engine])
Run = Callable[[str, Variants], dict[str, list[Row]]]


def _timed(sides: Sequence[tuple[Any, Any]]) -> list[Row]:
    return [{"timestamp": MIDNIGHT + i * 1000, "bids": bids, "asks": asks} for i, (bids, asks) in enumerate(sides)]


def _assert_equal(got: Sequence[Row], want: Sequence[Row], expect: Callable[[str, Row], tuple[str, Any]]) -> None:
    """``expect`` says under which name, and with what value, a column of ``want`` appears in ``got``."""
    for one, other in zip(got, want, strict=True):
        for name in [name for name in other if name not in KEYS]:
            renamed, value = expect(name, other)
            assert same(one[renamed], value, slack(name, other)), (renamed, one[renamed], value)


@pytest.mark.slow
@runners
@few
@given(data=st.data(), sides=books)
def test_the_order_of_levels_does_not_matter(run: Run, data: st.DataObject, sides: list[Any]) -> None:
    shuffled = [(data.draw(st.permutations(bids)), data.draw(st.permutations(asks))) for bids, asks in sides]
    out = run("orderbook_hf", {"A": _timed(sides), "B": _timed(shuffled)})
    _assert_equal(out["B"], out["A"], lambda name, row: (name, row[name]))


PRICE_LIKE = ("best_", "mid_price", "microprice", "micro_minus_mid", "vwap_", "center_of_gravity", "lambda_", "amihud_")


def _scales(name: str) -> bool:
    """Whether a column is in units of price."""
    if name in ("slope_asymmetry_top5", "bid_slope_regression", "ask_slope_regression"):
        return False
    return (
        name in ("spread", "mid_velocity", "mid_accel")
        or name.startswith(PRICE_LIKE)
        or "_price_" in name
        or "_slope_top" in name
    )


@pytest.mark.slow
@runners
@few
@given(sides=books, exponent=st.integers(-8, 8))
def test_the_unit_of_price_does_not_matter(run: Run, sides: list[Any], exponent: int) -> None:
    """A power of two scales without rounding, so that no level moves over the edge of a band."""
    scale = 2.0**exponent
    scaled = [([(p * scale, s) for p, s in bids], [(p * scale, s) for p, s in asks]) for bids, asks in sides]
    out = run("orderbook_hf", {"A": _timed(sides), "B": _timed(scaled)})

    def expect(name: str, row: Row) -> tuple[str, Any]:
        value = row[name]
        return name, value * scale if value is not None and _scales(name) else value

    _assert_equal(out["B"], out["A"], expect)


FLIPS: tuple[str, ...] = (
    "imbalance",
    "imb_band_",
    "total_imbalance",
    "smart_depth_imbalance",
    "micro_minus_mid",
    "cog_vs_mid",
    "cog_momentum_mean",
)
MIRRORED: tuple[str, ...] = (
    "bid_levels",
    "ask_levels",
    "total_",
    "smart_",
    "bid_slope_reg",
    "ask_slope_reg",
    "bid_slope_top",
)
MIRRORED += ("ask_slope_top", "bid_depth_decay", "ask_depth_decay", "bid_concentration", "ask_concentration")
MIRRORED += ("bid_vol_band", "ask_vol_band", "bid_50pct", "ask_50pct")
MIRRORED += ("bid_slope_mean", "ask_slope_mean", "bid_slope_std", "ask_slope_std")
KEPT = ("book_state", "mid_price", "spread", "relative_", "vwap_spread", "avg_", "lambda_", "amihud_", "book_convexity")
KEPT += ("depth_", "mean_relative_spread", "rv_", "cog_momentum_std", "spread_regime", "spread_percentile")


@pytest.mark.slow
@runners
@few
@given(sides=books)
def test_swapped_sides_flip_the_signed_features(run: Run, sides: list[Any]) -> None:
    """Each book is mirrored in its own mid, which therefore stays where it is."""
    sides = [(bids, asks) for bids, asks in sides if bids and asks] or [([(1000, 1.0)], [(1001, 2.0)])]
    mirrored = []
    for bids, asks in sides:
        twice_mid = max(price for price, _ in bids) + min(price for price, _ in asks)
        mirrored.append(([(twice_mid - p, s) for p, s in asks], [(twice_mid - p, s) for p, s in bids]))
    out = run("orderbook_hf", {"A": _timed(sides), "B": _timed(mirrored)})
    checked = [{name: row[name] for name in row if name.startswith((*FLIPS, *MIRRORED, *KEPT))} for row in out["A"]]

    def expect(name: str, row: Row) -> tuple[str, Any]:
        if name.startswith(FLIPS):
            return name, -row[name] if row[name] is not None else None
        other = name.replace("bid", "#").replace("ask", "bid").replace("#", "ask")
        return (other if name.startswith(MIRRORED) else name), row[name]

    _assert_equal(out["B"], checked, expect)


@runners
@pytest.mark.parametrize("model", ["trades_features", "ticker_features"])
@few
@given(data=st.data(), gaps=steps)
def test_the_future_changes_no_value(run: Run, model: str, data: st.DataObject, gaps: list[int]) -> None:
    start = MIDNIGHT - sum(gaps) // 2
    rows = [_event(data, start + sum(gaps[: i + 1])) for i in range(len(gaps))]
    kept = data.draw(st.integers(1, len(rows)))
    out = run(model, {"ALL": rows, "CUT": rows[:kept]})
    _assert_equal(out["CUT"], out["ALL"][:kept], lambda name, row: (name, row[name]))


def _event(data: st.DataObject, time: int) -> Row:
    """One row that is a trade and a ticker at once; a lake takes the fields of its kind."""
    price, size, side = data.draw(st.tuples(st.integers(900, 1100), sizes, st.sampled_from(["buy", "sell", None])))
    trade = {"timestamp": time, "trade_id": "t", "price": float(price), "amount": size, "side": side}
    return {**trade, "bid": float(price), "ask": price + 1.0, "bid_volume": size, "ask_volume": 2.0}
