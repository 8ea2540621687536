"""Checks of models with each other, and of their outputs: keys of the file and messages."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping

from sqlgen.lake.partitions import KEYS
from sqlgen.project import config as configuration
from sqlgen.project.config import Source
from sqlgen.project.model import Model, build_order
from sqlgen.templating.yamlfile import KeyPath

Told = tuple[KeyPath, str]


def output_problems(at: KeyPath, spec: configuration.Model) -> Iterator[Told]:
    """Partition columns, columns and mode of a model's output that do not fit together."""
    keys = spec.output.partition_by
    unit = [key for key in keys if key in KEYS]
    at_partition: KeyPath = (*at, "output", "partition_by")
    if len(set(keys)) != len(keys):
        yield (at_partition, f"a column stands twice: {', '.join(keys)}")
    if list(keys[: len(unit)]) != unit or unit != [key for key in KEYS if key in unit]:
        yield (at_partition, f"found {', '.join(keys)}: {', '.join(KEYS)} come first and in this order")
    if spec.columns and not set(spec.columns) - set(keys):
        yield ((*at, "columns"), f"found {', '.join(spec.columns)}: paths hold these; name one that files hold")
    if spec.output.mode == "merge" and not (spec.output.key and spec.output.order_by):
        yield ((*at, "output"), "mode merge needs key (what identifies a row) and order_by (the newest row wins)")
    if spec.output.mode != "merge" and spec.output.key:
        yield ((*at, "output", "key"), f"only mode merge has a key; the mode is {spec.output.mode}")


def append_problems(at: KeyPath, model: Model) -> Iterator[Told]:
    """Models that cannot append file by file."""
    if model.output.mode != "append":
        return
    if model.lookback > 0:
        yield (
            (*at, "output", "mode"),
            f"append adds file by file and cannot look back {model.lookback:g} s. Use overwrite",
        )
    elif model.days_after:
        yield (
            (*at, "output", "mode"),
            f"append adds file by file, and template '{model.config.sql}' reads those of the next date too."
            " Use overwrite",
        )
    for entry in model.inputs:
        if entry.source is None:
            yield (
                (*at, "output", "mode"),
                f"append needs sources; input '{entry.name}' is a model, whose files are replaced",
            )
    if len(model.inputs) > 1:
        yield ((*at, "output", "mode"), "append takes one input: each of its files contributes once")


def deletion_problems(sources: Mapping[str, Source], models: Mapping[str, Model]) -> Iterator[Told]:
    """Deleting inputs is safe only where nothing will ever want to read them again."""
    doomed = {
        other
        for model in models.values()
        if model.config.delete_after_processing
        for entry in model.inputs
        if entry.source is not None
        for other, source in sources.items()
        if (source.path, source.pattern) == (entry.source.path, entry.source.pattern)
    }
    for model in models.values():
        for entry in model.inputs:
            if entry.ref in doomed and (model.output.mode == "overwrite" or model.days_before or model.days_after):
                yield (
                    ("models", model.name, "output"),
                    f"files of '{entry.ref}' are deleted after processing, but this model"
                    " rebuilds partitions from them. Use mode append or merge, without lookback",
                )
            elif entry.ref in doomed and model.output.mode == "merge" and model.quarantines:
                yield (
                    ("models", model.name, "output", "mode"),
                    f"files of '{entry.ref}' are deleted after processing, and the next merge would lose the rows"
                    " that its checks quarantined from them. Use mode append, or another on_fail",
                )


def unit_problems(models: Mapping[str, Model]) -> Iterator[Told]:
    """The first input must tell the partitions of its model apart."""
    for model in models.values():
        upstream = models.get(model.primary.ref)
        missing = [key for key in model.unit_keys if upstream is not None and key not in upstream.unit_keys]
        if upstream is not None and missing:
            yield (
                ("models", model.name, "output", "partition_by"),
                f"'{upstream.name}', its first input, is not partitioned by {', '.join(missing)}. Leave that out"
                f" here, or add it to the partition_by of '{upstream.name}'",
            )


def cycle_problems(models: Mapping[str, Model]) -> Iterator[Told]:
    """No model may need itself, not even through others."""
    try:
        build_order(models)
    except graphlib.CycleError as error:
        cycle = error.args[1]
        yield (("models", cycle[0]), f"dependency cycle: {' -> '.join(reversed(cycle))}. Remove one of these inputs")
