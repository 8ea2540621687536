"""Labels of the rows of a book: what comes after each, by looking through all later rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from tests.oracles.liquidity import best_quotes, last_valid, with_segments
from tests.oracles.rows import NS, Row, output_order


def features(
    raw: Iterable[Row],
    horizons: Sequence[int] = (1, 5, 60, 300),
    smooth_rows: Sequence[int] = (10, 20, 50),
    alpha_bps: float = 1.0,
    max_gap: float = 300.0,
    **barriers: Any,
) -> list[Row]:
    """Expected rows of ``orderbook_labels``."""
    out: list[Row] = []
    for book in best_quotes(raw).values():
        rows = with_segments(book, max_gap)
        numbers: dict[int, list[Row]] = {}
        for row in rows:
            numbers.setdefault(row["starts"], []).append(row)
        for segment in numbers.values():
            for i, row in enumerate(segment):
                label = {name: row[name] for name in ("exchange", "symbol", "date", "ts", "seq")}
                for h in horizons:
                    label |= _return(segment, row, h, alpha_bps)
                for k in smooth_rows:
                    label[f"smooth_return_{k}"] = _smooth(segment, i, k)
                label |= {"starts_segment": i == 0} | _barriers(segment, i, max_gap, **barriers)
                out.append(label | {"mid_price": row["mid"]})
    return output_order(out)


def _return(segment: Sequence[Row], row: Row, h: int, alpha_bps: float) -> Row:
    then = row["ts"] + h * NS
    value = None
    if row["mid"] is not None and then <= row["ends"]:
        later = last_valid(segment, then)
        assert later is not None
        value = math.log(later["mid"] / row["mid"])
    direction = None if value is None else (value > alpha_bps / 1e4) - (value < -alpha_bps / 1e4)
    return {f"fwd_return_{h}s": value, f"direction_{h}s": direction}


def _smooth(segment: Sequence[Row], i: int, k: int) -> float | None:
    if segment[i]["mid"] is None:
        return None
    before = [row["mid"] for row in segment[: i + 1] if row["mid"] is not None][-k:]
    after = [row["mid"] for row in segment[i + 1 :] if row["mid"] is not None][:k]
    if len(before) < k or len(after) < k:
        return None
    past = math.fsum(before) / k
    return (math.fsum(after) / k - past) / past


def _barriers(
    segment: Sequence[Row],
    i: int,
    max_gap: float,
    upper: float = 10.0,
    lower: float = 10.0,
    barrier_unit: str = "bps",
    sigma_window: int = 300,
    barrier_horizon: float = 300.0,
) -> Row:
    row = segment[i]
    found: Row = dict.fromkeys(("barrier_upper", "barrier_lower", "barrier_label", "barrier_ts", "barrier_return"))
    step = 1e-4 if barrier_unit == "bps" else _volatility(segment[: i + 1], sigma_window, max_gap)
    if row["mid"] is None or not step:
        return found
    above, below = row["mid"] * (1 + upper * step), row["mid"] * (1 - lower * step)
    found |= {"barrier_upper": above, "barrier_lower": below}
    deadline = row["ts"] + round(barrier_horizon * NS)
    touch = next(
        (
            (1 if later["mid"] >= above else -1, later["ts"], later["mid"])
            for later in segment[i + 1 :]
            if later["ts"] <= deadline and later["mid"] is not None and not below < later["mid"] < above
        ),
        None,
    )
    if touch is None and deadline <= row["ends"]:
        last = last_valid(segment, deadline)
        assert last is not None
        touch = 0, deadline, last["mid"]
    if touch is not None:
        label, ts, mid = touch
        found |= {"barrier_label": label, "barrier_ts": ts, "barrier_return": mid / row["mid"] - 1}
    return found


def _volatility(rows: Sequence[Row], seconds: int, max_gap: float) -> float | None:
    """Root of the sum of squared returns of the last seconds, up to the last row."""
    valid = [row for row in rows if row["mid"] is not None]
    squares = [
        math.log(row["mid"] / before["mid"]) ** 2
        for before, row in itertools.pairwise(valid)
        if row["ts"] - before["ts"] <= max_gap * NS and row["ts"] > rows[-1]["ts"] - seconds * NS
    ]
    return math.sqrt(math.fsum(squares)) if squares else None
