"""The sample lake, with all of its faults, against the oracles."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqlgen.sample import SampleSpec, write_sample
from tests.features.lake_checks import ORACLES, check


@pytest.mark.slow
def test_every_model(tmp_path: Path) -> None:
    """In hourly folders; lakes of most other tests have a folder a day."""
    spec = SampleSpec(symbols=2, days=2, rows_per_day=150, seed=7, layout="ymdh", faults=True)
    write_sample(tmp_path, spec)
    for model in ORACLES:
        check(tmp_path, model)
