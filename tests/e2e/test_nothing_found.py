"""Nothing done where something was asked is not success: a message with names, and exit code 1."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.engine import ROOT, sqlgen
from tests.support.scratch import BTC, COSTS, DAY1, DAY2, DAY3, ETH, Scratch

CASES = ROOT.parent / "shared/cases/F08-no-files"


def says(project: Scratch, *arguments: str, text: str, status: int = 1) -> None:
    """Run and plan say so and fail, in text and JSON; with ``--allow-empty`` it is a note."""
    for command in ("plan", "run"):
        outcome = project.sqlgen(command, *arguments)
        assert (outcome.code, f"error: {text}" in outcome.out) == (status, True), outcome.out
        found = project.sqlgen(command, *arguments, "--json")
        assert found.code == status
        assert [error for error in found.json["errors"] if error.startswith(text)], found.json["errors"]
        outcome = project.sqlgen(command, *arguments, "--allow-empty")
        assert (outcome.code, f"note: {text}" in outcome.out) == (0, True), outcome.out


@pytest.fixture
def two(scratch: Scratch) -> Scratch:
    scratch.trades(BTC, DAY1, [1.0])
    scratch.trades(ETH, DAY3, [1.0])
    return scratch


def test_a_folder_that_is_not_there(scratch: Scratch) -> None:
    (scratch.lake / "raw/ccxt/trade").mkdir(parents=True)
    folder = scratch.lake / "raw/ccxt"
    says(scratch, text=f"source 'raw': no folder {folder}/trades. Did you mean '{folder}/trade'? Fix its path")


def test_files_with_another_suffix(scratch: Scratch) -> None:
    folder = scratch.lake / "raw/ccxt/trades"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text("[]")
    text = f"source 'raw': no files in {folder} that it can read: 1 file with a suffix that is not read: a.json."
    says(scratch, text=text)
    for name in ("b.txt", "c.xlsx", ".hidden.json", "_skipped.json"):
        (folder / name).write_text("")
    says(scratch, text=text.replace("1 file with", "3 files with").replace("a.json.", "a.json, b.txt, c.xlsx."))


def test_files_without_rows(scratch: Scratch) -> None:
    """Their rows would tell the partition."""
    folder = scratch.lake / "raw/ccxt/trades"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("timestamp,trade_id,side,price,amount\n")
    (folder / "b.csv").write_text("")
    scratch.config["sources"]["raw"] |= {"exchange": "x", "symbol": "y"}
    scratch.save()
    found = "raw/ccxt/trades/a.csv, raw/ccxt/trades/b.csv"
    says(scratch, text=f"source 'raw': no row in 2 file(s) in {folder}: {found}")


def test_files_with_another_suffix_beside_data_are_a_note(two: Scratch) -> None:
    (two.raw(BTC, DAY1) / "a.json").write_text("[]")
    outcome = two.sqlgen("run")
    assert outcome.code == 0
    assert "note: source 'raw': 1 file with a suffix that is not read: a.json" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("--symbol", "BTC/USDC"),
            f"no partition has symbol 'BTC/USDC'. Did you mean '{BTC}'? There are: {BTC}, {ETH}",
        ),
        (("--symbol", BTC, "--symbol", "eth"), f"no partition has symbol 'eth'. There are: {BTC}, {ETH}"),
        (("--exchange", "binanc"), "no partition has exchange 'binanc'. Did you mean 'binance'? There are: binance"),
        (("--start", "2026-02-01"), f"no partition has a date from 2026-02-01. There are dates from {DAY1} to {DAY3}"),
        (("--start", DAY2, "--end", DAY2), f"no partition has a date from {DAY2} until {DAY2}. There are dates from"),
        (("--symbol", BTC, "--start", DAY2), "none of the 2 partition(s) has all that is selected"),
    ],
)
def test_a_selection_that_no_partition_has(two: Scratch, arguments: tuple[str, ...], text: str) -> None:
    says(two, *arguments, text=text)
    two.run()
    says(two, *arguments, text=text)


def test_a_symbol_that_one_of_the_models_has(two: Scratch) -> None:
    two.run()
    two.config["models"]["costs"]["inputs"] = {"trades": {"ref": "raw", "symbol": [BTC]}}
    two.config["sources"]["again"] = {"path": "raw/ccxt/trades", "adapter": "ccxt/trades"}
    two.model("all", sql="costs.sql.j2", inputs={"trades": "again"}, output={"path": "out/all"})
    two.run("--symbol", ETH)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"symbol": "btc-usdt"}, f"no partition has symbol 'btc-usdt'. There are: {BTC}, {ETH}"),
        ({"symbol": ["BTC/USDT", "ADA"]}, f"no partition has symbol 'BTC/USDT'. Did you mean '{BTC}'?"),
        ({"exchange": "Binance"}, "no partition has exchange 'Binance'. Did you mean 'binance'? There are: binance"),
        ({"date_start": "2027-01-01"}, "no partition has a date from 2027-01-01. There are dates from"),
        ({"symbol": BTC, "date_start": DAY2}, "none of the 2 partition(s) has all that is selected"),
    ],
)
@pytest.mark.parametrize("ref", ["raw", "costs"])
def test_a_part_of_an_input_that_no_partition_has(two: Scratch, ref: str, asked: dict[str, object], text: str) -> None:
    name = "costs" if ref == "raw" else "pairs"
    entry = next(iter(two.config["models"][name]["inputs"]))
    two.config["models"][name]["inputs"] = {entry: {"ref": ref, **asked}}
    two.save()
    says(two, text=f"model '{name}', input '{entry}' ({ref}): {text}")


LATE = ("--start", "2030-01-01")


@pytest.mark.parametrize(
    ("command", "arguments", "text"),
    [
        ("lake compact", ("--symbol", "BTC/USDC"), f"no partition has symbol 'BTC/USDC'. Did you mean '{BTC}'?"),
        ("lake compact", ("--source", "raw", *LATE), "source 'raw': no partition has a date from 2030-01-01."),
        ("lake delete", ("costs", "--where", "cost < 0", *LATE), f"There are dates from {DAY1} to {DAY3}"),
        ("lake restore", ("costs", "--list", "--exchange", "binanc"), "'binanc'. Did you mean 'binance'?"),
        (
            "coverage",
            ("costs", *LATE),
            f"costs has no rows from 2030-01-01 to the end. It has rows from {DAY1} to {DAY3}",
        ),
    ],
    ids=str,
)
def test_other_commands_find_nothing(two: Scratch, command: str, arguments: tuple[str, ...], text: str) -> None:
    two.run()
    outcome = sqlgen(*command.split(), *arguments, "--project", two.file)
    assert (outcome.code, text in outcome.err) == (2, True), outcome.out + outcome.err


@pytest.mark.parametrize("command", ["run", "plan", "compile", "check", "ls", "history", "status", "test"])
def test_no_model_is_left(two: Scratch, command: str) -> None:
    outcome = two.sqlgen(command, "--select", "costs", "--exclude", "c*")
    assert (outcome.code, "--exclude leaves no model of those selected" in outcome.err) == (2, True), outcome


@pytest.mark.slow
def test_commands_that_show_nothing_say_so(scratch: Scratch) -> None:
    scratch.config["sources"]["none"] = {"path": "raw/none", "adapter": "ccxt/trades"}
    scratch.save()
    assert "note: no symbols in raw" in scratch.sqlgen("ls", "--symbols").err
    scratch.trades(BTC, DAY1, [1.0])
    scratch.run("--select", "costs")
    assert "note: no symbols of shard 1/1" not in scratch.sqlgen("ls", "--shard", "1/1").err
    assert "note: no symbols of shard 63/64 in raw" in scratch.sqlgen("ls", "--shard", "63/64").err
    assert scratch.sqlgen("history", "--failed").out == "No run of these failed\n"
    asked = sqlgen("query", "SELECT * FROM pairs WHERE pair > 1e9 AND symbol = 'A'", scratch.file)
    assert (asked.code, "model pairs: nothing published yet. Build it" in asked.err) == (1, True)
    asked = sqlgen("export", "nautilus", scratch.file, "--trades", "none")
    assert (asked.code, "source none: no files in raw/none yet" in asked.err) == (2, True)
    scratch.config["models"] = {}
    scratch.save()
    assert "no model to compile: models.yaml has none" in scratch.sqlgen("compile").err


def test_one_of_the_symbols_of_an_input_is_not_there_yet(two: Scratch) -> None:
    two.model("costs", inputs={"trades": {"ref": "raw", "symbol": [BTC, "ADA"]}})
    outcome = two.sqlgen("run")
    assert (outcome.code, "(raw): no partition has symbol 'ADA'. There are: " in outcome.out) == (0, True)


def test_a_symbol_whose_files_are_gone_after_processing(two: Scratch) -> None:
    del two.config["models"]["pairs"]
    two.model(
        "costs",
        inputs={"trades": {"ref": "raw", "symbol": BTC}},
        output={"mode": "append"},
        delete_after_processing=True,
    )
    two.run()
    assert not list(two.raw(BTC, DAY1).glob("*.parquet"))
    outcome = two.sqlgen("run")
    assert (outcome.code, "Nothing to do: 0 partition(s) are up to date" in outcome.out) == (0, True), outcome.out


def test_the_suffixes_of_the_format_are_told(two: Scratch) -> None:
    two.config["sources"]["raw"]["format"] = "csv"
    two.save()
    outcome = two.sqlgen("run")
    assert "It reads .csv, .csv.gz, .csv.zst, .csv.zip, .csv.bz2, .csv.xz, .zip (its format is csv)" in outcome.out, (
        outcome.out
    )


def test_a_model_whose_parent_was_never_built(two: Scratch) -> None:
    text = "model 'pairs' reads 'costs', of which nothing is published. Build it first: sqlgen run --select +pairs"
    says(two, "--select", "pairs", text=text)
    two.run("--select", "+pairs")
    two.run("--select", "pairs")


def test_partitions_that_all_wait_for_another_input(two: Scratch) -> None:
    two.config["sources"]["more"] = {"path": "raw/more", "adapter": "ccxt/trades"}
    two.template("both.sql.j2", "SELECT * FROM ({{ inputs.trades }}) WHERE 1 < 2 {# {{ inputs.more }} #}")
    two.model("both", sql="both.sql.j2", inputs={"trades": "raw", "more": "more"}, output={"path": "out/both"})
    for date in (DAY1, DAY2):
        shutil.copytree(two.raw(BTC, DAY1), two.lake / f"raw/more/exchange=binance/symbol=ADA/date={date}")
    says(
        two, text="both: 2 partition(s) wait for more, which has no such partition, the first of them exchange=binance"
    )
    shutil.copytree(two.raw(BTC, DAY1), two.lake / f"raw/more/exchange=binance/symbol={BTC}/date={DAY1}")
    outcome = two.sqlgen("run")
    assert (outcome.code, "note: both: 1 partition(s) wait for more" in outcome.out) == (0, True)


def test_one_source_of_two_is_empty(two: Scratch) -> None:
    """What has files is built all the same."""
    two.config["sources"]["more"] = {"path": "raw/more", "adapter": "ccxt/trades"}
    two.model("others", sql="costs.sql.j2", inputs={"trades": "more"}, output={"path": "out/others"})
    outcome = two.sqlgen("run", "--json")
    assert (outcome.code, outcome.json["counts"]) == (1, {"published": 4})
    assert two.sqlgen("run", "--select", "pairs").code == 0


def test_an_optional_input_may_be_empty(two: Scratch) -> None:
    two.config["sources"]["more"] = {"path": "raw/more", "adapter": "ccxt/trades"}
    two.model("costs", inputs={"trades": "raw", "more": {"ref": "more", "optional": True}})
    outcome = two.sqlgen("run")
    assert (outcome.code, "note: source 'more': no folder" in outcome.out) == (0, True)


def test_processed_files_are_gone(two: Scratch) -> None:
    del two.config["models"]["pairs"]
    two.model("costs", output={"mode": "append"}, delete_after_processing=True)
    two.run()
    outcome = two.sqlgen("run")
    assert (outcome.code, "Nothing to do: 0 partition(s) are up to date" in outcome.out) == (0, True)


def test_everything_is_up_to_date(two: Scratch) -> None:
    two.run()
    outcome = two.sqlgen("run")
    assert (outcome.code, "Nothing to do: 4 partition(s) are up to date" in outcome.out) == (0, True)
    assert two.sqlgen("plan").code == 0


def test_no_models_at_all(two: Scratch) -> None:
    two.config["models"] = {}
    two.save()
    says(two, text="no model is selected: models.yaml has none, or all of them are disabled")


def test_no_model_has_a_schedule(two: Scratch) -> None:
    outcome = two.sqlgen("run", "--due")
    assert (outcome.code, "no selected model has a schedule" in outcome.err) == (2, True)


@pytest.mark.parametrize("case", ["bitmex_trade", "bitmex_quote"])
def test_times_of_the_cases(tmp_path: Path, case: str) -> None:
    """A message as they are; their rows once ``time_format`` says how the times are written."""
    if not CASES.is_dir():
        pytest.skip("the cases are not there")
    shutil.copytree(CASES / case, tmp_path / case)
    models = tmp_path / case / "models.yaml"
    outcome = sqlgen("run", models)
    assert (outcome.code, "none of its 3 rows has a time" in outcome.out + outcome.err) == (1, True)
    models.write_text(models.read_text().replace("time_unit: text", 'time_format: "%Y-%m-%dD%H:%M:%S.%n"'))
    outcome = sqlgen("run", models, "--json")
    assert (outcome.code, outcome.json["totals"]["rows_out"]) == (0, 3)


@pytest.mark.parametrize("time", ["soon", "2024-13-45 99:00", "d20240101"])
def test_files_of_which_no_row_has_a_time(scratch: Scratch, time: str) -> None:
    """Also where the pattern gives the date: no row gives a symbol's partition."""
    columns = {"ts": "when", "price": "p", "amount": "q", "side": "s"}
    source = {"path": "raw/t", "adapter": "generic/trades", "exchange": "x", "pattern": "{date}.csv"}
    scratch.config["sources"]["raw"] = source | {"options": {"columns": columns, "time_unit": "text"}}
    scratch.template("costs.sql.j2", COSTS)
    del scratch.config["models"]["pairs"]
    scratch.save()
    path = scratch.lake / f"raw/t/{DAY1}.csv"
    path.parent.mkdir(parents=True)
    path.write_text(f"when,symbol,p,q,s\n{time},A,1,1,buy\n{time},A,2,1,sell\n")
    for command in ("plan", "run"):
        outcome = scratch.sqlgen(command)
        assert outcome.code == 1, outcome.out + outcome.err
        assert f"{path}: none of its 2 rows has a time" in outcome.out
        assert f'when is "{time}"' in outcome.out


