"""Every command over a lake in an object store, and what each of them fetches."""

from __future__ import annotations

import datetime as dt
import random
import re
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from sqlgen.explore import lakefiles
from sqlgen.lake.remote import workcopy
from sqlgen.live import open_model
from tests.support.scratch import BTC, DAY1, DAY2, DAY3, ETH, LEDGER, Scratch
from tests.support.storelakes import told
from tests.support.stores import Answer, Bucket, Request, forget


def remote(scratch: Scratch, bucket: Bucket) -> Scratch:
    """The project with its lake in the bucket, built."""
    scratch.config["lake"] = bucket.url
    scratch.save()
    bucket.upload(scratch.lake)
    told("run", scratch.file)
    return scratch


@pytest.fixture
def built(scratch: Scratch, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """Costs of two symbols on two days, with a kernel."""
    scratch.kernel(LEDGER)
    scratch.model("costs", udfs=["ledger"])
    for symbol, first in ((BTC, 100.0), (ETH, 10.0)):
        for day in (DAY1, DAY2):
            scratch.trades(symbol, day, [first, first + 1, first + 2])
    monkeypatch.chdir(scratch.folder)
    return remote(scratch, bucket)


@pytest.mark.slow
def test_every_command_reads_the_store(built: Scratch, bucket: Bucket, tmp_path: Path) -> None:
    before = bucket.keys()
    assert "8 up to date" in told("plan").out
    assert "costs\t4\t12" in told("status").out
    assert "\tok\t8\t" in told("history").out
    assert "0 finding(s)" in told("doctor").out
    assert "costs" in told("ls").out
    assert f"raw\tbinance\t{BTC}\t{DAY1}\t{DAY2}\t2" in told("ls", "--symbols").out
    assert "2 model(s) bound, 0 fault(s)" in told("check").out
    assert "source raw = ccxt/trades" in told("lineage", "pairs").out
    assert "cost" in told("columns", "costs").out
    assert "costs\ttable\t4\t4\t12" in told("lake", "stats").out
    assert len(told("coverage", "raw").out.splitlines()) == 5
    assert len(told("coverage", "costs", "--symbol", "ethusdt").out.splitlines()) == 3

    for symbol, name in ((ETH, "costs"), (BTC, "raw")):
        told("plot", name, "--symbol", symbol, "--output", tmp_path / f"{name}.html")
        assert (tmp_path / f"{name}.html").stat().st_size > 1000
    told("docs")
    assert "Statistics of 12 rows" in (built.folder / "target/docs/models/costs.html").read_text()
    told("compile")
    assert f"{bucket.url}/raw/" in (built.folder / "target/compiled/costs.sql").read_text()
    told("catalog")
    assert f"{bucket.url}/out/costs/**/*.parquet" in (built.folder / "target/catalog.sql").read_text()

    assert told("query", "SELECT sum(cost) AS s FROM costs", "--format", "json").json == [{"s": 672.0}]
    assert "672.0" in told("shell", "--command", "SELECT sum(cost) AS s FROM costs;").out
    target = tmp_path / "rows.parquet"
    told("query", "SELECT * FROM raw", "--format", "parquet", "--output", target)
    assert pq.read_table(target).num_rows == 12
    assert told("export", "hftbacktest", "--trades", "raw", "--output", tmp_path / "ex").out.count(": 3 events") == 4
    told("inspect", f"{bucket.url}/raw", "--write", tmp_path / "models.yaml")
    assert f"lake: {bucket.url}" in (tmp_path / "models.yaml").read_text()
    assert bucket.keys() == before

    forget()
    with open_model("models.yaml", "costs", exchange="binance", symbol=ETH, state="last") as feed:
        noon = int(dt.datetime(2026, 1, 2, 13, tzinfo=dt.UTC).timestamp() * 1000)
        row = feed.update({"timestamp": noon, "trade_id": "x", "side": "buy", "price": 7.0, "amount": 1.0})
    assert (row["cost"], row["before"], row["seq"]) == (7.0, 12.0, 3)


@pytest.mark.slow
def test_sample_writes_and_inspect_reads_addresses(bucket: Bucket, tmp_path: Path) -> None:
    shape = ("--symbols", "1", "--days", "1", "--rows-per-day", "50", "--levels", "20")
    assert f"{bucket.url}: 50 orderbook" in told("sample", bucket.url, *shape).out
    assert len(bucket.keys("raw")) == 3
    assert f"{bucket.url}/raw already holds files" in told("sample", bucket.url, *shape, code=2).err
    told("inspect", f"{bucket.url}/raw/ccxt/trades", "--write", tmp_path / "models.yaml")
    assert f"""
lake: {bucket.url}/raw/ccxt

sources:
  ccxt_trades:
    path: trades
    adapter: ccxt/trades
""" in (tmp_path / "models.yaml").read_text()
    assert "no such file or folder" in told("inspect", f"{bucket.url}/nothing", code=2).err
    path = next(iter(bucket.keys("raw/ccxt/trades")))
    assert "ccxt/trades" in told("inspect", f"{bucket.url}/{path}", "--json").out
    told("sample", bucket.url, *shape, "--overwrite", "--seed", "1")
    assert len(bucket.keys("raw")) == 3


@pytest.mark.slow
def test_a_project_for_what_lies_in_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    """The sources name the bucket, from whichever folder of them; tables are built on the disk."""
    told("sample", bucket.url, "--symbols", "1", "--days", "1", "--rows-per-day", "50")
    before = bucket.keys()
    folder = next(iter(bucket.keys("raw/ccxt/trades"))).rpartition("/symbol=")[0]
    for number, below in enumerate(("raw/ccxt/trades", folder)):
        project = tmp_path / f"project {number}"
        assert "ccxt/trades (certain)" in told("init", project, "--from", f"{bucket.url}/{below}").out
        source = yaml.safe_load((project / "models.yaml").read_text())["sources"]["ccxt_trades"]
        assert source == {"path": "trades", "adapter": "ccxt/trades", "lake": f"{bucket.url}/raw/ccxt"}
    told("run", project / "models.yaml", "--select", "ccxt_trades_bars")
    assert [*(project / "lake").rglob("exchange=binance/symbol=BTC-USDT/date=2026-01-01/*.parquet")]
    # Another folder of the bucket is added as a source with a root of its own, too.
    told("inspect", f"{bucket.url}/raw/ccxt/ticker", "--write", project / "models.yaml")
    assert yaml.safe_load((project / "models.yaml").read_text())["sources"]["ccxt_ticker"]["lake"] == source["lake"]
    assert (
        f"{bucket.url}/nothing: no such file or folder"
        in told("init", tmp_path / "new", "--from", f"{bucket.url}/nothing", code=2).err
    )
    assert not (tmp_path / "new").exists()
    assert bucket.keys() == before


@pytest.mark.slow
def test_watch_builds_what_comes(scratch: Scratch, bucket: Bucket) -> None:
    scratch.trades(BTC, DAY1, [1.0])
    remote(scratch, bucket)
    scratch.trades(BTC, DAY2, [2.0])
    begun = threading.Event()

    def comes(request: Request) -> Answer | None:
        if "list-type" in request.path and not begun.is_set():
            begun.set()
            threading.Timer(0.3, lambda: bucket.upload(scratch.lake)).start()
        return None

    with bucket.endpoint.doing(comes):
        done = told("watch", scratch.file, "--on-change", "--every", "0.3", "--settle", "0.3", "--for", "6")
    assert "change: costs, pairs: 2 published" in done.out
    assert len(bucket.keys("out/costs")) == 2


def whole(requests: list[Request], below: str, symbol: str) -> list[str]:
    """Days of a symbol below a folder whose files were fetched as a whole, not their ends alone."""
    paths = [each.path.replace("%3D", "=") for each in requests if each.method == "GET" and not each.part]
    return sorted(re.findall(rf"/{below}/exchange=\w+/symbol={symbol}/date=([^/]+)/data", "\n".join(paths)))


@pytest.mark.slow
def test_commands_fetch_what_is_asked_for(
    scratch: Scratch, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (workcopy, lakefiles):
        monkeypatch.setattr(module, "TAIL", 1 << 14)
    del scratch.config["models"]["pairs"]
    chance = random.Random(1)
    for symbol in (BTC, ETH):
        for day in (DAY1, DAY2, DAY3, "2026-01-04", "2026-01-05", "2026-01-06"):
            scratch.trades(symbol, day, [1.0 + chance.random() for _ in range(2000 if symbol == BTC else 9)])
    remote(scratch, bucket)
    folders = iter(range(100))

    def fetched(below: str, *command: object) -> list[str]:
        monkeypatch.setenv("SQLGEN_CACHE", str(tmp_path / f"cache-{next(folders)}"))
        with bucket.endpoint.counting() as requests:
            told(*command)
        return whole(requests, below, BTC)

    plot = ("plot", "costs", scratch.file, "--output", tmp_path / "page.html", "--symbol")
    # The last day, and those beside it, under which its rows might be filed.
    assert fetched("out/costs", *plot, BTC) == ["2026-01-04", "2026-01-05", "2026-01-06"]
    assert not fetched("raw/ccxt/trades", *plot, BTC)
    assert fetched("out/costs", *plot, BTC, "--start", DAY1, "--end", DAY1) == [DAY1, DAY2]
    assert not fetched("out/costs", *plot, ETH)
    for name, below in (("costs", "out/costs"), ("raw", "raw/ccxt/trades")):
        part = ("coverage", name, "--project", scratch.file, "--symbol", BTC, "--start", DAY2, "--end", DAY2)
        assert fetched(below, *part) == [DAY1, DAY2, DAY3]
        assert not fetched(below, "coverage", name, "--project", scratch.file, "--symbol", ETH)
    select = f"SELECT sum(price) FROM raw WHERE symbol = '{BTC}' AND date = '{DAY2}'"
    assert fetched("raw/ccxt/trades", "query", select, scratch.file) == [DAY2]


@pytest.mark.slow
def test_commands_that_cannot_read_say_so_in_one_sentence(
    built: Scratch, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = Answer(403, "AccessDenied")
    commands = {
        "plot": ("plot", "costs", "--symbol", BTC),
        "coverage": ("coverage", "raw"),
        "query": ("query", "SELECT sum(cost) FROM costs"),
        "delete": ("lake", "delete", "costs", "--where", "cost > 1"),
    }
    before = bucket.keys()
    for name, command in commands.items():
        monkeypatch.setenv("SQLGEN_CACHE", str(tmp_path / f"cache-{name}"))
        with bucket.endpoint.doing(lambda each: denied if re.search(r"parquet(\?x-id.*)?$", each.path) else None):
            done = told(*command, code=2)
        (line,) = done.err.strip().splitlines()
        assert f"cannot read (bucket '{bucket.name}'): permission is denied. Allow these credentials to read" in line
    assert bucket.keys() == before
