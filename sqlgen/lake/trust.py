"""Projects that the person who starts a command trusts to name commands, and files outside the lake."""

from __future__ import annotations

import os
from pathlib import Path

TRUSTED = "SQLGEN_TRUSTED"
"""Variable of the environment: paths of models.yaml, or of folders above, separated as those of ``PATH``."""


def trusted(project: Path) -> bool:
    """True if the environment names this models.yaml, or a folder that it lies in."""
    folders = [Path(one).resolve() for one in os.environ.get(TRUSTED, "").split(os.pathsep) if one]
    return any(project.resolve().is_relative_to(one) for one in folders)


def how_to_trust(project: Path) -> str:
    """Advice for a project that is not trusted."""
    return f"If you trust the project, set {TRUSTED}={project.resolve()} in the environment"
