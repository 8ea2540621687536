"""Values of CSV and NDJSON files that lose digits, by their first lines and all lines with a number of many digits."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from sqlgen.sources import unpacked
from sqlgen.sources.digits.columns import DECIMAL, Lossy, ReadColumns, Value
from sqlgen.sources.digits.scan import DOUBLE, Limits, long_numbers

ROWS = 2_000
"""Lines of a file that are all looked at."""
_MOST = 200
"""Lines that are looked at of a block of others."""


def of_csv(path: Path, columns: ReadColumns, order: Sequence[str], start: int, delimiter: str) -> tuple[Lossy, ...]:
    """Lossy columns of a CSV file with columns in this order, whose rows begin after ``start`` lines."""
    places = {name: place for place, name in enumerate(order) if name in columns.types}
    kept = columns.kept_decimals(False)
    suspects = _Suspects(path, ROWS + start, Limits(columns.shortest, kept, kept))
    rows = _readable(csv.reader(suspects.lines(), delimiter=delimiter))
    return columns.found((value for row in rows for value in _of_cells(columns, places, row)), suspects)


def _readable(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error:
        return  # DuckDB reports the line


def _of_cells(columns: ReadColumns, places: Mapping[str, int], row: Sequence[str]) -> Iterator[Value]:
    for name, place in places.items():
        if place < len(row):
            yield name, row[place], columns.fault(name, row[place].strip(), False)


def of_ndjson(path: Path, columns: ReadColumns) -> tuple[Lossy, ...]:
    """Lossy columns of an NDJSON file, values at any depth."""
    columns = dataclasses.replace(columns, types=columns.fields)
    keys = {name: _key(columns.original_names.get(name, name)) for name in columns.types}
    suspects = _Suspects(
        path, ROWS, Limits(columns.shortest, columns.kept_decimals(True), columns.kept_decimals(False))
    )
    values = (value for line in suspects.lines() for value in _of_line(columns, keys, line))
    return columns.found(values, suspects)


def _key(name: str) -> str:
    """Key of a column: of ``data.levels[0]``, ``levels``."""
    return re.sub(r"(\[\d+\])+$", "", name).rpartition(".")[2]


def _of_line(columns: ReadColumns, keys: Mapping[str, str], line: str) -> Iterator[Value]:
    may_be_long = not line.isascii() or _LONG in line.translate(_OF_NUMBERS)
    long = [found for found in DECIMAL.findall(line) if len(found) > DOUBLE and "." in found] if may_be_long else []
    for name, key in keys.items():
        kind = columns.types[name]
        if kind == "JSON":
            texts = _IN_MESSAGE.findall(line) if may_be_long else []
            long_texts = (text for text in texts if len(text) > DOUBLE)
            yield from ((name, text, columns.fault(name, text, False)) for text in long_texts)
        elif "(" in kind.removeprefix("DECIMAL(") or "[" in kind:
            yield from ((name, number, columns.fault(name, number, False)) for number in long)
        else:
            for quote, value in _values(line, key):
                yield name, value, columns.fault(name, value.strip(), not quote)


def _values(line: str, key: str) -> Iterator[tuple[str, str]]:
    """Quote and text of the values of a key in a line."""
    named, place = f'"{key}"', -1
    while (place := line.find(named, place + 1)) >= 0:
        if found := _VALUE.match(line, place + len(named)):
            yield found[1], found[2]


_VALUE = re.compile(r'\s*:\s*("?)([^",}\]]*)')
"""Rest of a key and its value in JSON, after the name."""
_IN_MESSAGE = re.compile(r"(?:\d+[-:T ])*\d+[.,]\d+")
_OF_NUMBERS = str.maketrans(dict.fromkeys("123456789.,-:T ", "0"))
_LONG = "0" * (DOUBLE + 1)
"""A text with a number of more characters than a float64 has digits, each of them made a 0: most lines have none."""


class _Suspects:
    """Lines of a file that are looked at."""

    def __init__(self, path: Path, first: int, limits: Limits) -> None:
        self.path = path
        self.first = first
        """Lines at the beginning that are all looked at."""
        self.limits = limits
        self.passed_over = False
        """True once there were more suspect lines than are looked at."""

    def __bool__(self) -> bool:
        return self.passed_over

    def lines(self) -> Iterator[str]:
        """The first lines, and others with a suspect number."""
        rest = self.first
        for block, size in self._blocks():
            start = 0
            while rest and start < size:
                end = _end(block, start, size)
                if line := block[start:end].strip():
                    yield line.decode("utf-8", "replace")
                    rest -= 1
                start = end
            if start < size:
                yield from self._suspects(block, start, size)

    def _suspects(self, block: bytearray, start: int, size: int) -> Iterator[str]:
        places = long_numbers(np.frombuffer(block, np.uint8)[start:size], self.limits) + start
        self.passed_over |= len(places) > _MOST
        done = start
        for place in places[:_MOST].tolist():
            if place >= done:
                begin = max(done, _last_end(block, done, place))
                done = _end(block, place, size)
                yield block[begin:done].strip().decode("utf-8", "replace")

    def _blocks(self) -> Iterator[tuple[bytearray, int]]:
        """Bytes that begin with a line, and the number of them that are whole lines."""
        block, held = bytearray(unpacked.CHUNK), 0
        with unpacked.opened(self.path) as stream:
            while read := stream.readinto(memoryview(block)[held:]):  # type: ignore[attr-defined]
                end = _last_end(block, held, held + read)
                held += read
                if end:
                    yield block, end
                    block[: held - end] = block[end:held]
                    held -= end
                if held == len(block):
                    block.extend(bytes(held))
        yield block, held


def _end(block: bytearray, start: int, size: int) -> int:
    """End of the line at ``start``, with its mark."""
    end = block.find(b"\n", start, size) + 1 or size
    return block.find(b"\r", start, end) + 1 or end


def _last_end(block: bytearray, start: int, size: int) -> int:
    """End of the last whole line, 0 if there is none."""
    return max(block.rfind(b"\n", start, size), block.rfind(b"\r", start, size)) + 1
