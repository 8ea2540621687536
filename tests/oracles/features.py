"""What the models that carry kernels publish, from raw rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from tests.oracles import bars, orderbook, trades
from tests.oracles.information_bars import information_bars
from tests.oracles.kernels import book_features
from tests.oracles.rows import Row, by_key, output_order
from tests.oracles.segments import apart
from tests.oracles.trade_bars import bar_parts, bars_of

_DEFAULT_SIZE = {"volume": 10, "tick": 100, "dollar": 100_000}


def orderbook_hf(raw: Sequence[Row], raw_trades: Sequence[Row] | None = None, **options: Any) -> list[Row]:
    """Rows of ``orderbook_hf``: the features of each book, and those that depend on what came before."""
    own = {field.name for field in fields(orderbook.Options)}
    plain = orderbook.features(raw, **{name: value for name, value in options.items() if name in own})
    given = [trades.canonical(row) for row in raw_trades] if raw_trades is not None else None
    out = []
    for in_time, *late in (apart(rows) for rows in by_key(plain)):
        mine = _of_same_key(given, in_time[0]) if given is not None else None
        out += [row | more for row, more in zip(in_time, book_features(in_time, mine, **options), strict=True)]
        nothing: list[Row] | None = [] if given is not None else None
        out += [row | book_features([row], nothing, **options)[0] for [row] in late]
    return output_order(out)


def orderbook_bars(raw: Sequence[Row], **options: Any) -> list[Row]:
    """Rows of ``orderbook_bars``."""
    return bars.book_bars(orderbook_hf(raw, max_gap=options.get("max_gap", 300)), **options)


def event_bars(raw: Iterable[Row], measure: str, **options: Any) -> list[Row]:
    """Rows of ``volume_bars`` and its siblings: each bar in the day in which it closes."""
    out = []
    for rows in by_key(trades.canonical(row) for row in raw):
        parts = _parts(rows, measure, options.get("emit_open_bars", False), options)
        for bar, columns in zip(_grouped(parts), bars_of(parts), strict=True):
            closing = bar[-1]
            day = next(row["date"] for row in rows if row["ts"] == closing["ts"])
            key = {"exchange": rows[0]["exchange"], "symbol": rows[0]["symbol"], "date": day}
            value = math.fsum(part["value"] for part in bar)
            out.append(key | columns | {"dollar_volume": value, "is_closed": closing["is_closed"]})
    return sorted(out, key=lambda bar: (bar["exchange"], bar["symbol"], bar["date"], bar["bar_id"]))


def _parts(rows: Sequence[Row], measure: str, open_bar: bool, options: dict[str, Any]) -> list[Row]:
    """The trades of one symbol by bar."""
    if measure in ("imbalance", "run"):
        own = {name: value for name, value in options.items() if name != "emit_open_bars"}
        return information_bars(rows, measure, open_bar=open_bar, **own)
    size = options.get(f"{measure}_bar_size", _DEFAULT_SIZE[measure])
    names = {"split_trades": "split", "lot_size": "lot_size", "max_gap": "max_gap"}
    chosen = {name: options[option] for option, name in names.items() if option in options}
    return bar_parts(rows, measure, size, open_bar=open_bar, **chosen)


def _grouped(parts: Sequence[Row]) -> list[list[Row]]:
    groups: dict[int, list[Row]] = {}
    for part in parts:
        groups.setdefault(part["bar_id"], []).append(part)
    return list(groups.values())


def _of_same_key(seen: Sequence[Row], row: Row) -> list[Row]:
    mine = [one for one in seen if (one["exchange"], one["symbol"]) == (row["exchange"], row["symbol"])]
    return next(iter(by_key(mine)), [])
