"""Checks that a model can run live."""

from __future__ import annotations

import datetime as dt

from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan, Scope
from sqlgen.errors import UsageError
from sqlgen.lake.partitions import Partition
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.project.rowchecks import removing
from sqlgen.project.signs import TRADES


def refuse(project: Project, model: Model, where: Partition) -> None:
    """Raise if a row of the model's table does not depend on one input row and kernel states alone."""
    others = [entry.name for entry in model.inputs[1:] if entry.name != TRADES or model.trades is None]
    reason = ""
    if model.primary.source is None:
        reason = _MADE.format(model.primary)
    elif model.pipeline is not None and model.pipeline.replaces_rows:
        reason = (
            f"kernel {model.pipeline.kernels[0].name} returns other rows than its input rows. Open it with open_bars"
        )
    elif others:
        reason = f"it also reads {', '.join(others)}: only '{TRADES}' for kernels may stand beside the first input"
    elif model.trades is model.primary:
        reason = "its rows are its trades, and trades come before the rows of their time"
    elif model.trades is not None and model.trades.source is None:
        reason = f"its trades come from model '{model.trades.ref}', not from a source"
    elif model.header.kernels_over is not None:
        reason = "its template reads the output of the kernels"
    elif model.lookback > 0:
        reason = _LOOKS_BACK.format(model.lookback) + ("" if model.pipeline is not None else _BATCHES)
    elif left_out := _leaves_out(model):
        reason = left_out
    elif not covers(model.primary, where):
        reason = f"models.yaml excludes {where} from its input '{model.primary.name}'"
    elif Compiler(project).compile(model.name).edges:
        reason = "its SQL treats the first or the last partition in another way"
    _raise(model, _labels(project, model) or reason)


def refuse_bars(project: Project, model: Model, where: Partition) -> None:
    """Raise if a model's table does not follow from the rows of one source through a kernel that gives bars."""
    built = [entry for entry in (model.inputs if model.pipeline is None else model.inputs[:1]) if entry.source is None]
    reason = ""
    if built:
        reason = _MADE.format(built[0])
    elif model.pipeline is None and (model.lookback > 0 or len(model.inputs) > 1):
        reason = f"SQL makes its rows, over earlier rows or several inputs, and only kernels remember rows{_BATCHES}"
    elif model.pipeline is None or not model.pipeline.replaces_rows:
        reason = "no kernel of it gives other rows than its input rows. Open it with open_model"
    elif model.header.kernels_over not in (None, model.primary.name) or model.pipeline.reads_trades:
        reason = "its kernel reads more than its first input"
    elif model.lookback > 0:
        reason = _LOOKS_BACK.format(model.lookback)
    elif left_out := _leaves_out(model):
        reason = left_out
    elif others := _read_beside(project, model):
        reason = f"it also reads {', '.join(others)}"
    elif not covers(model.primary, where):
        reason = f"models.yaml excludes {where} from its input '{model.primary.name}'"
    _raise(model, _labels(project, model) or reason)


def refuse_batches(project: Project, model: Model, where: Partition) -> None:
    """Raise if rows of a model's table may change once the rows of their time are there, or are not of sources."""
    built = [entry for entry in model.inputs if entry.source is None]
    keys = model.file_order
    reason = ""
    if model.pipeline is not None:
        kernels = ", ".join(kernel.name for kernel in model.pipeline.kernels)
        opener = "open_bars" if model.pipeline.replaces_rows else "open_model"
        reason = f"it has kernels ({kernels}), which keep a state. Open it with {opener}"
    elif built:
        reason = _MADE.format(built[0])
    elif "date" not in model.unit_keys:
        reason = "its table has no partitions by date, which a feed would go on from"
    elif model.lookahead and not model.header.own_dates:
        reason = "its SQL looks ahead into later rows"
    elif model.options.get("emit_open_bars"):
        reason = "emit_open_bars gives bars that later rows change"
    elif not keys or not set(keys) <= set(model.columns or keys):
        reason = "its rows have no columns order_by by which new ones are told"
    elif removed := _removed(model):
        reason = removed
    elif excluded := [entry.name for entry in model.inputs if not covers(entry, where)]:
        reason = f"models.yaml excludes {where} from its input '{excluded[0]}'"
    _raise(model, _labels(project, model) or reason)


_MADE = "its input '{0.name}' is model '{0.ref}', not a source"
_BATCHES = ". Open it with open_batches"
_LOOKS_BACK = "its SQL looks back {:g} s into earlier rows. Only kernels (udfs) remember rows live"


def _raise(model: Model, reason: str) -> None:
    if reason:
        raise UsageError(f"model '{model.name}' cannot run live: {reason}")


def _read_beside(project: Project, model: Model) -> list[str]:
    """Inputs beside the first one that the SQL of a model reads; it may name one without reading it."""
    marks = {entry.name: f"rows of {entry.name}, read live" for entry in model.inputs}
    select = Compiler(project).rows(model, Scope({name: Scan((mark,), "table") for name, mark in marks.items()}))
    return [entry.name for entry in model.inputs[1:] if marks[entry.name] in select]


def _labels(project: Project, model: Model) -> str:
    """Reason why the labels of a model cannot be live; empty if it has none."""
    kernels = model.pipeline.kernels if model.pipeline is not None else ()
    ahead = [kernel for kernel in kernels if kernel.looks_ahead]
    if ahead:
        columns = ", ".join(column.name for kernel in ahead for column in kernel.outputs())
        return (
            f"kernel {', '.join(kernel.name for kernel in ahead)} looks ahead: its labels ({columns}) know later rows"
        )
    described = Compiler(project).compile(model.name).descriptions
    kept = model.columns or described
    names = [name for name, text in described.items() if text.startswith("label:") and name in kept]
    shown = f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
    return f"its labels ({shown}) know later rows, which no feed has yet" if names else ""


def _leaves_out(model: Model) -> str:
    """Reason why some rows of the input have none in the table; empty if all have."""
    if model.days_after:
        return "its SQL looks ahead into later rows"
    if model.config.filter is not None and not (model.pipeline is not None and model.pipeline.replaces_rows):
        return "its filter drops rows. Test the rows that a model without it gives"
    return _removed(model)


def _removed(model: Model) -> str:
    """Reason why sessions or checks remove rows of a model; empty if they do not."""
    closing = [f"{entry.sessions.calendar} of {entry.ref}" for entry in model.inputs if entry.sessions is not None]
    if closing:
        return f"sessions ({', '.join(closing)}) leave rows out; a feed has no calendar. Give other sources"
    removed = [name for name, checks in model.checks if removing(checks)]
    return f"checks of {', '.join(removed)} remove rows (on_fail drop or quarantine)" if removed else ""


def covers(entry: ModelInput, where: Partition) -> bool:
    """True if an input includes an exchange and symbol."""
    chosen = {"exchange": entry.spec.exchange, "symbol": entry.spec.symbol}
    return all(values is None or where[key] in values for key, values in chosen.items())


def dated(entry: ModelInput, date: dt.date) -> bool:
    """True if an input includes a date."""
    start, end = entry.spec.date_start, entry.spec.date_end
    return (start is None or start <= date) and (end is None or date <= end)
