"""Markets of sources and tables by the folders of their files, which tell them without a look into any file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from sqlgen.lake import storage
from sqlgen.lake.partitions import hive_pairs, partition_of
from sqlgen.plan.selection import plain_symbol
from sqlgen.run.engine import Engine

Markets = dict[tuple[str, str], list[dt.date]]
"""Exchange and symbol -> dates."""
Dates = tuple[dt.date | None, dt.date | None]
"""First and last date, inclusive; ``None``: all."""
_DAY = dt.timedelta(days=1)


def filed_between(start: dt.date | None, end: dt.date | None) -> Dates:
    """Dates under which the rows of these dates may be filed: a day more on each side."""
    return (
        start - _DAY if start is not None and start > dt.date.min else None,
        end + _DAY if end is not None and end < dt.date.max else None,
    )


def filed_markets(engine: Engine, name: str) -> Markets:
    """Markets of a source or model, with the dates of their files; empty if the folders do not tell all of them."""
    project, found = engine.project, Markets()
    place = (project.models[name].output if name in project.models else project.sources[name]).path
    for file in storage.list_files(project.lake, place):
        try:
            where = partition_of(hive_pairs(file.path))
        except ValueError:  # passed over
            continue
        if where is None or where.date is None:
            return {}
        found.setdefault((where["exchange"], where["symbol"]), []).append(where.date)
    return found


def spelled_as_filed(markets: Markets, symbols: Iterable[str]) -> list[str]:
    """Symbols as the folders spell them."""
    wanted = {*map(plain_symbol, symbols)}
    return sorted({symbol for _, symbol in markets if plain_symbol(symbol) in wanted})
