"""Source text files: byte order marks, line ends, encoding."""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from sqlgen.errors import TaskError, disk_full
from sqlgen.sources.unpacked import CHUNK, CUT_OFF, KINDS, MAGIC, opened, unzip

HEAD = 1 << 16
"""Bytes at the beginning of a file that are inspected."""
_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_ARRIVAL_OF_OBJECT = re.compile(rb'^([0-9]{9,20}(?:[.][0-9]+)?):?[ \t]+[{](?=[ \t]*")', re.MULTILINE)
_ARRIVAL_OF_LIST = re.compile(rb"^([0-9]{9,20}(?:[.][0-9]+)?):?[ \t]+(\[[^\r\n]*\])", re.MULTILINE)
"""Time of arrival before a JSON message, as collectors write it."""
_PREFIX = re.compile(rb"^(?!wss?://|[ \t]*\[[ \t]*[{])([^\r\n{}\",]*(?:,[^\r\n{}\",]*)?)[{](?=[ \t]*\")", re.MULTILINE)
"""Text before a JSON object, as in logs of messages: a time, words, an arrow."""
_ZONED = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.]\d+)?(?:Z|[+-]\d\d:?\d\d)")
_COUNT = re.compile(rb"(?<![\d.-])1\d{9}(?:\d{3}|\d{6}|\d{9})?(?:[.]\d+)?(?![\d:-])")
_TIMES = rb"timestamp|ts|time|t|[a-z_]*(?:re?c(?:ei)?v|local|arriv|collect|captur|record|receipt)[a-zA-Z_]*"
_AROUND = rb"topic|channel|stream|type|exchange|source|symbol|market|_?id|partition|offset|key|broker|tstype|headers"
_SCALAR = rb"\"(?:" + _TIMES + b"|" + _AROUND + rb")\" ?: ?(?:\"[^\"\\\r\n]*\"|[0-9.]+|null|\[\])"
WRAPPERS = ("message", "msg", "data", "payload", "raw", "value", "event", "body")
"""Fields in which collectors put a message."""
_WRAPPER = rb"^[{] ?(?P<fields>(?:" + _SCALAR + rb" ?, ?)+)\"(?P<name>" + "|".join(WRAPPERS).encode() + rb")\" ?: ?"
_INNER = rb"(?:(?P<object>[{].*[}])|\"(?P<text>[{](?:[^\"\\\r\n]|\\.)*[}])\") ?[}](?=[ \t]*\r?$)"
_WRAPPED = re.compile(_WRAPPER + _INNER, re.MULTILINE)
"""A message within an object of its collector, who adds a time of arrival, or names of the market; also as text."""
_TIME_OF = re.compile(rb"\"(?:" + _TIMES + rb")\" ?: ?\"?([^\",]+)")
_SYMBOL_OF = re.compile(rb"\"symbol\" ?: ?\"[^\"]*\"")
_OF_CONNECTION = re.compile(rb"^wss?://\S* <?->? ([0-9]{9,20}(?:[.][0-9]+)?)(?::[^\r\n]*)?(?=\r?$)", re.MULTILINE)
"""Line of cryptofeed's raw files on a connection that is made, or what was sent."""
_NO_MESSAGE = re.compile(_OF_CONNECTION.pattern + rb"|[ \t]*#[^{\r\n]*$")  # such a line, or a comment
LINE_SIZE = 1 << 24
"""Bytes from which on a line is not read; DuckDB's maximum_object_size."""


@contextlib.contextmanager
def readable(path: Path, scratch: Path, unmark: bool = False, columns: Collection[str] = ()) -> Iterator[Path]:
    """Context of a file that DuckDB can open for ``path``: itself, or a temporary copy at ``scratch``.

    ``unmark``: remove a byte order mark, which DuckDB takes for a part of the first JSON object, and what stands around
    messages, but for fields that are among ``columns``.
    Raises :class:`TaskError` if the file is truncated.
    """
    copy = scratch.with_suffix(".unpacked")

    def changed(write: Callable[[Path], None]) -> Path:
        write(plain := scratch.with_suffix(".changed"))
        return plain.replace(copy)

    try:
        if path.suffix in KINDS and path.stat().st_size == 0:
            raise TaskError(f"{path} is empty, not even a {KINDS[path.suffix]} file. {CUT_OFF}")
        _require_kind(path)
        if path.suffix == ".zip":
            unzip(path, copy)
        elif path.suffix in KINDS:  # DuckDB does not know all of them, and text is read twice, also for lost digits
            _rewrite(path, copy)
        found = copy if copy.exists() else path
        if encoding := encoding_of(head(found)):
            found = changed(lambda plain: _transcode(found, plain, encoding))
        if unmark and head(found).startswith(_MARK):
            found = changed(lambda plain: _rewrite(found, plain, skip=len(_MARK)))
        if unmark and (change := bare(head(found), columns)) is not None:
            found = changed(lambda plain: _each_line(found, plain, change))
        yield found
    except OSError as error:
        if disk_full(error):
            raise
        raise TaskError(f"{path} cannot be read: {error}. {CUT_OFF}") from error
    finally:
        copy.unlink(missing_ok=True)


