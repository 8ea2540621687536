"""Words of `inspect` on tables that no adapter reads: what they have, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqlgen.detect.columns.columnmap import guess_columns
from sqlgen.detect.columns.lacking import lacking
from sqlgen.detect.files.sniff import sniff


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("ts,px,note\n2026-01-01 00:00:00,5.5,a\n", "As trades they have price px, time ts, but no amount"),
        ("when,px,qty\n1,5.5,3\n", "As trades they have price px, amount qty, but no time"),
        ("Date,Open,High,Low,Vol.\n2026-01-01,1,2,1,9\n", "open Open, high High, low Low, time Date, but no close"),
        ("Date,Open,High,Low\n01/02/2026,1,2,1\n", "no close. Dates such as 01/02/2026 may begin with the day"),
        ("day_id,bid_price1,ask_price1,bid_size1,ask_size1\n0,1,2,3,4\n", "As books they have bid_price bid_price{i}"),
        (
            "timestamp,symbol,funding_rate,mark_price\n1767312000000,X,0.1,5\n",
            "rates of derivatives (funding_rate, mark",
        ),
        ("pool,amount0,tick\n0xabc,1.5,2000\n", "None of their columns has a name that is known for a price, amount"),
    ],
)
def test_what_is_there_and_what_is_missing(table: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(table)
    assert says in lacking(sniff(path))


def test_a_time_of_day_is_no_time(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,price,size\n09:30:00.1,5.5,3\n09:30:01.2,5.6,4\n")
    sniffed = sniff(path)
    assert guess_columns("trades", sniffed) is None
    assert lacking(sniffed) == (
        "As trades they have price price, amount size, time of day time, but no date. Put the date of the file's name"
        " before it (docs/sources.md), and inspect the result"
    )
    path.write_text("date,time,price,size\n2026-01-02,09:30:00.1,5.5,3\n")
    mapped = guess_columns("trades", sniff(path))
    assert mapped is not None
    assert mapped.options["columns"]["ts"] == ["date", "time"]
