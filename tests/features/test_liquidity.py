"""``trades_liquidity``: quotes, signs, spreads and price impact of trades, against the oracle and by hand."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from tests.features.lake_checks import check
from tests.features.made import MIDNIGHT, event_times, faulty_books, keyed, trades, walking_books
from tests.oracles.compare import table_rows
from tests.support.engine import published, run_model, shipped_config, sqlgen
from tests.support.lakes import write_rows

Row = dict[str, Any]
HORIZONS = [1, 5, 60]
DAY = 86_400_000


def liquidity(lake: Path, books: list[Row], ticks: list[Row], **options: Any) -> list[Row]:
    """Published rows, equal to those of the oracle."""
    write_rows(lake, "orderbook", books)
    check(lake, "trades_liquidity", ticks, **options)
    return table_rows(run_model(lake, "trades_liquidity", **options))


def faulty(seed: int) -> tuple[list[Row], list[Row]]:
    """Faulty books and trades with ties, gaps, crossed books and a day without any, around midnight."""
    rng = random.Random(seed)
    books = walking_books(rng, event_times(rng, 120, MIDNIGHT - 900_000, gaps=(20, 60)))
    books += faulty_books(seed, 2, start=MIDNIGHT + DAY // 4)
    books += walking_books(rng, event_times(rng, 60, MIDNIGHT + 2 * DAY, gaps=(30,)))
    times = event_times(rng, 120, MIDNIGHT - 880_000, gaps=(40,))
    times += [MIDNIGHT + DAY // 4 + 350 * i for i in range(60)]
    times += event_times(rng, 60, MIDNIGHT + 2 * DAY)
    return books, trades(rng, times)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"sign": "tick", "quotes": "at_or_before", "quote_lag": 0.5},
    {"sign": "quote", "quote_lag": -2.0, "max_quote_age": 5.0},
    {"sign": "lee_ready", "max_gap": 30.0, "max_quote_age": 400.0},
    {"sign": "aggressor", "horizons": []},
]


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_against_the_oracle(tmp_path: Path, options: dict[str, Any]) -> None:
    books, ticks = faulty(11)
    rows = liquidity(tmp_path, keyed(books), keyed(ticks), **{"horizons": HORIZONS} | options)
    if options.get("horizons") != []:
        assert sum(row["realized_spread_1s"] is not None for row in rows) > 2
        assert sum(row["sign"] is None for row in rows) < len(rows)


def book(second: float, bid: float, ask: float) -> Row:
    return {"timestamp": MIDNIGHT + round(second * 1000), "bids": [(bid, 2.0)], "asks": [(ask, 1.0)]}


def trade(second: float, price: float, side: str | None = "buy") -> Row:
    time = MIDNIGHT + round(second * 1000)
    return {"timestamp": time, "trade_id": f"t{second}", "price": price, "amount": 1.0, "side": side}


def test_the_golden_trade(tmp_path: Path) -> None:
    """A buy at 100.1, mid 100.05 before it and 100.1 later: spread 9.995 bps, all of it impact."""
    books = [book(10, 100.0, 100.1), book(12, 100.0, 100.2), book(20, 100.0, 100.2)]
    row = liquidity(tmp_path, keyed(books), keyed([trade(11, 100.1)]), horizons=[5])[0]
    spreads = {name: row[f"{name}_bps"] for name in ("effective_spread", "realized_spread_5s", "price_impact_5s")}
    assert spreads == {
        "effective_spread": pytest.approx(9.995, abs=5e-4),
        "realized_spread_5s": pytest.approx(0.0, abs=1e-9),
        "price_impact_5s": pytest.approx(9.995, abs=5e-4),
    }
    assert (row["quote_age_s"], row["best_bid"], row["ask_size"], row["quoted_spread"]) == (
        1.0, 100.0, 1.0, pytest.approx(0.1)
    )  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Row], list[Row], list[Row]]:
    """Faulty books, trades, and what they give."""
    books, ticks = faulty(5)
    return books, ticks, liquidity(tmp_path_factory.mktemp("pair"), keyed(books), keyed(ticks), horizons=HORIZONS)


@pytest.mark.slow
def test_effective_is_realized_and_impact(pair: tuple[list[Row], list[Row], list[Row]]) -> None:
    seen = 0
    for row in pair[2]:
        for h in HORIZONS:
            parts = row[f"realized_spread_{h}s"], row[f"price_impact_{h}s"]
            if None not in parts:
                seen += 1
                assert row["effective_spread"] == pytest.approx(sum(parts), abs=1e-9)
                parts = row[f"realized_spread_{h}s_bps"], row[f"price_impact_{h}s_bps"]
                assert row["effective_spread_bps"] == pytest.approx(sum(parts), abs=1e-8)
    assert seen > 100


@pytest.mark.slow
def test_signs_flip_when_sides_swap(pair: tuple[list[Row], list[Row], list[Row]], tmp_path: Path) -> None:
    """Prices mirrored at 2000, bids for asks and sells for buys: signs flip, spreads in q stay."""
    sides = {"buy": "sell", "sell": "buy"}

    def mirrored(value: Any) -> Any:
        return 2000.0 - value if isinstance(value, float) and 0 < value < 2000 else value

    def levels(side: Any) -> Any:
        return [level and (mirrored(level[0]), level[1]) for level in side] if side is not None else None

    books = [{**row, "bids": levels(row["asks"]), "asks": levels(row["bids"])} for row in pair[0]]
    ticks = [
        {**row, "price": mirrored(row["price"]), "side": sides.get((row["side"] or "").lower())} for row in pair[1]
    ]
    for row, twin in zip(pair[2], liquidity(tmp_path, keyed(books), keyed(ticks), horizons=HORIZONS), strict=True):
        for name in ("sign", "sign_tick", "sign_quote", "sign_lee_ready"):
            assert twin[name] == (-row[name] if row[name] is not None else None)
        for name in ("effective_spread", "realized_spread_5s", "price_impact_60s", "quoted_spread"):
            assert twin[name] == (pytest.approx(row[name], abs=1e-8) if row[name] is not None else None)


@pytest.mark.slow
def test_another_future_changes_labels_only(pair: tuple[list[Row], list[Row], list[Row]], tmp_path: Path) -> None:
    now = MIDNIGHT + DAY // 4 + 10_000
    books = [
        row if row["timestamp"] <= now else book((row["timestamp"] - MIDNIGHT) / 1000, 900.0, 901.0) for row in pair[0]
    ]
    rows = liquidity(tmp_path, keyed(books), keyed(pair[1]), horizons=HORIZONS)
    changed: set[str] = set()
    for row, twin in zip(pair[2], rows, strict=True):
        if row["ts"] <= now * 10**6:
            changed |= {name for name in row if row[name] != twin[name]}
    assert changed
    assert all(name.startswith(("realized_spread", "price_impact")) for name in changed)


@pytest.mark.slow
def test_bps_do_not_change_with_the_scale_of_prices(
    pair: tuple[list[Row], list[Row], list[Row]], tmp_path: Path
) -> None:
    def scaled(levels: Any) -> Any:
        return [level and (level[0] and level[0] * 64, level[1]) for level in levels] if levels is not None else None

    books = [{**row, "bids": scaled(row["bids"]), "asks": scaled(row["asks"])} for row in pair[0]]
    ticks = [{**row, "price": row["price"] and row["price"] * 64} for row in pair[1]]
    for row, twin in zip(pair[2], liquidity(tmp_path, keyed(books), keyed(ticks), horizons=HORIZONS), strict=True):
        for name in row:
            if name.endswith("_bps") or name.startswith("sign"):
                assert twin[name] == row[name], name


@pytest.mark.slow
def test_day_by_day_is_all_at_once(pair: tuple[list[Row], list[Row], list[Row]], tmp_path: Path) -> None:
    """Days come one after the other, quotes after trades: labels fill in once their day is there."""
    books, ticks = keyed(pair[0]), keyed(pair[1])
    dates = sorted({row["date"] for row in books + ticks})
    for count in range(1, len(dates) + 1):
        for kind, rows in (("trades", ticks), ("orderbook", books)):
            write_rows(tmp_path, kind, [row for row in rows if row["date"] == dates[count - 1]])
        step = table_rows(run_model(tmp_path, "trades_liquidity", horizons=HORIZONS))
    assert len(dates) == 3
    assert step == pair[2]


def test_trades_without_a_book(tmp_path: Path) -> None:
    row = check(tmp_path, "trades_liquidity", keyed([trade(1, 100.0, None), trade(2, 101.0, None)]), horizons=[5])[-1]
    assert (row["sign_tick"], row["sign"], row["mid_price"], row["realized_spread_5s"]) == (1, 1, None, None)


@pytest.mark.slow
def test_rows_of_a_file_are_in_time_order(tmp_path: Path) -> None:
    """With several threads, whose row groups could come in any order."""
    write_rows(tmp_path, "orderbook", keyed([book(0, 99.0, 101.0)]))
    write_rows(tmp_path, "trades", keyed(trades(random.Random(1), [MIDNIGHT])))
    file = str(next((tmp_path / "raw/ccxt/trades").rglob("*.parquet")))
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE one AS FROM read_parquet($1, hive_partitioning = false)", [file])
        spread = "SELECT * REPLACE (timestamp + i * 7919 % 86400000 AS timestamp) FROM one, range(400000) AS t(i)"
        connection.sql(spread).write_parquet(file)
        run_model(tmp_path, "trades_liquidity", horizons=[1])
        made = str(next((tmp_path / "processed").rglob("*.parquet")))
        times = connection.sql(f"SELECT epoch_ns(ts) AS ns FROM read_parquet('{made}')").fetchnumpy()["ns"]
    assert len(times) == 400_000
    assert (times[1:] >= times[:-1]).all()


def test_a_table_by_date_alone_keeps_symbols_apart(tmp_path: Path) -> None:
    """Its files hold several symbols, whose quotes and prices are of their own."""
    feeds = {"orderbook": [book(0, 99.0, 101.0)], "trades": [trade(1, 100.5, "buy"), trade(2, 100.2, "buy")]}
    for kind, rows in feeds.items():
        other = [dict(row) for row in rows]
        for row in other:
            row |= (
                {"bids": [(9.0, 2.0)], "asks": [(11.0, 1.0)]} if kind == "orderbook" else {"price": row["price"] / 10}
            )
        write_rows(tmp_path / "lake", kind, keyed(rows) + [row | {"symbol": "ETH-USDT"} for row in keyed(other)])
    config = shipped_config(Path("lake"), horizons=[1])
    config["models"] = {"trades_liquidity": config["models"]["trades_liquidity"] | {"enabled": True}}
    config["models"]["trades_liquidity"]["output"] = {"path": "out", "partition_by": ["date"]}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    assert sqlgen("run", tmp_path / "models.yaml").code == 0
    found = published(tmp_path / "lake/out").select(["symbol", "mid_price", "sign_tick"]).to_pylist()
    assert sorted((row["symbol"], row["mid_price"], row["sign_tick"] or 0) for row in found) == [
        ("BTC-USDT", 100.0, -1),
        ("BTC-USDT", 100.0, 0),
        ("ETH-USDT", 10.0, -1),
        ("ETH-USDT", 10.0, 0),
    ]
