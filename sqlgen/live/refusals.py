"""Models that no live feed can serve, and why."""

from __future__ import annotations

import datetime as dt

from sqlgen.compile.compiler import Compiler
from sqlgen.errors import UsageError
from sqlgen.lake.partitions import Partition
from sqlgen.project.model import TRADES, Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.project.rowchecks import removing


def refuse(project: Project, model: Model, where: Partition) -> None:
    """Raise where a row of the model's table is not made of one row of its input, and of kernel states."""
    others = [entry.name for entry in model.inputs[1:] if entry.name != TRADES or model.trades is None]
    reason = ""
    if model.primary.source is None:
        reason = f"its first input is model '{model.primary.ref}', not a source"
    elif others:
        reason = f"it also reads {', '.join(others)}: only '{TRADES}' for kernels may stand beside the first input"
    elif model.trades is model.primary:
        reason = "its rows are its trades, and trades come before the rows of their time"
    elif model.trades is not None and model.trades.source is None:
        reason = f"its trades come from model '{model.trades.ref}', not from a source"
    elif model.chain is not None and model.chain.replaces_rows:
        reason = f"kernel {model.chain.kernels[0].name} gives other rows than it is given, later than these come"
    elif model.header.kernels_over is not None:
        reason = "its template works on what the kernels give"
    elif model.lookback > 0:
        reason = f"its SQL looks back {model.lookback:g} s into earlier rows. Only kernels (udfs) remember rows live"
    elif left_out := _leaves_out(model):
        reason = left_out
    elif not covers(model.primary, where):
        reason = f"models.yaml leaves {where} out of its input '{model.primary.name}'"
    elif Compiler(project).compile(model.name).edges:
        reason = "its SQL treats the first or the last partition in another way"
    if reason:
        raise UsageError(f"model '{model.name}' cannot run live: {reason}")


def _leaves_out(model: Model) -> str:
    """Why not every row of the input has one in the table; empty where each has."""
    if model.days_after:
        return "its SQL looks ahead into later rows"
    if model.config.filter is not None:
        return "its filter drops rows. Test the rows that a model without it gives"
    removed = [name for name, checks in model.checks if removing(checks)]
    if removed:
        return f"checks of {', '.join(removed)} leave rows out (on_fail drop or quarantine)"
    return ""


def covers(entry: ModelInput, where: Partition) -> bool:
    """True if an input lets through an exchange and symbol."""
    chosen = {"exchange": entry.spec.exchange, "symbol": entry.spec.symbol}
    return all(values is None or where[key] in values for key, values in chosen.items())


def dated(entry: ModelInput, date: dt.date) -> bool:
    """True if an input lets through a date."""
    start, end = entry.spec.date_start, entry.spec.date_end
    return (start is None or start <= date) and (end is None or date <= end)
