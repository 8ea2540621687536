"""`inspect --write`: the entries and models that it adds to models.yaml load and run, and what was there stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.e2e.test_streams import CHANGES, SOLD, record
from tests.support.engine import published, sqlgen
from tests.support.streams import TRADES, UPDATES, text


@pytest.mark.slow
def test_a_file_is_made_and_added_to(tmp_path: Path) -> None:
    """Twice: names that are taken get a number, and comments stay."""
    okx = [*record(UPDATES["okx/books"], CHANGES), *record(TRADES["okx/trades"], SOLD)]
    (tmp_path / "lake/raw/okx").mkdir(parents=True)
    (tmp_path / "lake/raw/okx/a.ndjson").write_text(text(okx))
    file = tmp_path / "models.yaml"
    arguments = ("inspect", tmp_path / "lake/raw", "--lake", tmp_path / "lake", "--write", file)
    outcome = sqlgen(*arguments)
    assert outcome.code == 0, outcome.out + outcome.err
    assert f"added to {file}: okx_books, okx_trades" in outcome.out
    file.write_text(file.read_text().replace("sources:", "sources: # mine"))
    assert "okx_books_2, okx_trades_2" in sqlgen(*arguments).out
    assert "sources: # mine" in file.read_text()
    made = yaml.safe_load(file.read_text())
    assert made["lake"] == "lake"
    assert made["sources"]["okx_books_2"] == made["sources"]["okx_books"]
    assert len(made["models"]) == 10
    outcome = sqlgen("run", file)
    assert outcome.code == 0, outcome.out + outcome.err
    assert published(tmp_path / "lake/processed/okx_books_book").num_rows == 2 * len(CHANGES)
    assert published(tmp_path / "lake/processed/okx_trades_2_features").num_rows == 2 * len(SOLD)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("mine", "no project file, which has mappings of sources and models"),
        ("- a\n- b\n", "no project file"),
        ("sources: [a]\n", "no project file"),
        ("a: &x [*x]\n", "an anchor that contains itself"),
        ("lake: 'lake\n", "not valid YAML"),
        ("sources: {raw: {path: raw, adapter: ccxt/trades}}\nmodels: {}\n", "indented by two spaces"),
        ("sources:\n    raw: {path: raw, adapter: ccxt/trades}\n", "indented by two spaces"),
    ],
)
def test_a_file_that_nothing_can_be_added_to_stays(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "lake/raw").mkdir(parents=True)
    (tmp_path / "lake/raw/a.ndjson").write_text(text(list(record(TRADES["okx/trades"], SOLD))))
    file = tmp_path / "models.yaml"
    file.write_text(content)
    outcome = sqlgen("inspect", tmp_path / "lake", "--lake", tmp_path / "lake", "--write", file)
    assert (outcome.code, said in outcome.err) == (2, True), outcome
    assert file.read_text() == content


@pytest.mark.slow
def test_files_that_lie_in_the_lake_itself(tmp_path: Path) -> None:
    for folder in ("lake", "lake/raw"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.ndjson").write_text(text(list(record(TRADES["okx/trades"], SOLD))))
    file = tmp_path / "models.yaml"
    outcome = sqlgen("inspect", tmp_path / "lake", "--lake", tmp_path / "lake", "--write", file)
    assert f"{tmp_path}/lake is no folder below the lake {tmp_path}/lake, which a source needs" in outcome.out
    assert [*yaml.safe_load(file.read_text())["sources"]] == ["okx_trades"]


@pytest.mark.slow
def test_another_lake_and_nothing_found(tmp_path: Path) -> None:
    (tmp_path / "lake/raw/okx").mkdir(parents=True)
    (tmp_path / "lake/raw/okx/a.ndjson").write_text(text(list(record(TRADES["okx/trades"], SOLD))))
    file = tmp_path / "models.yaml"
    file.write_text("version: 1\nlake: elsewhere\nsources: {}\nmodels: {}\n")
    outcome = sqlgen("inspect", tmp_path / "lake/raw", "--lake", tmp_path / "lake", "--write", file)
    assert outcome.code == 2
    assert "has the lake" in outcome.out + outcome.err
    (tmp_path / "lake/raw/okx/a.ndjson").write_text("nothing\nat all\n")
    outcome = sqlgen("inspect", tmp_path / "lake/raw", "--lake", tmp_path / "lake", "--write", file)
    assert "nothing was recognised" in outcome.out + outcome.err
    assert file.read_text() == "version: 1\nlake: elsewhere\nsources: {}\nmodels: {}\n"
