"""Trades: canonical rows and per-trade features with trailing windows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from tests.oracles.clock import calendar
from tests.oracles.rows import Row, by_key, key_of, output_order, positive, price_of, sign_of
from tests.oracles.segments import apart, log_returns, midnight, ratio, segment_age, segment_starts, total, window


def canonical(raw: Row) -> Row:
    """One trade, cleaned; ``side`` is +1, -1 or None."""
    return {
        **key_of(raw),
        "trade_id": raw.get("trade_id"),
        "price": price_of(raw, raw.get("price")),
        "amount": positive(raw.get("amount")),
        "side": sign_of(raw.get("side")),
    }


def dollar_volume(trade: Row) -> float | None:
    """Price times amount; None unless both are valid."""
    both = trade["price"] is not None and trade["amount"] is not None
    return trade["price"] * trade["amount"] if both else None


def features(raw: Iterable[Row], windows: Sequence[int] = (60, 300, 900), max_gap: float | None = None) -> list[Row]:
    """Expected rows of ``trades_features``."""
    out: list[Row] = []
    reach = max(windows) if max_gap is not None else max(*windows, 86_400)
    for trades in (part for rows in by_key(canonical(row) for row in raw) for part in apart(rows)):
        starts = segment_starts(trades, max_gap)
        for trade in trades:
            trade["traded_price"] = trade["price"] if trade["amount"] is not None else None
        returns = log_returns(trades, "traded_price", starts, max_gap)
        for i, trade in enumerate(trades):
            start = starts[i] if max_gap is not None else _first_since_yesterday(trades, i)
            row = _row(trade, segment_age(trades, i, start, reach), returns[i])
            for seconds in windows:
                inside = window(trades, i, starts[i], seconds)
                row |= _window_columns([trades[j] for j in inside], [returns[j] for j in inside], seconds)
            out.append(row)
    return output_order(out)


def _first_since_yesterday(trades: list[Row], i: int) -> int:
    """A tape that may be silent: its segment is told from the start of the date before on."""
    begin = midnight(trades[i]["date"] - dt.timedelta(days=1))
    return next(j for j in range(i + 1) if trades[j]["ts"] >= begin or j == i)


def _row(trade: Row, age: float, log_return: float | None) -> Row:
    sign = trade["side"] or 0
    return {
        **{name: trade[name] for name in ("exchange", "symbol", "date", "ts", "seq")},
        "segment_age_s": age,
        **calendar(trade["ts"]),
        **{name: trade[name] for name in ("trade_id", "price", "amount", "side")},
        "is_buy": {1: 1, -1: 0, None: None}[trade["side"]],
        "trade_sign": sign,
        "dollar_volume": dollar_volume(trade),
        "signed_volume": sign * trade["amount"] if trade["amount"] is not None else None,
        "log_return": log_return,
    }


def _window_columns(trades: list[Row], returns: list[float | None], seconds: int) -> Row:
    valid = [trade for trade in trades if dollar_volume(trade) is not None]
    signed = [trade["side"] for trade in valid if trade["side"] is not None]
    volume, dollars = total(trade["amount"] for trade in valid), total(dollar_volume(trade) for trade in valid)
    return {
        f"vwap_{seconds}s": ratio(dollars, volume),
        f"volume_{seconds}s": volume,
        f"dollar_volume_{seconds}s": dollars,
        f"trade_count_{seconds}s": len(valid),
        f"buy_trade_ratio_{seconds}s": ratio(float(signed.count(1)), float(len(signed))),
        f"realized_var_{seconds}s": total(r * r if r is not None else None for r in returns),
    }
