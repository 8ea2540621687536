"""What an adapter's template is told of its source, and what it says of the files."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from sqlgen.config import Source
from sqlgen.errors import TemplateError
from sqlgen.keys import given_keys
from sqlgen.model import adapter_template
from sqlgen.templates import Library

KEYS_IN_ROWS = ("exchange", "symbol")


def raw_columns(
    library: Library, source: Source, context: Mapping[str, Any], hive_keys: tuple[str, ...]
) -> dict[str, str]:
    """The columns that an adapter reads from its files, with their SQL types; keys in the rows among them.

    In the order of the files where these have no header.
    """
    template = adapter_template(source.adapter)
    given = {**context, "options": SimpleNamespace(**context["options"])}
    columns = library.variable(template, "columns", **given)
    named = library.variable(template, "key_columns", {}, **given)
    placed = {*hive_keys, *given_keys(source)}
    keys = [named.get(key, key) for key in KEYS_IN_ROWS if key not in placed]
    return {**columns, **dict.fromkeys(keys, "VARCHAR")}


def check_turns(library: Library, name: str, source: Source, context: Mapping[str, Any]) -> None:
    """:class:`TemplateError` where it makes no difference to an adapter whose side the rows name."""
    ways = [SimpleNamespace(**vars(context["source"]) | {"side_is": side}) for side in ("taker", "maker")]
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
