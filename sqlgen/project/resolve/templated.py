"""Values of a model that its template's header gives, and the columns that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from msgspec import structs

from sqlgen.features.choice import AllColumns
from sqlgen.features.selectlist import output_columns
from sqlgen.lake.partitions import KEYS
from sqlgen.project.config import LONGEST_LOOKBACK, ModelConfig
from sqlgen.project.model import Model
from sqlgen.project.resolve.sessions import zones_of
from sqlgen.project.signs import QUOTES, TRADES
from sqlgen.templating.templates import Library


class HeaderError(ValueError):
    """An expression of a template's header that fails, or whose value is not possible."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def seconds(library: Library, spec: ModelConfig, name: str, options: Mapping[str, Any]) -> float:
    """The ``lookback`` or ``lookahead`` of a model: its own, or that of its template; else :class:`HeaderError`."""
    chosen: float | None = getattr(spec, name)
    if chosen is not None:
        return chosen
    try:
        found: float = getattr(library, name)(spec.sql, options)
    except Exception as error:  # any failure of the header's expression is the template author's to fix
        raise HeaderError("sql", f"template '{spec.sql}': {name} in its header fails: {error}") from None
    if not 0 <= found <= LONGEST_LOOKBACK:
        verb = {"lookback": "looks back", "lookahead": "looks ahead"}[name]
        limit = f"0 to {LONGEST_LOOKBACK:,} are possible"
        raise HeaderError("options", f"with these options it {verb} {found:g} s; {limit}")
    return found


def batched(library: Library, spec: ModelConfig, options: Mapping[str, Any]) -> bool:
    """True if the template allows several units in one statement; else :class:`HeaderError`."""
    if spec.lookback is not None or spec.lookahead is not None:  # in a batch, the SQL would see what it needs
        return False
    try:
        return library.batches(spec.sql, options)
    except Exception as error:  # as above
        raise HeaderError("sql", f"template '{spec.sql}': batches in its header fails: {error}") from None


def narrowed(library: Library, model: Model) -> Model:
    """A model with the columns that ``features`` or ``columns`` keep, and no kernels and trades that they do not need.

    Raises :class:`ChoiceError`.
    """
    spec, header, pipeline = model.config, model.header, model.pipeline
    if not (spec.features or (spec.columns and pipeline is not None)):
        return structs.replace(model, chosen=spec.columns)
    over = header.kernels_over is not None
    alone = pipeline is not None and pipeline.replaces_rows and not over
    of_template = KEYS if alone else output_columns(_over_nothing(library, model))
    every = AllColumns(of_template, None if over else pipeline)
    always = (*spec.output.partition_by, *spec.output.key, *spec.output.order_by, *header.order_by)
    chosen = every.matching(spec.features, always, header.tags) if spec.features else spec.columns
    found = every.needed_by((*dict.fromkeys((*spec.output.partition_by, *chosen)),), spec.filter, QUOTES)
    pipeline = pipeline if over else found.pipeline
    inputs = model.inputs
    if (
        model.trades is not None
        and TRADES not in header.inputs
        and not (pipeline is not None and pipeline.reads_trades)
    ):
        inputs = tuple(entry for entry in inputs if entry is not model.trades)
    return structs.replace(model, chosen=chosen, fed=found.fed, pipeline=pipeline, inputs=inputs)


def _over_nothing(library: Library, model: Model) -> str:
    """The SELECT of a model's template over inputs of which it is known only what time they keep beside ts."""
    return library.text(
        model.config.sql,
        inputs={entry.name: entry.other_time for entry in model.inputs},
        options=SimpleNamespace(**model.options),
        sessions=zones_of(model.inputs),
        other_times={entry.name: entry.other_time for entry in model.inputs},
        captured={entry.name: None for entry in model.inputs},
        feeds={entry.name: None for entry in model.inputs},
        scope=SimpleNamespace(
            first=True, open=True, date=None, exchange=None, symbol=None, one_market=False, batch=False
        ),
        model=model.shown,
    )
