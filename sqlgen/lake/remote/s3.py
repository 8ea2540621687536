"""Requests to S3, and stores that speak as it does: one request per page of a listing, conditional writes."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sqlgen.lake import faults
from sqlgen.lake.remote.refusals import Refusal, ShortReadError, StoreError
from sqlgen.lake.remote.store import PART, Store, StoredObject, changed

CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
CONNECTIONS = 32
SINGLE = 64 << 20
"""Bytes up to which an object is written by one request; larger ones by several, of parts of one size."""
UPLOAD_PART = 16 << 20
_MOST_PARTS = 10_000
_DELETED_AT_ONCE = 1_000


class S3Store(Store):
    """Objects in S3, by s3fs, which makes no attempts itself."""

    attempts = 6

    def _options(self) -> dict[str, Any]:
        config = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "max_pool_connections": CONNECTIONS,
            "retries": {"max_attempts": 0},  # they are tried again here, and only here
            "request_checksum_calculation": "when_required",  # other stores than AWS refuse more
            "response_checksum_validation": "when_required",
        }
        return {"config_kwargs": config, "anon": False}

    def _open(self) -> Any:
        found = super()._open()
        found.retries = 1
        return found

    def _sync(self, coroutine: Callable[[], Awaitable[Any]]) -> Any:
        return importlib.import_module("fsspec.asyn").sync(self.fs.loop, coroutine)

    def _call(self, method: str, path: str | None = None, **parameters: Any) -> Any:
        if path is not None:
            parameters["Key"] = self.address.key(path)
        return self.fs.call_s3(method, Bucket=self.address.bucket, **parameters)

    def objects(self, prefix: str) -> Iterator[tuple[str, StoredObject]]:
        """One request per 1,000 objects; each page is tried again by itself."""
        below, more = f"{self.address.key(prefix)}/".lstrip("/"), dict[str, str]()
        cut = len(self.address.prefix) + 1 if self.address.prefix else 0
        while True:
            ask = functools.partial(self._call, "list_objects_v2", Prefix=below, MaxKeys=1000, **more)
            page = self.attempt("list", prefix, ask)
            for found in page.get("Contents", ()):
                written = int(found["LastModified"].timestamp() * 1e9)
                yield found["Key"][cut:], _entry(found["ETag"], found["Size"], written)
            if not page.get("NextContinuationToken"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _head(self, path: str) -> StoredObject:
        found = self._call("head_object", path)
        return _entry(found["ETag"], found["ContentLength"])

    def _body(
        self, path: str, expected: StoredObject | None, into: Callable[[bytes], Any], first: int = 0
    ) -> StoredObject:
        """Hand the bytes of an object on as they come, from the one at ``first``."""
        parameters: dict[str, Any] = {"IfMatch": f'"{expected.version}"'} if expected is not None else {}
        if first:
            parameters["Range"] = f"bytes={first}-"

        async def stream() -> StoredObject:
            key = self.address.key(path)
            answer = await self.fs._call_s3("get_object", Bucket=self.address.bucket, Key=key, **parameters)
            length, got = int(answer["ContentLength"]), 0
            async with answer["Body"] as body:
                while chunk := await body.read(PART):
                    got += len(chunk)
                    into(chunk)
            if got != length:
                raise ShortReadError("a body ended before its length")
            return _entry(answer["ETag"], length)

        try:
            found: StoredObject = self._sync(stream)
        except Exception as error:
            if expected is not None and (Refusal(error).condition_failed or Refusal(error).not_there):
                raise changed(self.address, path) from None
            raise
        if expected is not None and found.size + first != expected.size:
            raise changed(self.address, path)
        return found

    def _get(self, path: str, target: Path, expected: StoredObject) -> None:
        with target.open("wb") as file:
            self._body(path, expected, file.write)

    def _range(self, path: str, expected: StoredObject, first: int) -> bytes:
        content = bytearray()
        self._body(path, expected, content.extend, first)
        return bytes(content)

    def _read(self, path: str) -> tuple[bytes, StoredObject]:
        content = bytearray()
        entry = self._body(path, None, content.extend)
        return bytes(content), entry

    def _put(self, path: str, source: Path) -> StoredObject:
        size = source.stat().st_size
        if size <= SINGLE:
            answer = self._call("put_object", path, Body=source.read_bytes())
            return _entry(answer["ETag"], size)
        return self._put_parts(path, source, size)

    def _put_parts(self, path: str, source: Path, size: int) -> StoredObject:
        """Write an object in parts of equal size, as Cloudflare's R2 demands; it appears with the last request."""
        part_size = max(UPLOAD_PART, math.ceil(size / _MOST_PARTS))
        upload = self._call("create_multipart_upload", path)["UploadId"]
        try:
            parts = []
            with source.open("rb") as file:
                for number, content in enumerate(iter(lambda: file.read(part_size), b""), 1):
                    faults.point("object: part to be written")
                    part = {"UploadId": upload, "PartNumber": number, "Body": content}
                    answer = self.attempt("write", path, functools.partial(self._call, "upload_part", path, **part))
                    parts.append({"ETag": answer["ETag"], "PartNumber": number})
            faults.point("object: parts written")
            done = self._call("complete_multipart_upload", path, UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException:
            self._abort(path, upload)
            raise
        return _entry(done["ETag"], size)

    def _abort(self, path: str, upload: str) -> None:
        try:
            self._call("abort_multipart_upload", path, UploadId=upload)
        except Exception:  # the parts are invisible, and the error that led here is the one to tell
            return

    def clear_uploads(self, folders: Iterable[str]) -> int:
        """Give up uploads that killed runs have left in some folders; returns their number."""
        answer = self.attempt(
            "list", "", lambda: self._call("list_multipart_uploads", Prefix=f"{self.address.key('')}/".lstrip("/"))
        )
        cut = len(self.address.prefix) + 1 if self.address.prefix else 0
        inside = tuple(f"{self.address.key(folder)}/" for folder in folders)
        left = [upload for upload in answer.get("Uploads", ()) if upload["Key"].startswith(inside)]
        for upload in left:
            self._abort(upload["Key"][cut:], upload["UploadId"])
        return len(left)

    def _create(self, path: str, content: bytes, replacing: StoredObject | None) -> StoredObject | None:
        condition = {"IfNoneMatch": "*"} if replacing is None else {"IfMatch": f'"{replacing.version}"'}
        try:
            answer = self._call("put_object", path, Body=content, **condition)
        except Exception as error:
            refusal = Refusal(error)
            if refusal.unknown_condition:
                return super()._create(path, content, replacing)
            if not (refusal.condition_failed or (refusal.not_there and replacing is not None)):
                raise
            # It may be there by an earlier attempt whose answer was lost.
            found = self._unless_gone(lambda: self._read(path))
            return found[1] if found is not None and found[0] == content else None
        return _entry(answer["ETag"], len(content))

    def _copy(self, path: str, target: str, expected: StoredObject) -> StoredObject:
        source = {"Bucket": self.address.bucket, "Key": self.address.key(path)}
        try:
            answer = self._call("copy_object", target, CopySource=source, CopySourceIfMatch=f'"{expected.version}"')
        except Exception as error:
            if Refusal(error).condition_failed or Refusal(error).not_there:
                raise changed(self.address, path) from None
            raise
        return _entry(answer["CopyObjectResult"]["ETag"], expected.size)

    def _delete_if(self, path: str, expected: StoredObject) -> bool:
        try:
            self._call("delete_object", path, IfMatch=f'"{expected.version}"')
        except Exception as error:
            refusal = Refusal(error)
            if refusal.unknown_condition:
                return super()._delete_if(path, expected)
            if refusal.condition_failed or refusal.not_there:
                return refusal.not_there
            raise
        return True

    def delete(self, paths: Iterable[str]) -> None:
        """Up to 1,000 objects by one request."""
        left = list(paths)
        for start in range(0, len(left), _DELETED_AT_ONCE):
            some = left[start : start + _DELETED_AT_ONCE]
            if len(some) == 1:
                self.attempt("delete", some[0], functools.partial(self._call, "delete_object", some[0]))
                continue
            objects = {"Objects": [{"Key": self.address.key(path)} for path in some], "Quiet": True}
            ask = functools.partial(self._call, "delete_objects", Delete=objects)
            for failed in self.attempt("delete", some[0], ask).get("Errors", ()):
                raise StoreError(
                    f"{self.address}: cannot delete {failed.get('Key')} (bucket '{self.address.bucket}'):"
                    f" {failed.get('Code')}. Allow these credentials to delete there, and run again"
                )


def _entry(etag: str, size: int, written_ns: int = 0) -> StoredObject:
    return StoredObject(size, etag.strip('"'), written_ns)
