"""Depth that nobody saw is NULL, depth that is not there is 0: by what the adapter or the source says of its feed."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.features.made import keyed
from tests.oracles import orderbook
from tests.oracles.books import Message
from tests.oracles.compare import assert_same, table_rows
from tests.support import realdata
from tests.support.engine import published, run_model, sqlgen
from tests.support.feeds import bybit_line, write_lines, write_project
from tests.support.lakes import read_rows, write_rows
from tests.support.vendors.lake import VendorLake

pytestmark = pytest.mark.slow

MIDNIGHT = 1_767_312_000_000
BANDS = (
    "bid_vol_band_25_50bps",
    "ask_vol_band_25_50bps",
    "book_convexity",
    "lambda_like",
    "amihud_like",
    "depth_0_5bps",
)

ADAPTER = "adapter: bybit/orderbook"


def book(levels: int, step: float) -> dict[str, Any]:
    """Sizes of 1, ``step`` bps apart."""
    bids, asks = ([(10_000 - side * step * (i + 0.5), 1.0) for i in range(levels)] for side in (1, -1))
    return {"timestamp": MIDNIGHT, "bids": bids, "asks": asks}


@pytest.mark.parametrize(
    ("levels", "options", "band", "convexity"),
    [
        (10, {"captured_levels": 10}, None, None),
        (9, {"captured_levels": 10}, 0.0, 5 / 9),
        (10, {"captured_levels": 11}, 0.0, 0.5),
        (10, {"captured_levels": "all"}, 0.0, 0.5),
        (3, {}, None, None),
        (10, {"captured_levels": "all", "max_levels": 10}, None, None),
        (10, {"captured_levels": 5, "max_levels": 10}, None, None),
        (12, {"captured_levels": "all", "max_levels": 10}, None, None),
    ],
    ids=str,
)
def test_by_what_is_captured(
    tmp_path: Path, levels: int, options: dict[str, Any], band: float | None, convexity: float | None
) -> None:
    """Ten levels end 9.5 bps from mid; within 5 bps lie five."""
    write_rows(tmp_path, "orderbook", keyed([book(levels, 1.0)]))
    table = run_model(tmp_path, "orderbook_hf", **options)
    [expected] = orderbook.features(read_rows(tmp_path, "orderbook"), **options)
    assert_same(table.select(list(expected)), [expected])
    row = table_rows(table)[0]
    assert (row["bid_vol_band_25_50bps"], row["ask_vol_band_25_50bps"]) == (band, band)
    assert row["book_convexity"] == (None if convexity is None else pytest.approx(convexity))
    assert (row["bid_vol_band_0_5bps"] == 5.0) is (levels > 3)


def features(lake: VendorLake, source: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    return table_rows(lake.features({"ccxt_orderbook": {"path": "raw", **source}}, "orderbook_hf", **options)[0])


def check_real(rows: Sequence[dict[str, Any]], books: Sequence[dict[str, Any]], captured: int) -> int:
    """Bands of real books are those of the oracle; the number of them that are NULL."""
    expected = orderbook.features(keyed(books, "nasdaq", "AAPL"), captured_levels=captured)
    assert len(rows) == len(expected) > 0
    for row, wanted in zip(rows, expected, strict=True):
        assert {name: row[name] is None for name in BANDS} == {name: wanted[name] is None for name in BANDS}
        assert row["bid_vol_band_25_50bps"] == pytest.approx(wanted["bid_vol_band_25_50bps"])
        assert row["total_bid_depth"] == pytest.approx(wanted["total_bid_depth"])
    return sum(row["bid_vol_band_25_50bps"] is None for row in rows)


def test_real_mbp10_at_the_defaults(tmp_path: Path) -> None:
    """Ten levels of AAPL reach a few bps: nothing is known of 25 to 50."""
    lake = VendorLake(tmp_path)
    name = "databento_mbp10_AAPL_2024-10-21.csv.gz"
    content = gzip.decompress(realdata.data_file(name).read_bytes())
    (lake.raw).mkdir(parents=True)
    (lake.raw / name.removesuffix(".gz")).write_bytes(content)
    source = {"adapter": "databento/mbp10", "pattern": "databento_mbp10_{symbol}_{date}.csv", "exchange": "nasdaq"}
    books = [book for number, book in enumerate(realdata.databento_books()) if number != 20]
    rows = features(lake, source)
    assert check_real(rows, books, 10) == len(rows)
    assert all(row["book_convexity"] is None for row in rows)


def test_a_rebuilt_book_ends_with_its_last_level(tmp_path: Path) -> None:
    """Three levels of a whole book, and of a topic with fifty: no depth lies beyond. Of a topic with three it may."""
    noon = 1_767_268_800 * 10**9
    levels = tuple((side, 100 - side * 0.01 * (i + 1), 1.0) for side in (1, -1) for i in range(3))
    whole = Message(noon, levels, snapshot=True, first=1, last=1)
    later = Message(noon + 10**9, ((1, 99.99, 2.0),), first=2, last=2)
    bands = {}
    for name, captured in {"by adapter": None, "three": 3, "all": "all"}.items():
        folder = tmp_path / name
        write_lines(folder / "lake", "updates", "2026-01-01", [bybit_line(whole), bybit_line(later)])
        config = write_project(folder, "bybit/orderbook", {"max_levels": 10})
        if captured is not None:
            text = config.read_text().replace(ADAPTER, f"{ADAPTER}\n    captured_levels: {captured}")
            config.write_text(text)
        assert sqlgen("run", config, "--select", "+hf").code == 0
        bands[name] = [row["ask_vol_band_50_100bps"] for row in table_rows(published(folder / "lake/hf"))]
    assert bands == {"by adapter": [0.0, 0.0], "three": [None, None], "all": [0.0, 0.0]}
