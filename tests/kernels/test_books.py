"""Books from level updates: the rules of feeds by hand, random feeds against dictionaries, and batches."""

from __future__ import annotations

import math
from typing import Any

import numba
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels import feeds
from tests.kernels.driving import Row
from tests.kernels.feeds import Builder, books, records, same_state, updates, with_others
from tests.oracles.books import LAST, Event, Message, level_books
from tests.support.modes import examples
from udfs.kernel import NANOSECONDS as S
from udfs.kernel import NO_INTEGER
from udfs.orderbook import sync

BID, ASK = 1, -1
DEPTH = 3
BASE = ((BID, 10.0, 1.0), (BID, 9.0, 2.0), (ASK, 11.0, 3.0))
DAY = 86_400 * S


def best(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [
        (row["ts"], row["bid_price_00"], row["bid_size_00"], row["ask_price_00"], row["ask_size_00"]) for row in rows
    ]


def run(messages: list[Message], **options: Any) -> list[Row]:
    rows = updates(messages, options.get("other_time", ""))
    return books("book", rows, **({"max_levels": DEPTH} | options))[0]


def flags(rows: list[Row]) -> list[tuple[int, bool, int]]:
    return [(row["ts"], row["feed_reset"], row["held_messages"]) for row in rows]


def test_a_snapshot_and_deltas() -> None:
    rows = run(
        [
            Message(1, ((BID, 8.0, 1.0),)),  # nothing is known yet
            Message(2, BASE, snapshot=True),
            Message(3, ((BID, 10.0, 0.0), (BID, 7.0, 0.0), (ASK, 10.5, 4.0), (ASK, 12.0, 5.0), (ASK, 13.0, 6.0))),
            Message(4),  # a heartbeat changes no level
            Message(5, ((BID, 10.2, 7.0),), snapshot=True),
            Message(6, ((BID, 10.2, 0.0),)),
        ]
    )
    assert best(rows) == [
        (2, 10.0, 1.0, 11.0, 3.0),
        (3, 9.0, 2.0, 10.5, 4.0),
        (5, 10.2, 7.0, None, None),
        (6, None, None, None, None),
    ]
    assert [(row["bid_levels"], row["ask_levels"]) for row in rows] == [(2, 1), (1, 3), (1, 0), (0, 0)]
    assert (rows[1]["ask_price_01"], rows[1]["ask_price_02"], rows[1]["bid_price_01"]) == (11.0, 12.0, None)
    assert not any(row["feed_reset"] or row["held_messages"] for row in rows)


@pytest.mark.parametrize("size", [math.inf, -1.0, 0.0])
def test_what_is_no_size_takes_the_level_away(size: float) -> None:
    rows = run([Message(1, BASE, snapshot=True), Message(2, ((BID, 10.0, size), (BID, 8.0, size)))])
    assert best(rows)[1] == (2, 9.0, 2.0, 11.0, 3.0)
    assert rows[1]["bid_levels"] == 1


@pytest.mark.parametrize("price", [math.inf, -10.0, 0.0])
def test_what_is_no_price_is_no_level(price: float) -> None:
    rows = run([Message(1, BASE, snapshot=True), Message(2, ((BID, price, 1.0),))])
    assert best(rows) == [(1, 10.0, 1.0, 11.0, 3.0), (2, 10.0, 1.0, 11.0, 3.0)]


def delta(ts: int, first: int, last: int, price: float, prev: int | None = None) -> Message:
    return Message(ts, ((BID, price, 1.0),), first=first, last=last, prev=prev)


def rest(ts: int, last: int, price: float = 5.0) -> Message:
    return Message(ts, ((BID, price, 9.0), (ASK, 20.0, 9.0)), snapshot=True, last=last)


def prices(rows: list[Row]) -> list[tuple[int, float, bool]]:
    return [(row["ts"], row["bid_price_00"], row["feed_reset"]) for row in rows]


def test_binance_spot() -> None:
    """Deltas wait for the snapshot; u <= L are dropped; then U = u + 1. A gap needs a new snapshot."""
    rows = run(
        [
            delta(1, 95, 99, 9.5),  # u <= L
            delta(2, 100, 103, 10.0),  # U <= L + 1 <= u
            delta(3, 104, 105, 10.1),
            rest(4, 101),  # gives no row: the next message does
            delta(5, 106, 106, 10.2),
            delta(6, 104, 106, 99.0),  # again
            delta(7, 108, 109, 10.3),  # 107 is missing
            delta(8, 110, 112, 10.4),
            rest(9, 105),  # too old
            delta(10, 113, 113, 10.5),
            rest(11, 112),
            delta(12, 114, 114, 10.6),
        ]
    )
    assert prices(rows) == [(5, 10.2, False), (12, 10.6, True)]
    assert [rows[0][f"bid_price_{i:02}"] for i in range(DEPTH)] == [10.2, 10.1, 10.0]
    # The snapshot has all up to 112, and 113 waited: 10.5, 10.6 and the 5.0 of the snapshot.
    assert [rows[1][f"bid_price_{i:02}"] for i in range(DEPTH)] == [10.6, 10.5, 5.0]


def test_binance_futures() -> None:
    """u < L are dropped; the first has U <= L <= u; then pu = u of the one before. Ids have holes."""
    rows = run(
        [
            rest(1, 200),
            delta(2, 150, 199, 9.0, prev=140),
            delta(3, 190, 205, 10.0, prev=185),
            delta(4, 230, 240, 10.1, prev=205),
            delta(5, 230, 240, 99.0, prev=205),  # again
            delta(6, 260, 270, 10.2, prev=250),  # one is missing
            delta(7, 280, 290, 10.3, prev=270),
            rest(8, 275),
            delta(9, 300, 310, 10.4, prev=290),
        ]
    )
    assert prices(rows) == [(3, 10.0, False), (4, 10.1, False), (9, 10.4, True)]
    assert [rows[2][f"bid_price_{i:02}"] for i in range(DEPTH)] == [10.4, 10.3, 5.0]


def test_a_snapshot_from_outside_waits_until_it_is_needed() -> None:
    messages = [
        rest(1, 10, 6.0),
        delta(2, 11, 11, 10.0),
        rest(3, 5, 99.0),  # older than the book
        rest(4, 20, 7.0),
        delta(5, 12, 12, 10.1),  # the feed goes on without it
    ]
    rows = run([*messages, delta(6, 19, 21, 10.2)])
    # 13 to 18 are missing, but in the snapshot.
    assert prices(rows) == [(2, 10.0, False), (5, 10.1, False), (6, 10.2, True)]
    assert (rows[2]["bid_price_01"], rows[2]["bid_price_02"]) == (7.0, None)
    rows = run([*messages, delta(6, 13, 22, 10.2), delta(7, 24, 24, 10.3)])
    # The book went past it.
    assert prices(rows) == [(2, 10.0, False), (5, 10.1, False), (6, 10.2, False)]
    assert rows[2]["bid_price_02"] == 10.0


def stream(ts: int, number: int, *levels: tuple[int, float, float], snapshot: bool = False) -> Message:
    return Message(ts, levels, snapshot=snapshot, first=number, last=number)


def test_bybit() -> None:
    """Ids go on by one; u = 1 is a restart; a snapshot that is sent again breaks nothing."""
    rows = run(
        [
            stream(1, 7, *BASE, snapshot=True),
            stream(2, 8, (BID, 10.1, 1.0)),
            stream(3, 8, *BASE, snapshot=True),
            stream(4, 9, *BASE, snapshot=True),
            stream(5, 10, (BID, 10.2, 1.0)),
            stream(6, 1, *BASE, snapshot=True),
            stream(7, 2, (BID, 10.3, 1.0)),
            stream(8, 4, (BID, 10.4, 1.0)),
            stream(9, 5, (BID, 10.5, 1.0)),
            stream(10, 6, *BASE, snapshot=True),
            stream(11, 7, (BID, 10.6, 1.0)),
        ]
    )
    assert prices(rows) == [
        *((1, 10.0, False), (2, 10.1, False), (3, 10.0, False), (4, 10.0, False), (5, 10.2, False)),
        *((6, 10.0, True), (7, 10.3, False), (10, 10.0, True), (11, 10.6, False)),
    ]


def test_the_adapter_can_tell_a_break() -> None:
    rows = run(
        [
            Message(1, BASE, snapshot=True),
            Message(2, ((BID, 10.1, 1.0),)),
            Message(3, BASE, snapshot=True, feed_break=True),
            Message(4, ((BID, 10.2, 1.0),)),
            Message(5, ((BID, 10.3, 1.0),), feed_break=True),
            Message(6, ((BID, 10.4, 1.0),)),
            Message(7, BASE, snapshot=True),
        ]
    )
    assert prices(rows) == [(1, 10.0, False), (2, 10.1, False), (3, 10.0, True), (4, 10.2, False), (7, 10.0, True)]


UNREADABLE = [
    (None, 10.0, 1.0),
    (None, None, 1.0),
    (BID, None, 1.0),
    (BID, 10.0, None),
    (ASK, math.nan, 0.0),
    (0, None, None),
]


@pytest.mark.parametrize("level", UNREADABLE)
def test_a_level_that_cannot_be_read_breaks_the_feed(level: tuple[Any, ...]) -> None:
    rows = run(
        [
            Message(1, BASE, snapshot=True),
            Message(2, ((BID, 10.1, 1.0), level)),
            Message(3, ((BID, 10.2, 1.0),)),
            Message(4, (level, *BASE), snapshot=True),
            Message(5, ((BID, 10.3, 1.0),)),
            Message(6, BASE, snapshot=True),
        ]
    )
    assert prices(rows) == [(1, 10.0, False), (6, 10.0, True)]


def test_what_cannot_be_read_and_is_not_needed_breaks_nothing() -> None:
    bad = (BID, None, 1.0)
    rows = run(
        [
            delta(1, 10, 10, 10.0),
            Message(2, (bad,), snapshot=True, last=9),  # of no use; what waits for another goes on waiting
            rest(3, 9),
            delta(4, 11, 11, 10.1),
            Message(5, (bad,), first=10, last=11),  # known
            Message(6, (bad,), snapshot=True, last=12),
            delta(7, 12, 12, 10.2),
            delta(8, 14, 14, 10.3),  # 13 is missing, and the snapshot that would help is not there
            rest(9, 14),
            delta(10, 15, 15, 10.4),
        ]
    )
    assert prices(rows) == [(4, 10.1, False), (7, 10.2, False), (10, 10.4, True)]


def test_a_delta_that_waits_and_cannot_be_read() -> None:
    """Nor do those before it continue a snapshot any more."""
    waiting = [delta(1, 10, 10, 10.0), Message(2, ((BID, None, 1.0),), first=11, last=11), delta(3, 12, 12, 10.2)]
    assert prices(run([*waiting, rest(4, 9), delta(5, 13, 13, 10.3)])) == []
    assert prices(run([*waiting, rest(4, 11), delta(5, 13, 13, 10.3)])) == [(5, 10.3, False)]


CROSSING = ((BID, 11.5, 1.0),)


def test_crossed_books_are_held_back() -> None:
    messages = [
        Message(0, BASE, snapshot=True),
        Message(1, CROSSING),
        Message(2, ((ASK, 12.0, 1.0),)),
        Message(3, ((ASK, 11.0, 0.0),)),
        Message(4, ((BID, 10.5, 1.0),)),
    ]
    assert flags(run(messages)) == [(0, False, 0), (3, False, 2), (4, False, 0)]
    assert flags(run(messages, crossed_books="emit")) == [(ts, False, 0) for ts in range(5)]
    locked = [Message(0, BASE, snapshot=True), Message(1, ((BID, 11.0, 1.0),))]
    assert flags(run(locked)) == [(0, False, 0), (1, False, 0)]


def test_a_book_that_stays_crossed_is_broken() -> None:
    messages = [
        Message(0, BASE, snapshot=True),
        Message(1 * S, CROSSING),
        Message(3 * S, ((BID, 9.5, 1.0),)),
        Message(3 * S + 1, ((BID, 9.6, 1.0),)),
        Message(4 * S, ((BID, 11.5, 0.0),)),
        Message(5 * S, BASE, snapshot=True),
        Message(6 * S, CROSSING),
        Message(7 * S, ((BID, 11.5, 0.0),)),
    ]
    assert flags(run(messages, max_crossed=2.0)) == [(0, False, 0), (5 * S, True, 3), (7 * S, False, 1)]
    assert flags(run(messages, max_crossed=2.1)) == [
        (0, False, 0),
        (4 * S, False, 3),
        (5 * S, False, 0),
        (7 * S, False, 1),
    ]


def test_one_row_an_interval() -> None:
    messages = [
        Message(DAY - 12 * S, BASE, snapshot=True),
        Message(DAY - 11 * S, ((BID, 10.1, 1.0),)),
        Message(DAY - 10 * S, ((BID, 10.2, 1.0),)),
        Message(DAY - 4 * S, ((BID, 10.3, 1.0),)),
        Message(DAY - 3 * S, CROSSING),  # the row is the last one that is not crossed
        Message(DAY - 2 * S),
        Message(DAY + 1 * S, ((BID, 11.5, 0.0),)),
        Message(DAY + 2 * S, ((BID, 10.4, 1.0),)),
    ]
    # 86,400 is no multiple of 7: the last interval of a day is shorter.
    assert [row[:2] for row in best(run(messages, emit_interval=7.0))] == [
        (DAY - 10 * S, 10.2),
        (DAY - 4 * S, 10.3),
        (DAY + 2 * S, 10.4),
    ]
    assert flags(run(messages, emit_interval=7.0))[2] == (DAY + 2 * S, False, 1)


def test_a_row_that_waits_belongs_to_its_partition() -> None:
    builder = Builder("book", max_levels=DEPTH, emit_interval=10.0)
    assert builder(updates([Message(S, BASE, snapshot=True), Message(2 * S, ((BID, 10.1, 1.0),))])) == []
    assert [row[:2] for row in best(builder.end())] == [(2 * S, 10.1)]
    assert builder.end() == []
    # The next partition does not give it again, not even if it begins in the same interval.
    assert builder(updates([Message(3 * S, ((BID, 10.2, 1.0),))])) == []
    assert [row[:2] for row in best(builder(updates([Message(11 * S, ((BID, 10.3, 1.0),))])))] == [(3 * S, 10.2)]
    assert [row[:2] for row in best(builder.end())] == [(11 * S, 10.3)]


def test_a_message_that_is_cut_off_ends_with_its_partition() -> None:
    builder = Builder("book", max_levels=DEPTH)
    cut = updates([Message(1, BASE, snapshot=True), Message(2, ((BID, 10.5, 1.0), (BID, 10.6, 1.0)))])[:-1]
    assert [row[:2] for row in best(builder(cut))] == [(1, 10.0)]
    assert builder.end() == []
    rows = builder(updates([Message(3, ((BID, 9.5, 1.0),), snapshot=True)]))
    assert best(rows) == [(3, 9.5, 1.0, None, None)]


def test_ids_that_no_double_holds() -> None:
    big = 2**53
    rows = run(
        [
            stream(1, big, *BASE, snapshot=True),
            stream(2, big + 1, (BID, 10.1, 1.0)),
            stream(3, big + 3, (BID, 10.2, 1.0)),
        ]
    )
    assert prices(rows) == [(1, 10.0, False), (2, 10.1, False)]


@pytest.mark.slow
@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="fills a log of full size")
def test_the_log_does_not_grow_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [delta(i, i, i, 10.0) for i in range(sync.MOST_LOGGED - 1)]
    builder = Builder("book", max_levels=1)
    n = len(many)
    assert builder(updates(many)) == []
    assert builder.state["book"]["log"].shape == (n,)
    two = Message(n, ((BID, 10.0, 1.0), (BID, 10.1, 1.0)), first=n, last=n)
    builder(updates([two]))  # its second level does not fit in: all is lost, this message too
    assert builder.state["book"]["log"].shape == (0,)
    rows = builder(updates([delta(n + 1, n + 1, n + 1, 11.0), rest(n + 2, n - 1), delta(n + 3, n + 2, n + 2, 12.0)]))
    assert rows == []
    rows = builder(updates([rest(n + 4, n), delta(n + 5, n + 3, n + 3, 13.0)]))
    assert prices(rows) == [(n + 5, 13.0, False)]


