"""Addresses of lakes in object stores: ``s3://bucket/prefix``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

SCHEMES = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure", "memory": ""}
"""Schemes that are known -> the extra of sqlgen that reads them."""
MAX_PREFIXES = 8
"""Most folders that are listed one by one; more are listed by the folder that holds them."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9]+:/")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,221}")


def is_remote(text: str) -> bool:
    """True for an address, one with too few slashes as well, false for a path."""
    return "://" in text or _ADDRESS.match(text) is not None


class Address(Struct, frozen=True):
    """The root of a lake in an object store."""

    scheme: str
    bucket: str
    prefix: str
    """Path within the bucket, without a slash at either end; may be empty."""

    @classmethod
    def of(cls, text: str) -> Address:
        """Raises ``ValueError``, whose message repeats nothing that may be secret."""
        scheme, _, rest = text.partition("://")
        if scheme not in SCHEMES:
            raise ValueError(
                f"no address of an object store that is known. Known: {', '.join(f'{s}://' for s in SCHEMES)}"
            )
        bucket, _, prefix = rest.partition("/")
        if "@" in bucket or ":" in bucket:
            raise ValueError(
                "an address holds no credentials and no port. Give credentials in the environment, as the store's own"
                " tools expect them, and an endpoint as AWS_ENDPOINT_URL"
            )
        if not _BUCKET.fullmatch(bucket):
            raise ValueError("the address names no bucket. Write it as s3://bucket/prefix")
        prefix = prefix.strip("/")
        if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
            raise ValueError("the prefix must be plain: no double /, no . or ..")
        if re.search(r"[?#*\[\]\\]|[^\x20-\x7e]", prefix) or "=" in prefix:
            odd = "? # * [ ] \\ = or any that is not ASCII"
            raise ValueError(f"the prefix has characters that readers of the lake would misread: {odd}")
        return cls(scheme, bucket, prefix)

    def key(self, path: str) -> str:
        """Path within the bucket of a path below the lake; ``""`` is the lake itself."""
        return "/".join(filter(None, (self.prefix, path)))

    def url(self, path: str = "") -> str:
        """Address of a path below the lake."""
        return "/".join(filter(None, (f"{self.scheme}://{self.bucket}", self.prefix, path)))

    def __str__(self) -> str:
        return self.url()


def prefixes(folders: Iterable[str]) -> list[str]:
    """Few folders that hold all of these: none is below another."""
    wanted = sorted({folder.strip("/") for folder in folders})
    deepest = max((folder.count("/") for folder in wanted), default=0) + 1
    for depth in range(deepest, -1, -1):
        cut = sorted({"/".join(folder.split("/")[:depth]) for folder in wanted})
        apart = [one for one in cut if not any(one.startswith(f"{other}/") or (not other and one) for other in cut)]
        if len(apart) <= MAX_PREFIXES:
            return apart
    return [""]
