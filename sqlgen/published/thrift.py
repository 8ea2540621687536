"""What the footer of a Parquet file says of it, from its bytes: they are Thrift's compact protocol."""

from __future__ import annotations

_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 12
"""Types of values."""
_COLUMNS, _ROWS = 2, 3
"""Numbers of fields of a footer."""


def columns_and_rows(footer: bytes) -> tuple[bytes, int]:
    """The columns of a file, in bytes that are the same for the same columns, and its number of rows.

    They come before the row groups, which are not looked at. Raises ``IndexError`` or ``ValueError``.
    """
    columns, at, number = b"", 0, 0
    while header := footer[at]:
        start, number = at + 1, number + (header >> 4)
        if number == _ROWS:
            return columns, _zigzag(_varint(footer, start)[0])
        at = _after(footer, start, header & 15)
        if number == _COLUMNS:
            columns = footer[start:at]
    raise ValueError("no rows are told")


def text_of(footer: bytes, key: str) -> bytes | None:
    """Text that is kept under a short key, which comes after all else that has texts of others."""
    pair = b"\x18" + bytes([len(key)]) + key.encode() + b"\x18"
    at = footer.rfind(pair)
    if at < 0:
        return None
    size, start = _varint(footer, at + len(pair))
    return footer[start : start + size]


def _after(data: bytes, at: int, kind: int) -> int:
    """Place after a value."""
    if kind in _BOOLEANS:  # in the header
        return at
    if kind in _INTEGERS:
        return _varint(data, at)[1]
    if kind == _BINARY:
        size, at = _varint(data, at)
        return at + size
    if kind in _LISTS:
        return _after_list(data, at)
    if kind == _STRUCT:
        while header := data[at]:
            at = _after(data, at + 1 if header >> 4 else _varint(data, at + 1)[1], header & 15)
        return at + 1
    if kind in (_BYTE, _DOUBLE):
        return at + (1 if kind == _BYTE else 8)
    raise ValueError(f"no type {kind}")


def _after_list(data: bytes, at: int) -> int:
    size, kind = data[at] >> 4, data[at] & 15
    size, at = (size, at + 1) if size < 15 else _varint(data, at + 1)
    for _ in range(size):
        at = _after(data, at, kind) if kind not in _BOOLEANS else at + 1
    return at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and the place after it."""
    value, shift = data[at] & 127, 7
    while data[at] & 128:
        at += 1
        value |= (data[at] & 127) << shift
        shift += 7
    return value, at + 1


def _zigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)
