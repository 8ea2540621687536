"""The tutorial runs as it stands, and gives what it shows. ``SQLGEN_WRITE_DOCS=1`` writes what it gives now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import tutorial

WRITE = os.environ.get("SQLGEN_WRITE_DOCS") == "1"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:matplotlib", "ignore::PendingDeprecationWarning:matplotlib")
def test_the_page_gives_what_it_shows(tmp_path: Path) -> None:
    page = tutorial.PAGE.read_text(encoding="utf-8")
    found = tutorial.run(page, tmp_path)
    pictures = {path.name for path in tmp_path.glob("*.png")}
    if WRITE:
        tutorial.PAGE.write_text(found, encoding="utf-8")
        tutorial.NOTEBOOK.write_text(tutorial.notebook(found), encoding="utf-8")
        for name in pictures:
            (tutorial.IMAGES / name).write_bytes((tmp_path / name).read_bytes())
    else:
        assert found == page
    assert pictures == {path.name for path in tutorial.IMAGES.glob("*.png")}
    assert all(f"images/{name}" in page for name in pictures)
    assert all((tmp_path / name).stat().st_size > 5_000 for name in pictures)


def test_the_notebook_is_the_page() -> None:
    page = tutorial.PAGE.read_text(encoding="utf-8")
    if not WRITE:
        assert tutorial.NOTEBOOK.read_text(encoding="utf-8") == tutorial.notebook(page)