# --- Random feeds ---------------------------------------------------------------------------------------------------

PRICES = [8.0, 9.0, 9.5, 10.0, 10.5, 11.0, 12.0]
SIZES = [0.0, 0.0, 1.0, 2.5, 3.0, math.inf, -1.0]
STEPS = [0, 1, S // 2, S, 3 * S]


@st.composite
def feeds_of_any_kind(draw: st.DrawFn) -> list[Message]:
    """Snapshots, deltas, heartbeats, gaps, restarts, repetitions; ids of one kind of feed."""
    kind = draw(st.sampled_from(["none", "spot", "futures", "stream"]))
    level = st.tuples(st.sampled_from([BID, ASK]), st.sampled_from(PRICES), st.sampled_from(SIZES))
    ts, at = draw(st.sampled_from([0, DAY - 2 * S])), 20
    before = at
    messages = []
    for _ in range(draw(st.integers(0, 25))):
        ts += draw(st.sampled_from(STEPS))
        levels = tuple(draw(st.lists(level, max_size=5)))
        if not draw(st.integers(0, 14)):
            levels = (*levels, draw(st.sampled_from(UNREADABLE)))
        what = draw(st.sampled_from(["delta"] * 6 + ["gap", "again", "snapshot", "outside", "break"]))
        message: dict[str, Any] = {"feed_break": what == "break"}
        first, last = at + 1, at + draw(st.integers(1, 3)) if kind != "stream" else at + 1
        if what == "gap":
            first, last, before = first + 2, last + 2, before + 2
        if what == "again":
            first, last = max(first - 3, 0), max(last - 3, 0)
        if what in ("snapshot", "outside"):
            message["snapshot"] = True
            if kind in ("spot", "futures") or (what == "outside" and kind == "stream"):
                message["last"] = max(at + draw(st.integers(-4, 4)), 0)
            elif kind == "stream":
                at = draw(st.sampled_from([1, at, at + 1, at + 5]))
                message |= {"first": at, "last": at}
        elif kind != "none":
            message |= {"first": first, "last": last} | ({"prev": before} if kind == "futures" else {})
            at, before = max(at, last), max(before, last)
        messages.append(Message(ts, levels, **message))
    return with_others(messages)


OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"emit_interval": 1.0, "max_crossed": 1.0}, {"interval": S, "max_crossed": S}),
    ({"crossed_books": "emit", "emit_interval": 0.5}, {"hold": False, "interval": S // 2}),
    ({"max_crossed": 0.0}, {"max_crossed": 0}),
    ({"other_time": "received_ts"}, {"other_time": "received_ts"}),
    ({"other_time": "received_ts", "emit_interval": 1.0}, {"other_time": "received_ts", "interval": S}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "told"), OPTIONS)
@examples(150)
@given(messages=feeds_of_any_kind())
def test_random_feeds_are_as_dictionaries_say(
    options: dict[str, Any], told: dict[str, Any], messages: list[Message]
) -> None:
    assert run(messages, **options) == level_books(messages, depth=DEPTH, **told)


@pytest.mark.slow
@pytest.mark.parametrize("options", [options for options, _ in OPTIONS])
@examples(100)
@given(messages=feeds_of_any_kind(), data=st.data())
def test_batches_make_no_difference(options: dict[str, Any], messages: list[Message], data: st.DataObject) -> None:
    rows = updates(messages, options.get("other_time", ""))
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=6))
    whole, state = books("book", rows, max_levels=DEPTH, **options)
    parts, same = books("book", rows, cuts, max_levels=DEPTH, **options)
    assert parts == whole
    assert same_state(same, state)


