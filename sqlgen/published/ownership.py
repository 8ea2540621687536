"""Ownership of a table's files, by their footers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from sqlgen.errors import TaskError
from sqlgen.published import footers
from sqlgen.published.footers import Footer, ForeignFileError, Stamp
from sqlgen.published.records import Published

Stamped = dict[str, tuple[Stamp, Footer]]
"""Files of one unit, by their paths below it."""


class Reader(Struct, frozen=True):
    """Reads the footers of one model's files."""

    model: str
    owner: str
    others: Callable[[Stamp], str]
    """The model that has published a file, if it is another one and still there; empty otherwise."""

    def read(self, root: Path, path: str, recorded: bool = False) -> tuple[Stamp, Footer]:
        """The footer of a file below ``root``; :class:`ForeignFileError` where it is not the model's.

        ``recorded``: it is as its record says, and not looked at for damage.
        """
        try:
            footer = (footers.of_own if recorded else footers.read)(root / path)
        except OSError as error:
            raise ForeignFileError(f"it cannot be read ({error.strerror or error})") from None
        stamp = footer.stamp
        if other := self.others(stamp):
            raise ForeignFileError(f"{other} published it")
        if not stamp.fits(path):
            raise ForeignFileError("it is a copy of a published file")
        return stamp, footer


def assembled(inside: Stamped) -> Published | None:
    """The record of files of one publication or, in mode append, of several; ``None`` if they are mixed."""
    records = [stamp.record for stamp, _ in inside.values()]
    newest = max(records, key=lambda record: record.build)
    if len({record.build for record in records}) > 1 and any(record.mode != "append" for record in records):
        return None
    found = [footer for _, footer in inside.values()]
    schemas = {footer.schema for footer in found}
    facts: dict[str, Any] = structs.asdict(newest) | {
        "contributed": tuple(dict.fromkeys(file for record in records for file in record.contributed))
    }
    return Published(
        **facts,
        rows=sum(footer.rows for footer in found),
        bytes=sum(footer.stat.size for footer in found),
        files={name: footer.stat for name, (_, footer) in inside.items()},
        schema=schemas.pop() if len(schemas) == 1 else "",
    )


def refuse(model: str, others: list[str]) -> None:
    """:class:`TaskError` if there are foreign files."""
    if others:
        raise TaskError(
            f"files that model '{model}' did not publish lie where it publishes: {'; '.join(others)}."
            " Move them away. Nothing was replaced"
        )
