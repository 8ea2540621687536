"""Markets as the rows of files name them, beside those that the files' names say."""

from __future__ import annotations

import json
import os
import re

from sqlgen.detect.columns.times import joined
from sqlgen.detect.files.filegroups import FileGroup
from sqlgen.detect.proposal import ProposedSource
from sqlgen.lake.patterns import path_pattern


def rows_say_more(group: FileGroup, proposed: ProposedSource, guessed: bool) -> bool:
    """True if rows name another market than their file: BTC-USDT-SWAP where that says BTC-USDT or, guessed, HITBTC."""
    column = proposed.entry.get("options", {}).get("columns", {}).get("symbol", "symbol")
    if column not in group.sample.columns or "symbol" not in proposed.layout.keys or not proposed.layout.pattern:
        return False
    named = _named(group, proposed)
    markets = {joined(str(value)) for value in group.sample.values(column)}
    return bool(named) and any(
        market != named and (market.startswith(named) or (guessed and market not in named and not market.isdigit()))
        for market in markets
    )


def rows_say_contract(group: FileGroup, proposed: ProposedSource) -> bool:
    """True if rows and the file's name say which contract it is, beside its symbol: BTCUSD_250627."""
    named, whole = _named(group, proposed), joined(group.example.rpartition("/")[2])
    values = {joined(value) for value in re.findall(r'"([^"]+)"', json.dumps(group.sample.records, default=str))}
    return bool(named) and any(value != named and value.startswith(named) and value in whole for value in values)


def _named(group: FileGroup, proposed: ProposedSource) -> str:
    """The symbol that the name of a group's example says, in lower case and without marks; empty if it says none."""
    if not proposed.layout.pattern:
        return ""
    below = os.path.relpath(group.example, proposed.layout.base)
    return joined((path_pattern(proposed.layout.pattern).match(below) or {}).get("symbol", ""))