@pytest.mark.slow
@examples(100)
@given(messages=feeds_of_any_kind(), data=st.data())
def test_no_row_knows_the_future(messages: list[Message], data: st.DataObject) -> None:
    early = run(messages[: data.draw(st.integers(0, len(messages)))])
    assert run(messages)[: len(early)] == early


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[list[Message], dict[int, list[tuple[float, float]]]]:
    """What is received of an exchange whose book is known at every id: some deltas get lost, snapshots may be late."""
    book: dict[tuple[int, float], float] = {(BID, 1.0): 1.0}
    truth, snapshots = {0: dict(book)}, []
    messages = [Message(0, tuple((*key, size) for key, size in book.items()), snapshot=True, last=0)]
    for number in range(1, draw(st.integers(1, 40))):
        change = (BID, draw(st.sampled_from([1.0, 2.0, 3.0, 4.0])), draw(st.sampled_from([0.0, 1.0, 2.0])))
        if change[2]:
            book[change[:2]] = change[2]
        else:
            book.pop(change[:2], None)
        truth[number] = dict(book)
        if draw(st.integers(0, 9)):
            messages.append(Message(number, (change,), first=number, last=number))
        if not draw(st.integers(0, 3)):
            snapshots.append(number)
        if snapshots and not draw(st.integers(0, 2)):
            at = snapshots.pop(0)
            levels = tuple((*key, size) for key, size in truth[at].items())
            messages.append(Message(number, levels, snapshot=True, last=at))
    bids = {
        at: sorted(((price, size) for (_, price), size in held.items()), reverse=True) for at, held in truth.items()
    }
    return messages, bids


