"""Books and trades that exchanges and vendors really sent, against the oracles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.features.lake_checks import check, check_snapshots
from tests.features.made import keyed
from tests.support import realdata
from tests.support.lakes import write_rows

pytestmark = pytest.mark.slow

Reader = Callable[[], list[dict[str, Any]]]


def test_the_damage_in_the_sample_file_is_known() -> None:
    assert realdata.databento_unreadable() == [(20, "bid_px_02", "2 33.53")]


@pytest.mark.parametrize("reader", [realdata.databento_books, realdata.lobster_books, realdata.bybit_books])
@pytest.mark.parametrize("max_levels", [10, 20])
def test_books(tmp_path: Path, reader: Reader, max_levels: int) -> None:
    check_snapshots(tmp_path, keyed(reader(), "nasdaq", "AAPL"), max_levels=max_levels)


@pytest.mark.parametrize("reader", [realdata.databento_books, realdata.lobster_books, realdata.bybit_books])
def test_books_through_kernels(tmp_path: Path, reader: Reader) -> None:
    """The kernels see all rows in tests/kernels; here they run in the engine."""
    check(tmp_path, "orderbook_hf", keyed(reader()[:250], "nasdaq", "AAPL"))


@pytest.mark.parametrize("reader", [realdata.databento_books, realdata.lobster_books])
def test_book_bars(tmp_path: Path, reader: Reader) -> None:
    rows = keyed(reader()[:400], "nasdaq", "AAPL")
    check(tmp_path, "orderbook_bars", rows, bar_durations=[5, 60, 300, 900], seconds_per_year=252 * 23_400)


@pytest.mark.parametrize("reader", [realdata.databento_books, realdata.lobster_books])
def test_windows_of_order_flow(tmp_path: Path, reader: Reader) -> None:
    rows = keyed(reader()[:500], "nasdaq", "AAPL")
    bars = check(tmp_path, "ofi_bars", rows, ofi_levels=3, ofi_window=0.5, fit_window=60)
    assert sum(bar["integrated_ofi"] is not None for bar in bars) >= 10


@pytest.mark.parametrize(
    ("books", "trades"),
    [(realdata.databento_books, realdata.databento_trades), (realdata.lobster_books, realdata.lobster_trades)],
)
def test_event_flow(tmp_path: Path, books: Reader, trades: Reader) -> None:
    write_rows(tmp_path, "trades", keyed(trades(), "nasdaq", "AAPL"))
    bars = check(tmp_path, "event_flow_bars", keyed(books()[:600], "nasdaq", "AAPL"), bar_durations=[1, 10])
    assert sum(bar["bid_market_volume_best"] + bar["ask_market_volume_best"] for bar in bars) > 0


@pytest.mark.parametrize("reader", [realdata.databento_trades, realdata.lobster_trades])
def test_stock_trades(tmp_path: Path, reader: Reader) -> None:
    rows = keyed(reader(), "nasdaq", "AAPL")
    check(tmp_path / "features", "trades_features", rows)
    check(tmp_path / "bars", "trades_bars", rows, bar_durations=[5, 60, 300])


def test_coin_trades(tmp_path: Path) -> None:
    rows = keyed(realdata.binance_trades()[:1000])
    check(tmp_path / "features", "trades_features", rows, windows=[1, 5, 60])
    check(tmp_path / "bars", "trades_bars", rows, bar_durations=[1, 5, 60])
