"""Detection of exchange, symbol and date in unknown paths, as a pattern."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlgen.detect.files.markets import apart, is_exchange, is_symbol, joined
from sqlgen.detect.files.vendors import suffix_of
from sqlgen.lake.patterns import PathPattern

ALIASES = {
    **dict.fromkeys(("exchange", "venue"), "exchange"),
    **dict.fromkeys(("symbol", "ticker", "pair", "instrument", "product", "coin"), "symbol"),
    **dict.fromkeys(("date", "dt", "ds", "day_utc", "trading_date", "trade_date"), "date"),
    **{name: name for name in ("year", "month", "day", "hour")},
}
"""Names of ``name=value`` folders -> the key that they hold."""

_DATE = re.compile(r"(?<!\d)(?:(?:19|20)\d\d-[01]\d-[0-3]\d|(?:19|20)\d\d[01]\d[0-3]\d)(?!\d)")
_MONTH = re.compile(r"(?<!\d)(?:19|20)\d\d-[01]\d(?![-_]?\d)")
_INTERVAL = re.compile(
    r"(?<![^\W_])(?:(?:[1-6]|10|15|20|30|45|60)(?:[smSM]|mo|min|sec)|(?:[1-468]|12)(?:[hH]|hour)|[1-7](?:[dwDW]|day)"
    r"|M(?:1|5|15|30)|H[14]|D1"
    r"|(?:\d{1,3}|[DWM])(?=(?:_\d{4}-\d\d-\d\d){2}))(?![^\W_])"
)
"""Length of bars: ``1m``, ``5min``, ``M15``, and the 15 of ``15_2024-01-01_2024-01-31``."""
_KINDS = re.compile(
    r"trade|book|depth|quote|ticker|bbo|mbp|mbo|delta|update|snapshot|message|ohlc|candle|level\d?|l[123]\b"
)
_CALENDAR = (("year", r"(?:19|20)\d\d"), ("month", r"[01]?\d"), ("day", r"[0-3]?\d"), ("hour", r"[0-2]?\d"))


def folder_of(path: str) -> str:
    """The folder of a path."""
    return path.rpartition("/")[0] or "/"


def common_start(texts: Sequence[str]) -> str:
    """The common prefix of all texts."""
    first, last = min(texts), max(texts)
    return next((first[:place] for place, letter in enumerate(first) if last[place : place + 1] != letter), first)


def shape(path: str) -> str:
    """Path without its variable parts (dates, numbers, symbols): kind, length of bars, day or month, suffix, depth."""
    parts = path.split("/")
    period = "month" if _MONTH.search(path) and not _DATE.search(path) else ""
    words = _KINDS.findall(path.lower())
    folders = [re.sub("=.*", "=", part) if "=" in part else "" for part in parts[:-1]]
    lengths = _INTERVAL.findall(path) if {*words} <= {"ohlc", "candle"} else []  # 12h of trades is an hour of the day
    return "/".join([*folders, suffix_of(path), *words, *lengths, period])


def derive(paths: Sequence[str]) -> str | None:
    """A pattern for paths (below one folder) with all keys that can be found; ``None`` if there are none."""
    split = [path.split("/") for path in paths]
    depths = {len(parts) for parts in split}
    if len(depths) > 1:
        split = [parts[-1:] for parts in split]
    used: set[str] = set()
    columns = [list(column) for column in zip(*split, strict=True)]
    pieces = _calendar(columns, used)
    if any(map(_DATE.search, paths)):
        used.add("month")
    for place, column in enumerate(columns):
        if pieces[place] is None:
            pieces[place] = _component(column, used, last=place == len(columns) - 1)
    pattern = ("**/" if len(depths) > 1 else "") + "/".join(piece or "*" for piece in pieces)
    fits = PathPattern(pattern)
    if not fits.keys or any(fits.match(path) is None for path in paths):
        return None
    return pattern


def _calendar(columns: list[list[str]], used: set[str]) -> list[str | None]:
    """Nested folders for year, month, day and hour."""
    pieces: list[str | None] = [None] * len(columns)
    for start, column in enumerate(columns[:-1]):
        if not _all(column, _CALENDAR[0][1]):
            continue
        for (name, regex), place in zip(_CALENDAR, range(start, len(columns) - 1), strict=False):
            if not _all(columns[place], regex):
                break
            pieces[place] = f"{{{name}}}"
            used.add(name)
        if {"year", "month", "day"} <= used:
            used.add("date")
            return pieces
        used.clear()
        pieces = [None] * len(columns)
    return pieces


def _all(values: Sequence[str], regex: str) -> bool:
    return all(re.fullmatch(regex, value) for value in values)


def _component(values: list[str], used: set[str], last: bool) -> str:
    """One folder's or file's name, of all paths, as a part of a pattern."""
    suffix = ""
    if last:
        suffixes = {suffix_of(value) for value in values}
        suffix = suffixes.pop() if len(suffixes) == 1 else "*"
        values = [value.removesuffix(suffix_of(value)) for value in values]
    folder = _folder_key(values, used)
    if folder is not None:
        used.add(folder[1])
        return f"{folder[0]}={{{folder[1]}}}{suffix}"
    period = "{date}"
    if "date" not in used and all(len(_DATE.findall(value)) == 1 for value in values):
        used.add("date")
        values = [_DATE.sub("\0", value) for value in values]
    elif not used & {"date", "month"} and all(len(_MONTH.findall(value)) == 1 for value in values):
        used.add("month")
        period = "{year}-{month}"
        values = [_MONTH.sub("\0", value) for value in values]
    values = [joined(value, dated=bool(used & {"date", "month"})) for value in values]
    mark = "_" if any("_" in value for value in values) else "-"
    tokens = [[apart(word) for word in re.split(rf"({mark}|\0|\.)", value) if word] for value in values]
    if len({len(token) for token in tokens}) > 1:
        whole = apart(values[0]) if len(set(values)) == 1 else "*\0*" if "\0" in values[0] else "*"
        return (whole + suffix).replace("\0", period).replace("**", "*")
    pieces = [_token(column, used) for column in zip(*tokens, strict=True)]
    for place, (piece, mark, after) in enumerate(zip(pieces, pieces[1:], pieces[2:], strict=False)):
        if piece == "{symbol}" and after == "*" and any(mark in token[place] for token in tokens):
            pieces[place] = "*"  # {symbol}-* would end BTC-USDT at its first mark
    return ("".join(pieces) + suffix).replace("\0", period)


def _folder_key(values: Sequence[str], used: set[str]) -> tuple[str, str] | None:
    """Name and key of folders such as ``dt=2026-01-01``."""
    pairs = [value.partition("=") for value in values]
    names = {name for name, mark, _ in pairs if mark}
    key = ALIASES.get(next(iter(names)).lower()) if len(names) == 1 and all(mark for _, mark, _ in pairs) else None
    dated = all(_DATE.fullmatch(value) for _, _, value in pairs)
    return None if key is None or key in used or (key == "date" and not dated) else (names.pop(), key)


def _token(values: Sequence[str], used: set[str]) -> str:
    """One word of all names: a key, the word itself where it is always the same, or ``*``."""
    distinct = set(values)
    if distinct <= {"\0", "_", "-", "."}:
        return values[0] if len(distinct) == 1 else "*"
    if "exchange" not in used and all(map(is_exchange, distinct)):
        used.add("exchange")
        return "{exchange}"
    if "symbol" not in used and all(map(is_symbol, distinct)):
        used.add("symbol")
        return "{symbol}"
    if len(distinct) == 1:
        return values[0]
    if "symbol" not in used and all(re.fullmatch(r"(?=.*[A-Za-z])[\w.:$-]+", value) for value in distinct):
        used.add("symbol")
        return "{symbol}"
    return "*"
