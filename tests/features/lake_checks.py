"""Write a lake, run a model over it, compare all that it publishes with the oracle."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.oracles import bars, orderbook, ticker, trades
from tests.oracles.compare import assert_same
from tests.support.engine import run_model
from tests.support.lakes import read_rows, write_rows

Row = dict[str, Any]
Oracle = Callable[..., list[Row]]


def _orderbook_bars(raw: Sequence[Row], **options: Any) -> list[Row]:
    return bars.book_bars(orderbook.features(raw), **options)


KINDS = {
    "orderbook_hf": "orderbook",
    "orderbook_bars": "orderbook",
    "trades_features": "trades",
    "trades_bars": "trades",
    "ticker_features": "ticker",
}
ORACLES: dict[str, Oracle] = {
    "orderbook_hf": orderbook.features,
    "orderbook_bars": _orderbook_bars,
    "trades_features": trades.features,
    "trades_bars": bars.trade_bars,
    "ticker_features": ticker.features,
}


def check(lake: Path, model: str, rows: Sequence[Row] = (), **options: Any) -> list[Row]:
    """Write ``rows`` (none: the lake stands already), run ``model``, compare; gives the expected rows.

    The oracle reads the raw files back, so that it sees what the model sees.
    """
    kind = KINDS[model]
    if rows:
        write_rows(lake, kind, rows)
    expected = ORACLES[model](read_rows(lake, kind), **options)
    assert expected, "a comparison of nothing proves nothing"
    assert_same(run_model(lake, model, **options), expected)
    return expected


def day(text: str) -> dt.date:
    """A date of a partition."""
    return dt.date.fromisoformat(text)
