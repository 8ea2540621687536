"""Remarks on files: problems, what is missing, what unread files seem to be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import structs

from sqlgen.detect.candidates import GENERIC, Candidate, are_forced, candidates
from sqlgen.detect.columns import columnmap, headerless
from sqlgen.detect.columns.lacking import lacking
from sqlgen.detect.columns.times import times_of
from sqlgen.detect.contents import Trial
from sqlgen.detect.files.filegroups import FileGroup
from sqlgen.detect.files.layout import UNKNOWN
from sqlgen.detect.files.sniff import Sniffed
from sqlgen.detect.files.vendors import Vendor, channel_of, unread
from sqlgen.detect.findings import Contents, shares
from sqlgen.detect.messages.advice import described
from sqlgen.detect.messages.kinds import kinds_of
from sqlgen.detect.trial import adapters
from sqlgen.lake.storage import format_of
from sqlgen.templating.templates import Library

LONGEST = 240
"""Maximum characters of the reason against an adapter."""
EARLIER = (
    "its first row is from before the date of its name: the vendor's days begin in another time zone."
    " The date in the name is left out of the pattern, and the dates of rows count"
)
_OWN_ADAPTER = "Write your own, a few lines of SQL (docs/templates.md)"
UNZONED = (
    "its times say no zone and are read as UTC. Where they are local, add their zone to the options,"
    " as in timezone: America/New_York"
)
_TIMELESS = (
    "no column is a time by its values: a date with a time of day, or a count since 1970. Where rows have the time of"
    " day alone, put the date of the file's name before it (docs/sources.md), and inspect the result"
)
_CONTRACTS = r"-SWAP$|-USD[TC]?-\d{6}$|USD_(PERP|\d{6})$|-PERPETUAL$|USD[TC]?M$"
"""Symbols of OKX, Binance, Deribit and KuCoin whose sizes are no units of the base currency, in any columns."""
_NO_SNAPSHOT = "no snapshot among the rows that were read: changes alone make no book (see docs/order-books.md)"


def of_contents(contents: Contents) -> Iterator[str]:
    """Remarks on what was read."""
    if contents.kind == "updates" and contents.rows > 0 and not contents.summary["snapshot_rows"]:
        yield _NO_SNAPSHOT
    repeated = contents.summary.get("repeated_trade_ids")
    if repeated:
        yield f"{repeated} trades have the id of another one: are they in several files, or are these no trades?"


def counted(
    vendors: Mapping[str, Vendor], chosen: Sequence[Candidate], read: Sequence[Contents | None], sample: Sniffed
) -> Iterator[str]:
    """Remark on sizes that are no units of the base currency, of the first source that has such."""
    for candidate, contents in zip(chosen, read, strict=True):
        vendor = vendors.get(candidate.adapter)
        known = _CONTRACTS if candidate.generic else vendor.contracts if vendor is not None else ""
        in_base = str(candidate.options.get("amount", "")).startswith("base")
        amount = str(candidate.options.get("columns", {}).get("amount", ""))
        if contents is None or contents.kind == "bars" or not known or in_base or "notional" in amount.lower():
            continue
        names = [str(row[key]) for row in contents.keys for key in ("symbol", "exchange")]
        found = next((name for name in [*names, *map(channel_of, sample.messages)] if re.search(known, name)), None)
        if found is not None:
            yield (
                f"sizes of {found} count contracts, or are of the quote currency, as the venue has them: not in"
                " the base currency. Bring them to it before volumes or values are compared with those of other markets"
            )
            return


def merged(entry: Mapping[str, Any], paths: Sequence[str]) -> Iterator[str]:
    """Remark on files of different names that are read as one market, as nothing says their symbols."""
    names = {"".join(re.findall("[^\\W\\d_]+", path.rpartition("/")[2])): path for path in reversed(paths)}
    if entry.get("symbol") == UNKNOWN != entry["adapter"] and len(names) > 1:
        first, second, *_ = sorted(names.values())
        yield (
            f"nothing says the symbols of {len(paths)} files, and they are read as ONE market. If {first} and"
            f" {second} are of different markets or kinds, make a source of each, with its pattern and symbol"
        )


def quality(trial: Trial) -> str:
    """Shares of NULLs, and of rows that make no sense, of a trial read; empty if there are none."""
    odd, nulls = shares(trial.odd), shares(trial.nulls)
    return (f", NULL {nulls}" if nulls else "") + (f", but {odd.replace('% of', '% are')}" if odd else "")


def senseless(adapter: str, trial: Trial) -> str:
    """Reason why a map of columns that can be read is not proposed."""
    odd = shares(trial.odd).replace("% of", "% are") or f"{1 - trial.share:.0%} of the rows have no time or no price"
    return (
        f"{adapter} can read these columns, but its rows make no sense: {odd}. Map the columns by hand"
        f" (docs/sources.md), or write your own adapter, a few lines of SQL (docs/templates.md)"
    )


def problems(library: Library, vendors: Mapping[str, Vendor], group: FileGroup) -> Iterator[str]:
    """Problems of files that were read, and what those seem to be that are one JSON array."""
    for path, one in group.sniffed.items():
        if one.problem:
            yield f"{path} {one.problem}"
    if group.sample.format and format_of(group.example) != group.sample.format:
        name = format_of(group.example) or "nothing that sqlgen knows"
        yield f"{group.example} holds {group.sample.format}; its name says {name}"
    if not group.sample.format and group.sample.records:
        yield from _in_array(library, vendors, group)


def _in_array(library: Library, vendors: Mapping[str, Vendor], group: FileGroup) -> Iterator[str]:
    """Remark on what the objects of a JSON array seem to be; they are read one a line."""
    columns = tuple(dict.fromkeys(key for each in group.sample.records for key in each))
    lines = structs.replace(group.sample, format="ndjson", columns=columns, problem="")
    known = unread(vendors, lines, group.example)
    fitting = [one for one in candidates(library, vendors, lines, group.example) if one.readable]
    if known is not None:
        yield f"its objects seem to be {known.what}. Of one object a line: {known.unread}"
    elif fitting:
        vendor = vendors.get(fitting[0].adapter)
        what = f", {vendor.what}" if vendor is not None and vendor.what else ""
        yield f"one a line, its objects are what {fitting[0].adapter} reads, it seems{what}: {', '.join(columns)}"
    else:
        yield from described(lines.records)


def failures(vendors: Mapping[str, Vendor], tried: Sequence[tuple[Candidate, Trial]]) -> Iterator[str]:
    """Reasons why adapters that are known to be meant, or whose columns are there, do not read the files."""
    for candidate, trial in sorted(tried, key=lambda one: one[0].generic):
        if trial.error and candidate.generic:
            yield f"{candidate.adapter} would read its columns, but {shortened(trial.error)}"
        elif trial.error and (candidate.messages or candidate.named):
            yield f"these are {vendors[candidate.adapter].what}, but {shortened(trial.error)}"


def unknown(
    library: Library, group: FileGroup, vendors: Mapping[str, Vendor], tried: Sequence[tuple[Candidate, Trial]]
) -> Iterator[str]:
    """Description of files that no adapter reads."""
    generic = [name for name in adapters(library) if name.startswith(GENERIC)]
    read = [senseless(candidate.adapter, trial) for candidate, trial in tried if trial.works]
    if read:
        yield read[0]
        yield from _kinds(group)
        return
    known = unread(vendors, group.sample, group.example)
    if known is not None:
        yield f"these seem to be {known.what}, which no adapter here reads: {known.unread}"
        return
    yield _nothing_fits(group, vendors, list(failures(vendors, tried)), generic)
    yield from _kinds(group)


def _kinds(group: FileGroup) -> Iterator[str]:
    """Notes on the kinds of messages."""
    messages = group.sample.records if group.sample.format == "ndjson" else ()
    if messages and not all(_is_row(record.get("data")) for record in messages):
        yield from described(messages)


def _nothing_fits(
    group: FileGroup, vendors: Mapping[str, Vendor], failed: Sequence[str], generic: Sequence[str]
) -> str:
    if failed:
        return failed[0]
    named = headerless.named(group.sample)
    kind, problem = columnmap.no_trades(named), columnmap.problem_of_times(named)
    if named is not group.sample and times_of(named) is None:
        return _TIMELESS
    if named is not group.sample and {"high", "low"} <= {*named.columns} and "open" not in named.columns:
        places = " and ".join(f"{named.columns.index(name) + 1} the {name}" for name in ("high", "low"))
        return f"these seem to be bars, column {places}. Name all in order for generic/bars (fields; docs/sources.md)"
    if problem:
        return f"{problem}. Map its columns with {' or '.join(generic)}"
    several = group.sample.format == "ndjson" and len(kinds_of(group.sample.records)) > 1
    if several and not kind.startswith("changes"):
        return "no adapter reads these messages"
    if kind:
        return f"these seem to be {kind}: no trades, and no adapter here reads them. {_OWN_ADAPTER}"
    if are_forced(group.example):
        return f"its name says liquidations: orders closed by force, not the trades of the market. {_OWN_ADAPTER}"
    whose = [vendor.what for vendor in vendors.values() if vendor.fitting(group.example)]
    if whose:
        return f"the names are those of {whose[0]}, but no adapter here reads these files"
    flat = [record.get("data") for record in group.sample.records]
    if group.sample.format == "ndjson" and flat and all(_is_row(line) for line in flat):
        return (
            "each line is a list of values without names. Make a table of them, whose columns inspect finds or a"
            " generic adapter names (fields): jq -r '@csv' FILE > FILE.csv"
        )
    own = "your own adapter, a few lines of SQL (docs/templates.md)"
    if group.sample.format != "ndjson" and named.columns:
        return f"no adapter reads these files. {lacking(named)}, or write {own}"
    advice = f"map their columns with {' or '.join(generic)}, or write" if generic else "write"
    return f"no adapter reads these files: {advice} {own}"


def _is_row(line: object) -> bool:
    return isinstance(line, list) and bool(line) and not any(isinstance(value, list | Mapping) for value in line)


def shortened(text: str) -> str:
    """The beginning of a long message."""
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " ..."
