"""Number of CPUs that this process may use: by its affinity, and by the quota of its control groups."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def cpus(groups: Path = _GROUPS, own: Path = _OWN) -> int:
    """The CPUs of the process, at least one; a quota of 1.5 counts as 2."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([there, *(math.ceil(quota) for quota in _quotas(groups, own))]))


def _quotas(groups: Path, own: Path) -> Iterator[float]:
    """CPUs that the groups of the process, and those around them, may use."""
    lines = []
    with contextlib.suppress(OSError):
        lines = own.read_text(encoding="utf-8").splitlines()
    for line in lines:
        _, kinds, path = [*line.split(":", 2), "", ""][:3]
        root = groups if not kinds else groups / "cpu"
        if kinds and "cpu" not in kinds.split(","):
            continue
        # In a container the path may be that of the host, and the group's own files lie at the root.
        below = Path(path.lstrip("/"))
        for folder in dict.fromkeys((root / below, *((root / above) for above in below.parents), root)):
            with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
                yield _quota(folder, old=bool(kinds))


def _quota(folder: Path, old: bool) -> float:
    """Quota of one group; an error if it has none."""
    if old:
        quota, period = ((folder / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period"))
    else:
        quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
    if quota.strip() == "max" or int(quota) <= 0:
        raise ValueError("no quota")
    return int(quota) / int(period)
