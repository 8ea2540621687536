"""Check that the rows of a partition name one market: several must not be read as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import duckdb
from msgspec import Struct

from sqlgen.compile.adapters import KeysInRows, RawForm
from sqlgen.errors import TaskError
from sqlgen.sources.schemas import parquet_columns
from sqlgen.templating.quoting import ident
from sqlgen.templating.templates import Library

MARKETS_TEMPLATE = "publish/markets.sql.j2"
_SHOWN = 8


class MarketValue(Struct, frozen=True):
    """One of several values that rows name where there must be one."""

    text: str
    rows: int
    file: str
    """File of the first row with it."""
    row: int
    """Number of that row in its file, from 1; unreadable lines do not count."""


def check_one_market(
    library: Library, connection: duckdb.DuckDBPyConnection, form: RawForm, places: Mapping[str, str]
) -> None:
    """:class:`TaskError` where rows of Parquet files name several markets.

    Args:
        library: has the template of the query.
        connection: runs it.
        form: the source, and where its rows name their market.
        places: Parquet file that is read -> its source file.
    """
    for values, files in _constants(connection, form.keys_in_rows, list(places)):
        statement = library.render(MARKETS_TEMPLATE, values=values, apart=list(form.keys_in_rows.apart), files=files)
        for what, found, where in connection.execute(statement).fetchall():
            named = [MarketValue(each["value"], each["rows"], places[each["file"]], each["row"]) for each in found]
            raise TaskError(_message(form, what, named, [places[file] for file in where]))


def _constants(
    connection: duckdb.DuckDBPyConnection, keys: KeysInRows, paths: Sequence[str]
) -> Iterable[tuple[dict[str, str], Sequence[str]]]:
    """Values that must be the same in all rows of a market (name -> SQL), and the files that have them."""
    if keys.values and paths:
        yield dict(keys.values), paths
    there = parquet_columns(connection, paths) if keys.columns else {}
    for what, name in keys.columns.items():
        having = [path for path, columns in there.items() if any(column.name == name for column in columns)]
        if having:
            yield {what: ident(name)}, having


def _message(form: RawForm, what: str, found: Sequence[MarketValue], files: Sequence[str]) -> str:
    names = ", ".join(value.text for value in found[:_SHOWN]) + (f", ... ({len(found)})" if len(found) > _SHOWN else "")
    where = f"{files[0]} holds" if len(files) == 1 else f"{files[0]} and {len(files) - 1} more file(s) hold"
    least = min(found, key=lambda value: value.rows)
    rarest = (
        f" {least.text} is in {least.rows:,} of {sum(value.rows for value in found):,} row(s), first in row"
        f" {least.row} of {least.file}: if that is a broken line, fix or remove it."
    )
    key = what.removesuffix("s")
    if key not in ("exchange", "symbol"):
        return (
            f"{where} several {what} of one market: {names}. Choose one by an option of adapter"
            f" {form.settings.adapter}.{rarest}"
        )
    return (
        f"{where} several {what}: {names}. Source '{form.source}' has one {key} for all of their rows: leave it out"
        f" ('{key}', or {{{key}}} in 'pattern', * instead), and each row goes to the {key} that it names.{rarest}"
    )
