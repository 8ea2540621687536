"""Recipes and numbers of docs/scale.md: recipes are run over a small lake, and costs follow from the rates."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from sqlgen.lake.partitions import Partition, Shard
from tests.support.engine import ROOT, sqlgen
from tests.support.scratch import BTC, DAY1, ETH, Scratch

TEXT = (ROOT / "docs/scale.md").read_text()


def blocks(language: str, beginning: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n({beginning}.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


SHIM = """\
#!/bin/sh
echo "$*" >> "$COMMANDS"
case " $* " in *" $FAILING "*) mkdir "$COMMANDS.failed" 2>/dev/null && exit 1;; esac
exit 0
"""
"""Notes what it is called with, and fails once where it is told to: the commands themselves are run by the test."""
SBATCH = """\
#!/bin/sh
case "$1" in
    --parsable)
        for number in $(seq 16); do SLURM_ARRAY_TASK_ID=$number SLURM_ARRAY_TASK_COUNT=16 sh -e "$2" || exit; done
        echo 4711 ;;
    --dependency=afterok:4711) sh -c "$3" ;;
esac
"""


@pytest.fixture
def lake(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """Two symbols, in shards 12 and 14 of 16, and a model that crosses them."""
    total = "WITH costs AS ({{ inputs.costs }}) SELECT exchange, date, sum(cost) AS cost FROM costs GROUP BY ALL"
    scratch.template("totals.sql.j2", total)
    output = {"path": "out/totals", "partition_by": ["exchange", "date"]}
    scratch.model("totals", sql="totals.sql.j2", inputs={"costs": "costs"}, output=output)
    for symbol, price in ((BTC, 1.0), (ETH, 2.0)):
        scratch.trades(symbol, DAY1, [price])
    monkeypatch.chdir(scratch.folder)
    return scratch


def commands(script: str, lake: Scratch, failing: str = "no shard", code: int = 0, **environ: str) -> list[list[str]]:
    """Run a script of the documentation in a shell; what it would have called sqlgen with."""
    bin_folder, noted = lake.folder / "bin", lake.folder / "commands"
    bin_folder.mkdir(exist_ok=True)
    for name, text in (("sqlgen", SHIM), ("sbatch", SBATCH), ("srun", '#!/bin/sh\nexec "$@"\n')):
        (bin_folder / name).write_text(text)
        (bin_folder / name).chmod(0o755)
    noted.unlink(missing_ok=True)
    known = {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "COMMANDS": str(noted), "FAILING": failing}
    done = subprocess.run(
        ["sh", "-ec", script.replace("/srv/project", str(lake.folder))],
        cwd=lake.folder,
        env=os.environ | known | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (code == 0), done.stdout + done.stderr
    return [line.split() for line in noted.read_text().splitlines()]


def run(calls: list[list[str]], shards: int) -> None:
    """Run what a recipe has called: all shards, in any order, then what crosses symbols; of the empty shards, one."""
    *parts, last = calls
    assert sorted(map(shard, parts)) == sorted(f"{number}/{shards}" for number in range(1, shards + 1))
    assert shard(last) == ""
    symbols = [Partition.of(exchange="binance", symbol=symbol) for symbol in (BTC, ETH)]
    full = [call for call in parts if any(map(Shard.parse(shard(call)).holds, symbols))]
    empty = [call for call in parts if call not in full]
    for call in (*full, empty[0], last):
        done = sqlgen(*call)
        assert done.code == 0, done.out + done.err


def shard(call: list[str]) -> str:
    return call[call.index("--shard") + 1] if "--shard" in call else ""


def is_built(lake: Scratch) -> None:
    assert sorted(cost[0] for cost in lake.costs()) == [BTC, ETH]
    assert lake.table("totals")["cost"].to_pylist() == [3.0]
    assert lake.run() == {}


@pytest.mark.parametrize("tool", ["xargs", "parallel"])
def test_shards_of_one_machine(lake: Scratch, tool: str) -> None:
    """xargs and GNU parallel; one shard fails: what crosses symbols waits, and parallel tries the shard again."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    [script] = [text for text in blocks("sh") if "xargs -P" in text]
    [line] = [line for line in script.splitlines() if tool in line]
    run(commands(line, lake), 8)
    is_built(lake)
    again = commands(line, lake, failing="--shard 3/8", code=int(tool == "xargs"))
    assert [*map(shard, again)].count("3/8") == {"xargs": 1, "parallel": 2}[tool]
    assert ("" in map(shard, again)) == (tool == "parallel")


