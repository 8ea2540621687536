"""docs/sources.md: it names every adapter and option, and its examples load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sqlgen.project import project
from sqlgen.templating.templates import Library
from tests.support.engine import ROOT

TEXT = (ROOT / "docs/sources.md").read_text(encoding="utf-8").partition("# Vendors' files")[0]
ADAPTERS = [
    name.removeprefix("sources/").removesuffix(".sql.j2")
    for name in Library().names()
    if name.startswith("sources/") and name != "sources/published.sql.j2"
]
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_adapter_and_its_options_are_there(adapter: str) -> None:
    assert f"`{adapter}`" in TEXT
    for option in Library().header(f"sources/{adapter}.sql.j2").options:
        assert f"`{option}`" in TEXT, option


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_load(text: str, tmp_path: Path) -> None:
    made = yaml.safe_load(text)
    made["models"] = {
        name: {"sql": "trades/features.sql.j2", "inputs": {"trades": name}, "output": {"path": f"out/{name}"}}
        for name in made["sources"]
    }
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"version": 1, "lake": "lake", **made}))
    assert project.load(tmp_path / "models.yaml").models.keys() == made["sources"].keys()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 2
