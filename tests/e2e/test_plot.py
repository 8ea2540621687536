"""``sqlgen plot``: rows, candles and thinned lines against plain Python; what cannot be plotted."""

from __future__ import annotations

import datetime as dt
import json
import math
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sqlgen.explore.plot import rows as plotted
from sqlgen.explore.plot.panels import panels, price_columns, price_lines
from sqlgen.explore.plot.picture import PlotPicture, picture_of
from sqlgen.explore.plot.rows import Asked
from sqlgen.run.engine import Engine
from tests.support.engine import sqlgen
from tests.support.lakes import write_orderbook, write_trades
from tests.support.scratch import BTC, DAY1, DAY2, ETH, Scratch

NOON = int(dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC).timestamp() * 1000)
Trade = dict[str, Any]


def made(seed: int, count: int, start: int = NOON) -> list[Trade]:
    draw = random.Random(seed)
    times = sorted(draw.sample(range(3_600_000), count))
    return [
        {"timestamp": start + time, "side": "buy", "price": round(draw.uniform(90, 110), 2), "amount": 1.0}
        for time in times
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    scratch = Scratch(tmp_path_factory.mktemp("plot") / "project")
    write_trades(scratch.lake, "binance", BTC, DAY1, made(1, 600))
    write_trades(scratch.lake, "binance", BTC, DAY2, made(2, 50, NOON + 86_400_000))
    write_trades(scratch.lake, "binance", ETH, DAY1, made(3, 40))
    write_trades(scratch.lake, "kraken", ETH, DAY1, made(4, 40))
    return scratch


def picture(project: Scratch, **asked: Any) -> PlotPicture:
    return picture_of(Engine.open(project.file), "raw", Asked(**asked))


def ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 10**9


def test_columns_without_any_value_are_named(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "project")
    write_trades(scratch.lake, "binance", BTC, DAY1, [{**trade, "amount": None} for trade in made(5, 20)])
    assert "Nothing is drawn of amount: NULL in all of these rows." in picture(scratch, symbol=BTC).notes


def test_all_rows_are_drawn_and_lines_break_at_gaps(project: Scratch) -> None:
    found = picture(project, symbol="btc/usdt", start=ns("2026-01-01"), end=ns("2026-01-03"))
    line = found.lines["price"]
    trades = [*made(1, 600), *made(2, 50, NOON + 86_400_000)]
    kept = ~np.isnan(line.values)
    assert line.times[kept].tolist() == [trade["timestamp"] for trade in trades]
    assert line.values[kept].tolist() == [trade["price"] for trade in trades]
    steps = np.diff([trade["timestamp"] for trade in trades])
    assert (~kept).sum() == (steps > 300_000).sum() >= 1
    assert "All 650 rows are drawn." in found.notes
    assert (found.rows.exchange, found.rows.symbol) == ("binance", BTC)


def test_the_last_day_is_the_default(project: Scratch) -> None:
    assert picture(project, symbol=BTC).rows.count == 50


def test_candles(project: Scratch) -> None:
    found = picture(project, symbol=BTC, start=ns("2026-01-01"), end=ns("2026-01-01T23:59:59"))
    candles, trades = found.candles, made(1, 600)
    assert candles is not None
    step = candles.seconds * 1000
    parts: dict[float, list[float]] = {}
    for trade in trades:
        parts.setdefault(trade["timestamp"] // step * step, []).append(trade["price"])
    assert candles.times.tolist() == sorted(parts)
    expected = [(part[0], max(part), min(part), part[-1]) for _, part in sorted(parts.items())]
    assert [*zip(candles.open, candles.high, candles.low, candles.close, strict=True)] == expected
    assert 100 <= len(expected) <= 240


def test_thinned_lines_lose_no_extreme(project: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotted, "POINTS", 100)
    found = picture(project, symbol=BTC, start=ns("2026-01-01"), end=ns("2026-01-01T23:59:59"))
    line, trades = found.lines["price"], made(1, 600)
    kept = [(time, value) for time, value in zip(line.times, line.values, strict=True) if not math.isnan(value)]
    assert {*kept} <= {(trade["timestamp"], trade["price"]) for trade in trades}
    assert kept == sorted(kept)
    assert len(kept) <= 100
    first, last = (trades[place]["timestamp"] * 10**6 for place in (0, -1))
    step = -(-(last - first + 1) // 50)
    parts: dict[int, list[float]] = {}
    for trade in trades:
        parts.setdefault((trade["timestamp"] * 10**6 - first) // step, []).append(trade["price"])
    drawn: dict[int, list[float]] = {}
    for time, value in kept:
        drawn.setdefault((round(time) * 10**6 - first) // step, []).append(value)
    assert {part: (min(v), max(v)) for part, v in drawn.items()} == {p: (min(v), max(v)) for p, v in parts.items()}
    assert any("600 rows are thinned to at most" in note and "no extreme is lost" in note for note in found.notes)


@pytest.mark.slow
def test_books_by_price(tmp_path: Path) -> None:
    project = Scratch(tmp_path / "project")
    project.config["sources"] = {"books": {"path": "raw/ccxt/orderbook", "adapter": "ccxt/orderbook"}}
    model = {"sql": "orderbook/hf.sql.j2", "inputs": {"orderbook": "books"}, "output": {"path": "out/hf"}}
    project.config["models"] = {"hf": model}
    project.save()
    rows = [
        {"timestamp": NOON + 1000 * i, "bids": [(100.0, 1.0), (99.0, 2.0)], "asks": [(101.0, 3.0), (102.0, 4.0)]}
        for i in range(3)
    ]
    write_orderbook(project.lake, "binance", BTC, DAY1, rows)
    found = picture_of(Engine.open(project.file), "books", Asked())
    book = found.book
    assert book is not None
    assert not book.relative
    sizes = {
        round(float(price), 1): float(np.nansum(grid[place]))
        for grid in (book.bids, book.asks)
        for place, price in enumerate(book.prices)
        if not np.isnan(grid[place]).all()
    }
    prices = sorted(sizes)
    assert [sizes[price] for price in prices] == [6.0, 3.0, 9.0, 12.0], "three books, one part of time each"
    assert all(abs(price - level) < 0.1 for price, level in zip(prices, (99, 100, 101, 102), strict=True))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("raw", "--symbol", "BTC/USD"), 1, "raw has no rows of symbol 'BTC/USD'. Did you mean 'BTC-USDT'? There are:"),
        (("raw",), 1, "several markets: choose one with --symbol and --exchange: binance BTC-USDT, binance ETH-USDT"),
        (("raw", "--symbol", ETH), 1, "choose one with --symbol and --exchange: binance ETH-USDT, kraken ETH-USDT"),
        (("raw", "--symbol", ETH, "--exchange", "krakn"), 1, "exchange 'krakn'. Did you mean 'kraken'?"),
        (
            ("raw", "--symbol", BTC, "--start", "2027-01-01"),
            1,
            "raw has no rows of binance BTC-USDT from 2027-01-01 00:00:00 on. Its rows are from 2026-01-01 12:00:",
        ),
        (("raw", "--symbol", BTC, "--start", "2026-01-02", "--end", "2026-01-01"), 2, "is before --start"),
        (("raw", "--symbol", BTC, "--start", "noon"), 2, "--start 'noon' is no date or time. Write 2026-01-31"),
        (
            ("raw", "--symbol", BTC, "--column", "prize"),
            2,
            "raw has no column 'prize' of numbers. Did you mean 'price'?",
        ),
        (("costs",), 2, "model costs: nothing published yet. Build it: sqlgen run --select +costs"),
        (("cots",), 2, "no source or model 'cots'. Did you mean 'costs'?"),
    ],
)
def test_what_cannot_be_plotted(project: Scratch, arguments: tuple[str, ...], code: int, message: str) -> None:
    name, *options = arguments
    outcome = sqlgen("plot", name, project.file, *options)
    assert outcome.code == code, outcome.err
    assert message in outcome.err
    assert not (project.folder / "target").exists()


@pytest.mark.slow
def test_the_page_and_the_picture(project: Scratch, tmp_path: Path) -> None:
    page = tmp_path / "made" / "page.html"
    outcome = sqlgen("plot", "raw", project.file, "--symbol", "ethusdt", "--exchange", "kraken", "-o", page, "--png")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines() == [str(page), str(page.with_suffix(".png"))]
    assert page.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert "ETH-USDT on kraken" in text
    assert "All 40 rows are drawn." in text
    outside = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="[^"#]+"', text)
    assert not outside, "a page has all that it shows"
    figure = json.loads(re.search(r"var figure = (.*);\n", text)[1])  # type: ignore[index]
    assert {trace["type"] for trace in figure["data"]} == {"candlestick", "scattergl"}
    assert sqlgen("plot", "raw", project.file, "--symbol", BTC, "-o", page).code == 0, "sqlgen replaces its own page"
    page.write_text("mine")
    outcome = sqlgen("plot", "raw", project.file, "--symbol", BTC, "-o", page)
    assert outcome.code == 2
    assert "is there already, and not written by sqlgen" in outcome.err
    assert page.read_text() == "mine"


def test_texts_of_a_project_end_no_script(project: Scratch, tmp_path: Path) -> None:
    other = Scratch(tmp_path / "project")
    symbol = "</script><script>alert(1)</script>"
    write_trades(other.lake, "binance", symbol, DAY1, made(1, 5))
    page = tmp_path / "page.html"
    assert sqlgen("plot", "raw", other.file, "-o", page).code == 0
    assert "<script>alert" not in page.read_text()


def test_panels_follow_the_columns() -> None:
    bars = ("open", "high", "low", "close", "vwap", "volume", "buy_volume", "sell_volume", "unknown_volume", "tfi")
    assert price_columns(bars) == ("open", "high", "low", "close")
    assert price_lines(bars) == ("vwap",)
    assert [(panel.title, panel.columns) for panel in panels(bars)] == [
        ("Volume", ("buy_volume", "sell_volume", "unknown_volume")),
        ("Imbalance", ("tfi",)),
    ]
    book = ("mid_price", "ofi_sum_5s", "mlofi", "vpin", "spread_bps", "total_bid_depth", "total_ask_depth")
    assert price_columns(book) == ("mid_price",) * 4
    assert [panel.title for panel in panels(book)] == [
        "Order flow imbalance",
        "Order flow imbalance of several levels",
        "VPIN",
        "Spread",
        "Depth",
    ]
    assert [panel.columns for panel in panels(("price", "seq", "alpha", "beta"))] == [("alpha",), ("beta",)]
    assert [panel.columns for panel in panels(book, ("vpin",))] == [("vpin",)]
