"""The array book against a dictionary of levels, over random orders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlgen.sample import flow as kernels
from sqlgen.sample.flow import add, add_order, cancel_beyond, remove, resting, snapshot, uniform
from sqlgen.sample.state import LOTS, TICK, BookState, new_book

RING = new_book(1, 0).ring.shape[1]
BASE = 10 * RING + 5

orders = st.tuples(
    st.sampled_from(["place", "take", "withdraw"]),
    st.sampled_from([1, -1]),
    st.integers(-40, 40),
    st.integers(1, 50),
)


def small_book(seed: int, slots: int = 30) -> BookState:
    book = new_book(slots, seed)
    book.touch[:] = BASE - 1, BASE + 1
    for s in (1, -1):
        add(book, s, BASE - s, 10)
    return book


def sides(book: BookState) -> dict[int, dict[int, int]]:
    """Levels of each side, best first, read off the ring without the kernels."""
    found: dict[int, dict[int, int]] = {1: {}, -1: {}}
    for i in range(RING):
        lots = int(book.ring[LOTS, i])
        if lots:
            found[1 if lots > 0 else -1][int(book.ring[TICK, i])] = abs(lots)
    return {s: dict(sorted(levels.items(), key=lambda level: -s * level[0])) for s, levels in found.items()}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**63 - 1), st.lists(orders, max_size=80))
def test_the_touch_is_the_best_level_and_never_crosses(seed: int, steps: list[tuple[str, int, int, int]]) -> None:
    book = small_book(seed)
    for what, s, offset, lots in steps:
        if what == "place":
            add_order(book, s, BASE + offset, lots)
        elif what == "take":
            best = int(book.touch[0 if s > 0 else 1])
            before = resting(book, s, best)
            remove(book, s, best, lots)
            assert resting(book, s, best) == max(before - lots, 0)
        else:
            cancel_beyond(book, s, BASE + offset)
            assert s * book.touch[0 if s > 0 else 1] <= s * (BASE + offset)
        levels = sides(book)
        assert book.touch.tolist() == [next(iter(levels[1])), next(iter(levels[-1]))]
        assert book.touch[0] < book.touch[1]


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**63 - 1), st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), min_size=30, max_size=60))
def test_a_snapshot_holds_the_best_levels(seed: int, placed: list[tuple[int, int]]) -> None:
    book = small_book(seed)
    for distance, lots in placed:
        for s in (1, -1):
            add_order(book, s, BASE - s * (1 + distance), lots)
    before = sides(book)
    for s in (1, -1):
        ticks, lots = np.zeros(20, np.int32), np.zeros(20, np.int32)
        snapshot(book, s, ticks, lots)
        held = list(before[s].items())[:20]
        assert list(zip(ticks.tolist(), lots.tolist(), strict=True))[: len(held)] == held
        assert (np.diff(ticks) * s < 0).all(), "someone posts behind a book that has run out"
        assert (lots > 0).all()


def test_a_slot_of_the_ring_is_not_shared_by_prices_far_apart() -> None:
    book = small_book(1)
    add(book, 1, BASE - 5, 7)
    assert resting(book, 1, BASE - 5 - RING) == 0
    add(book, 1, BASE - 5 - RING, 3)
    assert (resting(book, 1, BASE - 5 - RING), resting(book, 1, BASE - 5)) == (3, 0)


def test_the_random_stream_is_uniform_and_depends_on_the_seed() -> None:
    book, other = new_book(1, 1), new_book(1, 2)
    draws = np.array([uniform(book) for _ in range(20_000)])
    assert 0 < draws.min() < draws.max() < 1
    assert draws.mean() == pytest.approx(0.5, abs=0.01)
    assert draws.var() == pytest.approx(1 / 12, abs=0.005)
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.03
    assert uniform(other) != draws[0]


def test_the_python_functions_do_what_the_compiled_ones_do() -> None:
    compiled, plain = small_book(3), small_book(3)
    with np.errstate(over="ignore"):
        for step in range(300):
            s = 1 if step % 3 else -1
            add_order(compiled, s, BASE - s * (step % 17), 1 + step % 5)
            kernels.add_order.py_func(plain, s, BASE - s * (step % 17), 1 + step % 5)
    assert sides(compiled) == sides(plain)
