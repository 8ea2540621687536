"""Symbols of sources: their files and dates, for schedulers that hand out work by symbol or by shard."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from sqlgen.lake.partitions import Partition, Shard
from sqlgen.lake.storage import FileInfo
from sqlgen.run.engine import Engine
from sqlgen.sources.sourcefiles import list_source_files


class SymbolFiles(Struct, frozen=True):
    """Files of one symbol of a source."""

    source: str
    exchange: str
    symbol: str
    files: int
    bytes: int
    """Bytes of whole files, also where these hold rows of other symbols."""
    dates: tuple[str, ...]


def symbols(engine: Engine, models: Iterable[str], shard: Shard | None = None) -> list[SymbolFiles]:
    """Symbols of the sources that some models read, of one shard or of all."""
    return [found for name in engine.project.sources_of(models) for found in _symbols(engine, name, shard)]


def _symbols(engine: Engine, source: str, shard: Shard | None) -> list[SymbolFiles]:
    partitions = list_source_files(engine.project, source, engine.index).partitions
    dates: dict[Partition, list[str]] = {}
    files: dict[Partition, dict[FileInfo, None]] = {}
    for partition, found in partitions.items():
        if shard is None or shard.holds(partition.symbol):
            dates.setdefault(partition.symbol, []).append(partition["date"])
            files.setdefault(partition.symbol, {}).update(dict.fromkeys(found))
    return [
        SymbolFiles(
            source,
            symbol["exchange"],
            symbol["symbol"],
            len(files[symbol]),
            sum(file.size for file in files[symbol]),
            tuple(sorted(dates[symbol])),
        )
        for symbol in sorted(dates)
    ]
