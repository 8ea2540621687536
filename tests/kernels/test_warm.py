"""Warming a pipeline loads everything that its batches need."""

from __future__ import annotations

import json
import subprocess
import sys

import numba
import pytest

from tests.support.kernels import shipped
from udfs import registry

COUNT = """
import json, sys
import numpy as np
from udfs.pipeline import Pipeline
from udfs.jit import Compiled
from udfs.kernel import Batch, Trades

def loaded():
    found = {}
    for module in [module for name, module in sys.modules.items() if name.startswith("udfs.")]:
        for name, value in vars(module).items():
            if isinstance(value, Compiled):
                count = len(value.signatures) if "dispatcher" in vars(value) else 0
                found[f"{value.py_func.__module__}.{value.py_func.__name__}"] = count
    return found

def batch(start):
    ts = np.arange(start, start + 5, dtype=np.int64) * 10**9
    columns = {name: np.ones(5, int if name in pipeline.integers else float) for name in pipeline.inputs}
    trades = Trades(ts, np.ones(5), np.ones(5), np.array([1, -1, 0, 1, 1], np.int8))
    return Batch(ts, columns, trades if pipeline.reads_trades else None)

pipeline = Pipeline.of(sys.argv[1:], {})
before = loaded()
pipeline.warm()
warm = loaded()
state = pipeline.start()
for start in (100, 200):
    pipeline.run(state, batch(start))
print(json.dumps([before, warm, loaded()]))
"""

SINGLE = [(name,) for name, kind in registry().items() if kind.replaces_rows]


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
@pytest.mark.slow
@pytest.mark.parametrize("names", [shipped(), *SINGLE])
def test_a_warm_chain_has_nothing_left_to_load(names: tuple[str, ...]) -> None:
    out = subprocess.run([sys.executable, "-c", COUNT, *names], capture_output=True, text=True, check=True)
    before, warm, after = json.loads(out.stdout)
    assert not any(before.values())
    assert sum(warm.values()) >= len(names)
    assert after == warm
