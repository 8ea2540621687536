"""The version of a kernel and its source change together: published numbers are told stale by the version alone.

``kernels.json`` holds, of each kernel, its version and a digest of the code that it runs: its module and all of
``udfs`` that this imports, without comments and docstrings. Where a digest changes and numbers do too, raise the
version; then, or where they do not, write the file anew with SQLGEN_WRITE_GOLDEN=1.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from pathlib import Path

from tests.support.engine import ROOT
from udfs.kernel import Kernel
from udfs.registry import registry

FILE = Path(__file__).with_name("kernels.json")
NOT_NUMBERS = ("udfs.registry", "udfs.faults", "udfs.jit", "udfs.options")
"""Modules that compute nothing."""


def path_of(name: str) -> Path:
    """File of a module or a package of ``udfs``."""
    path = ROOT / name.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(name: str, found: set[str]) -> set[str]:
    """A module of ``udfs`` and those that it imports."""
    if name in found or name in NOT_NUMBERS or not path_of(name).exists():
        return found
    found.add(name)
    for node in ast.walk(ast.parse(path_of(name).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("udfs."):
            for module in (node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)):
                imported(module, found)
    return found


def code(name: str) -> str:
    """The code of a module, without comments and docstrings."""
    tree = ast.parse(path_of(name).read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def source(kernel: type[Kernel]) -> dict[str, object]:
    """Version of a kernel and digest of its code."""
    names = sorted(imported(kernel.__module__, set()))
    digest = hashlib.blake2b("\n".join(code(name) for name in names).encode(), digest_size=8)
    return {"version": kernel.version, "code": digest.hexdigest()}


def test_version_and_source_change_together() -> None:
    now = {name: source(kernel) for name, kernel in sorted(registry().items())}
    if os.environ.get("SQLGEN_WRITE_GOLDEN"):
        FILE.write_text(json.dumps(now, indent=1) + "\n")
    known = json.loads(FILE.read_text())
    changed = [name for name in now if now[name] != known.get(name)]
    assert (changed, sorted(known)) == ([], sorted(now)), (
        "the code of these kernels changed: raise their versions if their numbers did; then, or if they did not,"
        " write the file anew with SQLGEN_WRITE_GOLDEN=1"
    )


def test_only_code_counts() -> None:
    text = (ROOT / "udfs/quotes/segments.py").read_text()
    assert '"""' in text
    assert "#" in text
    assert not {'"""', "#"} & {*code("udfs.quotes.segments").split()}
    assert "find_starts" in code("udfs.quotes.segments")
    assert {"udfs.quotes.segments", "udfs.kernel"} <= imported("udfs.quotes.segments", set())
    assert "udfs.jit" not in imported("udfs.quotes.segments", set())