# --due


def test_after_a_narrowed_run_the_rest_is_due(two: Scratch) -> None:
    two.model("costs", schedule="0 0 29 2 *")
    two.model("pairs", enabled=False)
    two.run("--symbol", ETH)
    two.trades(ETH, DAY3, [2.0])
    assert set(two.run("--due")) == {f"costs {BTC} {DAY1}"}
    assert two.run("--due") == {}
    assert set(two.run()) == {f"costs {ETH} {DAY3}"}


def test_after_a_narrowed_due_run_the_rest_is_due(two: Scratch) -> None:
    two.model("costs", schedule="0 0 29 2 *", checkpoint_enabled=False)
    two.model("pairs", enabled=False)
    assert set(two.run("--due", "--end", DAY2)) == {f"costs {BTC} {DAY1}"}
    assert two.run("--due", "--end", DAY2) == {}
    assert set(two.run("--due")) == {f"costs {ETH} {DAY3}"}
    assert two.run("--due") == {}


def test_what_failed_is_due(two: Scratch) -> None:
    two.model("costs", schedule="0 0 29 2 *")
    two.model("pairs", enabled=False)
    path = two.raw(BTC, DAY1) / "data.parquet"
    good = path.read_bytes()
    path.write_bytes(good[:-9])
    two.run("--due", code=1)
    path.write_bytes(good)
    two.trades(ETH, DAY3, [2.0])
    assert set(two.run("--due")) == {f"costs {BTC} {DAY1}"}
    assert two.run("--due") == {}


