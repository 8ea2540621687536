"""docs/formats.md is what the adapters say; SQLGEN_WRITE_DOCS=1 writes it."""

from __future__ import annotations

import os

from tests.support.engine import ROOT
from tests.support.formats import table

PAGE = ROOT / "docs/formats.md"


def test_the_table_of_formats_is_current() -> None:
    text = table()
    if os.environ.get("SQLGEN_WRITE_DOCS"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text
