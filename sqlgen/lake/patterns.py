"""Path patterns: keys of a partition in paths without hive folders."""

from __future__ import annotations

import functools
import re
from functools import cached_property

from msgspec import Struct

from sqlgen.errors import nearest

_FIELDS = dict.fromkeys(("exchange", "symbol"), r"[^/]+?") | {
    "date": r"\d{4}-\d{2}-\d{2}|\d{8}",
    "year": r"\d{4}",
    **dict.fromkeys(("month", "day", "hour"), r"\d{1,2}"),
}
_TOKENS = re.compile(r"(\{\w*\}|\*\*/|\*)")


class PathPattern(Struct, frozen=True, dict=True):
    """A pattern such as ``{exchange}/{date}/{symbol}_*.csv.gz`` over paths below a source's folder.

    ``*`` stands for any characters but ``/``, ``**/`` for any folders.
    """

    text: str

    def __post_init__(self) -> None:
        """Raises ``ValueError`` where the text is not a pattern."""
        names = self.keys
        for name in names:
            if name not in _FIELDS:
                raise ValueError(f"unknown field {{{name}}}.{nearest(name, _FIELDS)} Known: {', '.join(_FIELDS)}")
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise ValueError(f"duplicate field: {', '.join(double)}")

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The fields in the order of their groups in :attr:`regex`."""
        return tuple(token[1:-1] for token in _TOKENS.findall(self.text) if token.startswith("{"))

    @cached_property
    def regex(self) -> str:
        """Regular expression with one group per field, in syntax common to Python and RE2."""
        parts = []
        for token in _TOKENS.split(self.text):
            if token.startswith("{") and token.endswith("}"):
                parts.append(f"({_FIELDS[token[1:-1]]})")
            else:
                parts.append({"**/": "(?:[^/]+/)*", "*": "[^/]*"}.get(token, re.escape(token)))
        return "".join(parts)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.regex)

    @property
    def glob(self) -> str:
        starred = re.sub(r"[?\[]", r"[\g<0>]", self._starred)
        return re.sub(r"\*+", lambda stars: "**" if stars.group().startswith("**") else "*", starred)

    @property
    def _starred(self) -> str:
        # `{symbol}*` must not become `**`, which would reach into other folders.
        return re.sub(r"(?<![*/])\*\*(?!/)", "*", re.sub(r"\{\w*\}\*?", "*", self.text))

    def match(self, path: str) -> dict[str, str] | None:
        """Values of the fields in a path below the source's folder; dates are ISO."""
        found = self._compiled.fullmatch(path)
        if found is None:
            return None
        values = dict(zip(self.keys, found.groups(), strict=True))
        if "date" in values and "-" not in values["date"]:
            values["date"] = re.sub(r"(\d{4})(\d\d)(\d\d)", r"\1-\2-\3", values["date"])
        return values


@functools.cache
def path_pattern(text: str) -> PathPattern:
    """Parsed pattern, cached: it is matched against every file of a source."""
    return PathPattern(text)
