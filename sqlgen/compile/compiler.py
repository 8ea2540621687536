"""Model + scope -> SQL text. Pure: reads templates, touches neither the lake nor a database.

The same templates serve two scopes: the whole lake (globs; what ``compile`` writes, to be read and
run by people) and one unit (an explicit file list; what a task runs).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from msgspec import Struct, field, structs

from sqlgen.compile.adapters import RawForm
from sqlgen.compile.checksql import CheckedRows, passing
from sqlgen.compile.compiledfile import ModelSql, compiled_file, named_stages
from sqlgen.compile.compiledmodel import CompiledModel, digest
from sqlgen.compile.inputs import AdaptedInputs, all_files
from sqlgen.compile.scope import EDGES, Scan, Scope, ScopeInTemplate, SourceLayout
from sqlgen.compile.sourcespec import SourceSpec
from sqlgen.compile.statements import FOOTER_KEY, KERNEL_ROWS, Parts, Target, copy, indent, stored_as
from sqlgen.compile.unitsql import UNIT, batch, merged, narrowed, numbered, of_columns, of_unit, only, single
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.project.feeds import captured_levels, feed_of, shares_feed
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.project.resolve.sessions import zones_of
from sqlgen.project.rowchecks import DEFAULT_ON_FAIL, identity, of_rows, removing
from sqlgen.project.signs import sign_of
from sqlgen.templating.header import CsvFormat
from sqlgen.templating.quoting import bare, exact_path, ident, literal
from sqlgen.templating.secrets import hidden

EXACT = ("q", "u")
"""Units of prices and sizes."""
SIGNED_TEMPLATE = "publish/signed.sql.j2"
PUBLISHED_TEMPLATE = "sources/published.sql.j2"


class Compiler(Struct, dict=True):
    """Compiles the models of one project."""

    project: Project
    layouts: Mapping[str, SourceLayout] = field(default_factory=dict)
    """Source name -> layout of its files; a source without one is laid out as ``sample`` writes it."""
    empty: frozenset[str] = frozenset()
    """Sources without files."""
    types: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Model -> SQL types of its partition columns other than exchange, symbol and date, where they are known."""
    _compiled: dict[str, CompiledModel] = field(default_factory=dict)

    @functools.cached_property
    def _adapted(self) -> AdaptedInputs:
        return AdaptedInputs(self.project.library)

    def compile(self, name: str) -> CompiledModel:
        """The whole-lake SQL of a model and its fingerprint."""
        if name not in self._compiled:
            self._compiled[name] = self._compile(self.project.models[name])
        return self._compiled[name]

    def _compile(self, model: Model) -> CompiledModel:
        lake = self.whole_lake(model)
        parts = self._parts(model, lake)
        # The fingerprint does not depend on the lake's path or the names of its folders. The types of partition columns
        # are known only once there are files.
        plain = {
            name: structs.replace(layout, ambiguous=False, twins=frozenset(), shuffled=False, dates=None)
            for name, layout in self.layouts.items()
        }
        scope = Compiler(self.project, plain, self.empty).whole_lake(model)
        same = plain == self.layouts and not any(self.types.values())
        select = _joined(parts if same else self._parts(model, scope))
        whole = bare(select)
        read = (lake if same else scope).read
        scopes = {edge: Scope(scope.inputs, frozenset(EDGES) - {edge}) for edge in EDGES}
        inner = {
            edge: bare(_joined(self._parts(model, within))) if edge in read else whole
            for edge, within in scopes.items()
        }
        texts = [text.replace(self._lake, "") for text in (whole, *inner.values())]
        kernels = model.pipeline.identity if model.pipeline is not None else []
        known: list[Any] = [texts, *model.reach, stored_as(model), model.output.mode]
        added = [(column.name, column.type) for column in model.pipeline.outputs] if model.pipeline is not None else []
        checks = [(name, identity(found)) for name, found in model.checks]
        known += [checks] if checks else []
        known += [
            entry.source.unreadable
            for entry in model.inputs
            if entry.source and entry.source.unreadable != DEFAULT_ON_FAIL
        ]
        fingerprint = digest(*known, kernels, added) if kernels else digest(*known)
        return CompiledModel(
            model=model,
            select=_joined(parts),
            write=functools.partial(self._file, model, fingerprint, parts),
            library=self.project.library,
            fingerprint=fingerprint,
            options_fingerprint=digest(sorted(model.fingerprinted_options.items()), stored_as(model)),
            kernels_fingerprint=digest([(k[0], k[1]) for k in kernels], added) if kernels else "",
            checks_fingerprint=digest(checks) if checks else "",
            edges=frozenset(edge for edge, text in inner.items() if text != whole),
        )

    def _parts(self, model: Model, scope: Scope) -> Parts:
        """All SQL that a model's table depends on."""
        select = self._merged(model, self.select(model, scope))
        if model.pipeline is None:
            return None, None, select
        return self.feed(model, scope), self.trades(model, scope), select

    def _file(self, model: Model, fingerprint: str, parts: Parts) -> str:
        file: str = hidden(compiled_file(model, self._shown(model, parts), fingerprint, self._foreign(model)))
        return file

    def _shown(self, model: Model, parts: Parts) -> ModelSql:
        """SQL of a model over the whole lake, stage by stage."""
        feed, trades, select = parts
        if feed is not None:
            return ModelSql(named_stages(model, feed), trades, select)
        scope = self.whole_lake(model)
        rows = named_stages(model, self.template(model, scope, {}))
        selected = narrowed(f"SELECT *\nFROM {rows[-1].name}", model, scope.emit)
        return ModelSql(rows, None, self._merged(model, passing(self.project.library, self.checked(model, selected))))

    def _foreign(self, model: Model) -> list[str]:
        found = {entry.ref: self.layouts[entry.ref].foreign for entry in model.inputs if entry.ref in self.layouts}
        return [f"{name} ({what})" for name, what in found.items() if what]

    @property
    def _lake(self) -> str:
        return exact_path(self.project.config.lake.rstrip("/")).replace("'", "''") + "/"

    def whole_lake(self, model: Model) -> Scope:
        """Scope of all files of all inputs, as globs relative to the project's folder."""
        return Scope({entry.name: self._all_files(entry) for entry in model.inputs})

    def _all_files(self, entry: ModelInput) -> Scan | None:
        if entry.spec.optional and entry.ref in self.empty:
            return None
        return all_files(self.project, entry, self.layouts.get(entry.ref), self.types.get(entry.ref, {}))

    def select(self, model: Model, scope: Scope) -> str:
        """The SELECT of a model over a scope: the rows that pass its checks."""
        return passing(self.project.library, self.checked(model, self.rows(model, scope)))

    def checked(self, model: Model, rows: str, names: tuple[str, ...] = ()) -> CheckedRows:
        """Rows of a model's result with its checks; ``names``: its columns."""
        columns = model.columns
        keys = tuple(key for key in KEYS if not columns or key in columns)
        return CheckedRows(model.name, rows, of_rows(model.config.checks), keys, names=names)

    def rows(self, model: Model, scope: Scope) -> str:
        """The SELECT of a model over a scope, before its own checks."""
        over = model.header.kernels_over
        if model.pipeline is not None and over is None:
            return narrowed(f"SELECT *\nFROM {KERNEL_ROWS}", model, scope.emit if model.looks_ahead else None)
        given = {over: f"SELECT *\nFROM {KERNEL_ROWS}"} if over is not None else {}
        return narrowed(self.template(model, scope, given), model, scope.emit)

    def feed(self, model: Model, scope: Scope) -> str:
        """The SELECT whose rows go through the kernels of a model."""
        over = next((entry for entry in model.inputs if entry.name == model.header.kernels_over), None)
        if over is not None:
            scan = scope.inputs[over.name]
            assert scan is not None
            return only(self.input_rows(model, over, scan), scope.emit)
        emit = None if model.looks_ahead else scope.emit  # what comes after the kernels is cut then
        return only(of_columns(self.template(model, scope, {}), model.fed), emit)

    def trades(self, model: Model, scope: Scope) -> str | None:
        """The SELECT of the trades that the kernels of a model read beside the rows; ``None`` without trades."""
        scan = scope.inputs[model.trades.name] if model.trades is not None else None
        if scan is None or model.trades is None:
            return None
        rows = indent(only(self.input_rows(model, model.trades, scan), scope.emit_trades))
        seq = ",\n    seq" if shares_feed(self.project, model) else ""
        return f"SELECT\n    ts,\n    price,\n    amount,\n    side{seq}\nFROM (\n{rows}\n)"

    def numbered_feeds(
        self, model: Model, scope: Scope, rows_of: Mapping[Partition, int], trades_of: Mapping[Partition, int]
    ) -> Iterator[tuple[str, str | None]]:
        """Rows of several units for kernels and trades beside them, as they come and by time; numbers by partition."""
        library, rows = self.project.library, self.feed(model, scope)
        scan = scope.inputs[model.trades.name] if model.trades is not None else None
        trades = self.input_rows(model, model.trades, scan) if scan is not None and model.trades is not None else None
        dropped = KEYS if shares_feed(self.project, model) else (*KEYS, "seq")
        for by_time in (False, True):
            beside = numbered(model, library, trades, trades_of, dropped, by_time) if trades is not None else None
            yield numbered(model, library, rows, rows_of, KEYS if model.keys_by_number else (), by_time), beside

    def template(self, model: Model, scope: Scope, given: Mapping[str, str]) -> str:
        inputs = {
            entry.name: given.get(entry.name) or self.input_rows(model, entry, scan)
            for entry in model.inputs
            if (scan := scope.inputs[entry.name]) is not None
        }
        return self._render(
            model.config.sql,
            inputs=inputs,
            options=model.options,
            sessions=zones_of(model.inputs),
            other_times={entry.name: entry.other_time for entry in model.inputs},
            captured={entry.name: captured_levels(self.project, model, entry) for entry in model.inputs},
            feeds={entry.name: feed_of(self.project, entry) for entry in model.inputs},
            scope=ScopeInTemplate(scope),
            model=model.shown,
        )

    def input_select(self, model: Model, entry: ModelInput, scan: Scan) -> str:
        """The SELECT of the canonical rows of one input, before its checks."""
        text = (
            self.published_select(entry.ref, scan) if entry.source is None else self._adapted.select(model, entry, scan)
        )
        return only(text, scan.predicate)

    def checked_input(self, model: Model, entry: ModelInput, scan: Scan) -> CheckedRows:
        """Canonical rows of a source with its checks, which see whole partitions even if the model reads less."""
        assert entry.source is not None
        rows = self.input_select(model, entry, replace(scan, predicate=None))
        return CheckedRows(entry.ref, rows, of_rows(entry.source.checks), predicate=scan.predicate)

    def input_rows(self, model: Model, entry: ModelInput, scan: Scan) -> str:
        """The SELECT of the canonical rows of one input that pass its checks."""
        if sign := sign_of(model, entry):
            rows = self.input_select(model, entry, scan)
            return self.project.library.render(SIGNED_TEMPLATE, rows=rows, sign=sign)
        if entry.source is None or not removing(entry.source.checks):
            return self.input_select(model, entry, scan)
        text = passing(self.project.library, self.checked_input(model, entry, scan), (*KEYS, "seq"))
        return only(text, scan.predicate)

    def csv(self, model: Model, entry: ModelInput) -> CsvFormat:
        """CSV dialect of an input's files."""
        return self._adapted.csv(model, entry)

    def raw_form(self, model: Model, entry: ModelInput, layout: SourceLayout) -> RawForm:
        """Form of the files of an input, as its adapter reads them."""
        return self._adapted.raw_form(model, entry, layout)

    def published_select(self, name: str, scan: Scan) -> str:
        """The SELECT over published files of a model."""
        scan = replace(scan, hive_keys=self.project.models[name].output.partition_by)
        return self._render(PUBLISHED_TEMPLATE, source=SourceSpec.of_scan(name, scan), options={})

    def _render(self, template: str, options: Mapping[str, Any], **context: Any) -> str:
        return self.project.library.render(template, options=SimpleNamespace(**options), **context)

    def reading(self, model: Model, entry: ModelInput, layout: SourceLayout) -> str:
        """Digest of all settings by which a model reads a source."""
        assert entry.source is not None
        scan = Scan(("",), layout.format, layout.hive_keys)
        settings = entry.source.model_dump(exclude={"description", "checks"})
        options = sorted(model.adapter_options[entry.name].items())
        return digest(settings, options, self.csv(model, entry), bare(self.input_select(model, entry, scan)))

    def copy(self, model: Model, scope: Scope, into: Target, old: Scan | None = None) -> str:
        """The statement of one task: COPY of one unit to its staging folder.

        In mode merge the published files, ``old``, are merged in. If the model has checks, the result is the input of
        :meth:`copy_checked`.
        """
        rows = self.rows(model, scope)
        return self.copy_rows(model, rows if model.config.checks else self._merged(model, rows, old), into)

    def copy_batch(self, model: Model, rows: str, units: Sequence[Partition], into: Target, old: Scan | None) -> str:
        """The statement of several units' rows, each unit copied to a folder with its number; see :meth:`copy`."""
        library = self.project.library
        rows = rows if model.config.checks else self._merged(model, rows, old)
        rows = batch(library, model, single(library, rows, into.singles), units)
        order = ", ".join(map(ident, model.file_order))
        options = [f"ORDER_BY ({order})", f"KV_METADATA {{{FOOTER_KEY}: {literal(into.stamp)}}}"]
        return copy(model, rows, into.path, (UNIT,), options)

    def copy_checked(self, model: Model, rows: str, into: Target, old: Scan | None = None) -> str:
        """The second statement of a task whose model has checks: the ``rows`` that pass."""
        select = passing(self.project.library, self.checked(model, rows))
        return self.copy_rows(model, self._merged(model, select, old), into)

    def copy_rows(self, model: Model, select: str, into: Target) -> str:
        """The statement that writes rows of one unit, as they are."""
        select = single(self.project.library, of_unit(self.project.library, model, select, into.unit), into.singles)
        return copy(model, select, into.path, model.inner_keys, into.options(bool(model.inner_keys)))

    def singles(self, model: Model, columns: Mapping[str, str]) -> tuple[str, ...]:
        """Columns of a result that are stored in single precision: features that are no prices and no sizes."""
        if model.output.float == "double":
            return ()
        units = {name: text.partition(":")[0] for name, text in self.compile(model.name).descriptions.items()}
        return tuple(name for name, kind in columns.items() if kind == "DOUBLE" and units.get(name, "q") not in EXACT)

    def _merged(self, model: Model, select: str, old: Scan | None = None) -> str:
        return merged(self.project.library, model, select, old)


def _joined(parts: Parts) -> str:
    return "\n\n".join(part for part in parts if part is not None)
