"""Row checks of models.yaml. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from msgspec import Struct, structs
from pydantic import Field, model_validator

from sqlgen.errors import TaskError, nearest
from sqlgen.project import signs
from sqlgen.project.nodes import Names, Node
from sqlgen.templating.secrets import hidden

Kind = Literal[
    "not_null", "positive", "range", "not_crossed", "predicate", "unique", "monotonic", "max_gap", "sign_audit"
]
OnFail = Literal["drop", "quarantine", "warn", "fail"]

DEFAULT_ON_FAIL: OnFail = "quarantine"
"""Default action for rows that fail a check."""
REMOVING: tuple[OnFail, ...] = ("drop", "quarantine")
"""Actions that remove rows."""

_NANOSECONDS = 1_000_000_000


class _CheckKeys(Struct, frozen=True):
    """Keys of one kind of check, in addition to ``check``, ``on_fail`` and ``name``."""

    needs: tuple[str, ...] = ("columns",)
    takes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    """Default columns."""
    size: int | None = None
    """Number of columns it takes; ``None`` for any."""
    order: tuple[str, ...] = ()
    """Default order in which it compares rows; empty for checks of single rows."""


_KINDS: dict[str, _CheckKeys] = {
    "not_null": _CheckKeys(),
    "positive": _CheckKeys(),
    "range": _CheckKeys(takes=("min", "max")),
    "not_crossed": _CheckKeys((), ("columns",), ("bid_price_00", "ask_price_00"), 2),
    "predicate": _CheckKeys(("sql",)),
    "unique": _CheckKeys(takes=("order_by",), order=("ts", "seq")),
    "monotonic": _CheckKeys((), ("columns", "order_by"), ("ts",), 1, ("seq",)),
    "max_gap": _CheckKeys(("seconds",), ("columns", "order_by"), ("ts",), 1, ("ts", "seq")),
    "sign_audit": _CheckKeys((), ("columns", "share", "seconds"), ("side", "price", *signs.QUOTES), 4),
}


class Check(Node):
    """A condition on rows, and the action for rows that fail it."""

    check: Kind = Field(description="What is checked")
    columns: Names = Field((), description="Columns that are checked")
    on_fail: OnFail = Field(DEFAULT_ON_FAIL, description="What becomes of rows that fail")
    name: str | None = Field(None, min_length=1, description="What reports and the quarantine call it")
    min: int | float | None = Field(None, description="range: the smallest value that passes")
    max: int | float | None = Field(None, description="range: the largest value that passes")
    seconds: float | None = Field(
        None, gt=0, description="max_gap: the longest time between two rows; sign_audit: the age of the oldest quote"
    )
    share: float = Field(
        signs.SHARE, gt=0, lt=1, description="sign_audit: share of trades at the other side of the quote that passes"
    )
    sql: str | None = Field(None, min_length=1, description="predicate: SQL over the columns of one row")
    order_by: Names = Field((), description="unique, monotonic, max_gap: the order in which rows are compared")

    @model_validator(mode="before")
    @classmethod
    def _warns_by_default(cls, data: Any) -> Any:
        """Let sign audits warn by default: they judge all rows together and remove none."""
        if isinstance(data, dict) and data.get("check") == "sign_audit":
            return {"on_fail": "warn"} | data
        return data

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Check:
        keys = _KINDS[self.check]
        problems = [f"{self.check} needs {key}" for key in keys.needs if not getattr(self, key)]
        known = ("check", "on_fail", "name", *keys.needs, *keys.takes)
        problems += [
            f"{self.check} has no {key} (it has: {', '.join(known)})" for key in self.model_fields_set - {*known}
        ]
        if keys.size is not None and self.columns and len(self.columns) != keys.size:
            problems.append(f"{self.check} takes {keys.size} column(s)")
        if self.check == "range" and self.min is None and self.max is None:
            problems.append("range needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            problems.append("min is above max")
        if self.is_sign_audit and self.removes:
            problems.append("sign_audit is about all trades together and takes none away: on_fail is warn or fail")
        if problems:
            raise ValueError("; ".join(sorted(problems)))
        return self

    @property
    def title(self) -> str:
        """Name, or kind and arguments, on one line."""
        arguments = self.sql if self.sql is not None else ", ".join(self.tested)
        if self.is_sign_audit:
            arguments = f"share {self.share:g}"
        return str(hidden(" ".join((self.name or f"{self.check}({arguments})").split())))

    @property
    def tested(self) -> tuple[str, ...]:
        """The columns that it tests."""
        return self.columns or _KINDS[self.check].columns

    @property
    def order(self) -> tuple[str, ...]:
        """Order in which it compares rows; empty for checks of single rows."""
        if self.order_by:
            return self.order_by
        order = _KINDS[self.check].order
        return (*self.columns, "seq") if self.check == "max_gap" and self.columns else order

    @property
    def compares(self) -> bool:
        """True if it compares rows with each other."""
        return bool(_KINDS[self.check].order)

    @property
    def removes(self) -> bool:
        """True if rows that fail are removed."""
        return self.on_fail in REMOVING

    @property
    def is_sign_audit(self) -> bool:
        """True if it compares the sides of trades with quotes."""
        return self.check == "sign_audit"

    @property
    def quote_seconds(self) -> float:
        """sign_audit: age up to which a quote counts."""
        return self.seconds if self.seconds is not None else signs.QUOTE_SECONDS

    @property
    def nanoseconds(self) -> int:
        """max_gap: the longest time between two rows."""
        return round((self.seconds or 0) * _NANOSECONDS)

    @property
    def bounds(self) -> tuple[float, float]:
        """range: the smallest and the largest value that pass."""
        return -math.inf if self.min is None else self.min, math.inf if self.max is None else self.max

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that it names; a predicate names them in its SQL."""
        return tuple(dict.fromkeys((*self.tested, *self.order)))


