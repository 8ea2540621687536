"""Models with their inputs and options resolved."""

from __future__ import annotations

import graphlib
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from msgspec import Struct

from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.project.config import Input, ModelConfig, Output, Sessions, Source
from sqlgen.project.rowchecks import Check
from sqlgen.project.signs import TRADES
from sqlgen.templating.header import TEMPLATE_SUFFIX, Header
from udfs import Pipeline


class ModelInput(Struct, frozen=True):
    """One input of a model, resolved: a source or another model."""

    name: str
    spec: Input
    source: Source | None
    sessions: Sessions | None = None
    """Sessions of its rows, which have ``session_date`` then."""
    other_time: str = ""
    """Column of the time that is not ts; empty if its rows have none."""

    @property
    def ref(self) -> str:
        return self.spec.ref


_BESIDE = 2
"""Version of how the rows beside a date are found: 2 counts from its first and last row, not from midnight alone."""


class Model(Struct, frozen=True):
    """A model as the compiler and the planner see it."""

    name: str
    config: ModelConfig
    header: Header
    options: Mapping[str, Any]
    fingerprinted_options: Mapping[str, Any]
    """Options included in the fingerprint: all except ``quiet`` ones that have their default."""
    adapter_options: Mapping[str, Mapping[str, Any]]
    """Input name -> options of its adapter."""
    lookback: float
    lookahead: float
    inputs: tuple[ModelInput, ...]
    pipeline: Pipeline | None = None
    """Kernels of the model; ``None`` without any."""
    batches: bool = False
    """True if one statement may build several units."""
    chosen: tuple[str, ...] = ()
    """Columns of the result to keep; empty for all."""
    fed: tuple[str, ...] = ()
    """Columns of the template that go into the kernels; empty for all."""

    @property
    def trades(self) -> ModelInput | None:
        """Input that kernels read as trades beside the rows."""
        reads = self.pipeline is not None and self.pipeline.reads_trades
        return next((entry for entry in self.inputs if entry.name == TRADES), None) if reads else None

    @property
    def output(self) -> Output:
        return self.config.output

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the result to keep, partition columns included; empty for all."""
        chosen = self.chosen
        return (*(key for key in self.output.partition_by if key not in chosen), *chosen) if chosen else ()

    @property
    def unit_keys(self) -> tuple[str, ...]:
        """Keys of a unit."""
        return tuple(key for key in self.output.partition_by if key in KEYS)

    @property
    def inner_keys(self) -> tuple[str, ...]:
        """Partition columns below a unit."""
        return tuple(key for key in self.output.partition_by if key not in KEYS)

    @property
    def checks(self) -> list[tuple[str, tuple[Check, ...]]]:
        """Checks of each source and of the model itself; those without checks are left out."""
        found = {entry.ref: entry.source.checks for entry in self.inputs if entry.source is not None}
        return [(name, checks) for name, checks in (*found.items(), (self.name, self.config.checks)) if checks]

    @property
    def quarantines(self) -> bool:
        """True if a check may quarantine rows."""
        return any(check.on_fail == "quarantine" for _, checks in self.checks for check in checks)

    @property
    def quarantine(self) -> str:
        """Folder of quarantined rows, under the lake: beside the table, outside of its globs."""
        return quarantine_of(self.output.path)

    @property
    def file_order(self) -> tuple[str, ...]:
        """Columns by which the rows of a file are sorted; empty if only the template determines the order."""
        if self.output.mode == "merge":
            return tuple(key for key in dict.fromkeys(self.output.key) if key not in self.unit_keys)
        through_kernels = self.pipeline is not None and self.header.kernels_over is None
        return self.output.order_by or (("ts", "seq") if through_kernels else tuple(self.header.order_by))

    def follows(self, unit: Partition) -> bool:
        """True if the kernels of a unit begin with their state after the one before it."""
        return self.pipeline is not None and not self.looks_ahead and unit.date is not None

    @property
    def batched(self) -> bool:
        """True if one statement may build several units whose files are the same as when built alone."""
        plain = self.output.mode == "overwrite" or self.pipeline is None
        whole = self.unit_keys == KEYS == self.output.partition_by
        ordered = self.file_order and set(self.file_order) <= set(self.columns or self.file_order)
        return bool(self.batches and plain and whole and (ordered or self.built_apart) and self._sees_in_batches)

    @property
    def _sees_in_batches(self) -> bool:
        """False if a kernel looks ahead, and which rows it sees alone cannot be told of those of a batch."""
        if self.pipeline is None or not self.looks_ahead:
            return True
        over = self.header.kernels_over is not None or self.header.time != "ts"
        return not (over or self.trades is not None or self.pipeline.replaces_rows)

    @property
    def looks_ahead(self) -> bool:
        """True if a kernel gets the rows of a unit all at once, with those of its lookback and lookahead."""
        return self.pipeline is not None and self.pipeline.looks_ahead

    @property
    def built_apart(self) -> bool:
        """True if each unit of a batch has a statement of its own, over what passed through kernels alone."""
        over = self.header.kernels_over
        beside = [entry for entry in self.inputs if entry.name != over and entry is not self.trades]
        return self.pipeline is not None and (over is None or not beside)

    @property
    def keys_by_number(self) -> bool:
        """True if nothing in a batch reads the keys of a row but what finds the number of its unit."""
        kernels = self.pipeline
        alone = kernels is not None and self.header.kernels_over is None and not kernels.replaces_rows
        return (
            alone
            and not self.reads_others
            and not self.looks_ahead
            and self.config.filter is None
            and not {*KEYS} & {*map(str.lower, self.output.order_by)}
        )

    @property
    def reads_others(self) -> bool:
        """True if a unit reads rows of units beside it."""
        return bool(self.header.own_dates or self.days_before or self.days_after)

    @property
    def days_before(self) -> int:
        """Number of earlier dates whose partitions a unit reads."""
        return math.ceil((self.lookback + self._filed_beside) / SECONDS_A_DAY)

    @property
    def days_after(self) -> int:
        """Number of later dates whose partitions a unit reads."""
        return math.ceil((self.lookahead + self._filed_beside) / SECONDS_A_DAY)

    @property
    def reach(self) -> tuple[float, ...]:
        """Lookback and, if any, lookahead and later dates, with a version of their meaning: part of the fingerprint."""
        beside = (self.lookback, self.lookahead, self.days_after) if self.days_after else (self.lookback,)
        by_midnight = self.header.own_dates or not (self.lookback or self.days_after)
        return beside if by_midnight else (*beside, _BESIDE)

    @property
    def _filed_beside(self) -> int:
        """Seconds by which rows may be filed under the wrong date."""
        return HALF_A_DAY if self.header.own_dates else 0

    @property
    def description(self) -> str:
        return self.config.description or self.header.description

    @property
    def shown(self) -> SimpleNamespace:
        """Variable ``model`` of templates."""
        fields = {"name": self.name, "description": self.description, "kernels": self.config.udfs}
        return SimpleNamespace(**fields, partition_by=self.output.partition_by)

    @property
    def primary(self) -> ModelInput:
        """The input whose partitions are the model's partitions."""
        return self.inputs[0]


SECONDS_A_DAY = 86_400
HALF_A_DAY = 43_200


def upstream(model: Model) -> set[str]:
    """Models that must be built before ``model``."""
    return {entry.ref for entry in model.inputs if entry.source is None} | set(model.config.depends_on)


def build_order(models: Mapping[str, Model]) -> tuple[str, ...]:
    """All models, each after those that it needs; :class:`graphlib.CycleError` where they need each other."""
    return tuple(graphlib.TopologicalSorter({name: sorted(upstream(models[name])) for name in models}).static_order())


def quarantine_of(path: str) -> str:
    """Folder of the quarantined rows of the table in ``path``."""
    return f"{path}_quarantine"


def adapter_template(adapter: str) -> str:
    """Template of a source's adapter."""
    return f"sources/{adapter}{TEMPLATE_SUFFIX}"