@pytest.mark.slow
@examples(200)
@given(exchange=exchanges())
def test_every_row_is_the_book_of_the_exchange(
    exchange: tuple[list[Message], dict[int, list[tuple[float, float]]]],
) -> None:
    messages, truth = exchange
    rows = run(messages, max_levels=4)
    for row in rows:
        found = [(row[f"bid_price_{i:02}"], row[f"bid_size_{i:02}"]) for i in range(row["bid_levels"])]
        assert found == truth[row["ts"]]
    lossless = [m for m in messages if not m.snapshot]
    if [m.last for m in lossless] == list(range(1, len(lossless) + 1)):
        assert [row["ts"] for row in rows] == [m.ts for m in lossless]


def test_integers_are_what_they_were() -> None:
    batch = Builder("book").batch(updates([Message(1, BASE, snapshot=True)]))
    assert batch["first_id"].tolist() == [NO_INTEGER] * len(BASE)
    assert tuple(Builder("book").kernel.integers()) == feeds.IDS


# --- What waits for a snapshot ----------------------------------------------------------------------------------------


def notes(name: str, rows: list[Row], *cuts: int) -> list[str]:
    """Remarks of a kernel at the end of a partition, said of another one after it no more."""
    kernel = Builder(name, max_levels=DEPTH).kernel
    _, state = books(name, rows, cuts, max_levels=DEPTH)
    said = list(kernel.notes(state[name]))
    kernel.waiting(state[name])
    assert list(kernel.notes(state[name])) == []
    return said


