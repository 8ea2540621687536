"""What sqlgen did not publish is never replaced or removed; what it did publish is known without the state folder."""

from __future__ import annotations

import os
import shutil
import urllib.parse
from pathlib import Path

import pytest

from sqlgen.lake import swap
from sqlgen.published import footers
from sqlgen.run.engine import Engine
from tests.e2e.test_safety import PASS, copy, prices
from tests.support.engine import sqlgen
from tests.support.scratch import BTC, DAY1, DAY2, DAY3, ETH, LEDGER, Scratch

UNIT = f"exchange=binance/symbol={BTC}/date={DAY1}"


@pytest.fixture
def single(scratch: Scratch) -> Scratch:
    """One model, ``costs``, that passes trades on; a partition of it is published."""
    del scratch.config["models"]["pairs"]
    scratch.template("costs.sql.j2", PASS)
    scratch.save()
    scratch.trades(BTC, DAY1, [1.0])
    scratch.run()
    return scratch


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(project: Scratch, *phrases: str, model: str = "costs") -> None:
    """No way of running touches the table; ``plan`` and each run say why."""
    folder = project.lake / project.config["models"][model]["output"]["path"]
    before = content(folder)
    plan = project.sqlgen("plan", "--select", model)
    outcomes = [project.sqlgen("run", "--select", model, *more) for more in ((), ("--full-refresh",), ("--prune",))]
    for outcome in (plan, *outcomes):
        for phrase in (f"model '{model}'", *phrases, "neither replaced nor removed"):
            assert phrase in outcome.out, outcome.out
    assert [outcome.code for outcome in outcomes] == [1, 1, 1]
    assert content(folder) == before


def copies(folder: Path, times: int) -> None:
    for number in range(times):
        (folder / f"note {number}.csv").write_text("mine")


# Files of others


@pytest.mark.parametrize(
    "place",
    ["data.csv", "deep/er/data.csv", f"{UNIT}/precious.parquet", f"{UNIT}/notes.txt", "exchange=x/data_0.parquet"],
)
def test_a_file_in_the_folder_of_a_table(single: Scratch, place: str) -> None:
    path = single.lake / "out/costs" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        copy("SELECT 1 AS price", path)
    else:
        path.write_text("a,b\n1,2\n")
    single.trades(BTC, DAY1, [1.0, 2.0])
    refused(single, str(path))
    path.unlink()
    single.run()
    assert prices(single) == [1.0, 2.0]


def test_a_new_path_over_a_folder_of_the_user(single: Scratch) -> None:
    folder = single.lake / "mine"
    copy("SELECT 1 AS price", folder / UNIT / "data_0.parquet")
    copies(folder, 7)
    single.model("costs", output={"path": "mine"})
    refused(single, str(folder / UNIT / "data_0.parquet"), "and 5 more", "another output.path")


def test_a_file_that_took_the_name_of_a_published_one(single: Scratch) -> None:
    [file] = (single.lake / "out/costs" / UNIT).iterdir()
    copy("SELECT 1 AS price", file)
    refused(single, f"{file.name} (sqlgen did not write it)")


def test_a_copy_of_a_published_file(single: Scratch) -> None:
    """Readers see its rows twice."""
    [file] = (single.lake / "out/costs" / UNIT).iterdir()
    shutil.copy(file, file.with_name("backup.parquet"))
    refused(single, "backup.parquet (it is a copy of a published file)")
    file.with_name("backup.parquet").unlink()
    shutil.copytree(file.parent, file.parent.with_name("date=2026-01-09"))
    refused(single, f"date=2026-01-09/{file.name} (it is a copy of a published file)")


