"""Whose side the rows of trades name: by source, and by what ccxt gives of each exchange."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.engine import published, shipped_config, sqlgen
from tests.support.lakes import write_orderbook, write_trades
from tests.support.vendors import binance
from tests.support.vendors.files import save
from tests.support.vendors.lake import VendorLake
from tests.support.vendors.rows import S, Trade

DAY = "2026-01-02"
NOON = 1_767_355_200
TRADES = [
    {"timestamp": NOON * 1000 + i, "trade_id": str(i), "price": 100.0 + i, "amount": 1.0, "side": side}
    for i, side in enumerate(["buy", "sell", "buy", None])
]
AS_SENT, TURNED = [1, -1, 1, None], [-1, 1, -1, None]


def sides(tmp_path: Path, exchange: str, **source: Any) -> list[int | None]:
    write_trades(tmp_path / "lake", exchange, "BTC-USDT", DAY, TRADES)
    config = shipped_config(tmp_path / "lake")
    config["sources"]["ccxt_trades"] |= source
    config["models"] = {"trades_features": config["models"]["trades_features"]}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config))
    outcome = sqlgen("run", tmp_path / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    table = published(tmp_path / "lake" / config["models"]["trades_features"]["output"]["path"])
    return list(table["side"].to_pylist())


@pytest.mark.parametrize(
    ("exchange", "source", "expected"),
    [
        ("binance", {}, AS_SENT),
        ("coinbase", {}, TURNED),
        ("coinbaseadvanced", {}, TURNED),
        ("Coinbase", {"side_is": "auto"}, TURNED),
        ("coinbaseexchange", {}, AS_SENT),
        ("coinbase", {"side_is": "taker"}, AS_SENT),
        ("coinbase", {"side_is": "maker"}, TURNED),
        ("kraken", {"side_is": "maker"}, TURNED),
    ],
)
def test_ccxt(tmp_path: Path, exchange: str, source: dict[str, Any], expected: list[int | None]) -> None:
    assert sides(tmp_path, exchange, **source) == expected


def test_a_file_that_names_the_wrong_maker_can_be_turned(tmp_path: Path) -> None:
    lake = VendorLake(tmp_path)
    one = Decimal(1)
    trades = [Trade(NOON * S, "1", "buy", one, one), Trade(NOON * S, "2", "sell", one, one)]
    save(lake.raw / f"BTCUSDT-trades-{DAY}.csv", binance.trades(trades, "spot", DAY).text())
    source = {"adapter": "binance/trades", "pattern": "{symbol}-trades-{date}.csv", "exchange": "binance"}
    assert lake.rows(source)["side"].to_pylist() == [1, -1]
    assert lake.rows(source | {"side_is": "maker"})["side"].to_pylist() == [-1, 1]


def test_books_have_no_side_to_turn(tmp_path: Path) -> None:
    config = shipped_config(tmp_path / "lake")
    config["sources"]["ccxt_orderbook"]["side_is"] = "maker"
    (tmp_path / "lake").mkdir()
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config))
    outcome = sqlgen("compile", tmp_path / "models.yaml")
    assert outcome.code != 0
    said = "source 'ccxt_orderbook': its adapter ccxt/orderbook gives no trades whose side could be turned"
    assert said in outcome.err


# --- The sign audit ---------------------------------------------------------------------------------------------------


def market(lake: Path, exchange: str, maker: bool) -> None:
    """Takers buy at the ask and sell at the bid; the feed names their side, or the maker's."""
    books = [{"timestamp": (NOON + k) * 1000, "bids": [(99.0, 1.0)], "asks": [(101.0, 1.0)]} for k in range(30)]
    trades = [
        {"timestamp": (NOON + k) * 1000 + 500, "trade_id": str(k), "price": 101.0 if k % 3 else 99.0, "amount": 1.0}
        | {"side": "buy" if (k % 3 > 0) is not maker else "sell"}
        for k in range(29)
    ]
    write_orderbook(lake, exchange, "BTC-USDT", DAY, books)
    write_trades(lake, exchange, "BTC-USDT", DAY, trades)


@pytest.mark.parametrize(
    ("exchange", "maker", "source", "advice"),
    [
        ("kraken", False, {}, ""),
        ("kraken", True, {}, "The feed sends the maker's side: say side_is: maker"),
        ("kraken", True, {"side_is": "maker"}, ""),
        ("kraken", False, {"side_is": "maker"}, "say side_is: taker"),
        ("coinbase", True, {}, ""),
    ],
)
def test_a_run_says_that_sides_are_the_makers(
    tmp_path: Path, exchange: str, maker: bool, source: dict[str, Any], advice: str
) -> None:
    market(tmp_path / "lake", exchange, maker)
    config = shipped_config(tmp_path / "lake")
    config["sources"]["ccxt_trades"] |= source
    config["models"] = {"orderbook_hf": config["models"]["orderbook_hf"] | {"udfs": ["tfi"], "options": {}}}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config))
    outcome = sqlgen("run", tmp_path / "models.yaml", "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    notes = " ".join(outcome.json["tasks"][0]["notes"])
    assert advice in notes
    said = "trades of source 'ccxt_trades': 100% of 29 buys and sells are at the other side of the quote before them"
    assert (said in notes) is bool(advice)


@pytest.mark.parametrize("maker", [True, False])
def test_inspect_compares_trades_with_quotes_of_the_same_market(tmp_path: Path, maker: bool) -> None:
    market(tmp_path / "lake", "kraken", maker)
    outcome = sqlgen("inspect", tmp_path / "lake/raw", "--lake", tmp_path / "lake", "--json")
    findings = {part["kind"]: (finding, part) for finding in outcome.json["findings"] for part in finding["contents"]}
    finding, part = findings["trades"]
    assert (part["summary"]["sides_judged"], part["summary"]["sides_against"]) == (29, 29 if maker else 0)
    assert any("say side_is: maker" in note for note in finding["notes"]) is maker
    printed = sqlgen("inspect", tmp_path / "lake/raw", "--lake", tmp_path / "lake").out
    assert f"{'100%' if maker else '0%'} of 29 buys and sells are at the other side of the quote" in printed