def _require_kind(path: Path) -> None:
    """:class:`TaskError` if the first bytes of a file are those of another kind than its name says."""
    with path.open("rb") as file:
        start = file.read(max(map(len, MAGIC.values())))
    found = next((suffix for suffix, magic in MAGIC.items() if start.startswith(magic)), "")
    if found and found != path.suffix:
        raise TaskError(f"{path} is a {found[1:]} file, by its first bytes. Give it a name that ends in {found}")
    text = all(byte in b"\t\r\n" or byte >= 32 for byte in start)
    if path.suffix in KINDS and text and not found and not MAGIC[path.suffix].startswith(start):
        kind = KINDS[path.suffix]
        raise TaskError(f"{path} is text and no {kind} file, by its first bytes. Take {path.suffix} from its name")


def bare(start: bytes, columns: Collection[str]) -> Callable[[bytes], bytes] | None:
    """The change of lines that takes what stands around their messages, by the first lines; ``None`` if nothing does.

    ``columns``: fields of lines that are read, and not taken for wrappers of messages.
    """
    first = next((line for line in start.splitlines() if line.strip() and not _NO_MESSAGE.match(line)), b"")
    prefixed = _PREFIX.match(with_arrival(first)) is not None and not first.startswith(b"{")

    def change(text: bytes) -> bytes:
        text = with_arrival(text)
        text = _PREFIX.sub(_logged, text) if prefixed else text
        return _WRAPPED.sub(lambda match: _unwrapped(match, columns), text)

    longer = re.match(_WRAPPER, with_arrival(first)) if b"\n" not in start.strip() else None
    wrapped = longer is not None and _is_of_collector(longer, columns)
    return change if wrapped or change(start) != start else None


def _logged(match: re.Match[bytes]) -> bytes:
    """The beginning of an object, with the time that its prefix says; a text without a zone is no time."""
    time = _ZONED.search(match[1]) or _COUNT.search(match[1])
    return b'{"received_at":"' + time[0] + b'",' if time else b"{"


def _is_of_collector(match: re.Match[bytes], columns: Collection[str]) -> bool:
    """False where a venue may have sent an object around a message, or where its fields are read."""
    venue = match["name"] in (b"data", b"event") and re.search(rb"\"(?:topic|channel|stream|type)\"", match["fields"])
    return not (venue and b'"partition"' not in match["fields"]) and match["name"].decode() not in columns


def _unwrapped(match: re.Match[bytes], columns: Collection[str]) -> bytes:
    """The message of a wrapper, with the time and the symbol that this says."""
    fields = match["fields"]
    said = _TIME_OF.findall(fields)
    if not _is_of_collector(match, columns) or not (said or match["text"]):
        return match[0]
    times = [time for time in said if _ZONED.fullmatch(time) or _COUNT.fullmatch(time)]
    message = match["object"]
    if message is None:
        try:
            message = json.loads(b'"' + match["text"] + b'"').strip().encode()
        except ValueError:
            return match[0]
    symbol = _SYMBOL_OF.search(fields)
    added = [b'"received_at":"' + times[-1] + b'"'] if times else []
    added += [symbol[0]] if symbol and b'"symbol"' not in message else []
    return b"{" + b"".join(each + b"," for each in added) + message[1:]


def with_arrival(text: bytes) -> bytes:
    """Lines such as ``1723161255030 {...}`` with that time as field ``received_at``; a list is in ``data``."""
    text = _OF_CONNECTION.sub(rb'{"received_at":"\1"}', text)
    text = _ARRIVAL_OF_OBJECT.sub(rb'{"received_at":"\1",', text)
    return _ARRIVAL_OF_LIST.sub(rb'{"received_at":"\1","data":\2}', text)


def _each_line(path: Path, target: Path, change: Callable[[bytes], bytes]) -> None:
    """Write a copy with ``change`` made to whole lines, many at a time."""
    rest = b""
    with opened(path) as stream, target.open("wb") as file:
        while chunk := bytes(stream.read(CHUNK)):
            whole, mark, rest = (rest + chunk).rpartition(b"\n")
            file.write(change(whole) + mark)
        file.write(change(rest))


def unix_lines(path: Path, target: Path) -> Path:
    """Write a copy with uniform line ends; DuckDB gives up on a file that mixes them."""
    pending = b""

    def ends(chunk: bytes) -> bytes:
        nonlocal pending
        text = pending + chunk
        pending = b"\r" if text.endswith(b"\r") else b""
        return text.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    _rewrite(path, target, ends)
    return target


