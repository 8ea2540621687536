"""Bytes flipped in files of vendors: the rows, or a message. Never fewer rows without a word, never a traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.adapters import HIVE
from tests.support.flips import KINDS, dbn, flipped

FLIPS = int(os.environ.get("FLIPS", 5))


@pytest.mark.parametrize(("field", "letter"), [("action", "U"), ("action", "C"), ("side", "X")])
def test_a_letter_that_no_record_has(tmp_path: Path, field: str, letter: str) -> None:
    """A record of trades that is no trade, or of no side: it was passed over without a word."""
    project = dbn(tmp_path, "x.dbn")
    path = project.raw / HIVE / "x.dbn"
    content, sides = path.read_bytes(), (b"TA", b"TB", b"TN")
    place = max(content.rfind(both) for both in sides) + (field == "side")
    path.write_bytes(content[:place] + letter.encode() + content[place + 1 :])
    text = " ".join(project.failure().split())
    assert f"x.dbn: record 300 has the {field} b'{letter}', and there are" in text, text[:600]


def test_a_record_of_a_type_that_is_longer(tmp_path: Path) -> None:
    """The vendor's decoder panics; a run went down with it."""
    project = dbn(tmp_path, "x.dbn")
    path = project.raw / HIVE / "x.dbn"
    content = bytearray(path.read_bytes())
    content[-47] = 1  # the type of the last record, of 48 bytes: mbp-1
    path.write_bytes(content)
    text = " ".join(project.failure().split())
    assert "cannot be decoded: Malformed `dbn::record::Mbp1Msg` record" in text, text[:600]
    assert "fetch it again; nothing of it was published" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_flipped_bytes(tmp_path: Path, name: str) -> None:
    found = flipped(tmp_path, name, FLIPS, "")
    assert (found.crashes, found.silent) == ([], [])
    assert found.runs == FLIPS
    assert found.told or name == "x.parquet"