def test_what_a_retry_did_is_not_due(two: Scratch) -> None:
    two.model("costs", schedule="0 0 29 2 *", checkpoint_enabled=False)
    two.model("pairs", enabled=False)
    path = two.raw(BTC, DAY1) / "data.parquet"
    good = path.read_bytes()
    path.write_bytes(good[:-9])
    two.run(code=1)
    path.write_bytes(good)
    two.run("--retry")
    assert two.run("--due") == {}


def test_a_model_that_could_not_be_planned_is_due(two: Scratch) -> None:
    two.model("costs", schedule="0 0 29 2 *")
    two.model("pairs", enabled=False)
    two.run("--due")
    for path in (two.lake / ".sqlgen/runs").glob("*.json"):
        path.unlink()
    two.model("costs", output={"mode": "append"})
    assert two.run("--due", code=1) == {}
    assert two.run("--due", code=1) == {}
    two.model("costs", output={"mode": "overwrite"}, filter="cost > 0")
    assert len(two.run("--due")) == 2


def test_a_damaged_report_is_passed_over(two: Scratch) -> None:
    two.model("costs", schedule="0 0 29 2 *")
    two.model("pairs", enabled=False)
    two.run("--due")
    [path] = (two.lake / ".sqlgen/runs").glob("*.json")
    assert json.loads(path.read_text())["scope"] == {"exchanges": [], "symbols": [], "start": None, "end": None}
    path.write_bytes(path.read_bytes()[:50] + b"\xff")
    assert two.run("--due") == {}
