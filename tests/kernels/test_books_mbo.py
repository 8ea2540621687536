"""Books from single orders: Databento's rules by hand, random feeds against dictionaries, and batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.driving import Row
from tests.kernels.feeds import Builder, books, records, same_state, with_others
from tests.oracles.books import BAD, LAST, SNAPSHOT, TOP_OF_BOOK, Event, order_books
from tests.support.modes import examples
from udfs.kernel import NANOSECONDS as S
from udfs.orderbook import orders as tables

BID, ASK = 1, -1
DEPTH = 3


def run(events: list[Event], **options: Any) -> list[Row]:
    rows = records(events, other_time=options.get("other_time", ""))
    return books("book_mbo", rows, **({"max_levels": DEPTH} | options))[0]


def tops(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [
        (row["ts"], row["bid_price_00"], row["bid_size_00"], row["ask_price_00"], row["ask_size_00"]) for row in rows
    ]


def resets(rows: list[Row]) -> list[tuple[int, bool]]:
    return [(row["ts"], row["feed_reset"]) for row in rows]


def test_actions() -> None:
    rows = run(
        [
            Event(1, "A", BID, 1, 9.0, 5.0, LAST),  # not known yet what else there is
            Event(2, "R", flags=40),
            Event(2, "A", BID, 1, 10.0, 5.0, 40),
            Event(2, "A", BID, 2, 10.0, 3.0, 40),
            Event(2, "A", ASK, 3, 11.0, 4.0, 40 | LAST),
            Event(3, "C", BID, 1, 10.0, 2.0, LAST),  # a part
            Event(4, "C", BID, 1, 10.0, 3.0, LAST),  # the rest
            Event(5, "M", BID, 2, 10.5, 6.0, LAST),  # other price
            Event(6, "M", ASK, 9, 10.8, 7.0, LAST),  # not known: new
            Event(7, "C", ASK, 77, 10.8, 7.0, LAST),  # not known
            Event(8, "T", ASK, 0, 10.5, 6.0),
            Event(8, "F", BID, 2, 10.5, 6.0, LAST),  # trades and fills change nothing,
            Event(9, "C", BID, 2, 10.5, 6.0),  # the cancel that comes with them does
            Event(9, "N", None, 0, None, None, LAST),
        ]
    )
    assert tops(rows) == [
        (2, 10.0, 8.0, 11.0, 4.0),
        (3, 10.0, 6.0, 11.0, 4.0),
        (4, 10.0, 3.0, 11.0, 4.0),
        (5, 10.5, 6.0, 11.0, 4.0),
        (6, 10.5, 6.0, 10.8, 7.0),
        (7, 10.5, 6.0, 10.8, 7.0),
        (9, None, None, 10.8, 7.0),
    ]
    assert not any(row["feed_reset"] for row in rows)
    assert (rows[4]["ask_price_01"], rows[4]["ask_levels"]) == (11.0, 2)


def test_clearing_starts_a_segment_a_snapshot_does_not() -> None:
    rows = run(
        [
            Event(1, "R", flags=LAST),
            Event(2, "A", BID, 1, 10.0, 5.0, LAST),
            Event(3, "R", flags=SNAPSHOT),
            Event(3, "A", BID, 1, 10.0, 5.0, SNAPSHOT | LAST),
            Event(4, "R", flags=LAST),
            Event(5, "A", BID, 1, 10.0, 5.0, LAST),
        ]
    )
    assert resets(rows) == [(1, False), (2, False), (3, False), (4, True), (5, False)]


def test_a_gap_of_the_channel() -> None:
    rows = run(
        [
            Event(1, "R"),
            Event(1, "A", BID, 1, 10.0, 5.0, LAST),
            Event(2, "A", BID, 2, 10.1, 5.0, BAD | LAST),
            Event(3, "A", BID, 3, 10.2, 5.0, LAST),
            Event(4, "R", flags=SNAPSHOT | BAD),
            Event(4, "A", BID, 2, 10.1, 5.0, SNAPSHOT | BAD | LAST),
        ]
    )
    assert resets(rows) == [(1, False), (4, True)]
    assert tops(rows)[1] == (4, 10.1, 5.0, None, None)
    assert rows[1]["bid_levels"] == 1


def test_venues_that_show_the_best_level_only() -> None:
    tob = TOP_OF_BOOK | LAST
    rows = run(
        [
            Event(1, "A", BID, 0, 10.0, 5.0, tob),
            Event(2, "A", ASK, 0, 11.0, 6.0, tob),
            Event(3, "A", BID, 0, 9.0, 7.0, tob),
            Event(4, "A", ASK, 0, None, 0.0, tob),  # no price: the side is empty
        ]
    )
    assert tops(rows) == [
        (1, 10.0, 5.0, None, None),
        (2, 10.0, 5.0, 11.0, 6.0),
        (3, 9.0, 7.0, 11.0, 6.0),
        (4, 9.0, 7.0, None, None),
    ]
    assert [row["bid_levels"] for row in rows] == [1, 1, 1, 1]


def test_ids_of_64_bits() -> None:
    ids = [2**62 + 1, 2**62 + 2, -(2**63) + 5, -(2**63) + 6]  # the last two are above 2**63, unsigned
    events = [Event(1, "R")] + [Event(1, "A", BID, number, 10.0 + k, 1.0) for k, number in enumerate(ids)]
    rows = run([*events, Event(1, "C", BID, ids[3], 13.0, 1.0), Event(2, "C", BID, ids[1], 11.0, 1.0, LAST)])
    assert [(row["bid_price_00"], row["bid_price_01"], row["bid_levels"]) for row in rows] == [(12.0, 10.0, 2)]


def test_two_publishers_are_two_books() -> None:
    rows = records([Event(1, "R", flags=LAST)]) + records([Event(2, "R", flags=LAST)], publisher=2)
    with pytest.raises(ValueError, match="records of publishers 1, 2 for one book"):
        books("book_mbo", rows)
    with pytest.raises(ValueError, match="records of publishers 1, 2 for one book"):
        books("book_mbo", rows, cuts=[1])


def test_sizes_are_whole() -> None:
    with pytest.raises(ValueError, match=r"size 0.5 is not a whole number. Let the adapter give sizes in lots"):
        run([Event(1, "A", BID, 1, 10.0, 0.5)])


# --- The table of orders --------------------------------------------------------------------------------------------


@examples(100)
@given(st.lists(st.tuples(st.booleans(), st.integers(-40, 40)), max_size=200), st.sampled_from([1, 2**32, 2**40]))
def test_the_table_is_a_dictionary(operations: list[tuple[bool, int]], spread: int) -> None:
    orders, known = tables.empty(8), {}
    for number, (comes, short) in enumerate(operations):
        key = short * spread
        if tables.is_full(orders):
            larger = tables.empty(2 * len(orders.ids))
            tables.move(orders, larger)
            orders = larger
        at = tables.find(orders, key)
        assert (orders.sides[at] != 0) == (key in known)
        if comes:
            tables.put(orders, at, key, 1, float(number), 2.0)
            known[key] = float(number)
        elif key in known:
            tables.remove(orders, at)
            del known[key]
        assert orders.used[0] == len(known) == np.count_nonzero(orders.sides)
    for key, price in known.items():
        at = tables.find(orders, key)
        assert (orders.sides[at], orders.ids[at], orders.prices[at]) == (1, key, price)


# --- Random feeds ---------------------------------------------------------------------------------------------------

PRICES = [8.0, 9.0, 9.5, 10.0, 10.5, 11.0]


@st.composite
def feeds_of_orders(draw: st.DrawFn) -> list[Event]:
    ts = 0
    events = []
    for _ in range(draw(st.integers(0, 60))):
        ts += draw(st.sampled_from([0, 1, S // 2, S]))
        action = draw(st.sampled_from("AAAAACCMMTFNR")) if events else "R"
        last = LAST if draw(st.integers(0, 2)) else 0
        if action == "R":
            events.append(Event(ts, "R", flags=last | draw(st.sampled_from([0, SNAPSHOT, BAD]))))
            continue
        flags = last | (BAD if draw(st.integers(0, 30)) == 30 else 0)
        side = draw(st.sampled_from([BID, ASK, BID, ASK, None]))
        price = draw(st.sampled_from([*PRICES, None]))
        size = draw(st.sampled_from([1.0, 2.0, 3.0, 0.0, None]))
        events.append(Event(ts, action, side, draw(st.integers(0, 8)), price, size, flags))
    return with_others(events)


OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"emit_interval": 1.0, "crossed_books": "emit"}, {"interval": S, "hold": False}),
    ({"max_crossed": 1.0}, {"max_crossed": S}),
    ({"other_time": "received_ts"}, {"other_time": "received_ts"}),
    ({"other_time": "received_ts", "emit_interval": 1.0}, {"other_time": "received_ts", "interval": S}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "told"), OPTIONS)
@examples(150)
@given(events=feeds_of_orders())
def test_random_feeds_are_as_dictionaries_say(
    options: dict[str, Any], told: dict[str, Any], events: list[Event]
) -> None:
    assert run(events, **options) == order_books(events, depth=DEPTH, **told)


@pytest.mark.slow
@pytest.mark.parametrize("options", [options for options, _ in OPTIONS])
@examples(100)
@given(events=feeds_of_orders(), data=st.data())
def test_batches_make_no_difference(options: dict[str, Any], events: list[Event], data: st.DataObject) -> None:
    rows = records(events, other_time=options.get("other_time", ""))
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=6))
    whole, state = books("book_mbo", rows, max_levels=DEPTH, **options)
    parts, same = books("book_mbo", rows, cuts, max_levels=DEPTH, **options)
    assert parts == whole
    assert same_state(same, state)


@pytest.mark.slow
def test_a_long_feed_of_many_orders() -> None:
    random = np.random.default_rng(4)
    events, live = [Event(0, "R", flags=LAST)], []
    for ts in range(1, 4000):
        if live and random.random() < 0.4:
            number = live.pop(int(random.integers(len(live))))
            events.append(Event(ts, "C", None, number, None, math.inf, LAST))
        else:
            number = int(random.integers(2**63))
            side = int(random.choice([BID, ASK]))
            price = 100 - side * int(random.integers(1, 30)) / 4
            live.append(number)
            events.append(Event(ts, "A", side, number, price, float(random.integers(1, 9)), LAST))
    rows, state = books("book_mbo", records(events), cuts=range(0, 4000, 7), max_levels=DEPTH)
    assert rows[::50] == order_books(events, depth=DEPTH)[::50]
    assert state["book_mbo"]["order_used"][0] == len(live)
    assert len(state["book_mbo"]["order_ids"]) == 2048
    assert same_state(state, books("book_mbo", records(events), max_levels=DEPTH)[1])


def test_the_table_shrinks_when_a_partition_ends() -> None:
    many = [Event(1, "A", BID, number, 10.0, 1.0) for number in range(3000)]
    gone = [Event(2, "C", BID, number, 10.0, 1.0) for number in range(10, 3000)]
    builder = Builder("book_mbo", max_levels=DEPTH)
    builder(records([Event(0, "R"), *many, *gone, Event(2, "N", flags=LAST)]))
    assert len(builder.state["book_mbo"]["order_ids"]) == 8192
    assert builder.end() == []
    assert len(builder.state["book_mbo"]["order_ids"]) == 64
    rows = builder(records([Event(3, "C", BID, 4, 10.0, 1.0), Event(3, "M", BID, 5, 11.0, 2.0, LAST)]))
    assert [(r["bid_price_00"], r["bid_size_00"], r["bid_size_01"]) for r in rows] == [(11.0, 2.0, 8.0)]
    kept = builder.state["book_mbo"]["order_ids"]
    builder.end()
    assert builder.state["book_mbo"]["order_ids"] is kept


def test_a_record_that_cannot_be_read_is_of_no_publisher() -> None:
    lost: dict[str, Any] = records([Event(2, "N", flags=BAD)])[0] | {"publisher_id": None}
    rows = [*records([Event(1, "R", flags=LAST)]), lost, *records([Event(3, "R", SNAPSHOT, flags=SNAPSHOT | LAST)])]
    given, state = books("book_mbo", rows, max_levels=DEPTH)
    assert resets(given) == [(1, False), (3, True)]
    assert state["book_mbo"]["publisher"].tolist() == [1]


def test_the_kernel_reads_ids_as_they_are() -> None:
    batch = Builder("book_mbo").batch(records([Event(1, "A", BID, 2**62 + 1, 1.0, 1.0)]))
    assert batch["order_id"].tolist() == [2**62 + 1]
