"""Selection of models and partitions for a run."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct, field, structs

from sqlgen.errors import UsageError
from sqlgen.lake.partitions import Partition, Shard
from sqlgen.project.project import Project


class Selection(Struct, frozen=True):
    """Models, partitions and options of a run."""

    models: tuple[str, ...]
    """In dependency order."""
    exchanges: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    start: dt.date | None = None
    end: dt.date | None = None
    """Inclusive."""
    full_refresh: bool = False
    prune: bool = False
    discard_edits: bool = False
    """True if units whose rows were edited are rebuilt like others."""
    only: frozenset[tuple[str, Partition]] | None = None
    """Units to restrict the run to (a retry); ``None``: no restriction."""
    allow_empty: bool = False
    """True if missing data is no error."""
    recent: Mapping[str, tuple[Coverage, ...]] = field(default_factory=dict)
    """Model -> runs since it was last scheduled; units that they covered are not due."""
    shard: Shard | None = None
    """Shard of all symbols to restrict the run to."""
    waiting: tuple[str, ...] = ()
    """Models that were selected, and are built by runs without a shard alone."""

    @property
    def is_whole(self) -> bool:
        """True if all partitions of the models are selected."""
        return self.shard is None and self.is_whole_shard

    @property
    def is_whole_shard(self) -> bool:
        """True if all partitions of the models are selected, the shard aside."""
        return not (self.exchanges or self.symbols or self.start or self.end or self.only is not None)

    def covers(self, unit: Partition) -> bool:
        if self.shard is not None and not (unit.symbol.values and self.shard.holds(unit.symbol)):
            return False
        if self.exchanges and "exchange" in unit and unit["exchange"] not in self.exchanges:
            return False
        if self.symbols and "symbol" in unit and unit["symbol"] not in self.symbols:
            return False
        date = unit.date
        if date is None:
            return True
        return (self.start is None or date >= self.start) and (self.end is None or date <= self.end)

    def is_due(self, model: str, unit: Partition) -> bool:
        """True if no recent run covered a unit."""
        return not any(run.covers(unit) for run in self.recent.get(model, ()))


class Coverage(Struct, frozen=True):
    """Units of one model that an earlier run covered."""

    scope: Selection | None
    """Selection of that run; ``None`` if it was restricted to ``done``."""
    done: frozenset[Partition] = frozenset()
    left: frozenset[Partition] = frozenset()
    """Units that it could not finish."""

    def covers(self, unit: Partition) -> bool:
        return unit in self.done or (self.scope is not None and unit not in self.left and self.scope.covers(unit))


def covered(runs: Collection[Coverage], shard: Shard | None = None) -> bool:
    """True if runs covered every unit of their models, or of a shard of them: one by one, or all shards of as many."""
    whole = [run.scope.shard for run in runs if run.scope is not None and run.scope.is_whole_shard and not run.left]
    done = {one for one in whole if one is not None}
    if None in whole or shard in done:
        return True
    return any(
        {other.index for other in done if other.count == one.count} == {*range(1, one.count + 1)} for one in done
    )


def in_shard(selection: Selection, project: Project, shard: Shard | None) -> Selection:
    """A selection restricted to one shard; :class:`UsageError` if a shard builds none of its models."""
    if shard is None:
        return selection
    waiting = tuple(name for name in selection.models if name in project.crossing)
    models = tuple(name for name in selection.models if name not in waiting)
    if waiting and not models:
        raise UsageError(
            f"{', '.join(waiting)}: no shard builds this, because its partitions are not each of one exchange and"
            " symbol, or it is built after all of another model. Run it without --shard once all shards are done"
        )
    return structs.replace(selection, models=models, shard=shard, waiting=waiting)


def spelled(symbols: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """Symbols as they are known: where ``BTC/USDT`` is not, ``BTC-USDT`` and others of the same letters and digits."""
    found: dict[str, None] = {}
    for symbol in symbols:
        same = (
            [] if symbol in known else [other for other in sorted(known) if plain_symbol(other) == plain_symbol(symbol)]
        )
        found |= dict.fromkeys(same or [symbol])
    return tuple(found)


def plain_symbol(symbol: str) -> str:
    """Letters and digits of a symbol, by which it is found however it is written."""
    composed = unicodedata.normalize("NFC", symbol).upper()  # an accent belongs to its letter
    return "".join(letter for letter in composed if letter.isalnum()) or symbol
