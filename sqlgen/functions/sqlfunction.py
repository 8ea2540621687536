"""Wrapper of kernels as one DuckDB function over ordered lists."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType
from msgspec import Struct, field

from sqlgen.errors import UsageError, without_traceback
from sqlgen.functions.list_codec import LEVELS, ListArgument, encode
from sqlgen.templating.quoting import ident, literal
from udfs import Array, Batch, Column, FaultyKernelError, Kernel, Option, Pipeline

ListArguments = Mapping[str, Any]
"""The lists of one group by argument: ns, float64 with NaN for NULL, sides of books; ``ts`` may be ``None``."""
Options = Mapping[str, Any]

PREFIX = "_sqlgen_"
"""Prefix of the Python functions, which have no defaults; the macros over them have the public names."""
_KINDS = {"ts": "BIGINT", "trade_ts": "BIGINT", "bids": LEVELS, "asks": LEVELS}
_ANY_NUMBER = ("x", "sides", "log_returns", "ofis")
"""Lists whose numbers may be 0 or less. In the others such a number counts as missing, as in the tables."""

_RAISED = re.compile(r"\A.*executing the UDF: (?:UsageError: )?", re.DOTALL)


class Function(Struct, frozen=True, eq=False, dict=True):
    """One SQL function."""

    name: str
    doc: str
    lists: tuple[str, ...]
    """Arguments that are lists, all of the same length."""
    kernels: tuple[type[Kernel], ...]
    prepare: Callable[[ListArguments, Options], Batch]
    """The rows that go through the kernels."""
    options: Mapping[str, str]
    """Parameter -> option of a kernel, which gives its type, bounds and default."""
    gives: tuple[str, ...] = ()
    """Output columns of the last kernel; empty for all of them."""
    times: bool = False
    """True if the times of the rows may be passed after the lists, as ``ts``."""
    trades: tuple[str, ...] = ()
    """More lists, of the same length among themselves."""
    fixed: Options = field(default_factory=dict)
    defaults: Options = field(default_factory=dict)
    """Parameter -> its default, where it differs from that of models.yaml."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names of all lists, in order."""
        return (*self.lists, *self.trades, *(("ts",) if self.times else ()))

    @cached_property
    def known(self) -> dict[str, Option]:
        """All options of the kernels."""
        return {name: option for kernel in self.kernels for name, option in kernel.options.items()}

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Columns of the result."""
        outputs = self.kernels[-1](self._with_defaults({})).outputs()
        return tuple(column for column in outputs if not self.gives or column.name in self.gives)

    @property
    def signature(self) -> str:
        """Signature: ``vpin(prices, amounts, sides, ts := NULL, ...)``."""
        return f"{self.name}({', '.join(self._parameters('NULL'))})"

    def _parameters(self, without_times: str) -> Iterator[str]:
        yield from (*self.lists, *self.trades)
        if self.times:
            yield f"ts := {without_times}"
        for parameter, option in self.options.items():
            known = self.known[option]
            default = self.defaults.get(parameter, known.default)
            needed = default is None and not known.nullable
            yield parameter if needed else f"{parameter} := {_sql(default)}"

    def register(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Register the function that the macro calls."""

        def call(*columns: pa.ChunkedArray) -> pa.Array:
            return self(*columns)

        # DuckDB wants to see as many parameters as there are types.
        names = (*self.arguments, *self.options)
        kind = inspect.Parameter.POSITIONAL_ONLY
        call.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])  # type: ignore[attr-defined]
        types: list[Any] = [f"{_KINDS.get(name, 'DOUBLE')}[]" for name in self.arguments]
        connection.create_function(
            PREFIX + self.name,
            call,
            types + self._option_types,
            self.returns,
            type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
        )

    def macro(self, temporary: bool) -> str:
        """The statement that creates the macro, with defaults and casts."""
        lists = (
            f"list_transform({name}, lambda t: epoch_ns(t))" if _KINDS.get(name) == "BIGINT" else name
            for name in self.arguments
        )
        options = (f"CAST({name} AS {kind})" for name, kind in zip(self.options, self._option_types, strict=True))
        kind = "TEMP MACRO" if temporary else "MACRO"
        parameters = ", ".join(self._parameters("CAST(NULL AS TIMESTAMP_NS[])"))
        called = f"{PREFIX}{self.name}({', '.join((*lists, *options))})"
        return f"CREATE OR REPLACE {kind} {self.name}({parameters}) AS {called}"

    @property
    def _option_types(self) -> list[str]:
        kinds = {"str": "VARCHAR", "bool": "BOOLEAN"}
        return [kinds.get(self.known[option].type, "DOUBLE") for option in self.options.values()]

    @property
    def returns(self) -> str:
        """SQL type of the result."""
        kinds = ["TIMESTAMP_NS" if column.type == "timestamp" else column.type.upper() for column in self.columns]
        if len(kinds) == 1:
            return f"{kinds[0]}[]"
        fields = (f"{ident(column.name)} {kind}" for column, kind in zip(self.columns, kinds, strict=True))
        return f"STRUCT({', '.join(fields)})[]"

    def _with_defaults(self, arguments: Options) -> dict[str, Any]:
        return {name: option.default for name, option in self.known.items()} | dict(self.fixed) | dict(arguments)

    def pipeline(self, values: tuple[Any, ...]) -> tuple[Pipeline, Options]:
        """The kernels with these parameter values, and all options."""
        arguments = {}
        for (parameter, name), value in zip(self.options.items(), values, strict=True):
            if value is None and not self.known[name].nullable:
                raise UsageError(f"{parameter} is NULL")
            try:
                whole = value is not None and self.known[name].type == "int" and value.is_integer()
                arguments[name] = self.known[name].check(int(value) if whole else value)
            except ValueError as error:
                raise UsageError(f"{parameter}: {error}") from None
        options = self._with_defaults(arguments)
        return Pipeline(tuple(kernel(options) for kernel in self.kernels)), options

    def __call__(self, *columns: pa.ChunkedArray) -> pa.Array:
        """The results for a chunk of groups."""
        count = len(self.arguments)
        try:
            lists = [
                ListArgument(column, name, _KINDS.get(name, "DOUBLE"), positive=name not in _ANY_NUMBER)
                for name, column in zip(self.arguments, columns[:count], strict=True)
            ]
            options = zip(*(column.to_pylist() for column in columns[count:]), strict=True)
            return encode([self._group(lists, i, values) for i, values in enumerate(options)], self.columns)
        except UsageError as error:
            raise UsageError(f"{self.name}: {error}") from None
        except FaultyKernelError as error:
            raise UsageError(f"{self.name}: {self._told(error.message)}") from None
        except ValueError as error:
            raise UsageError(f"{self.name}: {self._told(str(error))}") from None

    def _group(self, lists: list[ListArgument], group: int, values: tuple[Any, ...]) -> list[Array] | None:
        arguments = {each.name: each.of(group) for each in lists}
        if any(arguments[name] is None for name in (*self.lists, *self.trades)):
            return None
        _check(arguments, [*self.lists, *(["ts"] if self.times and arguments["ts"] is not None else [])])
        _check(arguments, self.trades)
        pipeline, options = _pipeline(self, values)
        state = pipeline.start()
        found = pipeline.run(state, self.prepare(arguments, options))
        if not pipeline.replaces_rows:
            return [found[column.name] for column in self.columns]
        (kernel,) = pipeline.kernels
        waiting = kernel.waiting(state[kernel.name])
        rest = dict(zip((column.name for column in kernel.outputs()), waiting, strict=True))
        return [np.concatenate((found[column.name], rest[column.name])) for column in self.columns]

    def _told(self, message: str) -> str:
        """A kernel's message, with the function's parameter names."""
        for parameter, option in self.options.items():
            message = message.replace(option, parameter)
        return message