class CheckCount(Struct, frozen=True):
    """Count of the rows of a task that fail one check."""

    of: str
    """Source or model of the rows."""
    check: str
    on_fail: OnFail | Literal["pass", "null"]
    """``pass``: messages that are none of the adapter's, which it passes over. ``null``: rows without a value."""
    rows: int
    total: int
    """Rows that were looked at."""
    first: str = ""
    """The first row that fails, and why."""

    def __add__(self, other: CheckCount) -> CheckCount:
        """Sum of two counts of the same check."""
        return structs.replace(
            self, rows=self.rows + other.rows, total=self.total + other.total, first=self.first or other.first
        )

    @property
    def removes(self) -> bool:
        """True if rows that fail are removed."""
        return self.on_fail in REMOVING


class CheckFailed(TaskError):  # noqa: N818 - the outcome of a check, in a report
    """A check whose ``on_fail`` is ``fail`` found rows."""

    def __init__(self, failed: Sequence[CheckCount], counts: tuple[CheckCount, ...]) -> None:
        failures = "; ".join(
            f"check '{count.check}' of '{count.of}' fails for {count.rows:,} of {count.total:,} rows,"
            f" the first is {count.first}"
            for count in failed
        )
        super().__init__(f"{failures}. Fix the rows, or give the check another on_fail")
        self.counts = counts


def identity(checks: Iterable[Check]) -> list[dict[str, Any]]:
    """Identity of checks, for fingerprints."""
    return [check.model_dump() for check in checks]


def of_rows(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Checks of rows by themselves; sign audits need quotes as well."""
    return tuple(check for check in checks if not check.is_sign_audit)


def sign_audits(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Checks that compare the sides of trades with quotes."""
    return tuple(check for check in checks if check.is_sign_audit)


def removing(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Checks that remove rows."""
    return tuple(check for check in checks if check.removes)


def nesting(checks: Iterable[Check]) -> list[tuple[list[Check], list[Check]]]:
    """Checks in order, grouped into nested SELECTs: checks of single rows, then at most one that compares."""
    found: list[tuple[list[Check], list[Check]]] = []
    for check in checks:
        if not found or found[-1][1]:
            found.append(([], []))
        found[-1][1 if check.compares else 0].append(check)
    return found


def unknown_columns(check: Check, columns: Sequence[str]) -> list[str]:
    """Problems with columns that a check names and that rows with ``columns`` lack."""
    there = {column.lower() for column in columns}
    return [
        f"there is no column '{column}'.{nearest(column, columns)}"
        + (" Name the columns that define the order in order_by." if column in check.order else "")
        for column in check.reads
        if column.lower() not in there
    ]


def duplicate_titles(checks: Sequence[Check]) -> list[str]:
    """Titles shared by several checks."""
    titles = [check.title for check in checks]
    return sorted({title for title in titles if titles.count(title) > 1})
