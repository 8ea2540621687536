"""CSV files as cells, so that a test can put one fault into a file that is otherwise as documented."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Table:
    """Cells of a CSV file; a row that is a text is written as it is."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...] | str, ...]
    header: bool = True
    delimiter: str = ","
    newline: str = "\n"

    def lines(self) -> list[str]:
        cells = [self.columns, *self.rows] if self.header else list(self.rows)
        return [row if isinstance(row, str) else self.delimiter.join(row) for row in cells]

    def text(self) -> str:
        return "".join(line + self.newline for line in self.lines())

    def column(self, name: str) -> list[str]:
        """Values of one column, of the rows that are not broken."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows if not isinstance(row, str)]


def broken_line(table: Table, at: int, text: str = 'broken"line,') -> Table:
    """One more line before the row: no row is lost, one line is bad."""
    return replace(table, rows=(*table.rows[:at], text, *table.rows[at:]))


def with_cell(table: Table, at: int, column: str, value: str) -> Table:
    """One cell changed: an unknown side code, a price that is no number."""
    place = table.columns.index(column)
    row = table.rows[at]
    assert not isinstance(row, str)
    changed = (*row[:place], value, *row[place + 1 :])
    return replace(table, rows=(*table.rows[:at], changed, *table.rows[at + 1 :]))


def repeated(table: Table, at: int) -> Table:
    """One row twice in a row: a duplicate trade id."""
    return replace(table, rows=(*table.rows[: at + 1], table.rows[at], *table.rows[at + 1 :]))


def shuffled(table: Table, seed: int) -> Table:
    """All rows, in another order."""
    rows = list(table.rows)
    random.Random(seed).shuffle(rows)
    return replace(table, rows=tuple(rows))


def with_columns(table: Table, columns: Sequence[str], values: Mapping[str, str] | None = None) -> Table:
    """Another version of the schema: columns in this order, unknown ones with a value of their own, others dropped."""
    added = values or {}
    where = {name: place for place, name in enumerate(table.columns)}
    rows = tuple(
        row
        if isinstance(row, str)
        else tuple(row[where[name]] if name in where else added.get(name, "") for name in columns)
        for row in table.rows
    )
    return replace(table, columns=tuple(columns), rows=rows)


def scaled(table: Table, columns: Sequence[str], factor: int) -> Table:
    """Integer cells times a factor; a negative factor divides: times in a wrong unit."""
    places = {table.columns.index(name) for name in columns}

    def cell(place: int, text: str) -> str:
        if place not in places or not text:
            return text
        return str(int(text) * factor if factor > 0 else int(text) // -factor)

    rows = tuple(
        row if isinstance(row, str) else tuple(cell(place, text) for place, text in enumerate(row))
        for row in table.rows
    )
    return replace(table, rows=rows)


def with_delimiter(table: Table, delimiter: str) -> Table:
    return replace(table, delimiter=delimiter)


def with_crlf(table: Table) -> Table:
    return replace(table, newline="\r\n")
