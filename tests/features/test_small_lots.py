"""Trades that are too small for the lots of a kernel are counted and told, with what to do."""

from __future__ import annotations

import copy
import datetime as dt
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sqlgen.stream.lotaudit import LotAudit
from tests.features.made import MIDNIGHT
from tests.support.engine import shipped_config, sqlgen
from tests.support.lakes import Row, write_rows
from udfs import SEGMENT_START, Batch, Trades
from udfs.trades.bars import DollarBars, VolumeBars
from udfs.trades.vpin import Vpin

AMOUNTS = [0.5, 3e-9, 1.5e-8, 2e-8, 1e-3, 4e-10, 7e-5]


def rows(amounts: list[float], market: str) -> list[Row]:
    keys = {"exchange": "binance", "symbol": market, "date": dt.date(2026, 1, 1)}
    trades = [{"side": "buy", "price": 100.0, "amount": amount} for amount in amounts]
    return [
        trade | keys | {"timestamp": MIDNIGHT - 86_400_000 + 1_000 * i, "trade_id": str(i)}
        for i, trade in enumerate(trades)
    ]


def test_small_trades_are_told(tmp_path: Path) -> None:
    shipped = shipped_config(Path("lake"))
    model = copy.deepcopy(shipped["models"]["volume_bars"])
    model["options"] = {"volume_bar_size": 0.1}
    shipped["models"] = {"volume_bars": model}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(shipped, sort_keys=False))
    write_rows(tmp_path / "lake", "trades", rows(AMOUNTS, "DUST-BTC") + rows([1.0, 2.5], "BTC-USDT"))
    outcome = sqlgen("run", tmp_path / "models.yaml", "--json")
    assert outcome.code == 0, outcome.out
    notes = [note for task in outcome.json["tasks"] for note in task["notes"]]
    assert len(outcome.json["tasks"]) == 2
    assert notes == [
        "volume_bars rounds 3 of 7 trades to whole lots of 1e-08, which changes them by more than 0.1% or leaves them"
        " out: the smallest is 4e-10. Set lot_size to the step in which this market counts, 1e-10 or less"
    ]


@given(st.lists(st.floats(1e-12, 1.0), max_size=20), st.sampled_from([1e-8, 0.01, 1e-4]), st.integers(1, 7))
def test_what_is_counted(amounts: list[float], lot: float, split: int) -> None:
    """As many as exact arithmetic finds, however the trades come in batches."""
    step = Fraction(lot)
    exact = [Fraction(amount) for amount in amounts]
    changes = [abs(round(amount / step) * step - amount) / amount for amount in exact]
    if any(abs(change - Fraction(1, 1000)) < Fraction(1, 10**9) for change in changes):
        return
    expected = sum(change > Fraction(1, 1000) for change in changes)
    kernel, audit = (
        Vpin({name: option.default for name, option in Vpin.options.items()} | {"lot_size": lot}),
        LotAudit(),
    )
    for begin in range(0, len(amounts), split):
        part = np.array(amounts[begin : begin + split])
        trades = Trades(np.zeros(len(part), np.int64), np.ones(len(part)), part, np.ones(len(part), np.int8))
        audit.add([kernel], {kernel.name: kernel.start()}, Batch(np.zeros(1, np.int64), {}, trades))
    assert bool(audit.notes()) == bool(expected)
    assert all(note.startswith(f"vpin rounds {expected} of {len(amounts)} trades") for note in audit.notes())


@pytest.mark.parametrize(("kind", "sized_by"), [(VolumeBars, "volume_bar_size"), (DollarBars, "dollar_bar_size")])
def test_lots_that_are_coarser_for_large_bars(kind: type[VolumeBars] | type[DollarBars], sized_by: str) -> None:
    """A bar of 1e9 has lots of 1e-4: dust of 1e-5 is left out of it, and told."""
    options = {name: option.default for name, option in kind.options.items()} | {sized_by: 1e9}
    batch = Batch(np.arange(2), {"price": np.ones(2), "amount": np.array([1e-5, 5.0])})
    audit = LotAudit()
    kernel = kind(options)
    audit.add([kernel], {kernel.name: kernel.start()}, batch)
    [note] = audit.notes()
    assert note.startswith(f"{kind.name} rounds 1 of 2 trades to whole lots of 0.0001, which")
    assert note.endswith(
        "Lots are larger than lot_size (1e-08) because a bar has too many of these to count: make bars smaller"
    )


@pytest.mark.parametrize(("volume", "lot", "told"), [("adv/50", 0.01, 2), ("8e13", 0.1, 3), ("1", 0, 0)])
def test_lots_that_follow_the_volume_of_a_market(volume: str, lot: float, told: int) -> None:
    """A day of 4e14 makes buckets of 8e12 by which 5.5e15 lots can be counted at most, of 0.01; of 8e13, 0.1."""
    options = {name: option.default for name, option in Vpin.options.items()} | {"vpin_bucket_volume": volume}
    kernel, audit, day = Vpin(options), LotAudit(), 86_400 * 10**9
    state = kernel.start()
    amounts = [[4e14], [0.0123, 5e-4, 0.45, 7.000001, 2e3]]
    for number, part in enumerate(amounts):
        count = len(part)
        trades = Trades(np.full(count, number * day), np.ones(count), np.array(part), np.ones(count, np.int8))
        batch = Batch(np.array([number * day]), {SEGMENT_START: np.ones(1, np.int8)}, trades)
        if volume != "1":
            kernel.run(state, batch)
        audit.add([kernel], {kernel.name: state}, batch)
    if not told:
        assert audit.notes() == []
        return
    [note] = audit.notes()
    assert note.startswith(f"vpin rounds {told} of 6 trades to whole lots of {lot:g}, which")
    assert note.endswith(
        "the smallest is 0.0005. Lots are larger than lot_size (1e-08) because a bucket has too many of"
        " these to count: make buckets smaller"
    )
