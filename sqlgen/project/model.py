"""Models with their inputs and options resolved."""

from __future__ import annotations

import graphlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlgen.lake.partitions import KEYS
from sqlgen.project.config import Input, ModelConfig, Output, Source
from sqlgen.project.rowchecks import Check
from sqlgen.templating.header import Header
from sqlgen.templating.templates import TEMPLATE_SUFFIX
from udfs import Pipeline

TRADES = "trades"
"""Name of the input that kernels read as trades."""


@dataclass(frozen=True)
class ModelInput:
    """One input of a model, resolved: a source or another model."""

    name: str
    spec: Input
    source: Source | None

    @property
    def ref(self) -> str:
        return self.spec.ref


@dataclass(frozen=True)
class Model:
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
    chain: Pipeline | None = None
    """Kernels of the model; ``None`` without any."""
    batches: bool = False
    """True if one statement may build several units."""

    @property
    def trades(self) -> ModelInput | None:
        """Input that kernels read as trades beside the rows."""
        reads = self.chain is not None and self.chain.reads_trades
        return next((entry for entry in self.inputs if entry.name == TRADES), None) if reads else None

    @property
    def output(self) -> Output:
        return self.config.output

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the result to keep, partition columns included; empty for all."""
        chosen = self.config.columns
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
        through_kernels = ("ts", "seq") if self.chain is not None else self.header.order_by
        return self.output.order_by or tuple(through_kernels)

    @property
    def batched(self) -> bool:
        """True if one statement may build several units whose files are the same as when built alone."""
        plain = self.output.mode == "overwrite"
        whole = self.unit_keys == KEYS == self.output.partition_by
        ordered = self.file_order and set(self.file_order) <= set(self.columns or self.file_order)
        return bool(self.batches and plain and whole and ordered and (self.chain is None or self._in_chains))

    @property
    def _in_chains(self) -> bool:
        """True if consecutive units may pass through kernels together: their rows stay rows, and each reads its own."""
        reads_others = self.header.own_dates or self.days_before or self.days_after
        over = self.header.kernels_over is not None
        return self.chain is not None and not (self.chain.replaces_rows or over or reads_others)

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
        """Lookback and, if any, lookahead and later dates: part of the fingerprint."""
        return (self.lookback, self.lookahead, self.days_after) if self.days_after else (self.lookback,)

    @property
    def _filed_beside(self) -> int:
        """Seconds by which rows may be filed under the wrong date."""
        return HALF_A_DAY if self.header.own_dates else 0

    @property
    def description(self) -> str:
        return self.config.description or self.header.description

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
