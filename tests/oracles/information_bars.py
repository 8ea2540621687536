"""Imbalance and run bars: each bar from the list of the bars before it. Lopez de Prado 2018, chapter 2."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from tests.oracles.kernel_trades import valid_trades
from tests.oracles.rows import NS, Row

Signed = tuple[Row, float, float]
"""A trade, its sign s and its x."""


def information_bars(
    trades: Sequence[Row],
    rule: str,
    bar_unit: str = "tick",
    bar_classification: str = "aggressor",
    ewma_span: int = 20,
    initial_ticks: int = 100,
    min_ticks: int = 10,
    max_ticks: int = 10_000,
    max_gap: float | None = None,
    open_bar: bool = False,
) -> list[Row]:
    """Trades with the number of their bar; ``rule``: imbalance or run."""
    counted = [
        (trade, sign, {"tick": 1.0, "volume": trade["amount"], "dollar": trade["price"] * trade["amount"]}[bar_unit])
        for trade, sign in _signed(valid_trades(trades), bar_classification)
    ]
    bars: list[list[Signed]] = []
    inside: list[Signed] = []
    for one in counted:
        inside.append(one)
        ticks = _expected_ticks(bars, ewma_span, initial_ticks, min_ticks, max_ticks)
        full = len(inside) >= ticks if not bars else _surprise(inside, bars, rule, ewma_span, ticks)
        if len(inside) >= max_ticks or (len(inside) >= min_ticks and full):
            bars.append(inside)
            inside = []
    parts = [_part(one[0], number, closed=True) for number, bar in enumerate(bars) for one in bar]
    parts += [_part(one[0], len(bars), closed=False) for one in inside]
    for before, part in itertools.pairwise(parts):
        part["has_gap"] = max_gap is not None and part["ts"] - before["ts"] > max_gap * NS
    return [part for part in parts if part["is_closed"] or open_bar]


def _signed(trades: Iterable[Row], classification: str) -> list[tuple[Row, float]]:
    out: list[tuple[Row, float]] = []
    rule, price = 0.0, None
    for trade in trades:
        if price is not None and trade["price"] != price:
            rule = 1.0 if trade["price"] > price else -1.0
        price = trade["price"]
        out.append((trade, float(trade["side"]) if trade["side"] and classification == "aggressor" else rule))
    return out


def _ewma(values: Iterable[float | None], span: int, first: float | None = None) -> float | None:
    weight, mean = 2 / (span + 1), first
    for value in values:
        if value is not None:
            mean = value if mean is None else (1 - weight) * mean + weight * value
    return mean


def _expected_ticks(bars: Sequence[Sequence[Signed]], span: int, first: int, least: int, most: int) -> float:
    expected = float(first)
    for bar in bars:
        following = _ewma([float(len(bar))], span, expected)
        assert following is not None
        expected = min(max(following, least), most)
    return expected


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _of(bar: Sequence[Signed], sign: float) -> list[float]:
    return [x for _, s, x in bar if s == sign]


def _surprise(inside: Sequence[Signed], bars: Sequence[Sequence[Signed]], rule: str, span: int, ticks: float) -> bool:
    if rule == "imbalance":
        expected = _ewma([_mean([s * x for _, s, x in bar]) for bar in bars], span)
        return abs(sum(s * x for _, s, x in inside)) > ticks * abs(expected or 0.0)
    share = _ewma([len(_of(bar, 1.0)) / len(bar) for bar in bars], span) or 0.0
    bought, sold = (_ewma([_mean(_of(bar, sign)) for bar in bars], span) or 0.0 for sign in (1.0, -1.0))
    return max(sum(_of(inside, 1.0)), sum(_of(inside, -1.0))) > ticks * max(share * bought, (1 - share) * sold)


def _part(trade: Row, bar: int, closed: bool) -> dict[str, Any]:
    return {
        "bar_id": bar,
        "ts": trade["ts"],
        "price": trade["price"],
        "volume": trade["amount"],
        "value": trade["price"] * trade["amount"],
        "side": trade["side"] or 0,
        "lots": 1,
        "lots_per_unit": 1.0,
        "part_of_split": False,
        "has_gap": False,
        "is_closed": closed,
    }
