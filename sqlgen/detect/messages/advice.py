"""Advice on messages that no adapter reads: their kinds, what is missing, and a way to rows that are read."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlgen.detect.messages.kinds import Kind, kinds_of
from sqlgen.detect.messages.looks import Steps

_SHOWN = 8
_LOOKS = {
    "trades": "trades",
    "book": "whole books, or changes",
    "change": "changes of a book",
    "quotes": "best quotes or tickers",
    "bars": "bars",
    "tickers": "tickers, whose prices are of the last day",
    "liquidations": "liquidations, no trades",
    "rates": "rates of derivatives (funding, mark price, open interest)",
}
_ADAPTERS = {
    "trades": "generic/trades",
    "book": "generic/orderbook",
    "quotes": "generic/ticker",
    "bars": "generic/bars",
}
_LEAVES = 6
_MARKET = r"[A-Z0-9]{2,}([_/-]?[A-Z0-9]{2,})+"
"""Name of a field that is a market."""
_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)
"""Name of a field that jq takes without quotes."""
_OF_LISTS = "(objects // {data: .})"
"""Lines that are lists, as the notes have them."""
_ARRIVALS = (
    "a time of arrival stands before its messages. For jq, write it into them first: sed -nE"
    """ 's/^([0-9.]+):? +[{]/{"received_at": "\\1", /p' FILE > FILE.ndjson"""
)


def described(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Notes on the kinds of some messages, and on a way to read those that look like something."""
    kinds = kinds_of(records)
    if not kinds:
        return
    shown = "; ".join(_told(kind) for kind in kinds[:_SHOWN])
    more = f"; and {len(kinds) - _SHOWN} other kinds" if len(kinds) > _SHOWN else ""
    yield f"kinds of its first {len(records)} messages: {shown}{more}"
    if any("received_at" in record for record in records):
        yield _ARRIVALS
    looks = list(dict.fromkeys(kind.look.what for kind in kinds))
    for what in looks:
        alike = [kind for kind in kinds if kind.look.what == what]
        if what == "change":
            yield _changes(alike[0])
        elif what in _ADAPTERS and not (what == "book" and "change" in looks):
            first = alike[0].look
            like = [kind for kind in alike if (kind.look.steps, kind.look.fields) == (first.steps, first.fields)]
            yield _extracted(like, len(kinds) > 1)


def _told(kind: Kind) -> str:
    look = kind.look
    count = f"{len(kind.records)} of {kind.text}"
    if not look.what:
        return f"{count}, with {', '.join(_leaves(kind.records[0])) or 'no fields'}"
    named = ", ".join(f"{ours} {name}" for ours, name in look.fields.items())
    where = f" in {_place(look.steps)}" if look.steps else ""
    return f"{count}, which look like {_LOOKS[look.what]}{where} ({named or 'lists without names'})"


def _leaves(record: Mapping[str, Any]) -> list[str]:
    """Ways to the first values of a message."""
    found: list[str] = []

    def walk(value: Any, steps: Steps) -> None:
        if len(found) == _LEAVES:
            return
        if isinstance(value, Mapping):
            for name, inner in value.items():
                walk(inner, (*steps, name))
        elif isinstance(value, list) and value:
            walk(value[0], (*steps, "[]"))
        else:
            found.append(_place(steps))

    walk(record, ())
    return found


def _changes(kind: Kind) -> str:
    lists = " and ".join(_place((*kind.look.steps, name)) for name in kind.look.fields.values())
    return (
        f"changes of a book ({kind.text}) need an adapter: begin with that of another venue, sqlgen eject"
        f" sources/okx/books.sql.j2, and say there that levels are in {lists} (docs/templates.md){_missing(kind)}"
    )


