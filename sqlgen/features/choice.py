"""Choice of columns by names, globs and tags, and what the chosen ones need."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from sqlgen.errors import nearest
from sqlgen.lake.partitions import KEYS
from sqlgen.templating.quoting import bare
from udfs import Pipeline

PLACE = (*KEYS, "ts", "received_ts", "exchange_ts", "seq", "session_date")
"""Columns that every choice keeps."""
Tags = Mapping[str, Sequence[str]]
"""Tag -> names and globs of its columns."""
_TAG = "tag:"
_WORD = re.compile(r'"((?:[^"]|"")+)"|(\w+)')


class ChoiceError(ValueError):
    """A pattern matches no column."""


class Chosen(Struct, frozen=True):
    """Columns of a model's table, and what computes them."""

    columns: tuple[str, ...] = ()
    """Columns of the table in order; empty for all."""
    fed: tuple[str, ...] = ()
    """Columns of the template that go into the kernels; empty for all."""
    pipeline: Pipeline | None = None
    """Kernels that the columns need."""


class AllColumns(Struct, frozen=True):
    """All columns that a model can give."""

    of_template: tuple[str, ...]
    """Columns of the template's result; empty if they are unknown."""
    pipeline: Pipeline | None
    """Kernels over the template's result, which add columns to it."""

    @property
    def names(self) -> tuple[str, ...]:
        added = (column.name for column in self.pipeline.outputs) if self.pipeline is not None else ()
        return tuple(dict.fromkeys((*self.of_template, *added)))

    def matching(self, features: Iterable[str], always: Collection[str], tags: Tags) -> tuple[str, ...]:
        """Columns that ``features`` choose, in the order of the table; :class:`ChoiceError` if one matches none."""
        found = {*always, *PLACE}
        for pattern in features:
            found |= self._match(pattern, self._tagged(tags))
        return tuple(name for name in self.names if name in found)

    def _tagged(self, tags: Tags) -> Tags:
        """Tags of the template, and one for each kernel."""
        kernels = self.pipeline.kernels if self.pipeline is not None else ()
        own = {kernel.name: [column.name for column in kernel.outputs()] for kernel in kernels}
        return {tag: [*own.get(tag, []), *tags.get(tag, [])] for tag in (*tags, *own)}

    def _match(self, pattern: str, tags: Tags) -> set[str]:
        patterns = tags.get(pattern.removeprefix(_TAG), []) if pattern.startswith(_TAG) else [pattern]
        found = {name for each in patterns for name in fnmatch.filter(self.names, each)}
        if found:
            return found
        if pattern.startswith(_TAG):
            known = sorted(f"{_TAG}{tag}" for tag in tags)
            raise ChoiceError(f"no column has '{pattern}'.{nearest(pattern, known)} Tags are: {', '.join(known)}")
        stem = re.sub(r"[*?\[\]]", "", pattern)
        some = nearest(stem, [*self.names, *(f"{_TAG}{tag}" for tag in tags)])
        raise ChoiceError(f"no column matches '{pattern}'.{some} `sqlgen columns` lists the columns of each model")

    def needed_by(self, columns: tuple[str, ...], predicate: str | None, beside: Collection[str]) -> Chosen:
        """The ``columns`` and what they and a predicate over all columns need.

        ``beside``: columns that are read beside the kernels. A column that no text names is found, or missed, when the
        SQL is bound: then everything is computed.
        """
        known = {*self.names}
        if self.pipeline is None or self.pipeline.replaces_rows or (self.of_template and not {*columns} <= known):
            return Chosen(columns, (), self.pipeline)
        wanted = {*columns, *_named(predicate, self.names)}
        pipeline = self.pipeline.only([column.name for column in self.pipeline.outputs if column.name in wanted])
        if not pipeline.kernels:
            return Chosen(columns)
        fed = {*wanted, *pipeline.inputs, *PLACE, *(beside if pipeline.reads_trades else ())}
        names = tuple(name for name in self.of_template if name in fed)
        return Chosen(columns, names if len(names) < len(self.of_template) else (), pipeline)


def _named(predicate: str | None, names: Collection[str]) -> set[str]:
    """Columns that a predicate names."""
    words = {(quoted or plain).replace('""', '"').lower() for quoted, plain in _WORD.findall(bare(predicate or ""))}
    return {name for name in names if name.lower() in words}
