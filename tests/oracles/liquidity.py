"""Quotes, signs, spreads and price impact of trades, by looking through all quotes at each trade."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from fractions import Fraction

from tests.oracles.rows import NS, Row, by_key, clean_side, key_of, output_order
from tests.oracles.segments import midnight, segment_starts
from tests.oracles.trades import canonical


def best_quotes(raw: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Per key, the book's rows in time order with best bid and ask, mid (None unless valid), segment and its end."""
    found = {}
    for rows in by_key(_best(row) for row in raw):
        found[rows[0]["exchange"], rows[0]["symbol"]] = rows
    return found


def _best(raw: Row) -> Row:
    bids, asks = clean_side(raw["bids"], bids=True, max_levels=1), clean_side(raw["asks"], bids=False, max_levels=1)
    row = {**key_of(raw), "bid": bids[0] if bids else None, "ask": asks[0] if asks else None}
    known = row["bid"] is not None and row["ask"] is not None and row["bid"][0] <= row["ask"][0]
    row["mid"] = (row["bid"][0] + row["ask"][0]) / 2 if known else None
    return row


def with_segments(rows: Sequence[Row], max_gap: float) -> list[Row]:
    """Rows with the times at which their segment starts and ends."""
    starts = segment_starts(rows, max_gap)
    ends = {start: rows[i]["ts"] for i, start in enumerate(starts)}
    return [{**row, "starts": rows[start]["ts"], "ends": ends[start]} for row, start in zip(rows, starts, strict=True)]


def last_valid(quotes: Sequence[Row], until: int, *, included: bool = True) -> Row | None:
    """The last quote with a mid up to a time."""
    known = [row for row in quotes if row["mid"] is not None]
    before = [row for row in known if row["ts"] < until or (included and row["ts"] == until)]
    return before[-1] if before else None


def features(
    raw_trades: Iterable[Row],
    raw_book: Iterable[Row] = (),
    horizons: Sequence[int] = (1, 5, 60, 300),
    sign: str = "aggressor_or_lee_ready",
    quotes: str = "before",
    quote_lag: float = 0.0,
    max_quote_age: float = 300.0,
    max_gap: float = 300.0,
) -> list[Row]:
    """Expected rows of ``trades_liquidity``."""
    books = best_quotes(raw_book)
    out: list[Row] = []
    for trades in by_key(canonical(row) for row in raw_trades):
        book = with_segments(books.get((trades[0]["exchange"], trades[0]["symbol"]), []), max_gap)
        late = round(quote_lag * NS)
        book = [{**row, "ts": row["ts"] + late, "ends": row["ends"] + late} for row in book]
        for trade, tick in zip(trades, ticks(trades), strict=True):
            last = last_valid(book, trade["ts"], included=quotes == "at_or_before")
            reach = round(max(max_quote_age, max_gap) * NS)
            if last is not None and trade["ts"] - last["ts"] > reach:
                last = None
            quote = last if last is not None and trade["ts"] - last["ts"] <= round(max_quote_age * NS) else None
            row = {name: trade[name] for name in trade} | _quoted(trade, quote)
            signs = _signs(trade, quote, tick, sign)
            row |= signs
            row |= _moves(trade, row["mid_price"], signs["sign"], book, last, horizons)
            out.append(row)
    return output_order(out)


def price_of(trade: Row) -> float | None:
    """Price of a trade that is one."""
    price: float | None = trade["price"] if trade["amount"] is not None else None
    return price


def ticks(trades: Sequence[Row]) -> list[int | None]:
    """Sign of the last price change that was not 0, this trade's included; from the date before on."""
    found: list[int | None] = []
    for i, trade in enumerate(trades):
        oldest = midnight(trade["date"] - dt.timedelta(days=1))
        seen = [one for one in trades[: i + 1] if price_of(one) is not None and one["ts"] >= oldest]
        price = price_of(trade)
        other = next((price_of(one) for one in reversed(seen) if price_of(one) != price), None)
        last = next((k for k in range(len(seen) - 1, 0, -1) if price_of(seen[k]) != price_of(seen[k - 1])), None)
        assert (last is None) == (other is None) or price is None
        now, before = (price_of(seen[last]), price_of(seen[last - 1])) if last is not None else (None, None)
        known = price is not None and now is not None and before is not None
        found.append((1 if now > before else -1) if known else None)  # type: ignore[operator]
    return found


def _quoted(trade: Row, quote: Row | None) -> Row:
    if quote is None:
        names = "quote_age_s", "best_bid", "best_ask", "bid_size", "ask_size", "mid_price"
        return dict.fromkeys((*names, "quoted_spread", "quoted_spread_bps"))
    (bid, bid_size), (ask, ask_size) = quote["bid"], quote["ask"]
    return {
        "quote_age_s": (trade["ts"] - quote["ts"]) / NS,
        "best_bid": bid,
        "best_ask": ask,
        "bid_size": bid_size,
        "ask_size": ask_size,
        "mid_price": quote["mid"],
        "quoted_spread": ask - bid,
        "quoted_spread_bps": 10_000 * (ask - bid) / quote["mid"],
    }


def _signs(trade: Row, quote: Row | None, tick: int | None, rule: str) -> Row:
    price = price_of(trade)
    of_quote = None
    if quote is not None and price is not None:
        bid, ask = quote["bid"][0], quote["ask"][0]
        twice = 2 * _decimal(price) - _decimal(bid) - _decimal(ask)  # exact, as at mid there is no sign
        of_quote = {1: 1, -1: -1}.get((twice > 0) - (twice < 0))
    lee_ready = of_quote if of_quote is not None else tick
    sent: int | None = trade["side"]
    chosen = {"aggressor": sent, "tick": tick, "quote": of_quote, "lee_ready": lee_ready}
    chosen["aggressor_or_lee_ready"] = sent if sent is not None else lee_ready
    return {"sign_tick": tick, "sign_quote": of_quote, "sign_lee_ready": lee_ready, "sign": chosen[rule]}


def _decimal(price: float) -> Fraction:
    return Fraction(repr(price))


def _moves(
    trade: Row, mid: float | None, sign: int | None, book: Sequence[Row], last: Row | None, horizons: Sequence[int]
) -> Row:
    price = price_of(trade)
    row = _spread("effective_spread", sign, price, mid, mid)
    for h in horizons:
        then = trade["ts"] + h * NS
        later = last_valid(book, then) if last is not None and last["ends"] >= then else None
        after = later["mid"] if later is not None else None
        row |= _spread(f"realized_spread_{h}s", sign, price, after, mid)
        row |= _spread(f"price_impact_{h}s", sign, after, mid, mid)
    return row


def _spread(name: str, sign: int | None, at: float | None, of: float | None, mid: float | None) -> Row:
    value = 2 * sign * (at - of) if sign is not None and at is not None and of is not None else None
    return {name: value, f"{name}_bps": 10_000 * value / mid if value is not None and mid is not None else None}
