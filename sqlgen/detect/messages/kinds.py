"""Kinds of the messages in a file, by the fields in which venues say what a message is."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from sqlgen.detect.messages.looks import Look, look_of

_SAY = (
    *("m", "method", "e", "ev", "type", "datatype", "data_type", "msg_type", "messagetype", "event_type", "eventtype"),
    *("event", "ch", "channel", "topic", "table", "stream", "subject", "feed", "ty", "c", "cmd", "op", "dest", "kind"),
    *("group", "action", "name", "rep", "channelname", "tp", "t"),
)
_WITHIN = ("arg", "params", "data", "result", "subscription", "payload", "header", "msg", "message")
_LONGEST = 80
_FREE = re.compile(r"""[\s{}"'\\\x00-\x1f\x7f]|^[0-9.:TZ-]+$""")
"""Texts that name no kind: sentences, numbers, times, and what would end a text in a command."""
_READ = {
    "trades": {"trades"},
    "orderbook": {"book", "quotes"},
    "ticker": {"quotes", "tickers"},
    "bars": {"bars", "tickers"},
}
"""Generic adapter -> looks of messages that its map of columns may read."""


class Kind(Struct, frozen=True):
    """Messages that say the same of themselves."""

    says: Mapping[str, str]
    """Place of a field -> its value, names of markets and numbers within it as ``*``."""
    records: Sequence[Mapping[str, Any]]
    look: Look

    @property
    def text(self) -> str:
        """The kind in words: what it says, or else the fields that it has."""
        said = " ".join(f"{place}={value}" for place, value in self.says.items())
        first = [name for name in self.records[0] if name != "received_at"]
        return said or f"{{{', '.join(first[:8])}{', ...' if len(first) > 8 else ''}}}"

    @property
    def condition(self) -> str:
        """The kind as a condition of jq."""
        parts = []
        for place, form in self.says.items():
            regex = "".join(
                ".*" if part == "*" else re.sub(r"([.$^(){}|\[\]+?])", r"[\1]", part)
                for part in re.split(r"([*])", form)
            )
            parts.append(f'(.{place}? // "" | test("^{regex}$"))' if "*" in form else f'.{place}?=="{form}"')
        return " and ".join(parts) or " and ".join(f"has({json.dumps(name)})" for name in [*self.records[0]][:3])


def kinds_of(records: Sequence[Mapping[str, Any]]) -> list[Kind]:
    """Kinds of messages, the most frequent first."""
    records = [record for record in records if record.keys() - {"received_at"}]  # lines on the connection
    groups: dict[tuple[tuple[str, str], ...], list[Mapping[str, Any]]] = {}
    for record in records:
        key = tuple((place, _form(value)) for place, value in dict(_saying(record)).items())
        groups.setdefault(key or (("", ",".join(sorted(record))),), []).append(record)
    found = []
    for key, members in groups.items():
        says = {place: value for place, value in key if place}
        looks = [look_of(member, " ".join(says.values())) for member in members[:20]]
        found.append(Kind(says, members, _most(looks)))
    return sorted(found, key=lambda kind: -len(kind.records))


def are_of_one(kind: str, records: Sequence[Mapping[str, Any]], nested: bool) -> bool:
    """False if a map of columns for ``generic/KIND`` would read messages of another kind too, or alone.

    One kind whose fields stand in no inner objects is a table, of which the map itself tells more.
    """
    kinds = kinds_of(records)
    return (len(kinds) == 1 and not nested) or {one.look.what for one in kinds} <= _READ[kind] | {""}


def _most(looks: Sequence[Look]) -> Look:
    """The look of most messages that look like something; changes of a book count first."""
    told = Counter(look.what for look in looks if look.what)
    if not told:
        return Look("")
    what = "change" if "change" in told else told.most_common(1)[0][0]
    return next(look for look in looks if look.what == what)


def _saying(record: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Places and values of the fields in which a message says what it is."""
    for name, value in record.items():
        if isinstance(value, str) and name.lower() in _SAY and 0 < len(value) <= _LONGEST and not _FREE.search(value):
            yield above + name, value
        elif not above and name.lower() in _WITHIN and isinstance(value, Mapping):
            yield from _saying(value, f"{name}.")
        elif not above and name == "data" and isinstance(value, list):  # a line that is a list
            words = [(k, each) for k, each in enumerate(value[:4]) if isinstance(each, str) and not _FREE.search(each)]
            yield from ((f"{name}[{k}]", each) for k, each in words if 0 < len(each) <= _LONGEST)


def _form(value: str) -> str:
    """A value without what differs from market to market: parts with capitals or of digits, if it has several parts."""
    parts = re.split(r"([.:@/|,-]|_(?=[A-Z0-9]))", value)
    if len(parts) == 1:
        return value
    stars = "".join("*" if re.fullmatch(r"[A-Z0-9]+", part) else part for part in parts)
    return re.sub(r"\*([_-]\*)+", "*", stars)
