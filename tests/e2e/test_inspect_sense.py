"""Rows of rival adapters are compared; shares of NULL are said; hours that nobody recorded, or read, are no gaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sqlgen.templating.templates import Library
from tests.support.engine import sqlgen
from tests.support.unknown import DATES, books
from tests.support.vendors import tardis
from tests.support.vendors.files import save

T0 = 1_736_121_600
"""2025-01-06 00:00 UTC, in seconds."""


def found(folder: Path, *options: Any) -> dict[str, Any]:
    return dict(sqlgen("inspect", folder, *options, "--json").json)


@pytest.mark.slow
def test_the_rival_whose_rows_make_sense_wins(tmp_path: Path) -> None:
    right = Library().source_text("sources/tardis/quotes.sql.j2")[0]
    wrong = right.replace("'bid_price': 'bid_price'", "'bid_price': 'ask_price'")
    wrong = wrong.replace("'ask_price': 'ask_price'", "'ask_price': 'bid_price'")
    assert wrong != right
    folder = tmp_path / "transforms_sql/sources"
    folder.mkdir(parents=True)
    for name in ("aa_wrong", "zz_wrong"):  # before and after the right one
        (folder / f"{name}.sql.j2").write_text(wrong)
    (tmp_path / "models.yaml").write_text("version: 1\nlake: raw\n")
    save(tmp_path / "raw/q/part-1.csv", tardis.quotes(books(DATES[0]), "binance", "BTCUSDT"))
    [finding] = found(tmp_path / "raw", "--project", tmp_path / "models.yaml")["findings"]
    assert [choice["adapter"] for choice in finding["choices"]] == ["tardis/quotes"]
    others = {choice["adapter"]: choice for choice in finding["others"]}
    assert {"aa_wrong", "zz_wrong"} <= {*others}
    assert "but 100% are crossed books" in others["aa_wrong"]["why"][-1]


def test_a_map_that_makes_no_sense_is_refused_in_words(tmp_path: Path) -> None:
    rows = [f"{T0 + i},101.5,2,100.5,3" for i in range(50)]
    save(tmp_path / "q/quotes.csv", "\n".join(["time,bid_px,bid_qty,ask_px,ask_qty", *rows, ""]))
    outcome = sqlgen("inspect", tmp_path, "--json")
    [finding] = outcome.json["findings"]
    assert outcome.code == 1
    assert not finding["choices"]
    [note] = finding["notes"]
    assert note.startswith(
        "generic/orderbook can read these columns, but its rows make no sense: 100% are crossed books"
    )


@pytest.mark.slow
def test_shares_of_null_are_said(tmp_path: Path) -> None:
    rows = [f"{T0 + i},100,{'' if i % 10 == 0 else 2},{'buy' if i < 40 else '?'},{i}" for i in range(80)]
    save(tmp_path / "t/trades.csv", "\n".join(["time,price,size,side,id", *rows, ""]))
    [finding] = found(tmp_path)["findings"]
    assert finding["contents"][0]["summary"]["nulls"] == {"price": 0, "amount": 0.1, "side": 0.5, "trade_id": 0}
    assert "read as trades, NULL 10% of amount, 50% of side" in finding["choices"][0]["why"][-1]
    assert "NULL\t10% of amount, 50% of side" in sqlgen("inspect", tmp_path).out.splitlines()


def hourly(folder: Path, hours: range, silent: int | None = None) -> None:
    """A file an hour with a trade a minute; in hour ``silent`` minutes 20 to 39 are missing."""
    for hour in hours:
        minutes = [minute for minute in range(60) if hour != silent or not 20 <= minute < 40]
        rows = [f"{T0 + 3600 * hour + 60 * minute},100,1,buy,{60 * hour + minute}" for minute in minutes]
        path = folder / f"t/exchange=x/symbol=A-B/date=2025-01-06/hour={hour}/part.csv"
        save(path, "\n".join(["time,price,size,side,id", *rows, ""]))


@pytest.mark.slow
@pytest.mark.parametrize("full", [(), ("--full",)])
def test_hours_that_were_not_recorded_are_no_gaps(tmp_path: Path, full: tuple[str, ...]) -> None:
    hourly(tmp_path, range(0, 24, 3), silent=0)
    [finding] = found(tmp_path, *full)["findings"]
    [contents] = finding["contents"]
    assert contents["gaps"] == 1
    [gap] = contents["longest_gaps"]
    assert (gap["start"], gap["end"], gap["seconds"]) == ("2025-01-06 00:19:00", "2025-01-06 00:40:00", 1260)
    hours = 14 if full else 2  # of the sample, only hour 3 follows on the hour before it that there is
    assert contents["hours_without_rows"] == hours
    lines = sqlgen("inspect", tmp_path, *full).out.splitlines()
    assert f"hours without rows\t{hours}, which are not counted as gaps" in lines


@pytest.mark.slow
def test_files_that_a_sample_leaves_out_are_no_gaps(tmp_path: Path) -> None:
    hourly(tmp_path, range(24))
    [finding] = found(tmp_path)["findings"]
    assert (finding["contents"][0]["files"], finding["contents"][0]["gaps"]) == (4, 0)


@pytest.mark.slow
def test_a_gap_between_files_that_are_read_is_one(tmp_path: Path) -> None:
    hourly(tmp_path, range(3))
    path = tmp_path / "t/exchange=x/symbol=A-B/date=2025-01-06/hour=1/part.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:31]) + "\n")  # up to 01:29
    [finding] = found(tmp_path)["findings"]
    [contents] = finding["contents"]
    assert [(gap["start"], gap["end"]) for gap in contents["longest_gaps"]] == [
        ("2025-01-06 01:29:00", "2025-01-06 02:00:00")
    ]