def test_a_table_behind_a_link(single: Scratch) -> None:
    elsewhere = single.folder / "elsewhere"
    elsewhere.mkdir()
    (single.lake / "out").mkdir(exist_ok=True)
    shutil.rmtree(single.lake / "out/costs", ignore_errors=True)
    (single.lake / "out/costs").symlink_to(elsewhere)
    single.run()
    single.model("costs", output={"partition_by": ["exchange", "date"]})
    single.run("--full-refresh")
    assert (single.lake / "out/costs").is_symlink()
    assert single.table("costs").num_rows == 1
    assert {path.parent.name.partition("=")[0] for path in elsewhere.rglob("*.parquet")} == {"date"}


def test_compiled_files_replace_no_others(single: Scratch) -> None:
    folder = single.folder / "mine"
    for _ in range(2):
        assert single.sqlgen("compile", "--output", folder).code == 0
    theirs = folder / "costs.sql"
    theirs.write_text("-- costs of mine")
    outcome = single.sqlgen("compile", "--output", folder)
    assert (outcome.code, f"{theirs} is there already, and no compiled file" in outcome.err) == (2, True), outcome
    assert theirs.read_text() == "-- costs of mine"


@pytest.mark.parametrize(
    ("command", "place"),
    [
        (("catalog",), "target/catalog.sql"),
        (("compile",), "target/compiled/costs.sql"),
        (("compile", "--column", "price"), "target/compiled/costs.price.sql"),
        (("query", "--format", "csv", "--output", "rows.csv"), "rows.csv"),
        (("query", "--format", "json", "--output", "models.yaml"), "models.yaml"),
        (("schema", "--output", "models.yaml"), "models.yaml"),
    ],
)
def test_commands_that_write_replace_no_others(
    single: Scratch, command: tuple[str, ...], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(single.folder)
    name, *options = command
    text = [] if name != "query" else ["FROM costs"]
    theirs = single.folder / place
    if not theirs.exists():
        assert sqlgen(name, *text, *options).code == 0
        if name != "query":
            assert sqlgen(name, *text, *options).code == 0  # its own is written anew
        theirs.write_text("mine")
    before = theirs.read_text()
    outcome = sqlgen(name, *text, *options)
    assert (outcome.code, f"{place} is there already" in outcome.err) == (2, True), outcome
    assert theirs.read_text() == before
    if name == "query":
        assert sqlgen(name, *text, *options, "--overwrite").code == 0
        assert theirs.read_text() != before


def test_doctor_removes_what_is_its_own(single: Scratch) -> None:
    """Of folders that are only called like those of sqlgen, and of files beside its own, nothing goes."""
    state = single.lake / ".sqlgen"
    names = ["kernels/mine/notes.txt", "runs/notes.json", "settled-mine.json", ".mine.12.draft", "runs/.x.1.draft"]
    gone = state / "kernels/mine/exchange=x/0123.state"
    gone.parent.mkdir(parents=True)
    for path in (*(state / name for name in names), gone):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    assert single.sqlgen("doctor", "--fix").code == 0
    assert "damaged" not in single.sqlgen("history").err
    assert [name for name in names if not (state / name).exists()] == []
    assert not gone.parent.exists()


def test_hidden_files_stay(single: Scratch) -> None:
    hidden = [single.lake / "out/costs" / place for place in (".DS_Store", f"{UNIT}/.nfs01", f"{UNIT}/_SUCCESS")]
    for path in hidden:
        path.write_text("x")
    hidden += [single.lake / "out/costs" / UNIT / name for name in ("_pipe", ".gone", "_folder")]
    os.mkfifo(hidden[-3])
    hidden[-2].symlink_to("nowhere")
    hidden[-1].symlink_to("/etc")
    folder = single.trades(BTC, DAY1, [2.0])
    single.run()
    assert prices(single) == [2.0]
    assert all(map(os.path.lexists, hidden))
    single.model("costs", output={"partition_by": ["exchange", "date"]})
    single.run("--full-refresh")
    assert prices(single) == [2.0]
    assert all(map(os.path.lexists, hidden))
    shutil.rmtree(folder)
    single.run("--prune", "--allow-empty")
    assert [str(path.relative_to(single.lake)) for path in single.lake.rglob("*.parquet")] == []
    assert all(map(os.path.lexists, hidden))


def test_a_file_that_comes_while_a_run_works(single: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = single.lake / "out/costs" / UNIT / "precious.parquet"
    single.trades(BTC, DAY1, [2.0])
    read = footers.of_own
    monkeypatch.setattr(footers, "of_own", lambda path: (copy("SELECT 1 AS x", theirs), read(path))[1])
    results = single.run(code=1)
    monkeypatch.undo()
    error = results[f"costs {BTC} {DAY1}"]["error"]
    assert f"{theirs} (sqlgen did not write it)" in error
    assert theirs.exists()
    theirs.unlink()
    assert prices(single) == [1.0]


def test_two_projects_with_one_path(single: Scratch) -> None:
    other = Scratch(single.folder.parent / "other", dict(single.config))
    other.template("costs.sql.j2", PASS)
    other.config = single.config | {"lake": str(single.lake), "state": "elsewhere"}
    other.save()
    single.trades(BTC, DAY2, [2.0])
    outcome = other.sqlgen("run", "--full-refresh")
    assert outcome.code == 1
    assert "model 'costs' of the project with the state folder '.sqlgen' published it" in outcome.out
    assert prices(single) == [1.0]
    shutil.rmtree(single.lake / ".sqlgen/manifest")  # nobody knows of it any more
    assert set(other.run()) == {f"costs {BTC} {DAY2}"}
    assert prices(single) == [1.0, 2.0]


@pytest.mark.parametrize("place", ["around", "behind a link"])
def test_two_lakes_with_one_table(single: Scratch, place: str) -> None:
    """Each has a state folder of its own; both are called .sqlgen, as they lie in their lakes."""
    other = Scratch(single.folder.parent / "other")
    other.template("costs.sql.j2", PASS)
    other.config = single.config | {"lake": str(single.folder)}
    path = "lake/out/costs"
    if place == "behind a link":
        other.config["lake"], path = "lake", "theirs"
        (other.lake / "theirs").symlink_to(single.lake / "out/costs")
        (other.lake / "lake").symlink_to(single.lake)
    other.config["sources"] = {"raw": {"path": "lake/raw/ccxt/trades", "adapter": "ccxt/trades"}}
    other.config["models"] = {"costs": single.config["models"]["costs"] | {"output": {"path": path}}}
    other.save()
    single.trades(BTC, DAY1, [2.0])
    outcome = other.sqlgen("run")
    assert outcome.code == 1
    assert f"model 'costs' of the project with the state folder '{single.lake / '.sqlgen'}' published it" in outcome.out
    assert prices(single) == [1.0]


def test_a_table_of_another_model_that_is_still_there(single: Scratch) -> None:
    single.config["models"]["second"] = single.config["models"]["costs"] | {"output": {"path": "out/second"}}
    single.save()
    single.run()
    single.config["models"]["costs"]["output"] = {"path": "out/second"}
    single.config["models"]["second"]["output"] = {"path": "out/costs"}
    single.save()
    refused(single, "model 'second' published it")


def test_a_model_that_is_renamed_takes_its_table_over(single: Scratch) -> None:
    single.config["models"]["trades"] = single.config["models"].pop("costs")
    single.save()
    assert single.run() == {}
    single.trades(BTC, DAY1, [1.0, 2.0])
    assert set(single.run()) == {f"trades {BTC} {DAY1}"}
    assert prices(single, "trades") == [1.0, 2.0]


def test_a_table_of_an_earlier_version(single: Scratch) -> None:
    folder = single.lake / "out/costs" / UNIT
    copy("SELECT 1 AS price", folder / "data_0.parquet")
    (folder / "_sqlgen.json").write_text("{}")
    refused(single, "An earlier version of sqlgen published this table: move its folder away")


def test_files_beside_quarantined_rows(single: Scratch) -> None:
    single.model("costs", checks=[{"check": "range", "columns": "price", "max": 5, "on_fail": "quarantine"}])
    single.trades(BTC, DAY1, [1.0, 9.0])
    single.run()
    theirs = single.lake / "out/costs_quarantine" / UNIT / "mine.parquet"
    assert len(list(theirs.parent.iterdir())) == 1
    copy("SELECT 1 AS price", theirs)
    refused(single, str(theirs))
    assert theirs.exists()


@pytest.mark.parametrize("place", ["mine.txt", f"{UNIT}/mine.csv", "exchange=x/data_0.parquet"])
def test_plan_tells_of_files_in_the_folder_of_the_quarantine(single: Scratch, place: str) -> None:
    theirs = single.lake / "out/costs_quarantine" / place
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    refused(single, f"{theirs} (it is damaged, or no Parquet file)")
    assert theirs.read_text() == "mine"


@pytest.mark.parametrize("folder", ["costs", f"costs/{UNIT}", f"costs_quarantine/{UNIT}"])
def test_what_is_no_regular_file_in_a_table(single: Scratch, folder: str) -> None:
    """A pipe is never opened, which would wait for ever; links that lead anywhere are told."""
    place = single.lake / "out" / folder
    place.mkdir(parents=True, exist_ok=True)
    os.mkfifo(place / "pipe.parquet")
    (place / "zero.parquet").symlink_to("/dev/zero")
    (place / "folder.parquet").symlink_to(single.lake)
    refused(single, *(f"{place / name} (it is no regular file)" for name in ("pipe.parquet", "zero.parquet")))
    assert "folder.parquet (it is no regular file)" in single.sqlgen("plan", "--select", "costs").out
    for path in place.glob("[pzf]*.parquet"):
        path.unlink()
    (place / "gone.parquet").symlink_to("nowhere")
    assert "gone.parquet (it cannot be read (No such file or directory))" in single.sqlgen("run").out


# Without the state folder


def forget(project: Scratch) -> None:
    shutil.rmtree(project.lake / ".sqlgen")


@pytest.mark.parametrize("mode", ["overwrite", "append", "merge"])
def test_a_lake_tells_what_is_there(single: Scratch, mode: str) -> None:
    """The state is gone: nothing is built again, an orphan is known, and a new file is added once."""
    extra = {"key": ["trade_id"], "order_by": ["ts"]} if mode == "merge" else {}
    single.model("costs", output={"mode": mode, **extra})
    single.trades(BTC, DAY1, [1.0], name="a")
    folder = single.trades(ETH, DAY1, [5.0])
    single.run("--full-refresh")
    before = content(single.lake / "out")
    forget(single)
    assert single.plan() == {}
    shutil.rmtree(folder)
    plan = single.sqlgen("plan", "--json", "--prune").json["tasks"]
    assert [(task["action"], task["reason"]) for task in plan] == [("remove", "all its inputs are gone (--prune)")]
    assert content(single.lake / "out") == before
    single.trades(BTC, DAY1, [3.0], name="b")
    assert set(single.run("--prune")) == {f"costs {BTC} {DAY1}", f"costs {ETH} {DAY1}"}
    assert prices(single) == [1.0, 1.0, 3.0]
    forget(single)
    assert single.run() == {}


def test_a_new_layout_without_the_state_folder(single: Scratch) -> None:
    single.trades(ETH, DAY1, [2.0])
    single.run()
    forget(single)
    single.model("costs", output={"partition_by": ["exchange", "date"]})
    outcome = single.sqlgen("run")
    assert outcome.code == 1
    assert "is published by (exchange, symbol, date)" in outcome.out
    assert prices(single) == [1.0, 2.0]
    single.run("--full-refresh")
    assert prices(single) == [1.0, 2.0]
    assert single.plan() == {}


@pytest.mark.parametrize("put_back", [False, True])
def test_killed_while_a_new_layout_is_swapped_in(
    single: Scratch, monkeypatch: pytest.MonkeyPatch, put_back: bool
) -> None:
    single.trades(ETH, DAY1, [2.0])
    single.run()
    old = dict(single.config["models"]["costs"]["output"])
    single.model("costs", output={"partition_by": ["exchange", "date"]})
    real = swap.publish_folder

    def kill(staged: Path, target: Path) -> None:
        real(staged, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(swap, "publish_folder", kill)
    assert single.sqlgen("run", "--full-refresh").code == 130
    monkeypatch.undo()
    assert prices(single) == [1.0, 2.0]
    if put_back:
        single.config["models"]["costs"]["output"] = old
        single.save()
        outcome = single.sqlgen("run")
        assert (outcome.code, "is published by (exchange, date)" in outcome.out) == (1, True)
        single.run("--full-refresh")
    else:
        assert single.run() == {}
    assert prices(single) == [1.0, 2.0]
    assert single.plan() == {}


def test_kernels_without_the_state_folder(scratch: Scratch) -> None:
    """Nothing is built again until a new day needs the state."""
    scratch.kernel(LEDGER)
    scratch.model("costs", udfs=["ledger"])
    for day, price in ((DAY1, 1.0), (DAY2, 2.0)):
        scratch.trades(BTC, day, [price])
    scratch.run()
    shutil.rmtree(scratch.lake / ".sqlgen/manifest")
    assert scratch.plan() == {}
    forget(scratch)
    assert scratch.plan() == {}
    assert scratch.run() == {}
    scratch.trades(BTC, DAY3, [3.0])
    assert set(scratch.run("--select", "costs")) == {f"costs {BTC} {day}" for day in (DAY1, DAY2, DAY3)}
    assert scratch.table("costs")["before"].to_pylist() == [None, 1.0, 2.0]


def test_quarantined_rows_without_the_state_folder(single: Scratch) -> None:
    single.model("costs", checks=[{"check": "range", "columns": "price", "max": 5, "on_fail": "quarantine"}])
    single.trades(BTC, DAY1, [1.0, 9.0])
    single.run()
    forget(single)
    assert single.plan() == {}
    assert single.run() == {}
    single.trades(BTC, DAY1, [1.0, 2.0])
    single.run()
    assert not (single.lake / "out/costs_quarantine").exists()


def test_the_same_size_does_not_deceive(single: Scratch) -> None:
    """A file of the same size that is put in the place of a published one is another file."""
    [file] = (single.lake / "out/costs" / UNIT).iterdir()
    old = file.read_bytes()
    single.trades(BTC, DAY1, [7.0])
    single.run()
    [new] = (single.lake / "out/costs" / UNIT).iterdir()
    assert len(old) == new.stat().st_size
    new.write_bytes(old)
    refused(single, "it is a copy of a published file")
    new.rename(file)
    assert list(single.plan()) == [f"costs {BTC} {DAY1}"]
    single.run()
    assert prices(single) == [7.0]


def test_a_lake_that_is_copied_without_times(single: Scratch) -> None:
    out = single.lake / "out"
    shutil.copytree(out, single.lake / "again", copy_function=shutil.copyfile)
    shutil.rmtree(out)
    (single.lake / "again").rename(out)
    assert single.plan() == {}
    assert single.run() == {}


def test_texts_in_footers_are_data(single: Scratch) -> None:
    symbol = "O'REILLY\"/x\n\u2028;--"
    single.trades(BTC, DAY1, [1.0])
    folder = single.lake / "raw/ccxt/trades/exchange=binance"
    (folder / f"symbol={BTC}").rename(folder / f"symbol={urllib.parse.quote(symbol, safe='')}")
    single.run("--prune")
    assert single.table("costs")["symbol"].to_pylist() == [symbol]
    forget(single)
    assert single.run() == {}
    [record] = Engine.open(single.file).table("costs").records.values()
    assert record.partition["symbol"] == symbol
