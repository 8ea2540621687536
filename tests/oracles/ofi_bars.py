"""Order flow imbalance by window of an epoch grid: each window from the list of its rows, NumPy's eigenvectors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tests.oracles import orderbook
from tests.oracles.near import Near
from tests.oracles.rows import NS, Row, by_key
from tests.oracles.segments import apart, mean, ratio, segment_starts

DAY = 86_400 * NS
Point = tuple[int, list[float]]
"""End of a window, and its normalised flow by level."""


def features(raw: Iterable[Row], **options: Any) -> list[Row]:
    """Expected rows of ``ofi_bars``: a window per bar, the last one of the newest date left out."""
    known = ("captured_levels", "feed_resets", "max_levels")
    levels = max(options.get("ofi_levels", 10), 10)
    book = orderbook.features(raw, max_levels=levels, captured_levels="all")
    chosen = {name: value for name, value in options.items() if name not in known}
    out = []
    for rows in by_key(book):
        in_time = apart(rows)[0]
        keys = {name: rows[0][name] for name in ("exchange", "symbol")}
        newest = max(row["ts"] for row in in_time)
        out += [keys | bar for bar in windows(in_time, **chosen) if bar["bar_end"] < newest]
    return out


def windows(
    rows: Sequence[Row],
    ofi_levels: int = 10,
    ofi_window: float = 10,
    fit_window: float = 1800,
    max_gap: float = 300,
    next_return: bool = True,
) -> list[Row]:
    """Windows of the rows of one symbol, which are in order; ``date`` is that of the row that closes one."""
    w, starts = round(ofi_window * NS), segment_starts(rows, max_gap)
    out: list[Row] = []
    for _, places in itertools.groupby(range(len(rows)), key=lambda i: starts[i]):
        segment = [rows[i] for i in places]
        points: list[Point] = []
        ends = sorted({-(-row["ts"] // w) * w for row in segment})
        for end in ends:
            bar = _window(segment, end, w, ofi_levels, max_gap)
            x = [bar[f"ofi_norm_{k:02}"] for k in range(ofi_levels)]
            bar |= dict(zip(("integrated_ofi", "ofi_explained"), _integrated(x, points, end, fit_window), strict=True))
            if None not in x:
                points.append((end, x))
            if next_return:
                bar["next_return"] = _return(segment, end, w, max_gap=None) if end + w <= segment[-1]["ts"] else None
            out.append({name: bar[name] for name in names(ofi_levels, next_return)})
    return out


def names(levels: int, next_return: bool) -> list[str]:
    return [
        *("date", "bar_start", "bar_end", "segment_age_s", "snapshot_count", "mid_price", "return"),
        *(["next_return"] if next_return else []),
        *("ofi", *(f"ofi_{k:02}" for k in range(1, levels)), "mean_depth"),
        *(f"ofi_norm_{k:02}" for k in range(levels)),
        *("integrated_ofi", "ofi_explained"),
    ]


def _window(segment: Sequence[Row], end: int, w: int, levels: int, max_gap: float) -> Row:
    inside = [i for i, row in enumerate(segment) if end - w < row["ts"] <= end]
    valid = [segment[i] for i in inside if segment[i]["mid_price"] is not None]
    last = segment[inside[-1]]
    # The next row closes the window; where it is of a later date, and the window ends before that, the date does.
    later = segment[inside[-1] + 1 :]
    closes = later[0] if later and end // DAY != last["ts"] // DAY else last
    bar: Row = {"date": closes["date"], "bar_start": end - w, "bar_end": end, "snapshot_count": len(inside)}
    bar["segment_age_s"] = (end - segment[0]["ts"]) / NS
    bar["mid_price"] = _mid(segment, end, max_gap)
    bar["return"] = _return(segment, end - w, w, max_gap)
    depths = [[_depth(row, k) for row in valid] for k in range(levels)]
    bar["mean_depth"] = mean(depth for level in depths for depth in level)
    thin = any(all(depth is None for depth in level) for level in depths)
    for k in range(levels):
        steps = [flow_of_level(segment, i, k, max_gap) for i in inside]
        known = [step for step in steps if step is not None]
        flow = Near(math.fsum(known), 1e-13 * sum(map(abs, known))) if known else None
        bar[f"ofi_{k:02}" if k else "ofi"] = flow
        norm = None if thin else ratio(flow, bar["mean_depth"])
        bar[f"ofi_norm_{k:02}"] = None if norm is None else Near(norm, 1e-13 * sum(map(abs, known)) / bar["mean_depth"])
    return bar


def _mid(segment: Sequence[Row], time: int, max_gap: float | None) -> float | None:
    valid = [row for row in segment if row["ts"] <= time and row["mid_price"] is not None]
    if not valid or (max_gap is not None and time - valid[-1]["ts"] > max_gap * NS):
        return None
    return float(valid[-1]["mid_price"])


def _return(segment: Sequence[Row], since: int, w: int, max_gap: float | None) -> Near | None:
    before, after = _mid(segment, since, max_gap), _mid(segment, since + w, max_gap)
    return Near(math.log(after / before), 1e-13) if before is not None and after is not None else None


def _depth(row: Row, level: int) -> float | None:
    bid, ask = row[f"bid_size_{level:02}"], row[f"ask_size_{level:02}"]
    return (bid + ask) / 2 if bid is not None and ask is not None else None


def flow_of_level(segment: Sequence[Row], i: int, level: int, max_gap: float) -> float | None:
    """e of a level at a row (section 1.2 of the reference)."""
    new = segment[i]
    before = [row for row in segment[:i] if row["mid_price"] is not None]
    if new["mid_price"] is None or not before or new["ts"] - before[-1]["ts"] > max_gap * NS:
        return None
    old = before[-1]
    b, q, a, r = (new[f"{name}_{level:02}"] for name in ("bid_price", "bid_size", "ask_price", "ask_size"))
    b0, q0, a0, r0 = (old[f"{name}_{level:02}"] for name in ("bid_price", "bid_size", "ask_price", "ask_size"))
    if None in (b, a, b0, a0):
        return None
    bought = q if b > b0 else q - q0 if b == b0 else -q0
    sold = -r0 if a > a0 else r - r0 if a == a0 else r
    return float(bought - sold)


def _integrated(
    x: Sequence[float | None], points: Sequence[Point], end: int, fit_window: float
) -> tuple[float | None, float | None]:
    fitted = np.array([point for time, point in points if end - round(fit_window * NS) <= time < end])
    if len(fitted) < 3 * len(x):
        return None, None
    covariance = np.atleast_2d(np.cov(fitted, rowvar=False))
    values, vectors = np.linalg.eigh(covariance)
    explained = float(values[-1] / np.trace(covariance))
    if None in x:
        return None, explained
    w1 = vectors[:, -1] * (1 if vectors[:, -1].sum() > 0 else -1)
    terms = [weight * value for weight, value in zip(w1.tolist(), x, strict=True) if value is not None]
    scale = float(np.abs(w1).sum())
    slack = 1e-10 * math.fsum(map(abs, terms)) / scale
    return Near(math.fsum(terms) / scale, slack), explained
