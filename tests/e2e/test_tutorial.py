"""The tutorial runs as it stands, and gives what it shows. ``SQLGEN_WRITE_DOCS=1`` writes what it gives now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import realdata, tutorial

WRITE = os.environ.get("SQLGEN_WRITE_DOCS") == "1"


LOBSTER = "AAPL_2012-06-21_34200000_57600000_{}_10.csv"
unplotted = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:matplotlib", "ignore::PendingDeprecationWarning:matplotlib"
)


def check(part: int, folder: Path) -> None:
    """Run the page before its part on a public file (0), or that part (1): it gives what it shows, and its pictures."""
    pages = tutorial.parts(tutorial.PAGE.read_text(encoding="utf-8"))
    found = tutorial.run(pages[part], folder)
    pictures = {path.name for path in folder.glob("*.png")}
    if WRITE:
        page = "".join([*pages[:part], found, *pages[part + 1 :]])
        tutorial.PAGE.write_text(page, encoding="utf-8")
        tutorial.NOTEBOOK.write_text(tutorial.notebook(page), encoding="utf-8")
        for name in pictures:
            (tutorial.IMAGES / name).write_bytes((folder / name).read_bytes())
    else:
        assert found == pages[part]
    shown = {path.name for path in tutorial.IMAGES.glob("*.png") if f"images/{path.name}" in found}
    assert pictures == shown
    assert all((folder / name).stat().st_size > 5_000 for name in pictures)


@pytest.mark.slow
@unplotted
def test_the_page_gives_what_it_shows(tmp_path: Path) -> None:
    check(0, tmp_path)


@pytest.mark.slow
@unplotted
def test_the_public_file_gives_what_the_page_shows(tmp_path: Path) -> None:
    raw = tmp_path / "lobster/raw"
    raw.mkdir(parents=True)
    for kind in ("message", "orderbook"):
        name = LOBSTER.format(kind)
        (raw / name).write_bytes(realdata.data_file(name).read_bytes())
    check(1, tmp_path)


def test_the_notebook_is_the_page_and_each_picture_is_shown() -> None:
    page = tutorial.PAGE.read_text(encoding="utf-8")
    if not WRITE:
        assert tutorial.NOTEBOOK.read_text(encoding="utf-8") == tutorial.notebook(page)
    assert all(f"images/{path.name}" in page for path in tutorial.IMAGES.glob("*.png"))
