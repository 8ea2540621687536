"""A synthetic ccxt lake: a market that behaves like one, for demos, tests and benchmarks.

Importing this package is cheap; NumPy, Numba and Arrow are loaded by :func:`write_sample`.
"""

from __future__ import annotations

from pathlib import Path

from sqlgen.sample.spec import FAULTS, KINDS, Progress, SampleSpec, SampleSummary

__all__ = ["FAULTS", "KINDS", "Progress", "SampleSpec", "SampleSummary", "write_sample"]


def write_sample(
    root: Path, spec: SampleSpec, *, overwrite: bool = False, progress: Progress | None = None
) -> SampleSummary:
    """Write order books, trades and tickers of ``spec`` under ``root/raw/ccxt``.

    The values depend on ``spec`` alone. A (exchange, symbol, day) has the same values whatever other symbols,
    exchanges or later days the spec asks for. ``progress(done, total, label)`` is called after each of them.

    Raises:
        UsageError: the spec makes no sense, ``root/raw`` already holds files and ``overwrite`` is not set, or the
            folder cannot be written.
    """
    from sqlgen.sample.lake import write_lake

    return write_lake(Path(root), spec, overwrite=overwrite, progress=progress)
