"""docs/kernels.md lists every kernel with its columns and options, as the kernels declare them.

``SQLGEN_WRITE_GOLDEN=1`` writes the list anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from tests.support.engine import ROOT
from udfs import Kernel, registry

FILE = ROOT / "docs/kernels.md"
BEGIN, END = "<!-- kernels: made by make golden -->\n", "<!-- end of kernels -->\n"


def families(names: Iterable[str]) -> str:
    """Names, one for those that differ in the length of a window or in a level."""
    found = (re.sub(r"_\d+s$", "_{h}s", re.sub(r"_\d\d$", "_{level}", name)) for name in names)
    return ", ".join(f"`{name}`" for name in dict.fromkeys(found))


def entry(kind: type[Kernel]) -> str:
    """Description, columns and options of a kernel."""
    every = {name: option.default for kernel in registry().values() for name, option in kernel.options.items()}
    defaults = every | {name: option.default for name, option in kind.options.items()}
    columns = families(column.name for column in kind(defaults).outputs() if not column.hidden)
    options = [
        f"  - `{name}` ({'none' if option.default is None else str(option.default).lower()}): {option.doc}\n"
        for name, option in kind.options.items()
    ]
    return f"- **`{kind.name}`**: {kind.doc}. Columns: {columns}\n" + "".join(options)


def test_the_list_is_current() -> None:
    text = FILE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = before + BEGIN + "\n" + "".join(entry(kind) for _, kind in sorted(registry().items())) + "\n" + END + after
    if os.environ.get("SQLGEN_WRITE_GOLDEN"):
        FILE.write_text(wanted, encoding="utf-8")
    assert after, "docs/kernels.md has lost its list"
    assert FILE.read_text(encoding="utf-8") == wanted, "run: make golden"
