"""Context of an adapter's template, and the variables that it sets: columns, keys, names, times."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from msgspec import Struct

from sqlgen.compile.sourcespec import KEYS_IN_ROWS, Evaluated
from sqlgen.errors import TemplateError
from sqlgen.project.config import Source
from sqlgen.project.keys import configured_keys
from sqlgen.project.model import adapter_template
from sqlgen.templating.header import CsvFormat
from sqlgen.templating.quoting import ident
from sqlgen.templating.templates import Library

_LINES = {"message": "JSON"}
"""Columns of an adapter that reads whole lines."""


class KeysInRows(Struct, frozen=True):
    """Keys named by the rows, of which a partition must hold one value: symbol, exchange, topic."""

    columns: Mapping[str, str]
    """Plural name of a key -> column, which some files may lack."""
    values: Mapping[str, str]
    """Key -> SQL over the columns that the adapter reads."""
    apart: tuple[str, ...]
    """SQL of keys that come from the rows alone: each value is a market of its own."""
    keys: tuple[str, ...] = ()
    """Keys that an expression of the adapter gives."""


class RawForm(Struct, frozen=True):
    """Format and columns of a source's files, as its adapter reads them."""

    source: str
    settings: Source
    format: str
    columns: Mapping[str, str] | None
    """Columns with their SQL types, key columns included, in file order if there is no header; ``None`` for an adapter
    that reads Parquet by itself."""
    original_names: Mapping[str, str]
    """Column in SQL -> its name in the files, for columns that differ in case only."""
    csv: CsvFormat
    keys_in_rows: KeysInRows
    times: tuple[str, ...]
    """Timestamp columns, as far as the adapter declares them."""
    time_unit: str
    """Empty unless models.yaml sets it."""
    hint: str
    """Options of the adapter, for messages."""
    evaluated: Evaluated
    """Values that its template reads of whole lines."""

    @property
    def known_columns(self) -> Mapping[str, str]:
        """The columns; :class:`TemplateError` if the adapter declares none."""
        if self.columns is None:
            raise TemplateError(f"adapter '{self.settings.adapter}' does not say which columns it reads")
        return self.columns


def raw_form(library: Library, name: str, source: Source, context: Mapping[str, Any], csv: CsvFormat) -> RawForm:
    """Format and columns of a source's files, from the variables that its adapter sets."""
    options = context["options"]
    rendered = {**context, "options": SimpleNamespace(**options)}
    found = library.variables(adapter_template(source.adapter), **rendered)
    spec = context["source"]
    times = [name for each in found.get("times", []) for name in ([each] if isinstance(each, str) else each)]
    return RawForm(
        source=name,
        settings=source,
        format=spec.format,
        columns=_columns(found, source, spec.hive_keys) if "columns" in found else None,
        original_names=found.get("original_names", {}),
        csv=csv,
        keys_in_rows=_keys_in_rows(found, source, spec.hive_keys),
        times=tuple(times),
        time_unit=str(options.get("time_unit", "")),
        hint=advice(library, source),
        evaluated=_evaluated(library, source, rendered) if found.get("columns") == _LINES else Evaluated({}, {}),
    )


def _evaluated(library: Library, source: Source, context: Mapping[str, Any]) -> Evaluated:
    """Values that an adapter's template reads of whole lines."""
    library.text(adapter_template(source.adapter), **context)
    asked: Evaluated = context["source"].asked
    return asked


def _keys_in_rows(found: Mapping[str, Any], source: Source, hive_keys: tuple[str, ...]) -> KeysInRows:
    """Keys named by the rows of a source, although paths or models.yaml give them too."""
    named, from_rows = found.get("key_columns", {}), found.get("row_keys", {})
    in_paths = {*hive_keys, *configured_keys(source)}
    taken = {name.lower() for name in found.get("columns", ())}
    columns = {
        f"{key}s": named.get(key, key)
        for key in KEYS_IN_ROWS
        if key in in_paths and key not in from_rows and (key in named or key not in taken)  # else it is another column
    }
    values = {f"{key}s": from_rows[key] for key in from_rows if key in in_paths}
    apart = [from_rows.get(key, ident(named.get(key, key))) for key in KEYS_IN_ROWS if key not in in_paths]
    return KeysInRows(
        columns | found.get("told_columns", {}),
        values | found.get("one_of", {}),
        (*apart, *found.get("told_apart", ())),
        tuple(from_rows),
    )


def _columns(found: Mapping[str, Any], source: Source, hive_keys: tuple[str, ...]) -> dict[str, str]:
    named, from_rows = found.get("key_columns", {}), found.get("row_keys", {})
    in_paths = {*hive_keys, *configured_keys(source)}
    keys = [named.get(key, key) for key in KEYS_IN_ROWS if key not in in_paths and key not in from_rows]
    return {**found["columns"], **dict.fromkeys(keys, "VARCHAR")}


def check_turns(library: Library, name: str, source: Source, context: Mapping[str, Any]) -> None:
    """:class:`TemplateError` where ``side_is`` makes no difference to an adapter."""
    ways = [dataclasses.replace(context["source"], side_is=side) for side in ("taker", "maker")]
    options = SimpleNamespace(**context["options"])
    template = adapter_template(source.adapter)
    texts = {library.text(template, **{**context, "options": options, "source": way}) for way in ways}
    if len(texts) == 1:
        raise TemplateError(
            f"source '{name}': its adapter {source.adapter} gives no trades whose side could be turned."
            " Leave side_is out, or let the adapter hand its source to canonical_trades"
        )


def advice(library: Library, source: Source) -> str:
    """Options that describe the files of an adapter, for messages."""
    options = library.header(adapter_template(source.adapter)).options
    described = [
        f"{name} ({', '.join(map(str, option.choices)) if option.choices and option.type == 'str' else option.doc})"
        for name, option in options.items()
        if option.type in ("str", "map", "list[str]")
    ]
    return (
        f" Options of adapter '{source.adapter}' that describe its files: {'; '.join(described)}" if described else ""
    )
