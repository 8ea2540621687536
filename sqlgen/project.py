"""A loaded project: sources, models with their resolved options, their graph and their order."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlgen import config as configuration
from sqlgen.config import Config, Input, Output, Source
from sqlgen.errors import ConfigError, Problem, TemplateError, nearest
from sqlgen.partitions import KEYS
from sqlgen.templates import TEMPLATE_SUFFIX, Header, Library
from sqlgen.yamlfile import Document, KeyPath


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
    """A model with everything that the compiler and the planner need to know of it."""

    name: str
    config: configuration.Model
    header: Header
    options: Mapping[str, Any]
    adapter_options: Mapping[str, Mapping[str, Any]]
    """Input name -> options of its adapter."""
    lookback: float
    inputs: tuple[ModelInput, ...]

    @property
    def output(self) -> Output:
        return self.config.output

    @property
    def unit_keys(self) -> tuple[str, ...]:
        """Keys of the partitions that are rebuilt as one."""
        return tuple(key for key in self.output.partition_by if key in KEYS)

    @property
    def inner_keys(self) -> tuple[str, ...]:
        """Partition columns below a unit."""
        return tuple(key for key in self.output.partition_by if key not in KEYS)

    @property
    def description(self) -> str:
        return self.config.description or self.header.description

    @property
    def primary(self) -> ModelInput:
        """The input whose partitions are the model's partitions."""
        return self.inputs[0]


@dataclass(frozen=True)
class Project:
    """Everything that models.yaml says, checked."""

    path: Path
    config: Config
    library: Library
    models: Mapping[str, Model]

    @property
    def folder(self) -> Path:
        return self.path.parent

    @cached_property
    def lake(self) -> Path:
        return self.folder / self.config.lake

    @cached_property
    def state(self) -> Path:
        return self.lake / self.config.state

    @property
    def sources(self) -> Mapping[str, Source]:
        return self.config.sources

    def upstream(self, name: str) -> set[str]:
        """Models that must be built before ``name``."""
        model = self.models[name]
        refs = {entry.ref for entry in model.inputs if entry.source is None}
        return refs | set(model.config.depends_on)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """All models, each after those that it needs."""
        return tuple(
            graphlib.TopologicalSorter({name: sorted(self.upstream(name)) for name in self.models}).static_order()
        )


def load(path: Path) -> Project:
    """Load and check a project; :class:`ConfigError` with every problem at once."""
    path = path.resolve()
    config, document = configuration.load(path)
    own = path.parent / "transforms_sql"
    checker = _Checker(config, document, Library(own if own.is_dir() else None))
    models = {name: model for name, spec in config.models.items() if (model := checker.model(name, spec)) is not None}
    checker.collisions()
    checker.deletions(models)
    checker.unit_keys(models)
    if not checker.problems:
        checker.cycles(models)
    if checker.problems:
        raise ConfigError(checker.problems)
    return Project(path, config, checker.library, models)


