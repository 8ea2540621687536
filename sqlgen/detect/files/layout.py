"""Path layout of a group of files, as a source of models.yaml: folder, pattern, keys to fill in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct, structs

from sqlgen.detect.files.markets import is_exchange
from sqlgen.detect.files.pathnames import ALIASES, common_start, derive, folder_of
from sqlgen.detect.files.vendors import Vendor, suffix_of
from sqlgen.lake.partitions import HIVE_KEYS, hive_pairs
from sqlgen.lake.patterns import PathPattern

UNKNOWN = "unknown"
"""Placeholder of a key that neither paths nor rows have."""


class PathLayout(Struct, frozen=True):
    """Folder and pattern that find the files of a group, and the keys in their paths."""

    base: str
    """Absolute folder of the files."""
    pattern: str = ""
    keys: tuple[str, ...] = ()
    """Keys in the paths: by hive folders, or by the pattern."""
    by: str = "rows"
    """``hive folders``, ``names of the vendor``, ``names of the files``, ``rows``."""
    lake: str = ""
    usable: bool = True
    """True if the folder can be that of a source."""
    format_needed: bool = False
    """The names do not tell what the files are."""


class GroupContext(Struct, frozen=True):
    """The lake and the other files around a group."""

    lake: Path | None
    others: Sequence[str] = ()
    """Paths of data files that are not of this group."""
    misnamed: bool = False
    """The names do not tell what the files are."""

    def parent(self, base: str) -> str:
        """The lake, or the folder that would be one."""
        return str(self.lake) if self.lake is not None else folder_of(base)

    def usable(self, base: str) -> bool:
        """True if a folder can be the folder of a source: below the lake, and not the lake itself."""
        parent = self.parent(base)
        return base != parent and base.startswith(parent.rstrip("/") + "/")

    def alone(self, base: str) -> bool:
        """True if a source that reads all data files below a folder reads no others."""
        return not self.misnamed and not any(path.startswith(base + "/") for path in self.others)


def path_layout(paths: Sequence[str], vendor: Vendor | None, context: GroupContext) -> PathLayout:
    """The layout with which a source finds ``paths`` (absolute, sorted) and no others."""
    named = _named(paths, vendor, context) if vendor is not None and vendor.names else None
    found = named or _hive(paths, context) or _derived(paths, context)
    return structs.replace(
        found, lake=context.parent(found.base), usable=context.usable(found.base), format_needed=context.misnamed
    )


def _named(paths: Sequence[str], vendor: Vendor, context: GroupContext) -> PathLayout | None:
    for name in vendor.names:
        fixed = 0
        while not re.search(r"[{*]", name.split("/")[fixed]):
            fixed += 1
        depth = name.count("/") + 1 - fixed
        fits = [path for path in paths if vendor.fitting(path) == name]
        if len(fits) < len(paths):
            continue
        base = os.path.commonpath([folder_of(path) for path in paths])
        tops = {"/".join(path.split("/")[:-depth]) for path in paths}
        pattern = "/".join(name.split("/")[fixed:]) + _suffix(paths)
        if len(tops) == 1 and context.usable(next(iter(tops))):
            return PathLayout(next(iter(tops)), pattern, PathPattern(pattern).keys, "names of the vendor")
        if len(tops) > 1 and depth == 1 and context.usable(base):
            return PathLayout(base, "**/" + pattern, PathPattern(pattern).keys, "names of the vendor")
    pairs = {name: [path for path in paths if vendor.fitting(path) == name] for name in vendor.names}
    together = [name for name, fits in pairs.items() if fits]
    if len(together) > 1 and sum(map(len, pairs.values())) == len(paths):
        return _shared(paths, together, context)
    return None


def _shared(paths: Sequence[str], names: Sequence[str], context: GroupContext) -> PathLayout | None:
    """Layout of files with two names (pairs): the common start of the names."""
    start = common_start(list(names))
    start = start[: start.rfind("}") + 1]
    base = os.path.commonpath([folder_of(path) for path in paths])
    pattern = f"{start}_*" + _suffix(paths)
    if not start or not context.usable(base):
        return None
    nested = any(folder_of(path) != base for path in paths)
    return PathLayout(base, ("**/" if nested else "") + pattern, PathPattern(pattern).keys, "names of the vendor")


def _hive(paths: Sequence[str], context: GroupContext) -> PathLayout | None:
    """Folders such as ``exchange=binance``; a pattern if the folders have other names for the keys."""
    first = paths[0].split("/")
    cut = next((i for i, part in enumerate(first[:-1]) if "=" in part and _key(part)), None)
    if cut is None:
        return None
    base = "/".join(first[:cut])
    below = [path[len(base) + 1 :] for path in paths if path.startswith(base + "/")]
    if len(below) < len(paths) or not context.usable(base):
        return None
    names = [[part.split("=")[0] for part in path.split("/")[:-1]] for path in below]
    same = all(name == names[0] for name in names)
    known = {name for name in names[0] if name in HIVE_KEYS}
    if same and known == {name for name in names[0] if _key(name)} and context.alone(base):
        return PathLayout(base, "", tuple(hive_pairs(below[0])), "hive folders")
    if not same:
        return None
    parts = [f"{name}={{{_key(name)}}}" if _key(name) else "*" for name in names[0]]
    pattern = "/".join([*parts, "*" + _suffix(paths)])
    return PathLayout(base, pattern, PathPattern(pattern).keys, "hive folders")


def _key(part: str) -> str | None:
    return ALIASES.get(part.split("=")[0].lower())


def _derived(paths: Sequence[str], context: GroupContext) -> PathLayout:
    base = os.path.commonpath([folder_of(path) for path in paths])
    below = [path[len(base) + 1 :] for path in paths]
    pattern = derive(below)
    if pattern is not None:
        parts = pattern.split("/")
        while len(parts) > 1 and not re.search(r"[{*]", parts[0]):
            base = f"{base}/{parts.pop(0)}"
        pattern = "/".join(parts)
        return PathLayout(base, pattern, PathPattern(pattern).keys, "names of the files")
    if context.alone(base):
        return PathLayout(base)
    if len(paths) == 1:
        return PathLayout(base, below[0])
    nested = any("/" in path for path in below)
    names = {path.rpartition("/")[2] for path in below}
    name = names.pop() if len(names) == 1 else f"{common_start(sorted(names))}*{_suffix(paths)}"
    return PathLayout(base, f"{'**/' if nested else ''}{name}")


def _suffix(paths: Iterable[str]) -> str:
    suffixes = {suffix_of(path) for path in paths}
    return suffixes.pop() if len(suffixes) == 1 else common_start(sorted(suffixes)) + "*"


def without_key(layout: PathLayout, key: str, example: str) -> PathLayout:
    """A layout whose pattern leaves a key to the rows, and the other keys of an example as they are.

    A date beside a symbol leaves year and month: ``{symbol}-*`` would end BTC-USDT at its first ``-``.
    """
    below = os.path.relpath(example, layout.base)
    found = PathPattern(layout.pattern).match(below) or {}
    others = {(name, value) for name, value in found.items() if name != key}
    beside = key == "date" and re.search(r"\{symbol\}[-_]?\{date\}", layout.pattern)
    for text in ("{year}-{month}-*", "{year}{month}*", "*") if beside else ("*",):
        pattern = layout.pattern.replace(f"{{{key}}}", text)
        if others <= (PathPattern(pattern).match(below) or {}).items():
            return structs.replace(layout, pattern=pattern, keys=PathPattern(pattern).keys)
    return structs.replace(layout, pattern=re.sub(r"\{\w+\}", "*", layout.pattern), keys=())


def exchange_above(base: str) -> str | None:
    """The nearest parent folder named like an exchange."""
    return next((part for part in reversed(base.split("/")) if part and is_exchange(part)), None)
