"""Checks that a model can run live."""

from __future__ import annotations

import datetime as dt

from sqlgen.compile.compiler import Compiler
from sqlgen.errors import UsageError
from sqlgen.lake.partitions import Partition
from sqlgen.project.model import TRADES, Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.project.rowchecks import removing


def refuse(project: Project, model: Model, where: Partition) -> None:
    """Raise if a row of the model's table does not depend on one input row and kernel states alone."""
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
        reason = f"kernel {model.chain.kernels[0].name} returns other rows than its input rows, and later"
    elif model.header.kernels_over is not None:
        reason = "its template reads the output of the kernels"
    elif model.lookback > 0:
        reason = f"its SQL looks back {model.lookback:g} s into earlier rows. Only kernels (udfs) remember rows live"
    elif left_out := _leaves_out(model):
        reason = left_out
    elif not covers(model.primary, where):
        reason = f"models.yaml excludes {where} from its input '{model.primary.name}'"
    elif Compiler(project).compile(model.name).edges:
        reason = "its SQL treats the first or the last partition in another way"
    reason = _labels(project, model) or reason
    if reason:
        raise UsageError(f"model '{model.name}' cannot run live: {reason}")


def _labels(project: Project, model: Model) -> str:
    """Reason why the labels of a model cannot be live; empty if it has none."""
    described = Compiler(project).compile(model.name).descriptions
    names = [name for name, text in described.items() if text.startswith("label:")]
    shown = f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
    return f"its labels ({shown}) know later rows, which no feed has yet" if names else ""


def _leaves_out(model: Model) -> str:
    """Reason why some rows of the input have none in the table; empty if all have."""
    if model.days_after:
        return "its SQL looks ahead into later rows"
    if model.config.filter is not None:
        return "its filter drops rows. Test the rows that a model without it gives"
    removed = [name for name, checks in model.checks if removing(checks)]
    if removed:
        return f"checks of {', '.join(removed)} remove rows (on_fail drop or quarantine)"
    return ""


def covers(entry: ModelInput, where: Partition) -> bool:
    """True if an input includes an exchange and symbol."""
    chosen = {"exchange": entry.spec.exchange, "symbol": entry.spec.symbol}
    return all(values is None or where[key] in values for key, values in chosen.items())


def dated(entry: ModelInput, date: dt.date) -> bool:
    """True if an input includes a date."""
    start, end = entry.spec.date_start, entry.spec.date_end
    return (start is None or start <= date) and (end is None or date <= end)
