"""``sqlgen catalog --ducklake``: published tables in a DuckLake catalog, where DuckDB has the extension."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.support.scratch import BTC, DAY1, DAY2, ETH, Scratch


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    scratch = Scratch(tmp_path_factory.mktemp("ducklake") / "it's")
    scratch.config["models"]["costs"]["description"] = "What it's worth"
    scratch.save()
    for symbol, day in ((BTC, DAY1), (BTC, DAY2), (ETH, DAY1)):
        scratch.trades(symbol, day, [100.0, 101.0])
    scratch.run()
    return scratch


def loads() -> bool:
    try:
        with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
            connection.execute("LOAD ducklake")
    except duckdb.Error:
        return False
    return True


def test_the_sql(built: Scratch, tmp_path: Path) -> None:
    """A table each, with the types of its rows, and every published file by its own name; nothing is written."""
    path = tmp_path / "all.ducklake"
    text = built.sqlgen("catalog", "--ducklake", path, "--stdout").out
    assert text.startswith(f"ATTACH 'ducklake:{path}' AS ducklake (DATA_PATH '{path}.files/');\nBEGIN TRANSACTION;\n")
    assert text.endswith("COMMIT;\nDETACH ducklake;\n")
    assert "COMMENT ON TABLE ducklake.costs IS 'What it''s worth';" in text
    for table in ("costs", "pairs"):
        files = sorted(str(file) for file in (built.lake / "out" / table).rglob("*.parquet"))
        assert len(files) == 3
        calls = [
            line
            for line in text.splitlines()
            if line.startswith(f"CALL ducklake_add_data_files('ducklake', '{table}', ")
        ]
        quoted = [file.replace("'", "''") for file in files]
        options = "hive_partitioning => true, allow_missing => true);"
        assert calls == [f"CALL ducklake_add_data_files('ducklake', '{table}', '{one}', {options}" for one in quoted]
    create = text[text.index("CREATE TABLE ducklake.costs AS\n") : text.index("COMMENT ON")]
    with duckdb.connect() as connection:
        found = connection.execute(create.partition(" AS\n")[2].strip().rstrip(";")).description
    assert [name for name, *_ in found or ()] == ["exchange", "symbol", "date", "ts", "seq", "trade_id", "cost"]
    assert not any(tmp_path.iterdir())


def test_without_the_extension(built: Scratch, tmp_path: Path) -> None:
    """A message says how to get it and what to do without; what is there stays."""
    if loads():
        pytest.skip("DuckDB has the extension ducklake here")
    outcome = built.sqlgen("catalog", "--ducklake", tmp_path / "all.ducklake")
    assert (outcome.code, outcome.out) == (2, "")
    assert f"DuckDB {duckdb.__version__} does not load its extension ducklake (" in outcome.err
    assert "INSTALL ducklake" in outcome.err
    assert "With --stdout, the SQL is printed" in outcome.err
    assert not any(tmp_path.iterdir())


def test_refusals(built: Scratch, tmp_path: Path) -> None:
    there = tmp_path / "mine.ducklake"
    there.write_bytes(b"mine")
    outcome = built.sqlgen("catalog", "--ducklake", there)
    assert outcome.code == 2
    assert f"{there} exists. --overwrite writes it anew" in outcome.err
    assert there.read_bytes() == b"mine"
    outcome = built.sqlgen("catalog", "--overwrite")
    assert outcome.code == 2
    assert "--overwrite is for --ducklake" in outcome.err
    empty = Scratch(tmp_path / "empty")
    outcome = empty.sqlgen("catalog", "--ducklake", tmp_path / "all.ducklake")
    assert outcome.code == 2
    assert "nothing to register. Build first: sqlgen run" in outcome.err


def test_registration(built: Scratch, tmp_path: Path) -> None:
    if not loads():
        pytest.skip("DuckDB's extension ducklake does not load here")
    path = tmp_path / "all.ducklake"
    for arguments in ((), ("--overwrite",)):
        outcome = built.sqlgen("catalog", "--ducklake", path, *arguments)
        assert outcome.code == 0, outcome.err
        assert outcome.out.startswith("costs: 3 files\npairs: 3 files\n")
        with duckdb.connect() as connection:
            connection.execute("LOAD ducklake")
            connection.execute(f"ATTACH 'ducklake:{path}' AS lake (READ_ONLY)")
            rows = connection.execute("SELECT symbol, date, cost FROM lake.costs ORDER BY ALL").fetchall()
        assert [(symbol, str(date), cost) for symbol, date, cost in rows] == sorted(built.costs())
