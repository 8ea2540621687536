"""Event flow per bar: every change of a book's price, or every event of an order, one by one."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.oracles import orderbook, trades
from tests.oracles.near import Near
from tests.oracles.rows import NS, Row, by_key

SIDES = {"bid": 1, "ask": -1}
KINDS = ("limit", "cancel", "market")
PLACES = ("best", "beyond")
NAMES = {"add": "limit", "cancel": "cancel", "trade": "market", "hidden": "hidden", None: None}
Move = tuple[str | None, float | None, float | None]
"""Kind, price and size."""


@dataclass(frozen=True)
class Flow:
    """Size that came to a price of a side (limit) or went from it; ``place``: None if it is not known."""

    ts: int
    side: int | None
    kind: str | None
    size: float | None
    place: str | None


def features(
    raw: Iterable[Row],
    raw_trades: Sequence[Row] | None = None,
    max_levels: int = 10,
    captured_levels: int | str | None = None,
    max_gap: float = 300.0,
    **options: Any,
) -> list[Row]:
    """Expected rows of ``event_flow_bars`` of books and trades (``explained_by: trades``)."""
    out: list[Row] = []
    given = by_key(trades.canonical(row) for row in raw_trades or ())
    for rows in by_key(orderbook.features(raw, max_levels=max_levels + 1, captured_levels=captured_levels)):
        key = (rows[0]["exchange"], rows[0]["symbol"])
        mine = next((tape for tape in given if (tape[0]["exchange"], tape[0]["symbol"]) == key), [])
        last = max(row["ts"] for row in [*rows, *mine])
        flows = flows_of_levels(rows, mine, max_levels, captured_levels, max_gap)
        out += [{"exchange": key[0], "symbol": key[1]} | bar for bar in bars(flows, last, **options)]
    return sorted(
        out, key=lambda bar: (bar["exchange"], bar["symbol"], bar["date"], bar["bar_seconds"], bar["bar_start"])
    )


def flows_of_levels(
    rows: Sequence[Row], tape: Sequence[Row], count: int, captured: int | str | None, max_gap: float
) -> list[Flow]:
    """Changes between the valid rows of one symbol, in time order; trades come before a row of their time."""
    flows: list[Flow] = []
    for before, row in itertools.pairwise(_steps(_valid(rows, max_gap), count)):
        inside = [trade for trade in tape if before["ts"] < trade["ts"] <= row["ts"]]
        if row["segment"] != before["segment"] or row["ts"] - before["ts"] > max_gap * NS:
            continue
        for name, side in SIDES.items():
            old, new = (_levels(each, name, count) for each in (before, row))
            edge = max(_edge(each, name, count, captured) for each in (before, row))
            for price in sorted({*old, *new}):
                if side * price < edge or old.get(price) == new.get(price):
                    continue
                change = new.get(price, 0.0) - old.get(price, 0.0)
                place = "best" if side * price >= side * before[f"{name}_price_00"] else "beyond"
                traded = math.fsum(
                    trade["amount"]
                    for trade in inside
                    if trade["price"] == price and trade["amount"] is not None and trade["side"] in (None, -side)
                )
                explained = change < 0 and math.isclose(-change, traded, rel_tol=0, abs_tol=1e-12 * old[price])
                market = -change if explained else min(max(-change, 0.0), traded)
                sizes = {"limit": change, "market": market, "cancel": -change - market}
                slack = 1e-15 * (new.get(price, 0.0) + old.get(price, 0.0) + traded)
                flows += [
                    Flow(row["ts"], side, kind, Near(size, slack), place) for kind, size in sizes.items() if size > 0
                ]
    return flows


def _valid(rows: Sequence[Row], max_gap: float) -> list[Row]:
    segment, found = 0, []
    for i, row in enumerate(rows):
        segment += i > 0 and row["ts"] - rows[i - 1]["ts"] > max_gap * NS
        if row["mid_price"] is not None:
            found.append(row | {"segment": segment})
    return found


def _steps(rows: Sequence[Row], count: int) -> list[Row]:
    """The rows without those that repeat the book before another one of their time."""

    def book(row: Row) -> tuple[Any, ...]:
        return row["segment"], _levels(row, "bid", count), _levels(row, "ask", count)

    return [
        row
        for i, row in enumerate(rows)
        if not 0 < i < len(rows) - 1 or rows[i + 1]["ts"] != row["ts"] or book(row) != book(rows[i - 1])
    ]


def _levels(row: Row, side: str, count: int) -> dict[float, float]:
    names = [(f"{side}_price_{i:02}", f"{side}_size_{i:02}") for i in range(count)]
    return {row[price]: row[size] for price, size in names if row[price] is not None}


def _edge(row: Row, name: str, count: int, captured: int | str | None) -> float:
    """The deepest price up to which a side is known, times the side's sign. A level more than compared is seen."""
    seen = len(_levels(row, name, count + 1))
    least = 1 if captured is None else count + 1 if captured == "all" else min(int(captured), count + 1)
    return -math.inf if seen < least else min(SIDES[name] * price for price in _levels(row, name, count))


