"""Packed files, and their unpacked bytes."""

from __future__ import annotations

import io
import lzma
import shutil
import zipfile
import zlib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from sqlgen.errors import TaskError, disk_full

CHUNK = 1 << 20
CUT_OFF = "Is it cut off? Fetch it again; nothing of it was published"
KINDS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}
_OF_PYTHON = {"gzip": "gzip", "xz": "lzma"}
"""Packing -> module that unpacks it; Arrow takes no zeros behind gzip, and no xz."""
MAGIC = {
    ".gz": b"\x1f\x8b",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".bz2": b"BZh",
    ".xz": b"\xfd7zXZ\0",
    ".zip": b"PK\3\4",
    ".parquet": b"PAR1",
}
"""Suffix -> first bytes of such a file."""


def opened(path: Path, packing: str | None = None) -> BinaryIO:
    """The unpacked bytes of a file, packed as its name or ``packing`` says. Whatever is wrong is an ``OSError``."""
    packing = KINDS.get(path.suffix, "") if packing is None else packing
    if packing in _OF_PYTHON:
        return cast(BinaryIO, io.BufferedReader(_Unpacked(path, packing), CHUNK))
    return cast(BinaryIO, pa.input_stream(str(path), compression=packing or None))


class _Unpacked(io.RawIOBase):
    """Unpacked bytes of gzip, with several members and zeros behind the last, and of xz."""

    def __init__(self, path: Path, packing: str) -> None:
        isal = packing == "gzip" and find_spec("isal") is not None  # takes a third of the time of zlib
        self._file: Any = import_module("isal.igzip" if isal else _OF_PYTHON[packing]).open(path)
        fault = import_module("isal.igzip_lib").error if isal else zlib.error
        self._faults: tuple[type[Exception], ...] = (fault, lzma.LZMAError, EOFError)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return int(self._file.readinto(buffer))
        except self._faults as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        self._file.close()
        super().close()


def unzip(path: Path, target: Path) -> None:
    """Write the one file of an archive to ``target``."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                info
                for info in archive.infolist()
                if not info.is_dir() and not info.filename.startswith(("__MACOSX/", "."))
            ]
            if len(members) != 1:
                names = ", ".join(info.filename for info in members) or "none"
                raise TaskError(f"{path} holds {len(members)} files ({names}); one is expected. Unpack it")
            with archive.open(members[0]) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, CHUNK)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
        if disk_full(error):
            raise
        raise TaskError(f"{path} cannot be unpacked: {error}. {CUT_OFF}") from error
    except (RuntimeError, NotImplementedError) as error:  # a password, or an unsupported compression
        raise TaskError(f"{path} cannot be unpacked: {error}. Unpack it by other means") from error
