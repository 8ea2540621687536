"""Kernels of the shipped order book model, as models.yaml names them."""

from __future__ import annotations

import functools

import yaml

from tests.support.engine import ROOT
from udfs import registry


@functools.cache
def shipped() -> tuple[str, ...]:
    """All of them."""
    config = yaml.safe_load((ROOT / "models.yaml").read_text())
    return tuple(config["models"]["orderbook_hf"]["udfs"])


def over_books() -> tuple[str, ...]:
    """Those that see rows alone."""
    return tuple(name for name in shipped() if not registry()[name].reads_trades)


def over_trades() -> tuple[str, ...]:
    """Those that see trades beside the rows."""
    return tuple(name for name in shipped() if registry()[name].reads_trades)
