"""The same job with the lake on a disk and in S3 on loopback: moto's server, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Process, python

SYMBOLS, DAYS, ROWS, ROUNDS = 2, 2, 50_000, 3
MODEL = "orderbook_hf"
_SERVER = """
import sys, time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


def disk_and_store(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Lines of the table: a first run, and one with nothing to do."""
    lake = folder / "store"
    python("sqlgen", "sample", lake, "--symbols", SYMBOLS, "--days", DAYS, "--rows-per-day", ROWS)
    with _bucket() as (client, variables):
        found: dict[str, list[tuple[Process, Process]]] = {"": [], "with nothing to do": []}
        for number in range(ROUNDS + 1):  # kernels are compiled in the first round
            shutil.rmtree(lake / "processed", ignore_errors=True)
            shutil.rmtree(lake / ".sqlgen", ignore_errors=True)
            name = f"bench-{uuid.uuid4().hex}"
            client.create_bucket(Bucket=name)
            for path in lake.rglob("raw/**/*.parquet"):
                client.put_object(Bucket=name, Key=str(path.relative_to(lake)), Body=path.read_bytes())
            cache = folder / "cache" / str(number)
            for what, pairs in found.items():
                os.sync()
                local = _run(SQLGEN_LAKE=str(lake))
                stored = _run(SQLGEN_LAKE=f"s3://{name}", SQLGEN_CACHE=str(cache), **variables)
                if number:
                    pairs.append((stored, local))
                assert what or local.json["counts"] == stored.json["counts"]
        for what, pairs in found.items():
            job = f"`{MODEL}`, {SYMBOLS * DAYS} partitions of {ROWS:,} snapshots{what and f', {what}'}"
            ratio = statistics.median(stored.seconds / local.seconds for stored, local in pairs)
            seconds = [statistics.median(process.seconds for process in side) for side in zip(*pairs, strict=True)]
            yield f"{job}: lake in S3 on loopback / on disk", f"{ratio:.2f}", ""
            yield "the same: S3, disk", f"{seconds[0]:.1f} s, {seconds[1]:.1f} s", ""


def _run(**environ: str) -> Process:
    return python("sqlgen", "run", ROOT / "models.yaml", "--json", "--select", MODEL, **environ)


@contextlib.contextmanager
def _bucket() -> Iterator[tuple[Any, dict[str, str]]]:
    """A client of the server, and the variables by which a run finds it."""
    from botocore.session import get_session

    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        session = get_session()
        session.set_credentials("bench", "bench")
        yield (
            session.create_client("s3", "us-east-1", endpoint_url=url),
            {
                "AWS_ACCESS_KEY_ID": "bench",
                "AWS_SECRET_ACCESS_KEY": "bench",
                "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": url,
            },
        )
    finally:
        server.kill()
        server.wait()
