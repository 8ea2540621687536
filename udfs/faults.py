"""Kernels that fail, or that give what they did not declare: which one, and where in its file."""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Iterator, Sequence

import numpy as np

from udfs.kernel import Array, Column, Kernel, State

DTYPES = {
    "double": "float64",
    "bigint": "int64",
    "smallint": "int16",
    "boolean": "bool",
    "timestamp": "int64",
    "varchar": "int8",
}
"""Types of the columns of kernels -> the dtypes of their arrays."""


class FaultyKernelError(ValueError):
    """A kernel that fails on its rows."""

    def __init__(self, kernel: Kernel | type[Kernel], message: str, line: int | None = None) -> None:
        self.message = message
        kind = kernel if isinstance(kernel, type) else type(kernel)
        file = inspect.getsourcefile(kind) or kind.__module__
        own = kind.run if "run" in vars(kind) else kind  # one that it inherits is elsewhere
        at = line if line is not None else inspect.getsourcelines(own)[1]
        super().__init__(f"kernel {kernel.name} ({file}:{at}): {message}")


@contextlib.contextmanager
def faults(kernel: Kernel | type[Kernel]) -> Iterator[None]:
    """Turn what a kernel raises into a :class:`FaultyKernelError`, with the line of its file that raised."""
    try:
        yield
    except (FaultyKernelError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit and the like end no process
        kind = kernel if isinstance(kernel, type) else type(kernel)
        file = inspect.getsourcefile(kind)
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        message = str(error) if type(error) is ValueError and error.args else f"{type(error).__name__}: {error}"
        raise FaultyKernelError(kernel, message, lines[-1] if lines else None) from error


def check(kernel: Kernel, outputs: Sequence[Column], arrays: Sequence[Array], rows: int, method: str = "run") -> None:
    """Raise :class:`FaultyKernelError` unless there is one array per output, of its type, with a value per row."""
    if not hasattr(arrays, "__len__"):
        raise FaultyKernelError(kernel, f"{method} gives a {type(arrays).__name__}, and not a list of arrays")
    if len(arrays) != len(outputs):
        names = ", ".join(column.name for column in outputs) or "none"
        raise FaultyKernelError(
            kernel, f"{method} gives {len(arrays)} arrays, and outputs declares {len(outputs)}: {names}"
        )
    if kernel.replaces_rows and len(arrays) > 0:
        rows = len(arrays[0])
    for column, array in zip(outputs, arrays, strict=True):
        # Kernels of this package are tested for inf.
        problem = _problem(column, array, rows) or (_infinite(column, array) if kernel.sources else "")
        if problem:
            raise FaultyKernelError(kernel, f"column {column.name} {problem}")


def check_declaration(kernel: Kernel) -> None:
    """Raise :class:`FaultyKernelError` unless inputs, outputs and start give what a kernel declares."""
    with faults(kernel):
        inputs, outputs, start = kernel.inputs(), kernel.outputs(), kernel.start()
    if not isinstance(inputs, tuple | list) or not all(isinstance(name, str) for name in inputs):
        raise FaultyKernelError(kernel, f"inputs gives {inputs!r:.99}, and not a tuple of names of columns")
    if not isinstance(outputs, tuple | list) or not all(isinstance(column, Column) for column in outputs):
        raise FaultyKernelError(kernel, f"outputs gives {outputs!r:.99}, and not a tuple of Column")
    for column in outputs:
        if not isinstance(column.name, str) or not column.name.strip() or not isinstance(column.doc, str):
            raise FaultyKernelError(kernel, f"{column!r:.99} has no name, or a name or doc that is no text")
        if column.type not in DTYPES:
            raise FaultyKernelError(kernel, f"column {column.name} has type {column.type}. Types: {', '.join(DTYPES)}")
    if not isinstance(start, dict):
        raise FaultyKernelError(kernel, f"start gives {start!r:.99}, and not a dictionary of NumPy arrays")
    check_state(kernel, {}, start)


def check_state(kernel: Kernel, start: State, state: State) -> None:
    """Raise :class:`FaultyKernelError` unless the state has the arrays of the start, of their types."""
    for name, array in state.items():
        if not isinstance(array, np.ndarray) or array.dtype.hasobject:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise FaultyKernelError(kernel, f"{name} of its state is {kind}, and no NumPy array of numbers or text")
    for name, first in start.items():
        if name not in state:
            raise FaultyKernelError(kernel, f"{name} of its state is gone")
        found, wanted = ((each.dtype, each.ndim) for each in (state[name], first))
        if found != wanted:
            kinds = [f"{dtype} in {dimensions} dimension(s)" for dtype, dimensions in (found, wanted)]
            raise FaultyKernelError(kernel, f"{name} of its state is {kinds[0]}, and start gives {kinds[1]}")


def _problem(column: Column, array: object, rows: int) -> str:
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):  # whose mask would be lost
        return f"is a {type(array).__name__}, and not a NumPy array"
    if array.shape != (rows,):
        return f"has the shape {array.shape}, and not ({rows},): one value for each row of the batch"
    wanted = np.dtype(DTYPES[column.type])
    if array.dtype != wanted and not np.can_cast(array.dtype, wanted, "safe"):
        return f"is {array.dtype}, and type {column.type} is {wanted}"
    if column.type == "varchar" and rows and not -1 <= array.min() <= array.max() < len(column.values):
        return f"has indices from {array.min()} to {array.max()}, and there are {len(column.values)} values"
    return ""


def _infinite(column: Column, array: Array) -> str:
    if column.type != "double":
        return ""
    found = np.flatnonzero(np.isinf(array))
    return f"is {array[found[0]]} in row {found[0] + 1} of its batch. NaN is what is not known" if len(found) else ""
