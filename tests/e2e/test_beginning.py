"""``sqlgen init`` and ``sqlgen eject``: a new user's first commands, on nothing and on files of a vendor."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

from sqlgen.operate.starter import shipped_models
from tests.e2e.test_streams import SOLD, record
from tests.support.engine import ROOT, published, sqlgen
from tests.support.lakes import write_trades
from tests.support.realdata import data_file
from tests.support.streams import TRADES, text

ONE = {"price": 1.0, "amount": 2.0, "side": "buy", "timestamp": 1_767_225_600_000}


@pytest.mark.slow
def test_from_nothing_to_bars(tmp_path: Path) -> None:
    """The commands that init prints, one after the other; each row of the own template is one of the trades."""
    project = tmp_path / "mine"
    outcome = sqlgen("init", project)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[-1] == f"Next: cd {project}; sqlgen sample lake; sqlgen run; sqlgen shell"
    assert sqlgen("sample", project / "lake", "--symbols", 1, "--days", 1, "--rows-per-day", 300).code == 0
    outcome = sqlgen("run", project / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    trades = published(project / "lake/processed/trades/features")
    large = published(project / "lake/processed/trades/large")
    values = [row["price"] * row["amount"] for row in trades.select(["price", "amount"]).to_pylist()]
    assert large["value"].to_pylist() == [value for value in values if value >= 10_000] != []
    assert set(published(project / "lake/processed/trades/bars")["bar_seconds"].to_pylist()) == {60, 3600}


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "transforms_sql").mkdir()
    own = tmp_path / "transforms_sql/large_trades.sql.j2"
    own.write_text("mine")
    outcome = sqlgen("init", tmp_path)
    assert (outcome.code, outcome.err) == (2, f"error: {own} is there already. Nothing was written\n")
    assert not (tmp_path / "models.yaml").exists()
    own.unlink()
    assert sqlgen("init", tmp_path).code == 0
    before = (tmp_path / "models.yaml").read_text()
    for more in ((), ("--all",), ("--from", ROOT)):
        outcome = sqlgen("init", tmp_path, *more)
        assert outcome.code == 2
        assert "models.yaml is there already, and is left as it is. `sqlgen inspect PATH --write" in outcome.err
    assert (tmp_path / "models.yaml").read_text() == before


def test_the_shipped_models(tmp_path: Path) -> None:
    """They are in the wheel, and init writes them."""
    assert sqlgen("init", tmp_path / "all", "--all").code == 0
    assert (tmp_path / "all/models.yaml").read_text() == (ROOT / "models.yaml").read_text()
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert built["force-include"] == {"models.yaml": "sqlgen/models.yaml"}
    assert shipped_models() == ROOT / "models.yaml"
    assert sqlgen("init", tmp_path / "b", "--all", "--from", ROOT).code == 2


@pytest.mark.slow
def test_files_of_a_vendor_stay_where_they_are(tmp_path: Path) -> None:
    """Four commands from a folder of downloads to bars; nothing is written into it."""
    downloads = tmp_path / "downloads/okx"
    downloads.mkdir(parents=True)
    (downloads / "a.ndjson").write_text(text([*record(TRADES["okx/trades"], SOLD)]))
    (downloads / "what.csv").write_text("nothing\nat all\n")
    outcome = sqlgen("init", tmp_path / "project", "--from", downloads)
    assert outcome.code == 1  # one file is not recognised
    assert "okx/trades (certain): 1 file(s), for example " in outcome.out
    assert "not recognised: 1 file(s), for example " in outcome.out
    file = tmp_path / "project/models.yaml"
    made = yaml.safe_load(file.read_text())
    assert made["sources"]["okx_trades"]["path"] == "raw/okx"
    assert made["models"]["okx_trades_bars"]["inputs"] == {"trades": "okx_trades"}
    outcome = sqlgen("run", file)
    assert outcome.code == 0, outcome.out + outcome.err
    assert published(tmp_path / "project/lake/processed/okx_trades_features").num_rows == 2 * len(SOLD)
    assert sorted(path.name for path in downloads.iterdir()) == ["a.ndjson", "what.csv"]


@pytest.mark.slow
def test_the_exchange_of_a_folder_above_is_kept(tmp_path: Path) -> None:
    """Hive folders name symbol and date; the exchange is that of a folder above the path that is given."""
    write_trades(tmp_path / "x", "kraken", "BTC-USD", "2026-01-01", [ONE])
    (tmp_path / "kraken").mkdir()
    (tmp_path / "x/raw/ccxt/trades/exchange=kraken").rename(tmp_path / "kraken/dump")
    assert sqlgen("init", tmp_path / "p", "--from", tmp_path / "kraken/dump").code == 0
    made = yaml.safe_load((tmp_path / "p/models.yaml").read_text())
    (source,) = made["sources"].values()
    assert (source["path"], source["exchange"]) == ("raw/kraken/dump", "kraken")
    outcome = sqlgen("coverage", "--project", tmp_path / "p/models.yaml")  # by a pattern, through the link
    assert (outcome.code, "BTC-USD" in outcome.out) == (0, True), outcome.err


def test_bars_of_a_few_seconds_where_there_are_no_minutes(tmp_path: Path) -> None:
    trades = [{"price": 1.0, "amount": 2.0, "timestamp": 1_767_225_600_000 + 500 * number} for number in range(20)]
    write_trades(tmp_path / "lake", "okx", "BTC-USD", "2026-01-01", trades)
    assert sqlgen("init", tmp_path, "--from", tmp_path / "lake/raw").code == 0
    assert not list((tmp_path / "lake").rglob("*link*"))  # in the lake already
    outcome = sqlgen("run", tmp_path / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    assert published(tmp_path / "lake/processed/ccxt_trades_bars").num_rows > 5


@pytest.mark.parametrize("place", ["nowhere", ".", "empty"])
def test_nothing_is_left_where_nothing_is_found(tmp_path: Path, place: str) -> None:
    downloads = tmp_path / "downloads"
    (downloads / "empty").mkdir(parents=True)
    (downloads / "what.csv").write_text("nothing\nat all\n")
    outcome = sqlgen("init", tmp_path / "project", "--from", downloads / place)
    assert outcome.code == 2
    said = {"nowhere": "no such file", ".": "no file is recognised", "empty": "no files"}[place]
    assert f"{downloads / place}: {said}" in outcome.err
    assert not (tmp_path / "project").exists()
    outcome = sqlgen("init", downloads / "project", "--from", downloads)
    assert outcome.code == 2
    assert "would lie in the folder of its own data" in outcome.err
    assert not (downloads / "project").exists()


@pytest.mark.slow
def test_eject(tmp_path: Path) -> None:
    """The copy counts, and makes nothing stale until it is changed."""
    sqlgen("init", tmp_path)
    file = tmp_path / "models.yaml"
    write_trades(tmp_path / "lake", "okx", "BTC-USD", "2026-01-01", [ONE])
    assert sqlgen("run", file).code == 0
    outcome = sqlgen("eject", "trades/features", "trades/bars.sql.j2", "--project", file)
    own = tmp_path / "transforms_sql/trades/features.sql.j2"
    assert outcome.out.splitlines()[0] == str(own)
    assert own.read_text() == (ROOT / "transforms_sql/trades/features.sql.j2").read_text()
    assert sqlgen("plan", file).out == "0 partition(s) to build, 3 up to date\n"
    own.write_text(own.read_text() + "LIMIT 5\n")
    assert "1 partition(s) to build, 2 up to date\n" in sqlgen("plan", file).out
    outcome = sqlgen("eject", "trades/features", "--project", file)
    assert (outcome.code, outcome.err) == (2, f"error: {own} is there already, and is left as it is\n")
    outcome = sqlgen("eject", "trades/featurs", "--project", file)
    assert outcome.code == 2
    assert "Did you mean 'trades/features.sql.j2'?" in outcome.err
    outcome = sqlgen("eject", "bars", "--project", file)
    assert (
        "Did you mean 'orderbook/bars.sql.j2' or 'sources/generic/bars.sql.j2' or 'trades/bars.sql.j2'?" in outcome.err
    )
    assert "Did you mean" not in sqlgen("eject", "nosuch", "--project", file).err
    outcome = sqlgen("eject", "queries/view", "--project", file)
    assert (outcome.code, "is the engine's own" in outcome.err) == (2, True)


@pytest.mark.slow
def test_real_files(tmp_path: Path) -> None:
    """Files of trades and books become bars."""
    downloads = data_file("README.md").parent
    assert sqlgen("init", tmp_path / "p", "--from", downloads).code == 0
    file = tmp_path / "p/models.yaml"
    assert sqlgen("check", file).code == 0
    outcome = sqlgen("run", file, "--select", "*trades_bars,+databento_mbp10_bars")
    assert outcome.code == 0, outcome.out + outcome.err
    for name in ("lobster_trades", "generic_trades", "databento_trades", "databento_mbp10"):
        assert published(tmp_path / f"p/lake/processed/{name}_bars").num_rows > 20, name
