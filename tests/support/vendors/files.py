"""Files as the vendors pack them: gzip, zip with one member, zstd, or as they are."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pyarrow as pa

from tests.support.vendors.tables import Table


def save(path: Path, content: Table | str | bytes, member: str | None = None) -> Path:
    """Writes the content, packed as the suffix of the path says; member: name inside a zip."""
    if isinstance(content, Table):
        content = content.text()
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member or path.stem, data)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(data, compresslevel=6, mtime=0))
    elif path.suffix == ".zst":
        with pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd") as out:
            out.write(data)
    else:
        path.write_bytes(data)
    return path


def truncated(path: Path, share: float = 0.6) -> Path:
    """Cuts a file off, as an interrupted download leaves it."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def with_broken_line(text: str, at: int, line: str = '{"broken": ') -> str:
    """One more line in NDJSON text: no row is lost, one line is bad."""
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:at], line + "\n", *lines[at:]])
