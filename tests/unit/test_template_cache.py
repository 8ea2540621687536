"""Compiled templates on disk: used again, and compiled anew where they are damaged."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from sqlgen.templating import bytecode, templates

TEXT = "SELECT {{ 1 + 2 }} AS three"


def rendered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """A template as a new process renders it, and the names of the templates that it compiled."""
    compiled: list[str] = []
    real = jinja2.Environment.compile

    def counted(self: jinja2.Environment, source: str, name: str, *arguments: object) -> object:
        compiled.append(name)
        return real(self, source, name, *arguments)

    with monkeypatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr(bytecode, "CACHE", bytecode.Bytecode())
        patch.setattr(jinja2.Environment, "compile", counted)
        return templates.Library(folder).render("mine.sql.j2"), compiled


def test_each_text_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.sql.j2").write_text(TEXT)
    assert rendered(tmp_path, monkeypatch) == ("SELECT 3 AS three", ["mine.sql.j2"])
    assert rendered(tmp_path, monkeypatch) == ("SELECT 3 AS three", [])
    (tmp_path / "mine.sql.j2").write_text(TEXT.replace("2", "3"))
    assert rendered(tmp_path, monkeypatch) == ("SELECT 4 AS three", ["mine.sql.j2"])


@pytest.mark.parametrize("cut", [0, 1, 30, 60])
def test_a_damaged_file_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    (tmp_path / "mine.sql.j2").write_text(TEXT)
    rendered(tmp_path, monkeypatch)
    [file] = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    for damaged in (file.read_bytes()[:cut], file.read_bytes()[:cut] + b"\xff" * 40):
        file.write_bytes(damaged)
        assert rendered(tmp_path, monkeypatch) == ("SELECT 3 AS three", ["mine.sql.j2"])


def test_no_folder_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.sql.j2").write_text(TEXT)
    (tmp_path / "cache").write_text("no folder")
    assert rendered(tmp_path, monkeypatch)[0] == "SELECT 3 AS three"


def test_expressions_of_headers_are_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, compiled, real = templates.packaged().environment, list[str](), bytecode._compiled
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(bytecode, "_compiled", lambda found, text: compiled.append(text) or real(found, text))
    for _ in range(2):
        monkeypatch.setattr(bytecode, "CACHE", bytecode.Bytecode())
        bytecode.expression.cache_clear()
        assert bytecode.expression(environment, "one | abs + 1")(one=-2) == 3
    assert compiled == ["one | abs + 1"]
    with pytest.raises(jinja2.TemplateSyntaxError, match="chunk after expression"):
        bytecode.expression(environment, "1 2")