def _extracted(kinds: Sequence[Kind], several: bool) -> str:
    """A command of jq that writes the objects of like kinds one a line, with what stands around them."""
    kind, look = kinds[0], kinds[0].look
    conditions = [one.condition for one in kinds]
    chosen = conditions[0] if len(kinds) == 1 else " or ".join(f"({condition})" for condition in conditions)
    steps = [_OF_LISTS] if any(_is_list(record) for one in kinds for record in one.records) else []
    steps += [f"select({chosen})"] if several else []
    if not look.fields:
        command = " | ".join([*steps, _way(look.steps) or ".", "@csv"])
        return (
            f"{_LOOKS[look.what]} are lists of values without names, which the vendor's documentation explains: jq -r"
            f" {shlex.quote(command)} FILE > {look.what}.csv{_missing(kind)}"
        )
    around = _around(kind)
    steps += [". as $m"] if any("$m" in way for way in around.values()) else []
    steps += _inner(look.steps)
    if around:
        steps.append(f". + {{{', '.join(f'{ours}: {way}' for ours, way in around.items())}}}")
    if not steps:
        named = ", ".join(f"{ours}: {name}" for ours, name in look.fields.items())
        return f"name their columns for {_ADAPTERS[look.what]} by hand (docs/sources.md): {named}{_missing(kind)}"
    return (
        f"{_LOOKS[look.what]}, for {_ADAPTERS[look.what]}: jq -c {shlex.quote(' | '.join(steps))} FILE >"
        f" {look.what}.ndjson, and inspect that{_missing(kind)}"
    )


def _is_list(record: Mapping[str, Any]) -> bool:
    """True for a line that is a list; or for an object that looks the same."""
    return record.keys() - {"received_at"} == {"data"} and isinstance(record["data"], list)


def _around(kind: Kind) -> dict[str, str]:
    """Fields to add to the objects of a kind -> their values, as jq has them."""
    look = kind.look
    added = {
        ours: f"$m{_way(way)}"
        for ours, way in (("symbol", look.symbol), ("timestamp", look.time))
        if way and way[: len(look.steps)] != look.steps
    }
    if not look.symbol and (place := _ending(kind)):
        added["symbol"] = place
    levels = {ours.rstrip("s"): name for ours, name in look.fields.items() if look.what == "quotes"}
    example = _at(kind.records[0], look.steps)
    if levels and all(isinstance(example.get(name), list) for name in levels.values()):
        added |= {side: f".{name}[0]" for side, name in levels.items()}
        added |= {f"{side}_size": f".{name}[1]" for side, name in levels.items()}
    return added | {"symbol": "$s"} if _market_at(look.steps) is not None else added


def _inner(steps: Steps) -> list[str]:
    """Steps of jq to the objects at a way, each market of objects by market (``{"BTCUSDT": {...}}``) as ``$s``."""
    market = _market_at(steps)
    if market is not None:
        each = f"{_way(steps[:market]) or '.'} // empty | to_entries[] | .key as $s | .value"
        return [each, *([f"{_way(steps[market + 1 :])}?"] if steps[market + 1 :] else [])]
    return [_way(steps) + ("?" if steps[-1] == "[]" else " // empty")] if steps else []


def _market_at(steps: Steps) -> int | None:
    """Number of the step that is the name of a market."""
    return next((number for number, step in enumerate(steps) if re.fullmatch(_MARKET, step)), None)


def _ending(kind: Kind) -> str:
    """The market as the end of a field that says what a message is, as jq has it; empty if none has it."""
    for place, form in kind.says.items():
        if form.endswith("*") and len(form) > 1:
            return f'($m{_way(tuple(place.split(".")))}|split("{form[-2]}")|last)'
    return ""


def _at(record: Any, steps: Steps) -> Mapping[str, Any]:
    """The object at a way in a message."""
    for step in steps:
        record = record[0] if step == "[]" and record else record.get(step) if isinstance(record, Mapping) else None
    return record if isinstance(record, Mapping) else {}


def _missing(kind: Kind) -> str:
    """Parts that a kind lacks, in words."""
    lacks = [
        words
        for there, words in (
            (kind.look.time, "no time: write that of arrival before each line (docs/sources.md)"),
            (
                kind.look.symbol or _ending(kind) or _market_at(kind.look.steps) is not None,
                "no field that names the market: write it as symbol: in models.yaml, or into each line",
            ),
        )
        if not there
    ]
    return f". It has {', and '.join(lacks)}" if lacks else ""


def _way(steps: Steps) -> str:
    """A way as jq writes it."""
    parts = [
        step if step == "[]" else f".{step}" if re.fullmatch(_PLAIN, step) else f"[{json.dumps(step)}]"
        for step in steps
    ]
    way = "".join(parts)
    return f".{way}" if way.startswith("[") else way


def _place(steps: Steps) -> str:
    """A way for people: ``data[].p``."""
    return _way(steps).removeprefix(".")