@lru_cache(maxsize=1024)
def _pipeline(function: Function, values: tuple[Any, ...]) -> tuple[Pipeline, Options]:
    return function.pipeline(values)


def _sql(default: Any) -> str:
    """A default as SQL; text that is a number as a number."""
    if default is None:
        return "NULL"
    try:
        return literal(float(default) if isinstance(default, str) else default)
    except ValueError:
        return literal(default)


def _check(arguments: ListArguments, names: list[str] | tuple[str, ...]) -> None:
    """Refuse lists of different length, times that go backwards and invalid sides."""
    lengths = {name: len(arguments[name]) for name in names}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise UsageError(f"lists of different length: {told}")
    for name in names:
        values = arguments[name]
        if _KINDS.get(name) == "BIGINT" and np.any(values[1:] < values[:-1]):
            raise UsageError(f"{name} goes backwards. Order all lists by time: list(x ORDER BY ts)")
        if name == "sides" and not np.all(np.isnan(values) | (np.abs(values) == 1) | (values == 0)):
            raise UsageError("sides are 1 (the taker bought), -1 (sold), and 0 or NULL if unknown")


def plain_error(error: Exception) -> str:
    """Message of an error; of one that a function has raised, its own."""
    return _RAISED.sub("Error: ", without_traceback(str(error)))
