"""What a sample lake may be asked for, and what is said about the rest."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime
from typing import Any

import pytest

from sqlgen.errors import UsageError
from sqlgen.sample import FAULTS, SampleSpec


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("days", 0, "days must be a whole number from 1"),
        ("days", True, "days must be a whole number"),
        ("days", 1.5, "days must be a whole number"),
        ("rows_per_day", 0, "rows_per_day must be a whole number from 1"),
        ("rows_per_day", 10**9, "rows_per_day must be a whole number from 1"),
        ("levels", 19, "levels must be a whole number from 20"),
        ("seed", -1, "seed must be"),
        ("layout", "hourly", "layout must be date or ymdh, not 'hourly'"),
        ("format", "csv", "format must be parquet or ndjson, not 'csv'"),
        ("start", "2026-01-01", "start must be a date"),
        ("start", datetime(2026, 1, 1), "start must be a date"),
        ("start", date(9999, 12, 31), "go beyond the year 9999"),
        ("symbols", 0, "the number of symbols must be"),
        ("symbols", (), "symbols must be a list of at least one name"),
        ("symbols", "BTC-USDT", "symbols must be a list"),
        ("symbols", ("A", "A"), "symbols has duplicate names"),
        ("symbols", ("A", " "), "is not a name"),
        ("exchanges", ("a\nb",), "is not a name"),
        ("exchanges", (), "exchanges must be a list"),
        ("faults", ("gap",), "unknown fault 'gap'. Did you mean 'gaps'?"),
        ("faults", "gaps", "not the text 'gaps'"),
    ],
)
def test_a_wrong_value_is_named(field: str, value: Any, words: str) -> None:
    with pytest.raises(UsageError) as error:
        SampleSpec(**{field: value})
    assert words in str(error.value)


def test_faults_are_none_all_or_some() -> None:
    assert SampleSpec().fault_names == frozenset()
    assert SampleSpec(faults=True).fault_names == frozenset(FAULTS)
    assert SampleSpec(faults=("gaps", "crossed")).fault_names == {"gaps", "crossed"}


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, sqlgen.sample; print({'numpy', 'numba', 'pyarrow', 'duckdb'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
