"""Checks of models.yaml across its nodes, which also resolve its models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlgen.calendars import sessions as calendars
from sqlgen.errors import Problem, TemplateError, nearest
from sqlgen.features.choice import ChoiceError
from sqlgen.lake.partitions import KEYS
from sqlgen.lake.patterns import PathPattern
from sqlgen.project.config import Config, ModelConfig, Sessions, Source
from sqlgen.project.keys import fixed_keys
from sqlgen.project.model import Model, ModelInput, adapter_template
from sqlgen.project.modelchecks import (
    append_problems,
    cycle_problems,
    deletion_problems,
    expression_problems,
    output_problems,
    same_names,
    secret_places,
    shared_folders,
    state_elsewhere,
    unit_problems,
    unreadable_lake,
)
from sqlgen.project.resolve.carried import carried_by, other_time
from sqlgen.project.resolve.sessions import of_year, session_problems, sessions_of
from sqlgen.project.resolve.templated import HeaderError, batched, narrowed, seconds
from sqlgen.project.rowchecks import Check, duplicate_titles, unknown_columns
from sqlgen.project.signs import TRADES, unsigned, without_quotes
from sqlgen.templating.header import Header
from sqlgen.templating.templates import Library
from sqlgen.templating.yamlfile import Document, KeyPath
from udfs import KernelError, Option, Pipeline, Registry, kernels_of


class Checker:
    """Checks across the nodes of models.yaml; collects problems."""

    def __init__(self, config: Config, document: Document, library: Library, kernels: Path) -> None:
        self.config = config
        self.document = document
        self.library = library
        self.kernels = kernels if kernels.is_dir() else None
        self.problems: list[Problem] = []
        self.sources: dict[str, dict[str, Any]] = {}
        """Source name -> options that it sets for its adapter."""

    def add(self, keys: KeyPath, message: str) -> None:
        self.problems.append(self.document.problem(keys, message))

    def _add_all(self, problems: Iterable[tuple[KeyPath, str]]) -> None:
        for at, message in problems:
            self.add(at, message)

    def source(self, name: str, spec: Source) -> None:
        """Check a source: its adapter, options and keys."""
        at: KeyPath = ("sources", name)
        header = self._header(adapter_template(spec.adapter), (*at, "adapter"))
        duplicate = sorted(fixed_keys(spec).keys() & set(PathPattern(spec.pattern).keys))
        for key in duplicate:
            self.add((*at, key), f"'pattern' gives {{{key}}} too. Leave one of them out")
        if spec.sessions is not None:
            try:
                calendars.check(spec.sessions.calendar)
            except calendars.CalendarError as error:
                self.add((*at, "sessions"), str(error))
        if header is not None:
            whose = f"Adapter '{spec.adapter}'"
            self.sources[name] = {
                option: self._option((*at, "options", option), option, value, header.options, whose)
                for option, value in spec.options.items()
            }

    def _option(self, at: KeyPath, name: str, value: Any, declared: Mapping[str, Option], whose: str) -> Any:
        """Value of an option in its type; a problem if the option or the value is not valid."""
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            self.add(at, f"unknown option.{nearest(name, declared)} {whose} has: {known}")
            return None
        try:
            return declared[name].check(value)
        except ValueError as error:
            self.add(at, str(error))
            return None

    def model(self, name: str, spec: ModelConfig) -> Model | None:
        before = len(self.problems)
        at: KeyPath = ("models", name)
        header = self._header(spec.sql, (*at, "sql"))
        kernels = self._kernels(at, spec, header)
        inputs = self._inputs(at, spec, header, kernels)
        self._references(at, spec)
        self._add_all(output_problems(at, spec))
        if header is None or len(self.problems) > before:
            return None
        options, fingerprinted, adapter_options = self._options(at, spec, header, inputs, kernels)
        known = options | carried_by(header, inputs)
        pipeline = self._pipeline(at, spec, known) if len(self.problems) == before else None
        if len(self.problems) > before:
            return None
        try:
            lookback, lookahead = (seconds(self.library, spec, key, known) for key in ("lookback", "lookahead"))
            batches = batched(self.library, spec, options)
        except HeaderError as error:
            self.add((*at, error.key), str(error))
            return None
        model = Model(
            name, spec, header, options, fingerprinted, adapter_options, lookback, lookahead, inputs, pipeline, batches
        )
        try:
            model = narrowed(self.library, model)
        except ChoiceError as error:
            self.add((*at, "features"), str(error))
        self.rows((*at, "checks"), spec.checks, model.columns)
        self._add_all((*append_problems(at, model), *session_problems(at, model)))
        return model

    def _registry(self) -> Registry:
        named = (name for spec in self.config.models.values() for name in spec.udfs)
        return kernels_of(self.kernels, named)

    def _kernels(self, at: KeyPath, spec: ModelConfig, header: Header | None) -> Pipeline | None:
        """Kernels of a model with default options, which determine what they read."""
        if header and header.kernels_over and not spec.udfs:
            self.add((*at, "udfs"), f"missing. Template '{spec.sql}' works on what a kernel gives")
        if not spec.udfs:
            return None
        try:
            known = self._registry()
            for name in spec.udfs:
                if name not in known:
                    self.add(
                        (*at, "udfs"),
                        f"unknown kernel '{name}'.{nearest(name, known)} Known: {', '.join(sorted(known))}",
                    )
            return Pipeline.of((name for name in spec.udfs if name in known), {}, known)
        except KernelError as error:
            self.add((*at, "udfs"), str(error))
            return None

    def _pipeline(self, at: KeyPath, spec: ModelConfig, options: Mapping[str, Any]) -> Pipeline | None:
        """Kernels of a model with its options."""
        if not spec.udfs:
            return None
        try:
            pipeline = Pipeline.of(spec.udfs, options, self._registry())
        except KernelError as error:
            self.add((*at, "udfs"), str(error))
            return None
        except ValueError as error:
            self.add((*at, "options"), str(error))
            return None
        keys = spec.output.partition_by
        if keys[:2] != KEYS[:2]:
            self.add(
                (*at, "output", "partition_by"),
                f"found {', '.join(keys) or 'nothing'}: kernels see one symbol at a time, so that"
                f" {KEYS[0]}, {KEYS[1]} come first",
            )
        if spec.output.mode != "overwrite":
            self.add((*at, "output", "mode"), f"found {spec.output.mode}: with kernels only overwrite is possible")
        if pipeline.reads_trades and TRADES not in spec.inputs:
            needy = ", ".join(kernel.name for kernel in pipeline.kernels if kernel.reads_trades)
            self.add((*at, "inputs"), f"kernel {needy} reads trades. Add {TRADES}: SOURCE (it may be optional)")
        return pipeline

    def _header(self, template: str, keys: KeyPath) -> Header | None:
        try:
            return self.library.header(template)
        except TemplateError as error:
            self.add(keys, str(error))
            return None

    def _adapter(self, source: Source) -> Header:
        try:
            return self.library.header(adapter_template(source.adapter))
        except TemplateError:
            return Header()  # reported with the source

    def _inputs(
        self, at: KeyPath, spec: ModelConfig, header: Header | None, kernels: Pipeline | None
    ) -> tuple[ModelInput, ...]:
        known = [*self.config.sources, *self.config.models]
        extra = {TRADES} if kernels is not None and kernels.reads_trades else set()
        for name in header.inputs if header else ():
            if name not in spec.inputs:
                self.add((*at, "inputs"), f"template '{spec.sql}' needs input '{name}'. Add {name}: SOURCE_OR_MODEL")
        resolved = []
        for name, entry in spec.inputs.items():
            keys = (*at, "inputs", name)
            if header and header.inputs and name not in {*header.inputs, *extra}:
                names = ", ".join((*header.inputs, *extra))
                self.add(
                    keys, f"template '{spec.sql}' has no such input.{nearest(name, header.inputs)} It has: {names}"
                )
            if entry.ref not in known:
                self.add(
                    keys, f"unknown source or model '{entry.ref}'.{nearest(entry.ref, known)} Known: {', '.join(known)}"
                )
            elif entry.date_start and entry.date_end and entry.date_end < entry.date_start:
                self.add(keys, f"date_end {entry.date_end} is before date_start {entry.date_start}")
            resolved.append(ModelInput(name, entry, self.config.sources.get(entry.ref), *self._carried(entry.ref)))
        if spec.inputs and next(iter(spec.inputs.values())).optional:
            first = next(iter(spec.inputs))
            self.add((*at, "inputs", first), "the first input sets the partitions and cannot be optional")
        return tuple(resolved)

    def _carried(self, ref: str) -> tuple[Sessions | None, str]:
        try:
            return sessions_of(self.config, self.library, ref), other_time(self.config, self.library, ref)
        except TemplateError:
            return None, ""  # reported with the model

    def _references(self, at: KeyPath, spec: ModelConfig) -> None:
        for name in spec.depends_on:
            if name not in self.config.models:
                known = ", ".join(self.config.models)
                self.add(
                    (*at, "depends_on"), f"unknown model '{name}'.{nearest(name, self.config.models)} Known: {known}"
                )

    def _options(
        self,
        at: KeyPath,
        spec: ModelConfig,
        header: Header,
        inputs: tuple[ModelInput, ...],
        kernels: Pipeline | None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, Any]]]:
        """All options, the fingerprinted ones among them, and those of each adapter."""
        adapters = {}
        for entry in inputs:
            if entry.source is not None:
                adapters[entry.name] = self._adapter(entry.source)
        # A template may have a default of its own for an option that its kernels have too.
        of_kernels = (kernel.options for kernel in (kernels.kernels if kernels else ()))
        own = {name: option for options in of_kernels for name, option in options.items()} | header.options
        # An option of the model goes on to its adapters where they have one of this name and type.
        shared = {
            name: {key: it for key, it in adapter.options.items() if key not in own or own[key].type == it.type}
            for name, adapter in adapters.items()
        }
        declared = own | {key: option for options in shared.values() for key, option in options.items()}
        stated: dict[str, Any] = {}
        whose = f"Template '{spec.sql}'" + (f" with kernels {', '.join(spec.udfs)}" if spec.udfs else "")
        for name, value in spec.options.items():
            if name not in declared and not (header.options or header.inputs):
                stated[name] = value
            else:
                stated[name] = self._option((*at, "options", name), name, value, declared, whose)
        options = {name: option.default for name, option in own.items()} | of_year(inputs, own) | stated
        of_source = {entry.name: self.sources.get(entry.ref, {}) for entry in inputs}
        resolved = {
            name: {
                key: options[key]
                if key in options and key in shared[name]
                else of_source[name].get(key, option.default)
                for key, option in adapter.options.items()
            }
            for name, adapter in adapters.items()
        }
        quiet = {name for name, option in own.items() if option.quiet and options[name] == option.default}
        fingerprinted = {name: value for name, value in options.items() if name not in quiet}
        return options, fingerprinted, resolved

    def rows(self, at: KeyPath, checks: Sequence[Check], columns: Sequence[str] = ()) -> None:
        """Validate row checks: unique titles, and columns that exist, where they are known."""
        for title in duplicate_titles(checks):
            self.add(at, f"two checks are called '{title}'. Give them a name each")
        for number, check in enumerate(checks):
            for problem in unknown_columns(check, columns) if columns else ():
                self.add((*at, number), f"{check.title}: {problem} The model keeps: {', '.join(columns)}")

    def models(self, models: Mapping[str, Model]) -> None:
        """Check the models against each other."""
        self._add_all(deletion_problems(self.config.sources, models))
        self._add_all(unit_problems(models))
        self._add_all(without_quotes(self.config.sources, models.values()))
        self._add_all(unsigned(models))
        if not self.problems:
            self._add_all(cycle_problems(models))

    def paths(self) -> None:
        """Check that names and folders of sources and models do not clash."""
        path = self.document.path
        lake = path.parent / self.config.lake
        self._add_all(expression_problems(self.config))
        self._add_all((*state_elsewhere(self.config, path), *secret_places(self.config, path)))
        self._add_all((*unreadable_lake(lake), *same_names(self.config), *shared_folders(self.config, lake)))