@pytest.mark.slow
def test_slurm_array(lake: Scratch) -> None:
    """The script and the two submissions, with the variables that Slurm sets."""
    [script] = blocks("bash", "#!/bin/bash")
    assert "#SBATCH --array=1-16" in script
    (lake.folder / "features.sh").write_text(script.replace("/srv/project", str(lake.folder)))
    [submitted] = [text for text in blocks("sh") if "sbatch" in text]
    run(commands(submitted, lake), 16)
    is_built(lake)
    assert "" not in map(shard, commands(submitted, lake, failing="--shard 5/16", code=1))


@pytest.mark.slow
def test_kubernetes_job(lake: Scratch) -> None:
    """The command of each index."""
    job = yaml.safe_load(blocks("yaml")[0])["spec"]
    assert (job["completionMode"], job["completions"]) == ("Indexed", 16)
    [rule] = job["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailIndex", [2])
    [container] = job["template"]["spec"]["containers"]
    *shell, command = container["command"]
    assert shell == ["sh", "-c"]
    calls = [commands(command, lake, JOB_COMPLETION_INDEX=str(index))[0] for index in range(job["completions"])]
    run([*calls, ["run", "--wait", "3600"]], 16)
    is_built(lake)


def recipe(name: str, modules: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a recipe in Python with something in place of the scheduler's modules; its names."""
    for module, content in modules.items():
        monkeypatch.setitem(sys.modules, module, cast(ModuleType, content))
    [text] = [text for text in blocks("python") if name in text]
    names: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(text, "recipe", "exec"), names)
    return names


