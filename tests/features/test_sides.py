"""Whose side the rows of trades name: by source, and by what ccxt gives of each exchange."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.engine import Outcome, published, shipped_config, sqlgen
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
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
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


def test_texts_that_name_no_side_are_counted(tmp_path: Path) -> None:
    """Those that are empty or say so are no mistake."""
    words = ["Buy ", "buy", "Buy ", "kauf", "", None, "unknown", "SELL"]
    trades = [TRADES[0] | {"trade_id": str(n), "side": word} for n, word in enumerate(words)]
    write_trades(tmp_path / "lake", "okx", "BTC-USDT", DAY, trades)
    config = shipped_config(tmp_path / "lake")
    config["models"] = {"trades_features": config["models"]["trades_features"]}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    [task] = sqlgen("run", tmp_path / "models.yaml", "--json").json["tasks"]
    [note] = task["notes"]
    assert note.startswith("source 'ccxt_trades': 3 trade(s) in raw/ccxt/trades/")
    assert note.endswith("have a side that the adapter does not know, and NULL for it: 'Buy ' 2, 'kauf' 1")


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
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
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


@pytest.mark.slow
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
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", tmp_path / "models.yaml", "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    notes = " ".join(outcome.json["tasks"][0]["notes"])
    assert advice in notes
    said = "trades of source 'ccxt_trades': 100% of 29 buys and sells are at the other side of the quote before them"
    assert (said in notes) is bool(advice)


BESIDE = """\
{#-
description: Trades, in a model that reads quotes too
inputs: [trades, orderbook]
-#}
WITH trades AS (
    {{ inputs.trades | indent(4) }}
),
orderbook AS (
    {{ inputs.orderbook | indent(4) }}
),
counted AS (
    SELECT count(*) AS books
    FROM orderbook
)
SELECT exchange, symbol, date, ts, seq, price, side, 99.0 AS bid, 101.0 AS ask
FROM trades, counted
WHERE books > 0
"""


def audited(folder: Path, maker: bool, check: dict[str, Any], of: str = "source", kernels: bool = False) -> Outcome:
    """A run of a model that reads trades and quotes; ``check`` is a check of the trades, or of the model."""
    market(folder / "lake", "kraken", maker)
    config = shipped_config(folder / "lake")
    if kernels:
        config["models"] = {"beside": config["models"]["orderbook_hf"] | {"udfs": ["tfi"], "options": {}}}
    else:
        (folder / "transforms_sql").mkdir()
        (folder / "transforms_sql/beside.sql.j2").write_text(BESIDE)
        inputs = {"trades": "ccxt_trades", "orderbook": "ccxt_orderbook"}
        config["models"] = {"beside": {"sql": "beside.sql.j2", "inputs": inputs, "output": {"path": "beside"}}}
    place = config["sources"]["ccxt_trades"] if of == "source" else config["models"]["beside"]
    place["checks"] = [{"check": "sign_audit", **check}]
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return sqlgen("run", folder / "models.yaml", "--json")


SAID = (
    "100% of 29 buys and sells are at the other side of the quote before them (buys at or below the bid, sells at or"
    " above the ask). The feed sends the maker's side: say side_is: maker"
)


@pytest.mark.slow
@pytest.mark.parametrize("kernels", [False, True], ids=["sql", "kernels"])
@pytest.mark.parametrize("maker", [False, True], ids=["taker", "maker"])
@pytest.mark.parametrize("on_fail", [None, "warn", "fail"])
def test_a_check_of_a_source(tmp_path: Path, kernels: bool, maker: bool, on_fail: str | None) -> None:
    outcome = audited(tmp_path, maker, {"on_fail": on_fail} if on_fail else {}, kernels=kernels)
    [task] = outcome.json["tasks"]
    assert (outcome.code != 0) is (maker and on_fail == "fail")
    [count] = [each for each in task["checks"] if each["check"] == "sign_audit(share 0.5)"]
    assert (count["of"], count["rows"], count["total"]) == ("ccxt_trades", 29 if maker else 0, 29)
    assert count["on_fail"] == (on_fail or "warn")
    assert (SAID in count["first"]) is maker
    assert not any("other side" in note for note in task["notes"]), "the note is for those who declare no check"
    if outcome.code:
        assert SAID in task["error"]
        assert not (tmp_path / "lake/beside").exists()


@pytest.mark.parametrize(
    ("maker", "fields", "rows", "total"),
    [
        (True, {}, 29, 29),
        (False, {}, 0, 29),
        (True, {"share": 0.99}, 29, 29),
        (False, {"share": 0.01}, 0, 29),
    ],
)
def test_a_check_of_a_model(tmp_path: Path, maker: bool, fields: dict[str, Any], rows: int, total: int) -> None:
    columns = ["side", "price", "bid", "ask"]
    outcome = audited(tmp_path, maker, {"columns": columns, **fields}, of="model")
    assert outcome.code == 0, outcome.out
    [count] = [each for each in outcome.json["tasks"][0]["checks"] if each["check"].startswith("sign_audit")]
    assert (count["of"], count["rows"], count["total"], SAID in count["first"]) == ("beside", rows, total, maker)


def test_old_quotes_do_not_count(tmp_path: Path) -> None:
    outcome = audited(tmp_path, True, {"seconds": 0.4})
    [count] = [each for each in outcome.json["tasks"][0]["checks"] if each["check"].startswith("sign_audit")]
    assert (count["rows"], count["total"]) == (0, 0)


@pytest.mark.parametrize(
    ("check", "of", "said"),
    [
        ({"on_fail": "drop"}, "source", "sign_audit is about all trades together and takes none away"),
        ({"share": 1.0}, "source", "share"),
        ({"columns": ["side", "price", "b", "a"]}, "source", "the trades of a source have side and price"),
        ({"columns": ["side", "price"]}, "model", "sign_audit takes 4 column(s)"),
        ({}, "model", "check 'sign_audit(share 0.5)' of 'beside': there is no column 'best_bid'."),
    ],
)
def test_checks_that_cannot_be(tmp_path: Path, check: dict[str, Any], of: str, said: str) -> None:
    outcome = audited(tmp_path, True, check, of=of)
    assert outcome.code != 0
    assert said in outcome.err + outcome.out
    assert "models.yaml" in outcome.err + outcome.out


def test_a_source_of_trades_alone_cannot_be_audited(tmp_path: Path) -> None:
    config = shipped_config(tmp_path / "lake")
    config["sources"]["ccxt_trades"]["checks"] = [{"check": "sign_audit"}]
    config["models"] = {"trades_features": config["models"]["trades_features"]}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("plan", tmp_path / "models.yaml")
    assert outcome.code != 0
    assert "sources.ccxt_trades.checks.0: no model reads quotes beside the trades of 'ccxt_trades'" in outcome.err


@pytest.mark.slow
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
