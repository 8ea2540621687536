"""Patterns of paths: what they match, in Python and in DuckDB alike."""

from __future__ import annotations

import datetime as dt

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlgen.lake.patterns import PathPattern
from sqlgen.project.config import Source
from sqlgen.project.keys import configured_keys, path_keys

TARDIS = "{exchange}/book_snapshot_25/{year}/{month}/{day}/{symbol}.csv.gz"


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (
            "{symbol}_{date}_*.csv",
            "AAPL_2012-06-21_34200000_orderbook_10.csv",
            {"symbol": "AAPL", "date": "2012-06-21"},
        ),
        ("{symbol}-trades-{date}.zip", "BTC-USDT-trades-2024-01-02.zip", {"symbol": "BTC-USDT", "date": "2024-01-02"}),
        ("{date}/{symbol}*", "20240102/ETH.csv", {"date": "2024-01-02", "symbol": "E"}),
        (TARDIS, "binance/book_snapshot_25/2024/1/02/BTCUSDT.csv.gz", None),
        ("**/{symbol}.parquet", "a/b/BTC.parquet", {"symbol": "BTC"}),
        ("**/{symbol}.parquet", "BTC.parquet", {"symbol": "BTC"}),
        ("{symbol}.parquet", "a/BTC.parquet", None),
        ("{date}.csv", "2024-1-2.csv", None),
        ("a+b({hour}).csv", "a+b(13).csv", {"hour": "13"}),
    ],
)
def test_what_a_pattern_matches(pattern: str, path: str, expected: dict[str, str] | None) -> None:
    if pattern == TARDIS:
        expected = {"exchange": "binance", "year": "2024", "month": "1", "day": "02", "symbol": "BTCUSDT"}
    assert PathPattern(pattern).match(path) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{simbol}.csv", r"unknown field {simbol}. Did you mean 'symbol'\?"),
        ("{}.csv", "unknown field {}"),
        ("{symbol}/{symbol}.csv", "duplicate field: symbol"),
    ],
)
def test_what_is_no_pattern(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PathPattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "glob"),
    [
        ("{symbol}_{date}_*.csv", "*_*_*.csv"),
        ("**/{date}/{symbol}*.csv", "**/*/*.csv"),
        ("{exchange}*{symbol}.csv", "*.csv"),
    ],
)
def test_the_glob_of_a_pattern(pattern: str, glob: str) -> None:
    assert PathPattern(pattern).glob == glob


NAMES = st.text("abXY09-.+$^()", min_size=1, max_size=6)


@given(NAMES, NAMES, st.dates(dt.date(1990, 1, 1), dt.date(2100, 1, 1)), st.sampled_from(["%Y-%m-%d", "%Y%m%d"]))
def test_duckdb_finds_the_same(exchange: str, symbol: str, day: dt.date, form: str) -> None:
    """In absolute paths, by the expression of the templates."""
    date = f"{day:{form}}"
    path = f"{exchange}/x_{date}/{symbol}.csv.gz"
    source = Source(path="raw/$x", adapter="a", pattern="{exchange}/x_{date}/{symbol}.csv.gz")
    found = path_keys(source, f"raw/$x/{path}")
    assert found == {"exchange": exchange, "date": f"{day}", "symbol": symbol}
    for key, place in configured_keys(source).items():
        query = "SELECT regexp_extract(?, ?, ?)"
        (value,) = duckdb.execute(query, [f"/lake/raw/$x/{path}", place.regex, place.group]).fetchall()[0]
        assert value == (date if key == "date" else found[key])


def test_fixed_keys_come_beside_those_of_the_path() -> None:
    source = Source(path="raw", adapter="a", pattern="{date}.csv", exchange="nasdaq", symbol="AAPL")
    assert path_keys(source, "raw/2024-01-02.csv") == {"date": "2024-01-02", "exchange": "nasdaq", "symbol": "AAPL"}
    assert path_keys(source, "raw/x.csv") is None
    hive = Source(path="raw", adapter="a", exchange="nasdaq")
    assert path_keys(hive, "raw/symbol=A%2FB/date=2024-01-02/x.csv") == {
        "symbol": "A/B",
        "date": "2024-01-02",
        "exchange": "nasdaq",
    }
    assert configured_keys(hive)["exchange"].value == "nasdaq"