def test_dagster(lake: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Partitions are the shards that `ls` has symbols for; checks tell what the report of the run tells."""

    def called(command: list[str], **_: object) -> SimpleNamespace:
        assert command[0] == "sqlgen"
        done = sqlgen(*command[1:])
        return SimpleNamespace(returncode=done.code, stdout=done.out)

    def told(**facts: Any) -> SimpleNamespace:
        return SimpleNamespace(**facts)

    class FailureError(Exception):
        pass

    dagster = SimpleNamespace(
        Failure=FailureError,
        MaterializeResult=told,
        AssetCheckResult=told,
        AssetCheckSeverity=SimpleNamespace(WARN="warn"),
        AssetCheckSpec=lambda name, asset: (name, asset),
        StaticPartitionsDefinition=list,
        Definitions=list,
        asset=lambda **given: lambda function: SimpleNamespace(run=function, **given),
    )
    monkeypatch.setattr(subprocess, "run", called)
    by_symbol, across_symbols = recipe("dagster", {"dagster": dagster}, monkeypatch)["defs"]
    assert by_symbol.partitions_def == ["12/16", "14/16"]
    assert across_symbols.deps == [by_symbol]
    for asset in (by_symbol, across_symbols):
        assert [name for name, _ in asset.check_specs] == ["built", "rows"]
    for key in by_symbol.partitions_def:
        made, built, rows = by_symbol.run(SimpleNamespace(partition_key=key))
        assert (made.metadata["rows"], built.check_name, built.passed, rows.passed) == (2, "built", True, True)
    made, built, _ = across_symbols.run()
    assert (made.metadata["rows"], built.passed) == (1, True)
    is_built(lake)

    (lake.raw(BTC, DAY1) / "data.parquet").write_bytes(b"PAR1")
    found = [by_symbol.run(SimpleNamespace(partition_key=key)) for key in by_symbol.partitions_def]
    errors = [built.metadata["errors"] for _, built, _ in found if not built.passed]
    assert len(errors) == 1
    assert "data.parquet" in errors[0][0]
    lake.file.write_text("version: 2")
    with pytest.raises(FailureError, match="ended with exit code 2"):
        next(across_symbols.run())


@pytest.mark.slow
def test_airflow(lake: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of all mapped tasks, and the one after them."""
    order = list[Any]()

    @dataclass
    class Task:
        task_id: str
        cwd: str
        bash_command: str | list[str] = ""
        retries: int = 0
        retry_delay: object = None

        @classmethod
        def partial(cls, **given: Any) -> Task:
            return cls(**given)

        def expand(self, bash_command: list[str]) -> Task:
            return replace(self, bash_command=bash_command)

        def __rshift__(self, other: Task) -> None:
            order.extend((self, other))

    packages = ("airflow", "airflow.providers", "airflow.providers.standard", "airflow.providers.standard.operators")
    modules: dict[str, object] = {name: ModuleType(name) for name in packages}
    modules["airflow.providers.standard.operators.bash"] = SimpleNamespace(BashOperator=Task)
    modules["airflow.sdk"] = SimpleNamespace(DAG=lambda *_, **__: contextlib.nullcontext())
    recipe("airflow", modules, monkeypatch)
    first, last = order
    assert (first.cwd, last.cwd, first.retries) == ("/srv/project", "/srv/project", 2)
    assert isinstance(first.bash_command, list)
    run([call for text in (*first.bash_command, last.bash_command) for call in commands(text, lake)], 16)
    is_built(lake)


def test_recipes_name_options_that_there_are() -> None:
    options = (ROOT / "docs/command-line.md").read_text()
    lines = [line for line in TEXT.splitlines() if "sqlgen " in line]
    assert len(lines) > 10
    for option in re.findall(r"(?<=\s)--[a-z-]+", "\n".join(line.partition("sqlgen ")[2] for line in lines)):
        assert f"`{option}`" in options, option


def test_the_shard_that_the_text_names() -> None:
    [index] = re.findall(r"^SELECT .*'exchange=binance/symbol=BTC-USDT'.* % 4 \+ 1; -- (\d)$", TEXT, re.MULTILINE)
    assert Shard(int(index), 4).holds(Partition.of(exchange="binance", symbol="BTC-USDT"))


def test_costs_follow_from_rates() -> None:
    """Core hours, bytes and hours of the table, from the rates above it."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("|")]
    numbers = {
        (cells[0], len(cells)): [float(cell.replace(",", "")) for cell in cells[1:]]
        for cells in rows[1:]
        if cells[1][0].isdigit()
    }
    models = [model for model, width in numbers if width == 4]
    assert len(models) == 3
    snapshots = 1_000 * 1_826 * 864_000
    assert f"{snapshots:,} rows" in TEXT
    for model in models:
        rate, read, written = numbers[model, 4]
        count = snapshots / 2 if "trades" in model else snapshots
        hours = count / rate / 3600
        expected = [hours, count * read / 1e12, count * written / 1e12, hours / (256 * 0.86)]
        assert numbers[model, 5] == [round(value) for value in expected], model
    files = 1_000 * 1_826
    size = 864_000 * numbers[models[0], 4][2]
    puts = files * (math.ceil(size / (16 << 20)) + 2 + 1)
    assert f"{puts / 1e6:.1f} million PUTs" in TEXT
    assert f"{numbers[models[0], 5][2] * 23:,.0f}"[:2] == "31"


def test_measured_ratios_reach_what_is_asked_for() -> None:
    """Two shards at least 1.7 times as fast as one thread, Ray's workers at most 1.2 times as long as threads."""
    pattern = r"took ([\d.]+) times less .* the longer one ([\d.]+)\), and Ray's two workers ([\d.]+) times as long"
    [(shards, by_cpu, ray)] = re.findall(pattern, TEXT)
    assert float(shards) >= 1.7
    assert float(by_cpu) >= 1.7
    assert float(ray) <= 1.2
