"""The tutorial: its blocks, run in order as a reader would, and the same as a notebook."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.engine import ROOT, sqlgen

PAGE = ROOT / "docs/tutorial.md"
NOTEBOOK = PAGE.with_suffix(".ipynb")
IMAGES = PAGE.parent / "images"
PUBLIC = "## A public file\n"
"""Heading of the part that needs one; it stands by itself."""
_NAMED = re.compile(r"# (\S+\.yaml)\n")
_BLOCK = re.compile(r"```(\w+)\n(.*?)```\n?", re.DOTALL)


class Block(NamedTuple):
    """A part of the page: ``bash``, ``yaml``, ``python``, ``text`` (what the one before prints), or prose (empty)."""

    kind: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    end = 0
    for found in _BLOCK.finditer(page):
        yield Block("", page[end : found.start()])
        yield Block(found[1], found[2])
        end = found.end()
    yield Block("", page[end:])


def parts(page: str) -> list[str]:
    """The page before its part on a public file, that part, and the rest."""
    before, heading, after = page.partition(PUBLIC)
    part, end, rest = after.partition("\n## ")
    return [before, heading + part, end + rest]


def run(page: str, folder: Path) -> str:
    """The page with what its Python blocks print now; files are written to ``folder``."""
    names: dict[str, Any] = {}
    printed, parts = "", []
    with contextlib.chdir(folder):
        for kind, text in blocks(page):
            if kind == "bash":
                for line in text.splitlines():
                    program, *arguments = shlex.split(line.removeprefix("python -m "))
                    assert program == "sqlgen"
                    outcome = sqlgen(*arguments)
                    assert outcome.code == 0, outcome.out + outcome.err
            elif kind == "yaml":
                Path(_named(text)).write_text(text, encoding="utf-8")
            elif kind == "python":
                assert not printed, f"the page does not show {printed!r}"
                output = io.StringIO()
                with contextlib.redirect_stdout(output):
                    exec(compile(text, str(PAGE), "exec"), names)  # the page is ours
                printed = output.getvalue()
            shown = text
            if kind == "text":
                shown, printed = printed, ""
            parts.append(f"```{kind}\n{shown}```\n" if kind else shown)
    return "".join(parts)


def notebook(page: str) -> str:
    """The page as a notebook (nbformat 4.5): commands with an exclamation mark, outputs where they are printed."""
    cells: list[dict[str, Any]] = []
    for kind, text in blocks(page):
        if kind == "text":
            cells[-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": _lines(text)}]
        elif text.strip():
            source = {"bash": "!" + text.strip().replace("\n", "\n!"), "yaml": f"%%writefile {_named(text)}\n{text}"}
            cell = {"id": f"cell-{len(cells)}", "metadata": {}, "source": _lines(source.get(kind, text).strip())}
            code = {"cell_type": "code", "execution_count": None, "outputs": []} if kind else {"cell_type": "markdown"}
            cells.append(cell | code)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    document = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _named(text: str) -> str:
    """Name of the file that a YAML block is."""
    found = _NAMED.match(text)
    return found[1] if found else "models.yaml"


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