def changes(count: int, first: int | None = 100) -> list[Message]:
    one = ((BID, 10.0, 1.0), (ASK, 11.0, 1.0))
    ids = [None if first is None else first + k for k in range(count)]
    return [Message(k * S, one, first=number, last=number) for k, number in enumerate(ids)]


@pytest.mark.parametrize("first", [100, None])
def test_changes_that_wait_are_counted(first: int | None) -> None:
    """Once each, not by level; a message without levels is none. With ids and without."""
    end = None if first is None else first + 20
    rows = updates([*changes(20, first), Message(30 * S, (), first=end, last=end)])
    for cuts in ((), (7,), range(1, 40, 3)):
        [said] = notes("book", rows, *cuts)
        assert said.startswith("no snapshot: 20 changes waited for one. ")


def test_changes_that_a_snapshot_from_outside_has_or_that_continue_it_are_not_lost() -> None:
    snapshot = Message(6 * S, BASE, snapshot=True, last=102)
    [said] = notes("book", updates([*changes(5), snapshot]))
    assert said.startswith("5 changes came before a snapshot, and none after it: ")
    after = Message(7 * S, ((BID, 10.0, 2.0),), first=105, last=105)
    assert notes("book", updates([*changes(5), snapshot, after])) == []
    gap = [*changes(5), Message(6 * S, BASE, snapshot=True, last=90)]
    assert notes("book", updates(gap))[0].startswith("no snapshot: 5 changes waited for one. ")


def test_changes_before_a_snapshot_of_the_feed_are_lost() -> None:
    snapshot = Message(9 * S, BASE, snapshot=True, first=200, last=200)
    late = Message(10 * S, ((BID, 10.0, 2.0),), first=300, last=300)
    assert notes("book", updates([*changes(3), snapshot])) == [
        "3 changes came before a snapshot, and no book is made of them"
    ]
    lost, waits = notes("book", updates([*changes(3), snapshot, late]))
    assert lost.startswith("3 changes came before")
    assert waits.startswith("no snapshot: 1 change waited for one. ")


def test_records_that_wait_for_a_clear_are_counted() -> None:
    def event(k: int, action: str) -> Event:
        return Event(k * S, action, BID, k, 10.0, 1.0, LAST)

    waiting = records([*(event(k, "A") for k in range(4)), event(9, "T")])
    assert notes("book_mbo", waiting)[0].startswith("no clear (action R): 4 records waited for one. ")
    cleared = [event(1, "A"), event(2, "R"), event(3, "A")]
    lost = "1 record came before a clear (action R), and no book is made of them"
    assert notes("book_mbo", records(cleared)) == [lost]
    assert notes("book_mbo", records(cleared[1:])) == []
