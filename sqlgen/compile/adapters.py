"""What an adapter's template is told of its source, and what it says of the files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlgen.compile.sourcespec import KEYS_IN_ROWS
from sqlgen.errors import TemplateError
from sqlgen.project.config import Source
from sqlgen.project.keys import configured_keys
from sqlgen.project.model import adapter_template
from sqlgen.templating.quoting import ident
from sqlgen.templating.templates import Library


@dataclass(frozen=True)
class KeysInRows:
    """Keys that the rows themselves name and of which a partition holds one value: symbol, exchange, topic."""

    columns: Mapping[str, str]
    """Plural name of a key -> column that some files have."""
    values: Mapping[str, str]
    """Key -> SQL over the columns that the adapter reads."""
    apart: tuple[str, ...]
    """SQL of the keys in the rows, each of which has one."""
    keys: tuple[str, ...] = ()
    """Keys that rows say by other means than a column."""


def original_names(library: Library, source: Source, context: Mapping[str, Any]) -> dict[str, str]:
    """Columns that an adapter calls otherwise than the files, because two differ in upper and lower case only."""
    given = {**context, "options": SimpleNamespace(**context["options"])}
    found: dict[str, str] = library.variables(adapter_template(source.adapter), **given).get("original_names", {})
    return found


def times(library: Library, source: Source, context: Mapping[str, Any]) -> list[str]:
    """Columns of times, as far as an adapter says which they are."""
    given = {**context, "options": SimpleNamespace(**context["options"])}
    found = library.variables(adapter_template(source.adapter), **given).get("times", [])
    return [name for each in found for name in ([each] if isinstance(each, str) else each)]


def keys_in_rows(
    library: Library, source: Source, context: Mapping[str, Any], hive_keys: tuple[str, ...]
) -> KeysInRows:
    """Keys that the rows of a source name, beside those that paths, models.yaml and its adapter give."""
    given = {**context, "options": SimpleNamespace(**context["options"])}
    found = library.variables(adapter_template(source.adapter), **given)
    named, said = found.get("key_columns", {}), found.get("row_keys", {})
    placed = {*hive_keys, *configured_keys(source)}
    taken = {name.lower() for name in found.get("columns", ())}
    columns = {
        f"{key}s": named.get(key, key)
        for key in KEYS_IN_ROWS
        if key in placed and key not in said and (key in named or key not in taken)  # or else it holds something else
    }
    values = {f"{key}s": said[key] for key in said if key in placed}
    apart = [said.get(key, ident(named.get(key, key))) for key in KEYS_IN_ROWS if key not in placed]
    return KeysInRows(
        columns | found.get("told_columns", {}),
        values | found.get("one_of", {}),
        (*apart, *found.get("told_apart", ())),
        tuple(said),
    )


def raw_columns(
    library: Library, source: Source, context: Mapping[str, Any], hive_keys: tuple[str, ...]
) -> dict[str, str]:
    """The columns that an adapter reads from its files, with their SQL types; keys in the rows among them.

    In the order of the files where these have no header.
    """
    given = {**context, "options": SimpleNamespace(**context["options"])}
    found = library.variables(adapter_template(source.adapter), "columns", **given)
    columns, named, said = found["columns"], found.get("key_columns", {}), found.get("row_keys", {})
    placed = {*hive_keys, *configured_keys(source)}
    keys = [named.get(key, key) for key in KEYS_IN_ROWS if key not in placed and key not in said]
    return {**columns, **dict.fromkeys(keys, "VARCHAR")}


def check_turns(library: Library, name: str, source: Source, context: Mapping[str, Any]) -> None:
    """:class:`TemplateError` where it makes no difference to an adapter whose side the rows name."""
    ways = [dataclasses.replace(context["source"], side_is=side) for side in ("taker", "maker")]
    given = {**context, "options": SimpleNamespace(**context["options"])}
    texts = {library.render(adapter_template(source.adapter), **{**given, "source": way}) for way in ways}
    if len(texts) == 1:
        raise TemplateError(
            f"source '{name}': its adapter {source.adapter} gives no trades whose side could be turned."
            " Leave side_is out, or let the adapter hand its source to canonical_trades"
        )


def advice(library: Library, source: Source) -> str:
    """The options by which an adapter can be told what its files are like, for messages."""
    options = library.header(adapter_template(source.adapter)).options
    told = [
        f"{name} ({', '.join(map(str, option.choices)) if option.choices and option.type == 'str' else option.doc})"
        for name, option in options.items()
        if option.type in ("str", "map", "list[str]")
    ]
    return (
        f" Options of adapter '{source.adapter}' that tell what its files are like: {'; '.join(told)}" if told else ""
    )
