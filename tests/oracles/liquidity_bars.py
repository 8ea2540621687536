"""Liquidity and volatility per bar, from the rows of the oracle of trades and the raw book."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from tests.oracles import liquidity
from tests.oracles.near import Near
from tests.oracles.rows import NS, Row, by_key
from tests.oracles.segments import midnight

WINDOWED = ("amihud", "kyle_lambda_bars", "hasbrouck_lambda", "corwin_schultz", "corwin_schultz_clipped", "edge")


def features(
    raw_trades: Iterable[Row],
    raw_book: Iterable[Row],
    bar_durations: Sequence[int] = (60, 300, 900, 3600),
    horizons: Sequence[int] = (1, 5, 60, 300),
    window: int = 20,
    max_gap: float = 300.0,
    emit_open_bars: bool = False,
) -> list[Row]:
    """Expected rows of ``liquidity_bars``."""
    raw_book = [*raw_book]
    books = {key: liquidity.with_segments(rows, max_gap) for key, rows in liquidity.best_quotes(raw_book).items()}
    out: list[Row] = []
    for rows in by_key(liquidity.features(raw_trades, raw_book, horizons=horizons, max_gap=max_gap)):
        key = rows[0]["exchange"], rows[0]["symbol"]
        trades = [row for row in rows if row["price"] is not None and row["amount"] is not None]
        for seconds in bar_durations:
            bars = _bars(trades, books.get(key, []), seconds, horizons)
            for i, bar in enumerate(bars):
                bar |= _windowed(bars[max(0, i - window + 1) : i + 1], window)
            done = [bar for bar in bars if emit_open_bars or bar["bar_end"] <= trades[-1]["ts"]]
            out += [{name: bar[name] for name in bar if name not in _OWN} for bar in done]
    names = "exchange", "symbol", "date", "bar_seconds", "bar_start"
    return sorted(out, key=lambda row: tuple(row[name] for name in names))


_OWN = ("open", "high", "low", "close", "dollars", "signed", "root", "change")


def _bars(trades: Sequence[Row], book: Sequence[Row], seconds: int, horizons: Sequence[int]) -> list[Row]:
    width = seconds * NS
    steps: dict[int, list[tuple[Row, Row | None]]] = {}
    for i, trade in enumerate(trades):
        day = dt.datetime.fromtimestamp(trade["ts"] // NS, dt.UTC).date()
        before = trades[i - 1] if i and trades[i - 1]["ts"] >= midnight(day - dt.timedelta(days=1)) else None
        steps.setdefault(trade["ts"] // width * width, []).append((trade, before))
    bars: list[Row] = []
    for start, pairs in sorted(steps.items()):
        inside = [trade for trade, _ in pairs]
        prices = [trade["price"] for trade in inside]
        bar = {
            "exchange": inside[0]["exchange"],
            "symbol": inside[0]["symbol"],
            "date": dt.datetime.fromtimestamp(start // NS, dt.UTC).date(),
            "bar_seconds": seconds,
            "bar_start": start,
            "bar_end": start + width,
        }
        costs = [
            "effective_spread",
            *(f"{name}_{h}s" for h in horizons for name in ("realized_spread", "price_impact")),
        ]
        for name in (f"{cost}_bps" for cost in costs):
            known = [(trade[name], trade["amount"]) for trade in inside if trade[name] is not None]
            weights = math.fsum(weight for _, weight in known)
            bar[name] = math.fsum(value * weight for value, weight in known) / weights if known else None
        bar["quoted_spread_bps"] = _quoted(book, start, start + width)
        returns = [math.log(trade["price"] / before["price"]) for trade, before in pairs if before is not None]
        bar |= _volatility(returns)
        changes = [trade["price"] - before["price"] for trade, before in pairs if before is not None]
        bar["roll_spread"] = _roll(changes)
        signed = [trade for trade in inside if trade["sign"] is not None]
        last = bars[-1]["close"] if bars else None
        bar |= {"open": prices[0], "high": max(prices), "low": min(prices), "close": prices[-1]}
        bar["change"] = prices[-1] - last if last is not None else None
        bar["dollars"] = math.fsum(trade["price"] * trade["amount"] for trade in inside)
        bar["signed"] = math.fsum(trade["sign"] * trade["amount"] for trade in signed) if signed else None
        roots = [trade["sign"] * math.sqrt(trade["price"] * trade["amount"]) for trade in signed]
        bar["root"] = math.fsum(roots) if signed else None
        bars.append(bar)
    return bars


def _quoted(book: Sequence[Row], start: int, end: int) -> float | None:
    seconds, total = 0, 0.0
    for row, after in itertools.pairwise(book):
        if row["mid"] is None or after["starts"] != row["starts"]:
            continue
        held = min(after["ts"], end) - max(row["ts"], start)
        if held > 0:
            seconds += held
            total += held * 10_000 * (row["ask"][0] - row["bid"][0]) / row["mid"]
    return total / seconds if seconds else None


def _volatility(r: Sequence[float]) -> Row:
    n = len(r)
    variance = math.fsum(x * x for x in r)
    pairs = [abs(r[i]) * abs(r[i - 1]) for i in range(1, n)]
    medians = [statistics.median(map(abs, r[i - 1 : i + 2])) ** 2 for i in range(1, n - 1)]
    factor = math.pi / (6 - 4 * math.sqrt(3) + math.pi)
    return {
        "bipower_variation": math.pi / 2 * math.fsum(pairs) if pairs else None,
        "med_rv": factor * n / (n - 2) * math.fsum(medians) if medians else None,
        "realized_quarticity": n / 3 * math.fsum(x**4 for x in r) if r else None,
        "realized_skewness": math.sqrt(n) * math.fsum(x**3 for x in r) / variance**1.5 if variance else None,
    }


def _roll(changes: Sequence[float]) -> float | None:
    xs, ys = changes[1:], changes[:-1]
    if len(xs) < 2:
        return None
    c, square = statistics.covariance(xs, ys), statistics.fmean(x * x for x in changes)
    return Near(2 * math.sqrt(-c), 1e-14 * square / math.sqrt(-c)) if c < -1e-12 * square else None


def _windowed(bars: Sequence[Row], window: int) -> Row:
    found: Row = dict.fromkeys(WINDOWED)
    found["amihud"] = 1e6 * statistics.fmean(abs(bar["close"] / bar["open"] - 1) / bar["dollars"] for bar in bars)
    pairs = [(bar["signed"], bar["change"]) for bar in bars if bar["signed"] is not None and bar["change"] is not None]
    if len(pairs) >= min(window, 30):
        xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
        mean, other = statistics.fmean(xs), statistics.fmean(ys)
        variance = math.fsum((x - mean) ** 2 for x in xs)
        if variance > 1e-12 * math.fsum(x * x for x in xs):
            found["kyle_lambda_bars"] = math.fsum((x - mean) * (y - other) for x, y in pairs) / variance
    roots = [(bar["root"], math.log(bar["close"] / bar["open"])) for bar in bars if bar["root"] is not None]
    squares = math.fsum(x * x for x, _ in roots)
    found["hasbrouck_lambda"] = math.fsum(x * y for x, y in roots) / squares if squares else None
    spreads = [corwin_schultz(before, bar) for before, bar in itertools.pairwise(bars)]
    if spreads:
        found["corwin_schultz"] = statistics.fmean(spreads)
        found["corwin_schultz_clipped"] = statistics.fmean(max(spread, 0.0) for spread in spreads)
    found["edge"] = edge(bars)
    return found


def corwin_schultz(before: Row, bar: Row) -> float:
    """Spread from two bars."""
    beta = math.log(before["high"] / before["low"]) ** 2 + math.log(bar["high"] / bar["low"]) ** 2
    gamma = math.log(max(before["high"], bar["high"]) / min(before["low"], bar["low"])) ** 2
    k = 3 - 2 * math.sqrt(2)
    alpha = (math.sqrt(2 * beta) - math.sqrt(beta)) / k - math.sqrt(gamma / k)
    return 2 * (math.exp(alpha) - 1) / (1 + math.exp(alpha))


def edge(bars: Sequence[Row]) -> float | None:
    """Spread of Ardia, Guidotti and Kroencke (2024), in the words of their paper: one step a pair of bars."""
    steps: list[dict[str, Any]] = []
    for before, bar in itertools.pairwise(bars):
        o, h, low, _ = (math.log(bar[name]) for name in ("open", "high", "low", "close"))
        h1, low1, c1 = (math.log(before[name]) for name in ("high", "low", "close"))
        eta, eta1 = (h + low) / 2, (h1 + low1) / 2
        tau = h != low or low != c1
        steps.append(
            {
                "tau": tau,
                "open": (tau and o != h) + (tau and o != low),
                "close": (tau and c1 != h1) + (tau and c1 != low1),
                "r": (eta - o, o - eta1, eta - c1, c1 - eta1, o - c1),
            }
        )
    n, traded = len(steps), sum(step["tau"] for step in steps)
    at_open, at_close = (sum(step[name] for step in steps) / n if n else 0 for name in ("open", "close"))
    if traded < 2 or not at_open or not at_close:
        return None
    means = [math.fsum(step["r"][k] for step in steps) / n / (traded / n) for k in range(5)]
    xs: tuple[list[float], list[float]] = ([], [])
    for step in steps:
        r1, r2, r3, r4, r5 = step["r"]
        d1, d3, d5 = r1 - means[0] * step["tau"], r3 - means[2] * step["tau"], r5 - means[4] * step["tau"]
        xs[0].append(-4 / at_open * d1 * r2 - 4 / at_close * d3 * r4)
        xs[1].append(-4 / at_open * d1 * r5 - 4 / at_close * d5 * r4)
    e1, e2 = (math.fsum(x) / n for x in xs)
    v1, v2 = (statistics.pvariance(x) for x in xs)
    square = (v2 * e1 + v1 * e2) / (v1 + v2) if v1 + v2 > 0 else (e1 + e2) / 2
    return math.sqrt(abs(square))
