"""The sign audit against a loop over trades, in any batches, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlgen.project.signs import FEWEST, is_reversed
from sqlgen.stream.signaudit import SignAudit
from udfs.kernel import NANOSECONDS as S
from udfs.kernel import Trades

NAN = float("nan")
quotes = st.tuples(st.integers(0, 400), st.sampled_from([98.0, 99.0, 101.0, NAN]), st.sampled_from([99.0, 100.0, NAN]))
sales = st.tuples(st.integers(0, 400), st.sampled_from([98.0, 99.0, 99.5, 100.0, NAN]), st.sampled_from([1, -1, 0]))


def by_hand(rows: list[tuple[int, float, float]], trades: list[tuple[int, float, int]]) -> tuple[int, int]:
    judged = against = 0
    for at, price, side in trades:
        before = [row for row in rows if row[0] < at and row[1] <= row[2]]
        if not before or side == 0 or np.isnan(price) or at - before[-1][0] > 300:
            continue
        judged += 1
        against += price <= before[-1][1] if side == 1 else price >= before[-1][2]
    return judged, against


def audit(rows: list[tuple[int, float, float]], trades: list[tuple[int, float, int]], cut: int) -> SignAudit:
    found, given = SignAudit(), 0
    for part in (rows[:cut], rows[cut:]):
        if not part:
            continue
        count = sum(trade[0] <= part[-1][0] for trade in trades)
        mine, given = trades[given:count], count
        ts = np.array([row[0] * S for row in part], np.int64)
        columns = {"best_bid": np.array([row[1] for row in part]), "best_ask": np.array([row[2] for row in part])}
        found.add(
            ts,
            columns,
            Trades(
                np.array([trade[0] * S for trade in mine], np.int64),
                np.array([trade[1] for trade in mine], np.float64),
                np.ones(len(mine)),
                np.array([trade[2] for trade in mine], np.int8),
            ),
        )
    return found


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(st.lists(quotes, min_size=1, max_size=12), st.lists(sales, max_size=12), st.integers(0, 12))
def test_as_by_hand_in_any_batches(
    rows: list[tuple[int, float, float]], trades: list[tuple[int, float, int]], cut: int
) -> None:
    rows, trades = sorted(rows, key=lambda row: row[0]), sorted(trades, key=lambda trade: trade[0])
    trades = [trade for trade in trades if trade[0] <= rows[-1][0]]
    found = audit(rows, trades, cut)
    assert (found.judged, found.against) == by_hand(rows, trades)


@pytest.mark.parametrize(("share", "turned"), [(0.4, False), (0.5, False), (0.6, True)])
def test_above_one_half_the_maker_is_named(share: float, turned: bool) -> None:
    rows = [(k, 99.0, 100.0) for k in range(40)]
    trades = [(k, 99.0 if k < 40 * share else 100.0, 1) for k in range(1, 40)]
    found = audit(rows, trades, 17)
    note = found.note("tape", "auto")
    assert bool(note) is turned
    if turned:
        assert note.startswith("trades of source 'tape': 59% of 39 buys and sells are at the other side")
        assert note.endswith("The feed sends the maker's side: say side_is: maker")
        assert found.note("tape", "maker").endswith("say side_is: taker")


def test_a_few_trades_say_nothing() -> None:
    assert not is_reversed(FEWEST - 1, FEWEST - 1)
    assert is_reversed(FEWEST, FEWEST)
