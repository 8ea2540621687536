"""Sessions of models' inputs, and their seconds in a year."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence

from sqlgen.calendars.sessions import CalendarError, seconds_per_year, zone
from sqlgen.project.config import Config, Sessions
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.modelchecks import KeyProblem
from sqlgen.project.resolve.carried import carrying
from sqlgen.templating.templates import Library
from sqlgen.templating.yamlfile import KeyPath

SECONDS_PER_YEAR = "seconds_per_year"
"""Option of templates that annualise."""


def sessions_of(config: Config, library: Library, ref: str) -> Sessions | None:
    """Sessions of the rows of a source, or of a model that keeps ``session_date``."""
    source = carrying(config, library, ref, "sessions", ("session_date",))
    return source.sessions if source is not None else None


def zones_of(inputs: Sequence[ModelInput]) -> dict[str, str | None]:
    """Input -> time zone of the exchange whose sessions its rows lie in; ``None`` without sessions."""
    zones: dict[str, str | None] = {}
    for entry in inputs:
        zones[entry.name] = None
        if entry.sessions is not None:
            zones[entry.name] = "UTC"
            with contextlib.suppress(CalendarError):  # reported with the source
                zones[entry.name] = zone(entry.sessions.calendar)
    return zones


def of_year(inputs: Sequence[ModelInput], known: Collection[str]) -> dict[str, float]:
    """Seconds of trading in a year by the calendar of the first input, for templates with ``seconds_per_year``."""
    sessions = inputs[0].sessions if inputs else None
    if sessions is None or SECONDS_PER_YEAR not in known:
        return {}
    with contextlib.suppress(CalendarError):  # reported with the source
        return {SECONDS_PER_YEAR: seconds_per_year(sessions.calendar, sessions.before, sessions.after)}
    return {}


def session_problems(at: KeyPath, model: Model) -> Iterator[KeyProblem]:
    """Books that would be built from the messages of sessions alone."""
    cut = [entry.ref for entry in model.inputs if entry.source is not None and entry.source.sessions is not None]
    pipeline = model.pipeline
    if (
        cut
        and pipeline is not None
        and any("bid_levels" in {c.name for c in kernel.outputs()} for kernel in pipeline.kernels)
    ):
        yield (
            (*at, "inputs"),
            f"kernel {pipeline.kernels[-1].name} builds books from every message, and '{cut[0]}' leaves out those"
            " between its sessions. Take sessions from that source",
        )
