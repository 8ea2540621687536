"""Specification of a sample lake, and summary of the written files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from msgspec import Struct

from sqlgen.errors import UsageError, nearest

KINDS = ("orderbook", "trades", "ticker")

FAULTS: Mapping[str, str] = {
    "missing_levels": "0.5 % of book rows lose the deep end of one or both sides",
    "one_sided": "0.2 % of book rows have one side empty, sometimes NULL",
    "crossed": "0.2 % of book rows are crossed, sometimes locked",
    "duplicates": "0.3 % of all rows are written twice",
    "gaps": "the feed is silent for 330 to 1200 s, once or twice a day",
    "late_file": "about 1 % of a partition's rows, older than its last ones, stand in a second file late.parquet",
    "null_timestamp": "0.3 % of all rows have no exchange time",
    "unknown_side": "0.5 % of trades have no side",
}

Progress = Callable[[int, int, str], None]
"""``progress(done, total, label)``: days of a venue done, of how many, and the one just finished."""

MAX_LEVELS = 200
MAX_ROWS_PER_DAY = 20_000_000
_LAYOUTS = ("date", "ymdh")
_FORMATS = ("parquet", "ndjson")


class SampleSpec(Struct, frozen=True):
    """Specification of a sample lake. Invalid values raise :class:`~sqlgen.errors.UsageError`."""

    symbols: tuple[str, ...] | int = ("BTC-USDT", "ETH-USDT")
    """Symbols, or how many of the built-in list."""
    exchanges: tuple[str, ...] = ("binance",)
    days: int = 2
    start: date = date(2026, 1, 1)
    """First UTC date."""
    rows_per_day: int = 20_000
    """Book snapshots a day of each (exchange, symbol); trades and tickers follow from them."""
    seed: int = 0
    layout: str = "date"
    """``date`` (``date=2026-01-01``) or ``ymdh`` (``year=2026/month=1/day=1/hour=13``)."""
    format: str = "parquet"
    """``parquet`` or ``ndjson``."""
    levels: int = 20
    """Book levels on each side, at least 20."""
    faults: bool | Collection[str] = False
    """``True`` for all of :data:`FAULTS`, or the names wanted."""

    def __post_init__(self) -> None:
        _integer("days", self.days, 1, 10_000)
        _integer("rows_per_day", self.rows_per_day, 1, MAX_ROWS_PER_DAY)
        _integer("levels", self.levels, 20, MAX_LEVELS)
        _integer("seed", self.seed, 0, 2**63 - 1)
        _choice("layout", self.layout, _LAYOUTS)
        _choice("format", self.format, _FORMATS)
        if not isinstance(self.start, date) or isinstance(self.start, datetime):
            raise UsageError(f"sample: start must be a date, not {self.start!r}")
        try:
            _ = self.start + timedelta(days=self.days)
        except OverflowError:
            raise UsageError(f"sample: {self.days} days from {self.start} go beyond the year 9999") from None
        if isinstance(self.symbols, int):
            _integer("the number of symbols", self.symbols, 1, 10_000)
        else:
            _names("symbols", self.symbols)
        _names("exchanges", self.exchanges)
        _ = self.fault_names

    @property
    def fault_names(self) -> frozenset[str]:
        """The faults that are switched on."""
        if isinstance(self.faults, bool):
            return frozenset(FAULTS) if self.faults else frozenset()
        if isinstance(self.faults, str):
            raise UsageError(f"sample: faults must be True, False or a set of names, not the text '{self.faults}'")
        for name in sorted(self.faults):
            if name not in FAULTS:
                raise UsageError(f"sample: unknown fault '{name}'.{nearest(name, FAULTS)} Known: {', '.join(FAULTS)}")
        return frozenset(self.faults)


class SampleSummary(Struct, frozen=True):
    """Summary of the written files."""

    files: int
    rows: Mapping[str, int]
    """Rows of each of :data:`KINDS`."""
    bytes: int
    seconds: float


def _integer(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"sample: {name} must be a whole number from {low} to {high}, not {value!r}")


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"sample: {name} must be {' or '.join(allowed)}, not {value!r}")


def _names(what: str, names: Any) -> None:
    if isinstance(names, str) or not names:
        raise UsageError(f"sample: {what} must be a list of at least one name, not {names!r}")
    for name in names:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise UsageError(f"sample: {name!r} in {what} is not a name (printable text, not empty)")
    if len(set(names)) < len(names):
        raise UsageError(f"sample: {what} has duplicate names: {', '.join(names)}")
