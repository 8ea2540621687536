"""Symbols in common terms: the macros, the model, and the columns of other models."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sqlgen.live.model import open_model
from sqlgen.templating.templates import Library
from tests.features.lake_checks import KINDS
from tests.features.made import MIDNIGHT, keyed
from tests.oracles.compare import assert_same
from tests.oracles.symbols import columns, symbols
from tests.support.engine import published, run_model, shipped_config, sqlgen
from tests.support.lakes import read_rows, write_rows

Row = dict[str, Any]
TODAY = dt.date(2026, 1, 2)
BEFORE, AFTER = dt.date(2022, 4, 30), dt.date(2022, 5, 1)

QUERY = """
{% from 'macros/symbols.sql.j2' import symbol_columns %}
SELECT {{ symbol_columns() }}
FROM (SELECT unnest($1::VARCHAR[]) AS symbol, unnest($2::DATE[]) AS date)
"""


def by_sql(pairs: list[tuple[str, dt.date]]) -> list[Row]:
    """One row per pair, in their order."""
    text = Library().environment.from_string(QUERY).render()
    rows = duckdb.execute(text, [[symbol for symbol, _ in pairs], [date for _, date in pairs]]).fetchall()
    return [dict(zip(("base", "quote", "quote_class", "symbol_norm"), row, strict=True)) for row in rows]


@pytest.mark.parametrize(
    ("symbol", "date", "expected"),
    [
        ("BTC-USDT", TODAY, ("BTC", "USDT", "USD", "BTC-USD")),
        ("btc/usdt:usdt", TODAY, ("BTC", "USDT", "USD", "BTC-USD")),
        ("ETH/BTC", TODAY, ("ETH", "BTC", "BTC", "ETH-BTC")),
        ("BTC/USD:BTC-240329", TODAY, ("BTC", "USD", "USD", "BTC-USD")),
        ("btc_eur", TODAY, ("BTC", "EUR", "EUR", "BTC-EUR")),
        ("1INCH-FDUSD", TODAY, ("1INCH", "FDUSD", "USD", "1INCH-USD")),
        ("BTC-USDT-SWAP", TODAY, ("BTC", "USDT", "USD", "BTC-USD")),
        ("ETH-26DEC25-3000-C", TODAY, (None, None, None, None)),
        ("BTCUSDT", TODAY, (None, None, None, None)),
        ("-USD", TODAY, (None, None, None, None)),
        ("BTC-", TODAY, (None, None, None, None)),
        ("BTC:USDT-X", TODAY, (None, None, None, None)),
        ("", TODAY, (None, None, None, None)),
        ("LUNA-UST", BEFORE, ("LUNA", "UST", "USD", "LUNA-USD")),
        ("LUNA-UST", AFTER, ("LUNA", "UST", "UST", "LUNA-UST")),
    ],
)
def test_known_symbols(symbol: str, date: dt.date, expected: tuple[str | None, ...]) -> None:
    want = dict(zip(("base", "quote", "quote_class", "symbol_norm"), expected, strict=True))
    assert by_sql([(symbol, date)]) == [want]
    assert columns(symbol, date) == want


PARTS = st.sampled_from(["BTC", "eth", "USDT", "usd", "UST", "Dai", "PYUSD", "26DEC25", "C", "1INCH", "", "USDX"])
SEPARATORS = st.sampled_from(["-", "/", "_", ":", "", "."])


@given(st.lists(st.tuples(PARTS, SEPARATORS), min_size=1, max_size=4), st.sampled_from([BEFORE, AFTER, TODAY]))
def test_any_symbol(parts: list[tuple[str, str]], date: dt.date) -> None:
    symbol = "".join(part + separator for part, separator in parts)
    assert by_sql([(symbol, date)]) == [columns(symbol, date)]


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=15))
def test_any_text(symbol: str) -> None:
    found = by_sql([(symbol, TODAY)])[0]
    assert found == columns(symbol, TODAY)
    if found["symbol_norm"] is not None:  # normal symbols stay as they are
        assert by_sql([(found["symbol_norm"], TODAY)])[0]["symbol_norm"] == found["symbol_norm"]


def rows_of(symbol: str, exchange: str = "binance", kind: str = "trades") -> list[Row]:
    fields: dict[str, Any] = {
        "trades": {"price": 10.0, "amount": 1.0, "side": "buy", "trade_id": "t"},
        "orderbook": {"bids": [(10.0, 1.0)], "asks": [(11.0, 1.0)]},
        "ticker": {"bid": 10.0, "ask": 11.0, "bid_volume": 1.0, "ask_volume": 1.0},
    }[kind]
    times = (-90_000, 0, 61_000, 125_000)
    return keyed([{"timestamp": MIDNIGHT + time, **fields} for time in times], exchange, symbol)


def test_the_model(tmp_path: Path) -> None:
    """One row per exchange and symbol, also of symbols that fit no rule; a new day changes it."""
    names = (("binance", "BTC-USDT"), ("coinbase", "BTC-USD"), ("okx", "BTC-USDT-SWAP"), ("x", "O'REILLY"))
    for exchange, symbol in names:
        write_rows(tmp_path / "lake", "trades", rows_of(symbol, exchange)[:2])
    config = tmp_path / "models.yaml"
    model = {"sql": "symbols.sql.j2", "inputs": {"rows": "trades"}, "output": {"path": "out", "partition_by": []}}
    source = {"path": "raw/ccxt/trades", "adapter": "ccxt/trades"}
    project = {"version": 1, "lake": "lake", "sources": {"trades": source}, "models": {"symbols": model}}
    config.write_text(yaml.safe_dump(project, sort_keys=False))
    for _ in range(2):
        assert sqlgen("run", config).code == 0
        assert_same(published(tmp_path / "lake/out"), symbols(read_rows(tmp_path / "lake", "trades")))
        late = [{**row, "timestamp": row["timestamp"] + 86_400_000} for row in rows_of("BTC-USDT")[1:]]
        write_rows(tmp_path / "lake", "trades", keyed(late))


COLUMNS_AS_OPTION = [
    "orderbook_hf",
    "orderbook_bars",
    "trades_features",
    "trades_bars",
    "ticker_features",
    "volume_bars",
]


@pytest.mark.slow
@pytest.mark.parametrize("model", COLUMNS_AS_OPTION)
def test_the_columns_of_other_models(tmp_path: Path, model: str) -> None:
    """They come after the keys, every row has them, and nothing else changes."""
    for symbol in ("BTC/USDC:USDC", "BTCUSDT"):
        write_rows(tmp_path / "lake", KINDS[model], rows_of(symbol, kind=KINDS[model]))
    sizes = {"volume_bar_size": 1, "vpin_bucket_volume": "1"}
    plain = run_model(tmp_path / "lake", model, **sizes)
    given = run_model(tmp_path / "lake", model, **sizes, symbol_columns=True)
    added = ["base", "quote", "quote_class", "symbol_norm"]
    assert given.drop_columns(added).equals(plain)
    first = given.column_names.index("base")
    assert given.column_names[first : first + 4] == added
    assert set(given.column_names[:first]) <= {"exchange", "symbol", "date", "ts", "seq"}
    for row in given.select(["symbol", "date", *added]).to_pylist():
        assert {name: row[name] for name in added} == columns(row["symbol"], row["date"])


@pytest.mark.slow
def test_live_rows_have_them(tmp_path: Path) -> None:
    config = tmp_path / "models.yaml"
    config.write_text(yaml.safe_dump(shipped_config(tmp_path / "lake", symbol_columns=True), sort_keys=False))
    book = {"bids": [(10.0, 1.0)], "asks": [(11.0, 1.0)]}
    with open_model(config, exchange="x", symbol="BTC/USDT:USDT") as live:
        for second in range(3):
            row = live.update({"timestamp": MIDNIGHT + 1000 * second, "collected_at": None, **book})
            want = columns("BTC/USDT:USDT", TODAY)
            assert {name: row[name] for name in want} == want


def test_the_option_makes_nothing_stale_while_it_is_off(tmp_path: Path) -> None:
    """A quiet option is no part of what a model is; on, it is."""
    write_rows(tmp_path / "lake", "trades", rows_of("BTC-USDT"))
    config = tmp_path / "models.yaml"
    shipped = shipped_config(tmp_path / "lake")
    config.write_text(yaml.safe_dump(shipped, sort_keys=False))
    assert sqlgen("run", config, "--select", "trades_features").code == 0
    for value, stale in ((False, 0), (True, 2)):
        shipped["models"]["trades_features"]["options"]["symbol_columns"] = value
        config.write_text(yaml.safe_dump(shipped, sort_keys=False))
        tasks = sqlgen("plan", config, "--json", "--select", "trades_features").json["tasks"]
        assert len(tasks) == stale
        assert ("symbol_columns" in sqlgen("compile", config, "--select", "trades_features", "--stdout").out) is value
