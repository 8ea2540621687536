"""Packages that only some commands need: extras of sqlgen, loaded when they are used."""

from __future__ import annotations

import importlib
from typing import Any

from sqlgen.errors import UsageError


def load(module: str, extra: str, purpose: str) -> Any:
    """A module of an extra; :class:`UsageError` that names the extra where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name is not None and not module.startswith(error.name):
            raise  # the package is there, and broken
        package = module.partition(".")[0]
        raise UsageError(f"{purpose} needs the package {package}. Install it: pip install 'sqlgen[{extra}]'") from error