def flows_of_orders(events: Sequence[Row], books: Sequence[Row], shared: bool, max_gap: float = 300.0) -> list[Flow]:
    """Events of single orders (rows of ``order_events``); ``books``: their best quotes, in order."""
    flows: list[Flow] = []
    orders: dict[int, tuple[float, float]] = {}
    for event in events:
        best, other = _quote(event, books, shared, max_gap)
        side, price, size = event["side"], event["price"], event["size"]
        moves: list[Move] = []
        if event["type"] == "modify":
            known = orders.get(event["order_id"])
            moves = [("cancel", None, None)] if known is None else _modified(known, price, size)
            orders[event["order_id"]] = (price, size)
        else:
            kind = {"add": "limit", "cancel": "cancel", "trade": "market", "hidden": "hidden", None: None}[
                event["type"]
            ]
            moves = [] if event["is_snapshot"] else [(kind, price, size)]
            if event["type"] == "add":
                orders[event["order_id"]] = (price, size)
            elif event["type"] in ("cancel", "trade") and event["order_id"] in orders:
                held = orders[event["order_id"]]
                orders[event["order_id"]] = (held[0], held[1] - (size or 0.0))
        for kind, at, moved in moves:
            place = None
            if None not in (kind, at, moved, side, best):
                crosses = side * at >= side * other and kind != "hidden" and not shared  # type: ignore[operator]
                place = None if crosses else "best" if side * at >= side * best else "beyond"  # type: ignore[operator]
            flows.append(Flow(event["ts"], side, kind, moved, place))
    return flows


def _modified(known: tuple[float, float], price: float, size: float) -> list[Move]:
    old_price, left = known[0], max(known[1], 0.0)
    if price != old_price:
        return [("cancel", old_price, left), ("limit", price, size)]
    return [("cancel", price, left - size)] if size < left else [("limit", price, size - left)] if size > left else []


def _quote(event: Row, books: Sequence[Row], shared: bool, max_gap: float) -> tuple[float | None, float | None]:
    """Best quote of the event's side before it, and that of the other side."""
    key = (event["ts"], event["seq"])
    earlier = [row for row in books if ((row["ts"], row["seq"]) < key if shared else row["ts"] < event["ts"])]
    valid = _valid(earlier, max_gap)
    segment = sum(b["ts"] - a["ts"] > max_gap * NS for a, b in itertools.pairwise(earlier))
    if not valid or valid[-1]["segment"] != segment or event["ts"] - valid[-1]["ts"] > max_gap * NS:
        return None, None
    bid, ask = valid[-1]["bid_price_00"], valid[-1]["ask_price_00"]
    return (bid, ask) if event["side"] == 1 else (ask, bid) if event["side"] == -1 else (None, None)


def bars(
    flows: Sequence[Flow],
    last: int,
    bar_durations: Sequence[int] = (60, 300, 900, 3600),
    emit_open_bars: bool = False,
    **_: Any,
) -> list[Row]:
    """Flows by time bar; without the bars that later rows than ``last`` may still change."""
    out: list[Row] = []
    counted = [flow for flow in flows if flow.place is None or (flow.size or 0.0) > 0]
    for seconds in sorted(set(bar_durations)):
        length = seconds * NS
        for start in sorted({flow.ts // length * length for flow in counted}):
            if start + length > last and not emit_open_bars:
                continue
            inside = [flow for flow in counted if flow.ts // length * length == start]
            out.append(_bar(inside, start, seconds))
    return out


def _bar(inside: Sequence[Flow], start: int, seconds: int) -> Row:
    day = dt.date(1970, 1, 1) + dt.timedelta(days=start // (86_400 * NS))
    bar: Row = {"date": day, "bar_seconds": seconds, "bar_start": start, "bar_end": start + seconds * NS}
    cells = [(name, place, kind) for name in SIDES for place in PLACES for kind in KINDS]
    found = {cell: [f.size for f in inside if _is(f, *cell) and f.size is not None] for cell in cells}
    volumes = {cell: Near(math.fsum(sizes), 1e-14 * len(sizes) * max([0.0, *sizes])) for cell, sizes in found.items()}
    bar |= {f"{name}_{kind}_volume_{place}": volumes[name, place, kind] for name, place, kind in cells}
    bar |= {f"{name}_{kind}_count_{place}": len(found[name, place, kind]) for name, place, kind in cells}
    bar |= {f"{name}_{kind}_rate_{place}": len(found[name, place, kind]) / seconds for name, place, kind in cells}
    for name, side in SIDES.items():
        bar[f"{name}_hidden_volume"] = math.fsum(f.size or 0.0 for f in inside if f.kind == "hidden" and f.side == side)
    bar["unplaced_count"] = sum(flow.place is None and flow.kind != "hidden" for flow in inside)
    signs = {"limit": 1, "cancel": -1, "market": -1}
    terms = [SIDES[name] * signs[kind] * volumes[name, "best", kind] for name in SIDES for kind in KINDS]
    bar["event_ofi"] = Near(math.fsum(terms), 1e-13 * math.fsum(map(abs, terms)))
    return bar


def _is(flow: Flow, name: str, place: str, kind: str) -> bool:
    return flow.place == place and flow.kind == kind and flow.side == SIDES[name]
