"""Excerpts of a source's files, in full or their first rows, in a small lake under the same names."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import zipfile
import zlib
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sqlgen.detect.files.sniff import Sniffed
from sqlgen.lake.remote import mounts
from sqlgen.sources import unpacked
from sqlgen.templating.queries import query

_MODULES: dict[str, Any] = {"gzip": gzip, "bz2": bz2, "xz": lzma}
SMALL = 1 << 20
"""Bytes up to which a file is taken in full."""


def excerpt(path: Path, target: Path, sniffed: Sniffed, rows: int | None) -> bool:
    """Put a file, or its first ``rows``, at ``target``; True if it is cut.

    A file that cannot be cut (DBN, damaged) is taken in full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    mounts.fetch([path])
    if rows is not None and (path.stat().st_size > SMALL or rows <= 10_000):
        try:
            if sniffed.format == "parquet":
                return _first_rows(path, target, rows)
            if sniffed.format in ("csv", "ndjson"):
                return _first_lines(path, target, sniffed.packing, rows + bool(sniffed.columns) + sniffed.title_lines)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, pa.ArrowInvalid):
            target.unlink(missing_ok=True)
    target.symlink_to(path.resolve())
    return False


def _first_rows(path: Path, target: Path, rows: int) -> bool:
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows <= rows:
            target.symlink_to(path.resolve())
            return False
    with closing(duckdb.connect()) as connection:
        connection.execute(query("first_rows", file=path, rows=rows, target=str(target)))
    return True


def _first_lines(path: Path, target: Path, packing: str, count: int) -> bool:
    with closing(_lines(path, packing)) as lines:
        kept = list(itertools.islice(lines, count + 1))
    if len(kept) <= count:
        target.symlink_to(path.resolve())
        return False
    _write(target, path.name, packing, b"".join(kept[:count]))
    return True


def _lines(path: Path, packing: str) -> Generator[bytes, None, None]:
    if packing == "zip":
        with zipfile.ZipFile(path) as archive, archive.open(_members(archive)[0]) as stream:
            yield from stream
    else:
        with unpacked.opened(path, packing) as stream:
            rest = b""
            while block := bytes(stream.read(1 << 16)):
                *lines, rest = (rest + block).split(b"\n")
                yield from (line + b"\n" for line in lines)
            if rest:
                yield rest


def _members(archive: zipfile.ZipFile) -> Sequence[zipfile.ZipInfo]:
    return [info for info in archive.infolist() if not info.is_dir()]


def _write(target: Path, name: str, packing: str, content: bytes) -> None:
    if packing == "zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(name.removesuffix(".zip"), content)
    elif packing == "zstd":
        with pa.CompressedOutputStream(pa.OSFile(str(target), "wb"), "zstd") as stream:
            stream.write(content)
    else:
        target.write_bytes(_MODULES[packing].compress(content) if packing in _MODULES else content)