class _Checker:
    """Checks that need more than one node of the file; collects problems."""

    def __init__(self, config: Config, document: Document, library: Library) -> None:
        self.config = config
        self.document = document
        self.library = library
        self.problems: list[Problem] = []

    def add(self, keys: KeyPath, message: str) -> None:
        self.problems.append(self.document.problem(keys, message))

    def model(self, name: str, spec: configuration.Model) -> Model | None:
        before = len(self.problems)
        at: KeyPath = ("models", name)
        header = self._header(spec.sql, (*at, "sql"))
        inputs = self._inputs(at, spec, header)
        self._references(at, spec)
        self._output(at, spec)
        if header is None or len(self.problems) > before:
            return None
        options, adapter_options = self._options(at, spec, header, inputs)
        if len(self.problems) > before:
            return None
        lookback = spec.lookback if spec.lookback is not None else self._lookback(at, spec, options)
        self._mode(at, spec, lookback, inputs)
        return Model(name, spec, header, options, adapter_options, lookback, inputs)

    def _header(self, template: str, keys: KeyPath) -> Header | None:
        try:
            return self.library.header(template)
        except TemplateError as error:
            self.add(keys, str(error))
            return None

    def _lookback(self, at: KeyPath, spec: configuration.Model, options: Mapping[str, Any]) -> float:
        try:
            return self.library.lookback(spec.sql, options)
        except Exception as error:  # any failure of the header's expression is the template author's to mend
            self.add((*at, "sql"), f"template '{spec.sql}': lookback in its header fails: {error}")
            return 0.0

    def _inputs(self, at: KeyPath, spec: configuration.Model, header: Header | None) -> tuple[ModelInput, ...]:
        known = [*self.config.sources, *self.config.models]
        for name in header.inputs if header else ():
            if name not in spec.inputs:
                self.add((*at, "inputs"), f"template '{spec.sql}' needs input '{name}'. Add {name}: SOURCE_OR_MODEL")
        resolved = []
        for name, entry in spec.inputs.items():
            keys = (*at, "inputs", name)
            if header and header.inputs and name not in header.inputs:
                names = ", ".join(header.inputs)
                self.add(
                    keys, f"template '{spec.sql}' has no such input.{nearest(name, header.inputs)} It has: {names}"
                )
            if entry.ref not in known:
                self.add(
                    keys, f"unknown source or model '{entry.ref}'.{nearest(entry.ref, known)} Known: {', '.join(known)}"
                )
            elif entry.date_start and entry.date_end and entry.date_end < entry.date_start:
                self.add(keys, f"date_end {entry.date_end} is before date_start {entry.date_start}")
            resolved.append(ModelInput(name, entry, self.config.sources.get(entry.ref)))
        if spec.inputs and next(iter(spec.inputs.values())).optional:
            first = next(iter(spec.inputs))
            self.add((*at, "inputs", first), "the first input sets the partitions and cannot be optional")
        return tuple(resolved)

    def _references(self, at: KeyPath, spec: configuration.Model) -> None:
        for name in spec.depends_on:
            if name not in self.config.models:
                known = ", ".join(self.config.models)
                self.add(
                    (*at, "depends_on"), f"unknown model '{name}'.{nearest(name, self.config.models)} Known: {known}"
                )

    def _output(self, at: KeyPath, spec: configuration.Model) -> None:
        keys = spec.output.partition_by
        unit = [key for key in keys if key in KEYS]
        at_partition: KeyPath = (*at, "output", "partition_by")
        if len(set(keys)) != len(keys):
            self.add(at_partition, f"a column stands twice: {', '.join(keys)}")
        if list(keys[: len(unit)]) != unit or unit != [key for key in KEYS if key in unit]:
            self.add(at_partition, f"found {', '.join(keys)}: {', '.join(KEYS)} come first and in this order")
        if spec.output.mode == "merge" and not (spec.output.key and spec.output.order_by):
            self.add((*at, "output"), "mode merge needs key (what identifies a row) and order_by (the newest row wins)")
        if spec.output.mode != "merge" and spec.output.key:
            self.add((*at, "output", "key"), f"only mode merge has a key; the mode is {spec.output.mode}")

    def _options(
        self, at: KeyPath, spec: configuration.Model, header: Header, inputs: tuple[ModelInput, ...]
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        adapters = {}
        for entry in inputs:
            if entry.source is not None:
                keys: KeyPath = ("sources", entry.ref, "adapter")
                adapter = self._header(adapter_template(entry.source), keys)
                adapters[entry.name] = adapter or Header()
        declared = header.options | {
            name: option for adapter in adapters.values() for name, option in adapter.options.items()
        }
        given: dict[str, Any] = {}
        for name, value in spec.options.items():
            if name not in declared and (header.options or header.inputs):
                known = ", ".join(sorted(declared)) or "none"
                self.add(
                    (*at, "options", name),
                    f"unknown option.{nearest(name, declared)} Template '{spec.sql}' has: {known}",
                )
                continue
            try:
                given[name] = declared[name].check(value) if name in declared else value
            except ValueError as error:
                self.add((*at, "options", name), str(error))
        options = {name: option.default for name, option in header.options.items()} | given
        resolved = {
            name: {key: options.get(key, option.default) for key, option in adapter.options.items()}
            for name, adapter in adapters.items()
        }
        return options, resolved

    def _mode(self, at: KeyPath, spec: configuration.Model, lookback: float, inputs: tuple[ModelInput, ...]) -> None:
        if spec.output.mode != "append":
            return
        if lookback > 0:
            self.add(
                (*at, "output", "mode"), f"append adds file by file and cannot look back {lookback:g} s. Use overwrite"
            )
        for entry in inputs:
            if entry.source is None:
                self.add(
                    (*at, "output", "mode"),
                    f"append needs sources; input '{entry.name}' is a model, whose files are replaced",
                )
        if len(inputs) > 1:
            self.add((*at, "output", "mode"), "append takes one input: each of its files contributes once")

    def collisions(self) -> None:
        """No two models may publish into one folder, nor into each other's or a source's."""
        folders = [("models", name, model.output.path) for name, model in self.config.models.items()]
        taken = [("sources", name, source.path) for name, source in self.config.sources.items()]
        for kind, name, path in folders:
            for other_kind, other, place in taken:
                if _overlap(path, place):
                    self.add((kind, name, "output", "path"), f"'{path}' overlaps '{place}' of {other_kind}.{other}")
            taken.append((kind, name, path))

    def deletions(self, models: Mapping[str, Model]) -> None:
        """Deleting inputs is safe only where nothing will ever want to read them again."""
        doomed = {
            entry.ref
            for model in models.values()
            if model.config.delete_after_processing
            for entry in model.inputs
            if entry.source is not None
        }
        for model in models.values():
            for entry in model.inputs:
                if entry.ref in doomed and (model.output.mode == "overwrite" or model.lookback > 0):
                    self.add(
                        ("models", model.name, "output"),
                        f"files of '{entry.ref}' are deleted after processing, but this model"
                        " rebuilds partitions from them. Use mode append or merge, without lookback",
                    )

    def unit_keys(self, models: Mapping[str, Model]) -> None:
        """The first input must tell the partitions of its model apart."""
        for model in models.values():
            upstream = models.get(model.primary.ref)
            missing = [key for key in model.unit_keys if upstream is not None and key not in upstream.unit_keys]
            if upstream is not None and missing:
                self.add(
                    ("models", model.name, "output", "partition_by"),
                    f"'{upstream.name}', its first input, is not partitioned by {', '.join(missing)}. Leave that out"
                    f" here, or add it to the partition_by of '{upstream.name}'",
                )

    def cycles(self, models: Mapping[str, Model]) -> None:
        project = Project(self.document.path, self.config, self.library, models)
        try:
            _ = project.order
        except graphlib.CycleError as error:
            cycle = error.args[1]
            self.add(("models", cycle[0]), f"models need each other: {' -> '.join(reversed(cycle))}. Break the circle")


def adapter_template(source: Source) -> str:
    """Template of a source's adapter."""
    return f"sources/{source.adapter}{TEMPLATE_SUFFIX}"


def _overlap(left: str, right: str) -> bool:
    first, second = left.strip("/").split("/"), right.strip("/").split("/")
    shared = min(len(first), len(second))
    return first[:shared] == second[:shared]
