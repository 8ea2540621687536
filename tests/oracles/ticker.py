"""Tickers: canonical rows and per-row features with trailing windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.oracles.clock import calendar
from tests.oracles.rows import Row, by_key, finite, key_of, not_negative, output_order, positive, price_of
from tests.oracles.segments import apart, imbalance, mean, sample_std, segment_age, segment_starts, to_price, window

PRICES = ("bid", "ask", "last", "open", "high", "low", "close", "vwap")
SIZES = ("bid_volume", "ask_volume")
VOLUMES = ("base_volume", "quote_volume")


def canonical(raw: Row) -> Row:
    """One ticker, cleaned."""
    return {
        **key_of(raw),
        **{name: price_of(raw, raw.get(name)) for name in PRICES},
        **{name: positive(raw.get(name)) for name in SIZES},
        **{name: not_negative(raw.get(name)) for name in VOLUMES},
        **{name: finite(raw.get(name)) for name in ("change", "percentage")},
    }


def features(raw: Iterable[Row], windows: Sequence[int] = (60, 300, 900), max_gap: float = 300) -> list[Row]:
    """Expected rows of ``ticker_features``."""
    out: list[Row] = []
    for tickers in (part for rows in by_key(canonical(row) for row in raw) for part in apart(rows)):
        starts = segment_starts(tickers, max_gap)
        rows = [_row(row, segment_age(tickers, i, starts[i], max(windows))) for i, row in enumerate(tickers)]
        for i, row in enumerate(rows):
            extra: Row = {}
            for seconds in windows:
                inside = [rows[j] for j in window(tickers, i, starts[i], seconds)]
                extra |= {
                    f"mid_price_mean_{seconds}s": mean(other["mid_price"] for other in inside),
                    f"mid_price_std_{seconds}s": sample_std(other["mid_price"] for other in inside),
                    f"spread_mean_{seconds}s": mean(other["spread"] for other in inside),
                    f"vol_imbalance_mean_{seconds}s": mean(other["volume_imbalance"] for other in inside),
                }
            out.append({**row, **extra})
    return output_order(out)


def _row(ticker: Row, age: float) -> Row:
    bid, ask, high, low = (ticker[name] for name in ("bid", "ask", "high", "low"))
    two_sided = bid is not None and ask is not None
    mid = (bid + ask) / 2 if two_sided and bid <= ask else None
    spread = ask - bid if two_sided else None
    day_range = high - low if high is not None and low is not None else None
    return {
        **{name: ticker[name] for name in ("exchange", "symbol", "date", "ts", "seq")},
        "segment_age_s": age,
        **calendar(ticker["ts"]),
        **{name: ticker[name] for name in ("bid", "ask", "bid_volume", "ask_volume", "last")},
        "mid_price": mid,
        "spread": spread,
        "relative_spread": to_price(spread, mid),
        "volume_imbalance": imbalance(ticker["bid_volume"], ticker["ask_volume"]),
        "range_24h": day_range,
        "range_24h_pct": to_price(100 * day_range, low) if day_range is not None else None,
    }
