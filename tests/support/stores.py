"""An S3 endpoint on loopback: moto's server, behind a proxy that counts requests and makes some of them fail."""

from __future__ import annotations

import atexit
import base64
import contextlib
import http.client
import logging
import os
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlgen.lake.remote import mounts

KEY, SECRET, TOKEN = "AKIAPLANTEDKEY", "planted/secret+of=the-store", "planted-token-of-the-session"
"""Credentials that must be found nowhere."""
_PLANTED = [
    form
    for secret in (KEY, SECRET, TOKEN)
    for form in (secret.encode(), quote(secret, safe="").encode(), base64.b64encode(secret.encode()))
]


@dataclass(frozen=True)
class Request:
    """One request, as the store gets it."""

    method: str
    path: str
    part: bool = False
    """True if a range of the object is asked for."""
    if_match: str = ""
    """ETag that the object must have."""
    if_none_match: str = ""
    """``*``: no object may be there."""
    length: int = 0
    """Bytes of the body."""


@dataclass(frozen=True)
class Answer:
    """What the proxy does instead of handing a request on."""

    status: int = 0
    """Status to answer with; 0: hand the request on."""
    code: str = ""
    hang: float = 0.0
    """Seconds to wait before anything is answered."""
    cut: bool = False
    """True: half of the body is sent, and the connection closed."""
    headers: dict[str, str] = field(default_factory=dict)


Rule = Callable[[Request], Answer | None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Nothing: processes that are killed leave their connections."""


class Endpoint:
    """The proxy, with the requests that it has seen."""

    def __init__(self, port: int) -> None:
        self.requests: list[Request] = []
        self.rule: Rule = lambda _: None
        self._server = _Server(("127.0.0.1", 0), _handler(self, port))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextlib.contextmanager
    def doing(self, rule: Rule) -> Iterator[list[Request]]:
        """Ask a rule about every request; the requests meanwhile."""
        before, self.rule, self.requests = self.rule, rule, []
        try:
            yield self.requests
        finally:
            self.rule = before

    def counting(self) -> Any:
        """The requests meanwhile."""
        return self.doing(lambda _: None)


def sometimes(answer: Answer, *, method: str = "", like: str = "", times: int = 1) -> Rule:
    """Rule: the first requests of a kind are answered so."""
    left = [times]

    def rule(request: Request) -> Answer | None:
        if left[0] > 0 and method in ("", request.method) and re.search(like, request.path):
            left[0] -= 1
            return answer
        return None

    return rule


def _handler(endpoint: Endpoint, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            return

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(
                self.command,
                self.path,
                "Range" in self.headers,
                self.headers.get("If-Match", ""),
                self.headers.get("If-None-Match", ""),
                len(body),
            )
            endpoint.requests.append(request)
            answer = endpoint.rule(request) or Answer()
            if answer.hang:
                time.sleep(answer.hang)
                self.close_connection = True
                return
            if answer.status:
                text = f"<Error><Code>{answer.code}</Code><Message>{SECRET}</Message></Error>".encode()
                self._answer(answer.status, answer.headers, b"" if self.command == "HEAD" else text)
                return
            if self.command == "DELETE" and request.if_match and not self._is(request):  # which moto does not look at
                self._answer(412, {}, b"<Error><Code>PreconditionFailed</Code></Error>")
                return
            # A client that was killed takes no answer: the connection is closed all the same.
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as upstream:
                upstream.request(self.command, self.path, body, dict(self.headers.items()))
                found = upstream.getresponse()
                content = found.read()
                headers = {name: value for name, value in found.getheaders() if name.lower() not in _OWN}
                if self.command == "HEAD":
                    headers["Content-Length"] = found.getheader("Content-Length") or "0"
                self._answer(found.status, headers, content, cut=answer.cut)

        def _is(self, request: Request) -> bool:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as upstream:
                upstream.request("HEAD", request.path, headers={"Authorization": self.headers.get("Authorization", "")})
                return upstream.getresponse().getheader("ETag") == request.if_match

        def _answer(self, status: int, headers: dict[str, str], content: bytes, cut: bool = False) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = self.close_connection or cut

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any  # noqa: N815

    return Handler


_OWN = {"content-length", "transfer-encoding", "connection", "server", "date"}


@dataclass
class Bucket:
    """A bucket that tests fill and look at."""

    name: str
    endpoint: Endpoint
    client: Any
    """A client of botocore, past the proxy."""

    @property
    def url(self) -> str:
        return f"s3://{self.name}/deep/lake"

    def keys(self, below: str = "") -> dict[str, str]:
        """Objects of the lake -> their ETags."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=f"deep/lake/{below}")
        found = (each for page in pages for each in page.get("Contents", ()))
        return {each["Key"].removeprefix("deep/lake/"): each["ETag"].strip('"') for each in found}

    def read(self, path: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.name, Key=f"deep/lake/{path}")["Body"].read()
        return content

    def put(self, path: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=f"deep/lake/{path}", Body=content)

    def put_at_once(self, path: str) -> None:
        """Put an object without content, past HTTP: for many of them."""
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(self.name, f"deep/lake/{path}", b"")

    def delete(self, path: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=f"deep/lake/{path}")

    def upload(self, lake: Path) -> None:
        """Put every raw file of a local lake that is not there."""
        there = self.keys()
        for path in sorted(lake.rglob("*")):
            name = path.relative_to(lake).as_posix()
            if path.is_file() and name.startswith("raw/") and name not in there:
                self.put(name, path.read_bytes())

    def download(self, below: str, target: Path) -> Path:
        """Copy a folder of the lake; the target."""
        for path in self.keys(below):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(self.read(path))
        return target


@contextlib.contextmanager
def serving() -> Iterator[tuple[Endpoint, Any]]:
    """The endpoint, and a client past its proxy."""
    from botocore.session import get_session
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    session = get_session()
    session.set_credentials("tests", "tests")
    yield Endpoint(port), session.create_client("s3", "us-east-1", endpoint_url=f"http://127.0.0.1:{port}")
    server.stop()


def environment(endpoint: Endpoint, cache: Path) -> dict[str, str]:
    """Variables by which sqlgen finds the endpoint, with credentials that are planted."""
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_ENDPOINT_URL": endpoint.url,
        "SQLGEN_CACHE": str(cache),
    }


def planted(content: bytes) -> bool:
    """True if credentials are in a text, plain or encoded."""
    return any(secret in content for secret in _PLANTED)


def planted_below(folder: Path) -> list[Path]:
    """Files with credentials in them."""
    return [path for path in folder.rglob("*") if path.is_file() and planted(_unpacked(path))]


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".zip" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            content += b"".join(map(packed.read, packed.namelist()))
    return content


def forget() -> None:
    """Close all lakes of this process, as if it ended."""
    for mount in mounts.MOUNTS.values():
        mount.copy.close()
        atexit.unregister(mount.copy.close)
    mounts.MOUNTS.clear()