def repair(path: Path, target: Path) -> dict[int, str]:
    """Write a copy with uniform line ends, and an empty object for each line that no JSON reader takes.

    Returns the position of each such line among the lines that are not blank, from 0 -> reason.
    """
    faults: dict[int, str] = {}
    place = 0
    with target.open("wb") as file:
        for line in _raw_lines(path):
            if line.strip():
                fault = _fault(line)
                if fault:
                    faults[place], line = fault, b"{}"
                place += 1
            file.write(line + b"\n")
    return faults


def _fault(line: bytes) -> str:
    """Reason why no reader takes a line; empty if it is readable."""
    if len(line) >= LINE_SIZE:
        return f"it has more than {LINE_SIZE} bytes"
    if b"\0" in line:
        return f"byte {line.index(0) + 1} is NUL"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"it is not UTF-8: byte {error.start + 1} is 0x{line[error.start]:02x}"
    return ""


def _raw_lines(path: Path) -> Iterator[bytes]:
    """Lines of a file, whatever their line ends; overlong lines are truncated."""
    parts: list[bytes] = []
    size, ended = 0, b""
    with opened(path) as stream:
        while chunk := bytes(stream.read(CHUNK)):
            if ended and chunk.startswith(b"\n"):
                chunk = chunk[1:]
            ended = b"\r" if chunk.endswith(b"\r") else b""
            first, *others = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            parts, size = [*parts, first] if size < LINE_SIZE else parts, size + len(first)
            for other in others:
                yield b"".join(parts)
                parts, size = [other], len(other)
    if size:
        yield b"".join(parts)


def encoding_of(start: bytes) -> str:
    """Encoding of text, by its first bytes, that is made UTF-8 before it is read; empty for UTF-8 and what is unknown.

    GBK is taken where the first line alone is not UTF-8 but is GBK: headers of OKX, say.
    """
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) and not start.startswith(b"\xff\xfe\0\0"):
        return "utf-16"
    line = start.splitlines()[0] if start else b""
    try:
        line.decode("utf-8")
        return ""
    except UnicodeDecodeError:
        pass
    try:
        text = line.decode("gbk")
    except UnicodeDecodeError:
        return ""
    return "gbk" if "\0" not in text and all(letter.isprintable() or letter in "\t\r" for letter in text) else ""


def _transcode(path: Path, target: Path, encoding: str) -> None:
    """Write a copy in UTF-8; a byte that is none of the encoding stays a mark in its line."""
    with opened(path) as stream, target.open("wb") as file:
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        while chunk := bytes(stream.read(CHUNK)):
            file.write(decoder.decode(chunk).encode())
        file.write(decoder.decode(b"", True).encode())


def require_utf8(path: Path, start: bytes) -> None:
    """:class:`TaskError` if a file, whose first bytes are ``start``, is text in another encoding."""
    even, odd = start[0::2].count(0), start[1::2].count(0)
    found = next((name for mark, name in _OTHER_MARKS.items() if start.startswith(mark)), "")
    if not found and max(even, odd) > len(start) / 5 and min(even, odd) < max(even, odd) / 4:
        found = "UTF-16LE" if odd > even else "UTF-16BE"
    if found:
        raise TaskError(
            f"{path} is text in {found}, and UTF-8 is read. Convert it: iconv -f {found} -t UTF-8 {path.name}"
        )


def head(path: Path) -> bytes:
    """The first bytes, unpacked."""
    with opened(path) as stream:
        return bytes(stream.read(HEAD))


def first_line(path: Path, place: int = 0) -> str:
    """The first line, or that at a ``place``, without a byte order mark; empty if there are fewer."""
    found = re.split(rb"\r\n|\r|\n", head(path), maxsplit=place + 1)
    return found[place].decode("utf-8-sig", "replace") if place < len(found) else ""


def next_lines(path: Path, place: int = 0) -> str:
    """The lines after the first, or after that at a ``place``, that the first bytes hold whole."""
    start = head(path)
    return "\n".join(start.decode("utf-8", "replace").splitlines()[place + 1 : None if len(start) < HEAD else -1])


def is_blank(path: Path) -> bool:
    """True if a file has no content but white space."""
    start = head(path)
    return len(start) < HEAD and not start.removeprefix(_MARK).strip()


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number from 1, and text, of each line that is not blank."""
    for number, line in enumerate(_raw_lines(path), 1):
        if line.strip():
            yield number, line.decode("utf-8", "replace")


def _rewrite(path: Path, target: Path, change: Callable[[bytes], bytes] = bytes, skip: int = 0) -> None:
    with opened(path) as stream, target.open("wb") as file:
        stream.read(skip)
        while chunk := bytes(stream.read(CHUNK)):
            file.write(change(chunk))
