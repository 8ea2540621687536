"""Real excerpts of what people have: recognised as what they are or refused in words, and the printed entry runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from sqlgen.templating.templates import Library
from tests.support.engine import ROOT, published, sqlgen
from tests.support.excerpts import EXCERPTS
from tests.support.unknown import MODELS

pytestmark = pytest.mark.slow

SHARED = ROOT.parent / "shared"


def copied(name: str, folder: Path) -> Path:
    """The lake of an excerpt, writable; skips where it is not there."""
    if name.startswith("data/"):
        files = sorted(SHARED.glob(name))
        target = folder / "lake/raw/x"
        target.mkdir(parents=True)
    else:
        files = [file for file in (SHARED / name / "lake").rglob("*") if file.is_file()]
        if (SHARED / name / "hive").is_dir() and not files:
            files = []
    if not files:
        pytest.skip(f"the excerpt {SHARED / name} is not there")
    for file in files:
        target = folder / "lake/raw/x" if name.startswith("data/") else folder / file.parent.relative_to(SHARED / name)
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / file.name)
    return folder / "lake"


@pytest.mark.parametrize("name", EXCERPTS)
def test_excerpts(name: str, tmp_path: Path) -> None:
    expected = EXCERPTS[name]
    lake = copied(name, tmp_path)
    outcome = sqlgen("inspect", lake / "raw", "--lake", lake, "--json")
    found = outcome.json
    said = [
        *(note for finding in found["findings"] for note in finding["notes"]),
        *(why for finding in found["findings"] for choice in finding["others"] for why in choice["why"]),
    ]
    assert {entry["adapter"] for entry in found["sources"].values()} == {*expected.rows}, found
    assert outcome.code == (0 if expected.rows else 1)
    assert not expected.says or any(expected.says in note for note in said), said
    if expected.rows:
        assert counts(tmp_path, found) == expected.rows


def counts(folder: Path, found: dict[str, Any]) -> dict[str, int]:
    """Rows that the printed entry publishes, by adapter."""
    config: dict[str, Any] = {"version": 1, "lake": "lake", **yaml.safe_load(found["yaml"]), "models": {}}
    kinds = [part["kind"] for finding in found["findings"] for part in finding["contents"]]
    for (name, _), kind in zip(found["sources"].items(), kinds, strict=True):
        template, entry = MODELS[kind]
        model = {"sql": template, "inputs": {entry: name}, "output": {"path": f"out/{name}"}}
        config["models"][name] = model | ({"udfs": "book"} if kind == "updates" else {})
    (folder / "models.yaml").write_text(yaml.safe_dump(config))
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    rows: dict[str, int] = {}
    for name, source in found["sources"].items():
        table = folder / f"lake/out/{name}"
        count = published(table).num_rows if list(table.rglob("*.parquet")) else 0
        rows[source["adapter"]] = rows.get(source["adapter"], 0) + count
    return rows


def test_every_excerpt_names_an_adapter() -> None:
    names = {name.removeprefix("sources/").removesuffix(".sql.j2") for name in Library().names()}
    assert {adapter for excerpt in EXCERPTS.values() for adapter in excerpt.rows} <= names


def test_no_excerpt_is_left_out() -> None:
    there = {file.name for file in (SHARED / "data").glob("*") if file.name != "README.md"}
    patterns = [name.removeprefix("data/") for name in EXCERPTS if name.startswith("data/")]
    assert all(any(Path(name).match(pattern) for pattern in patterns) for name in there)
    folders = {folder.name for folder in (SHARED / "cases/F16-not-recognised").glob("*") if folder.is_dir()}
    assert folders <= {Path(name).name for name in EXCERPTS}
