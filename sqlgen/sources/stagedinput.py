"""Files of one source that a statement can scan. Apart from what decodes files, which planning does not need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlgen.compile.scope import Scan
from sqlgen.lake.remote import mounts
from sqlgen.templating.quoting import exact_path


@dataclass(frozen=True)
class StagedInput:
    """Files of one source, ready to be scanned."""

    paths: tuple[str, ...]
    format: str
    hive_keys: tuple[str, ...]
    decoded: str = ""
    """Original format of decoded files; otherwise empty."""

    @classmethod
    def of(cls, path: Path, keys: tuple[str, ...]) -> StagedInput:
        """One Parquet file as it is."""
        mounts.fetch([path])
        return cls((str(path),), "parquet", keys)

    def scan(self, single: bool = False, predicate: str | None = None, survey: bool = False) -> Scan:
        """A scan of these files; see :class:`Scan`."""
        files = tuple(map(exact_path, self.paths))
        alone = len(files) == 1
        return Scan(files, self.format, self.hive_keys, single, alone, predicate, self.decoded, survey)
