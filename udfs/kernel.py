"""Declaration of a kernel: its options, inputs, outputs and state, and the batches it is called with.

A kernel turns the rows of one symbol, in time order, into new columns. It sees them batch by batch and keeps what
it needs to remember in its state. However the rows are split into batches, the columns and the final state are the
same, bit by bit: that is what makes a day that continues from a stored state, a run over all days and a live feed
give the same numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from msgspec import Struct

from udfs.options import Option

if TYPE_CHECKING:
    from numpy.typing import NDArray as NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
else:  # to declare a kernel takes no NumPy, which the command line loads once it is used
    NDArray = Array = Floats = Ints = Any
State = dict[str, Array]
"""Named arrays of fixed dtype, in a form that does not depend on how the rows came in batches."""


Record = Any
"""One record of a state: an object whose attributes are its fields."""


def record(**fields: float) -> Array:
    """State of named fields with their first values: one record, ``state["clock"][0].last``.

    Compiled functions and Python read and write its fields alike. A field has the type of its first value: bool, int
    or float. Names that a NumPy record has for itself (``size``, ``sum``) are refused.
    """
    if taken := [name for name in fields if hasattr(np.record, name)]:
        raise ValueError(f"a record cannot have a field '{taken[0]}': NumPy's records have an attribute of this name")
    kinds = {bool: np.bool_, int: np.int64, float: np.float64}
    layout: Any = [(name, kinds[type(value)]) for name, value in fields.items()]
    return np.array([tuple(fields.values())], np.dtype((np.record, layout)))


DtypeLayout = str | list[Any]
"""dtype of an array as JSON: its code, or the names and codes of its fields."""


def layout_of(array: Array) -> DtypeLayout:
    """DtypeLayout of an array of a state."""
    return _layout_of(array.dtype)


@cache
def _layout_of(dtype: np.dtype[Any]) -> DtypeLayout:
    return dtype.descr if dtype.names else dtype.str


def dtype_of(layout: DtypeLayout) -> np.dtype[Any]:
    """Dtype of a layout."""
    if isinstance(layout, str):
        return np.dtype(layout)
    return np.dtype((np.record, [(name, code) for name, code in layout]))


NANOSECONDS = 1_000_000_000
NO_INTEGER = -(2**63)
"""NULL in a column of integers, see :meth:`Kernel.integers`."""


class Column(Struct, frozen=True):
    """One output column of a kernel."""

    name: str
    doc: str
    """Unit, colon, formula or meaning, and the paper if there is one: ``"u: sum of ofi over 60 s [Cont 2014]"``."""
    type: Literal["double", "bigint", "smallint", "boolean", "timestamp", "varchar"] = "double"
    """``double``: float64, NaN is NULL. ``bigint``, ``timestamp`` (ns): int64, never NULL. ``smallint``: int16.
    ``boolean``: bool. ``varchar``: int8, an index into ``values``, -1 is NULL."""
    values: tuple[str, ...] = ()
    nullable: bool = False
    """``bigint``, ``timestamp``, ``smallint``: the least number of the type is NULL."""
    hidden: bool = False
    """For other kernels only; not part of the table."""


class Trades(Struct, frozen=True):
    """Trades of one symbol in time order, which no kernel has seen before."""

    ts: NDArray[np.int64]
    """ns since the epoch."""
    price: NDArray[np.float64]
    """NaN if invalid."""
    amount: NDArray[np.float64]
    """NaN if invalid."""
    side: NDArray[np.int8]
    """1: the taker bought, -1: the taker sold, 0: unknown."""
    seq: NDArray[np.int64] | None = None
    """Position in the feed that trades and rows share; ``None`` if they come from separate feeds."""

    def __len__(self) -> int:
        return len(self.ts)


class Batch(Struct, frozen=True, dict=True):
    """Rows of one symbol in order, and the trades up to the last of them."""

    ts: NDArray[np.int64]
    """ns since the epoch."""
    columns: Mapping[str, Array]
    """The columns that the kernel asked for. Those of the template are float64 with NaN for NULL (booleans and
    integers too), or int64 where the kernel wants that; those of other kernels are as these gave them."""
    trades: Trades | None = None
    """All trades up to the last row that were in no batch before; ``None`` where the model has no trades for these
    rows."""
    seq: NDArray[np.int64] | None = None
    """Position in the feed, if rows and trades share one."""

    def __len__(self) -> int:
        return len(self.ts)

    @cached_property
    def trades_before(self) -> NDArray[np.int64]:
        """Number of the batch's trades that come before each row, trades at its time included.

        Where rows and trades share a feed, ``(ts, seq)`` decides among those of one time.
        """
        if self.trades is None:
            return np.zeros(len(self), np.int64)
        if self.seq is None or self.trades.seq is None:
            return np.searchsorted(self.trades.ts, self.ts, side="right").astype(np.int64)
        ts, seq = np.concatenate((self.trades.ts, self.ts)), np.concatenate((self.trades.seq, self.seq))
        order = np.lexsort((np.arange(len(ts)), seq, ts))
        is_trade = order < len(self.trades)
        before = np.empty(len(self), np.int64)
        before[order[~is_trade] - len(self.trades)] = np.cumsum(is_trade)[~is_trade]
        return before

    def narrowed(self, columns: Mapping[str, Array]) -> Batch:
        """Batch with the same rows and trades, and these columns."""
        narrow = Batch(self.ts, columns, self.trades, self.seq)
        if self.trades is not None:
            narrow.__dict__["trades_before"] = self.trades_before
        return narrow

    def copied(self) -> Batch:
        """Batch of its own arrays: what a kernel writes into them, no other one reads."""
        trades = self.trades
        if trades is not None:
            arrays: dict[str, Any] = {name: array.copy() for name, array in vars(trades).items() if array is not None}
            trades = Trades(**arrays)
        return Batch(self.ts.copy(), {name: array.copy() for name, array in self.columns.items()}, trades, self.seq)

    def __getitem__(self, column: str) -> Array:
        return self.columns[column]


class InLots(NamedTuple):
    """Volumes that are counted in whole lots."""

    volumes: Array
    lot: float
    filled: str
    """Name of what they fill: bar or bucket."""


class Kernel(ABC):
    """Base of all kernels. A subclass declares itself in class variables and is made with its options.

    ``run`` must not keep references to the batch's arrays, and must write NaN, never inf.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    """Version, to be raised whenever the numbers change: units of another version are rebuilt."""
    sources: ClassVar[str] = ""
    """Digest of the files of a user's own kernel: units of another digest are rebuilt."""
    doc: ClassVar[str]
    options: ClassVar[Mapping[str, Option]] = {}
    """Options that models.yaml may give, in the same namespace as the template's."""
    reads_trades: ClassVar[bool] = False
    replaces_rows: ClassVar[bool] = False
    """True if the output rows are not the input rows; the table has the kernel's columns only."""
    looks_ahead: ClassVar[bool] = False
    """True if a row's output depends on later rows: ``run`` gets all rows of a partition at once, with those of the
    template's lookback and lookahead, and starts without a state."""
    takes_infinities: ClassVar[bool] = False
    """True if an infinity among the inputs is told from NaN; otherwise it comes as NaN."""
    keeps_seq: ClassVar[bool] = False
    """True if ``seq`` of the output rows is the position in the feed of the input."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take ``options``: all of them, checked; those of other kernels too."""
        self.params = options
        self.given = options  # the earlier name

    @abstractmethod
    def inputs(self) -> Sequence[str]:
        """Columns of the template or of other kernels that ``run`` reads, ``ts`` left out."""

    def integers(self) -> Sequence[str]:
        """Columns of the template that come as int64, ``NO_INTEGER`` for NULL.

        For ids, which may have more digits than a float64. Unsigned ones from 2**63 on come as negative numbers.
        """
        return ()

    @abstractmethod
    def outputs(self) -> Sequence[Column]:
        """Columns that ``run`` returns."""

    @abstractmethod
    def start(self) -> State:
        """The state before the first row of a history."""

    @abstractmethod
    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        """One array per output; ``state`` moves to the end of the batch (arrays may be replaced)."""

    def narrowed(self, wanted: Collection[str]) -> Mapping[str, Any]:
        """Parameters with which the outputs ``wanted`` are the same, bit by bit, and others are not computed."""
        return {}

    def in_lots(self, state: State, batch: Batch) -> InLots | None:
        """Volumes that ``run`` has rounded to whole lots, ``state`` being that after it; ``None`` if it counts none."""
        return None

    def notes(self, state: State) -> Sequence[str]:
        """Notes for the user at the end of a partition, for example on rows without output."""
        return ()

    def waiting(self, state: State) -> Sequence[Array]:
        """Rows that are pending in ``state`` at the end of a partition, one array per output (``replaces_rows``).

        Rows that stay in ``state`` are emitted in the next partition; rows that end with their partition are removed
        from it.
        """
        raise NotImplementedError(f"kernel {self.name} replaces rows and does not implement waiting()")


SEGMENT_START = "segment_start"
"""Hidden column of kernel ``segments``: 1 (int8) on rows that start a segment (the first row of a history too)."""

SESSION = "session_date"
"""Column of the template where its source has sessions: the date of a row's session, as days since 1970."""

MAX_GAP = Option(
    type="float",
    default=300,
    gt=0,
    nullable=True,
    doc="seconds without a row after which a new segment starts; null: silence starts none",
)
OVERLAP_NS = 1_000_000_000
"""Nanoseconds by which a date may begin before the last row of the date before.

Files split by arrival time overlap at midnight. Such a row is a segment of its own, and the segment around it continues
without it: no row is computed from a later one, and midnight is no edge. A date that begins earlier than that starts a
segment: its clock, or that of the date before, is wrong.
"""
_NEVER = 2**62


def gap_ns(seconds: float | None) -> int:
    """``max_gap`` in ns; ``None``: a gap that is never exceeded."""
    return _NEVER if seconds is None else min(int(seconds * NANOSECONDS), _NEVER)


HORIZONS = Option(
    type="list[int]", default=[5, 15, 60, 300, 900], gt=0, doc="lengths of the rolling windows in seconds"
)
