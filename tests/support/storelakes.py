"""Projects whose lake is in a bucket: commands as in processes of their own, and tables beside those of a disk."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pyarrow as pa

from sqlgen.lake import faults
from sqlgen.lake.remote import mounts
from tests.support import engine
from tests.support.engine import Outcome, published, sqlgen
from tests.support.scratch import BTC, DAY1, DAY2, ETH, LEDGER, Scratch
from tests.support.stores import Bucket, forget, planted

_LONGEST = 120.0
"""Seconds after which a run that should have been killed is given up."""


def remote(scratch: Scratch, bucket: Bucket) -> Scratch:
    """The project with its lake in the bucket."""
    scratch.config["lake"] = bucket.url
    scratch.save()
    bucket.upload(scratch.lake)
    return scratch


def local(scratch: Scratch) -> Scratch:
    """The project with its lake on the disk."""
    scratch.config["lake"] = "lake"
    scratch.save()
    return scratch


def all_models(scratch: Scratch) -> None:
    """Models of every kind: stateless, with lookback, with kernels, append, merge, with quarantined rows."""
    scratch.kernel(LEDGER)
    costs = {"sql": "costs.sql.j2", "inputs": {"trades": "raw"}}
    quarantine = [{"check": "range", "columns": ["cost"], "max": 150.0}]
    scratch.model("through", **costs, udfs=["ledger"], output={"path": "out/through"})
    scratch.model("kept", **costs, checks=quarantine, output={"path": "out/kept"})
    scratch.model("added", **costs, output={"path": "out/added", "mode": "append"})
    scratch.model(
        "merged", **costs, output={"path": "out/merged", "mode": "merge", "key": ["trade_id"], "order_by": ["ts"]}
    )


def fill(scratch: Scratch) -> None:
    for symbol, first in ((BTC, 100.0), (ETH, 10.0)):
        for number, day in enumerate((DAY1, DAY2)):
            scratch.trades(symbol, day, [first + number, first + 60 * number, first + 2])


def told(*command: object, code: int = 0) -> Outcome:
    """A command, in a process of its own as far as lakes are concerned.

    It prints no folder of this machine, and nothing of the credentials.
    """
    forget()
    done = sqlgen(*command)
    assert done.code == code, done.out + done.err
    assert "copy-" not in done.out + done.err
    assert "lake://" not in done.out + done.err
    assert not planted((done.out + done.err).encode())
    return done


def run(scratch: Scratch, *more: str) -> Outcome:
    """One run, which must succeed."""
    return told("run", scratch.file, *more)


def started(*command: object, fault: str = "", forgets: bool = True) -> int:
    """A command in a process of its own, which is killed at a fault point ``NAME:N``: a fork, which costs no start.

    ``forgets``: the lakes of this process are closed before; otherwise only the other process opens its own.
    """
    import fsspec.asyn

    if forgets:
        forget()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
        fsspec.asyn.reset_lock()
        mounts.MOUNTS.clear()
        engine.own_instances()  # threads of the parent's instance are not here
        faults.arm(fault)
        code = sqlgen(*command).code
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Exit code of a command that was started; the negative signal that has killed it."""
    until = time.monotonic() + _LONGEST
    while not (found := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > until:
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(found[1])


def killed(fault: str, *command: object) -> None:
    """A command that is killed at a fault point."""
    assert ended(started(*command, fault=fault)) == -signal.SIGKILL, f"not killed at {fault}"


def tables(lake: Path, scratch: Scratch) -> dict[str, pa.Table]:
    """Published tables and quarantines, by name."""
    found = {}
    for name, model in scratch.config["models"].items():
        for suffix in ("", "_quarantine"):
            folder = lake / f"{model['output']['path']}{suffix}"
            if folder.is_dir() and any(folder.rglob("*.parquet")):
                found[name + suffix] = published(folder)
    return found


def equal(left: dict[str, pa.Table], right: dict[str, pa.Table]) -> None:
    """Assert that tables are the same to the bit, but for what differs from run to run."""
    assert left.keys() == right.keys()
    for name, table in left.items():
        assert table.schema == right[name].schema
        assert plain(table).equals(plain(right[name])), name


def plain(table: pa.Table) -> pa.Table:
    """Rows in an order of their own, without what differs from run to run."""
    keep = [name for name in table.schema.names if name not in ("run_id", "quarantined_at", "published_at")]
    rows = table.select(keep)
    return rows.sort_by([(name, "ascending") for name in keep if not pa.types.is_nested(rows.schema.field(name).type)])
