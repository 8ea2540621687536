"""Write a lake, run a model over it, compare all that it publishes with the oracle."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.oracles import (
    bars,
    event_flow,
    features,
    labels,
    liquidity,
    liquidity_bars,
    ofi_bars,
    orderbook,
    ticker,
    trades,
)
from tests.oracles.compare import assert_same
from tests.support.engine import run_model
from tests.support.lakes import read_rows, write_rows

Row = dict[str, Any]
Oracle = Callable[..., list[Row]]


KINDS = {
    "orderbook_hf": "orderbook",
    "orderbook_bars": "orderbook",
    "trades_features": "trades",
    "trades_bars": "trades",
    "ticker_features": "ticker",
    "volume_bars": "trades",
    "tick_bars": "trades",
    "dollar_bars": "trades",
    "imbalance_bars": "trades",
    "run_bars": "trades",
    "trades_liquidity": "trades",
    "orderbook_labels": "orderbook",
    "liquidity_bars": "trades",
    "ofi_bars": "orderbook",
    "event_flow_bars": "orderbook",
}
ORACLES: dict[str, Oracle] = {
    "orderbook_hf": features.orderbook_hf,
    "orderbook_bars": features.orderbook_bars,
    "trades_features": trades.features,
    "trades_bars": bars.trade_bars,
    "ticker_features": ticker.features,
    "volume_bars": partial(features.event_bars, measure="volume"),
    "tick_bars": partial(features.event_bars, measure="tick"),
    "dollar_bars": partial(features.event_bars, measure="dollar"),
    "imbalance_bars": partial(features.event_bars, measure="imbalance"),
    "run_bars": partial(features.event_bars, measure="run"),
    "trades_liquidity": liquidity.features,
    "orderbook_labels": labels.features,
    "liquidity_bars": liquidity_bars.features,
    "ofi_bars": ofi_bars.features,
    "event_flow_bars": event_flow.features,
}


WITH_KERNELS = (
    "orderbook_hf",
    "orderbook_bars",
    "volume_bars",
    "tick_bars",
    "dollar_bars",
    "imbalance_bars",
    "run_bars",
    "orderbook_labels",
    "ofi_bars",
)


MADE_LEVELS = 10
"""Made-up books under bars have no more; SQL of fewer levels is planned in less time."""


def check(lake: Path, model: str, rows: Sequence[Row] = (), **options: Any) -> list[Row]:
    """Write ``rows`` (none: the lake stands already), run ``model``, compare; gives the expected rows.

    The oracle reads the raw files back, so that it sees what the model sees.
    """
    kind = KINDS[model]
    if rows:
        write_rows(lake, kind, rows)
    given: dict[str, Any] = {}
    if model in ("orderbook_hf", "event_flow_bars") and (lake / "raw/ccxt/trades").is_dir():
        given["raw_trades"] = read_rows(lake, "trades")
    if model in ("trades_liquidity", "liquidity_bars") and (lake / "raw/ccxt/orderbook").is_dir():
        given["raw_book"] = read_rows(lake, "orderbook")
    expected = ORACLES[model](read_rows(lake, kind), **given, **options)
    assert expected, "a comparison of nothing proves nothing"
    fewer = {"max_levels": MADE_LEVELS} if rows and model == "orderbook_bars" else {}
    assert_same(run_model(lake, model, **fewer, **options), expected, in_order=model not in WITH_KERNELS)
    return expected


def check_snapshots(lake: Path, rows: Sequence[Row], **options: Any) -> list[Row]:
    """``orderbook_hf`` without its kernels: their oracle takes time quadratic in the rows of a window."""
    write_rows(lake, "orderbook", rows)
    expected = orderbook.features(read_rows(lake, "orderbook"), **options)
    table = run_model(lake, "orderbook_hf", **options)
    assert_same(table.select(list(expected[0])), expected)
    return expected


def day(text: str) -> dt.date:
    """A date of a partition."""
    return dt.date.fromisoformat(text)
