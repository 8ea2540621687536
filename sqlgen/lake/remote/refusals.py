"""Errors of object stores, each in one sentence: the bucket, the operation, and what to do.

The store's own message is never repeated: it may hold parts of a request.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from sqlgen.errors import UsageError
from sqlgen.lake.remote.address import SCHEMES, Address

_BUSY = {408, 429, 500, 502, 503, 504, 509}
_BUSY_CODES = {
    "InternalError", "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestTimeout",
    "ServiceUnavailable", "TooManyRequests", "BandwidthLimitExceeded", "RequestTimeoutException", "503", "500",
}  # fmt: skip
_NETWORK = {
    "EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError", "ConnectionRefusedError", "gaierror",
    "ConnectError", "ServiceRequestError", "ClientConnectorDNSError",
}  # fmt: skip
_TLS = {
    "SSLError", "ClientConnectorSSLError", "ClientConnectorCertificateError", "SSLCertVerificationError",
    "ClientSSLError", "CertificateError",
}  # fmt: skip
_BROKEN = {
    "ReadTimeoutError", "ConnectionClosedError", "IncompleteReadError", "ResponseStreamingError", "HTTPClientError",
    "ClientPayloadError", "ServerDisconnectedError", "TimeoutError", "ConnectionResetError", "ServerTimeoutError",
    "BrokenPipeError", "ConnectionError", "ContentLengthError", "ResponseParserError", "FSTimeoutError",
    "ShortReadError",
    "AioReadTimeoutError", "SocketTimeoutError", "ClientOSError", "ConnectionAbortedError", "ServiceResponseError",
}  # fmt: skip
_CREDENTIALS = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound",
    "DefaultCredentialsError", "ClientAuthenticationError", "NoAuthTokenError", "SSOError", "SSOTokenLoadError",
}  # fmt: skip
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "InvalidToken",
            "UnauthorizedSSOTokenError", "TokenRetrievalError"}  # fmt: skip
_WRONG = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidClientTokenId", "AuthFailure", "InvalidSecurity"}
_DENIED = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled", "PermissionError"}
_NO_CREDENTIALS = (
    "no credentials were found, or they cannot be read. Give them as the store's own tools expect them ({given})"
)
_GIVEN = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role of the machine",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS, gcloud auth application-default login, or a role of the machine",
    "azure": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_CONNECTION_STRING",
}
"""Extra of sqlgen -> how credentials are given."""
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301",
           "IncorrectEndpoint"}  # fmt: skip


class StoreError(UsageError):
    """A request that the object store refused, or did not answer."""


class ShortReadError(OSError):
    """A body that ended before its length."""


class ChangedError(StoreError):
    """An object that is no longer the one that was listed."""


class Refusal:
    """The reason why one request failed, from the exception and those that it was raised from."""

    def __init__(self, error: BaseException, *codes: str) -> None:
        self.codes = {*codes, *(code for each in _chain(error) for code in _codes(each))}
        self.statuses = {status for each in _chain(error) if (status := _status(each))}
        self.invalid = any(str(each).startswith("Invalid endpoint") for each in _chain(error))
        self.region = next((region for each in _chain(error) if (region := _region(each))), "")

    @property
    def not_there(self) -> bool:
        return bool(self.codes & {"NoSuchKey", "404", "NotFound", "FileNotFoundError"}) and not self.no_bucket

    @property
    def no_bucket(self) -> bool:
        return bool(self.codes & {"NoSuchBucket", "ContainerNotFound", "NoSuchContainer"})

    @property
    def no_endpoint(self) -> bool:
        """True where the endpoint is no address."""
        codes = self.codes & {"InvalidURL", "EndpointProviderError"}
        return bool(codes) or self.invalid or {"HTTPClientError", "ValueError"} <= self.codes

    @property
    def condition_failed(self) -> bool:
        """True where a conditional request found another object, or another request was first."""
        return bool(self.codes & {"PreconditionFailed", "412", "ConditionalRequestConflict", "409", "FileExistsError"})

    @property
    def unknown_condition(self) -> bool:
        """True where the store has no conditional requests."""
        return bool(self.codes & {"NotImplemented", "501"}) or 501 in self.statuses

    @property
    def passing(self) -> bool:
        """True where the same request may succeed later."""
        if self.codes & (_CREDENTIALS | _EXPIRED | _WRONG | _REGION | _TLS) or self.no_bucket or self.no_endpoint:
            return False
        return bool(self.codes & (_BUSY_CODES | _NETWORK | _BROKEN) or self.statuses & _BUSY)

    def sentence(self, address: Address, operation: str, path: str, attempts: int) -> str:
        """The message for a user."""
        where = f"{address.url(path)}: cannot {operation} (bucket '{address.bucket}'):"
        return f"{where} {self._reason(operation, attempts, _GIVEN.get(SCHEMES[address.scheme], 'see its documents'))}"

    def _reason(self, operation: str, attempts: int, given: str) -> str:
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        found: list[tuple[object, str]] = [
            (
                self.no_bucket or (operation == "list" and self.not_there),
                "there is no such bucket. Create it, or correct the address in models.yaml",
            ),
            (
                self.no_endpoint,
                f"the endpoint{_endpoint()} is no address that can be used. Correct AWS_ENDPOINT_URL",
            ),
            ("InvalidRegionError" in self.codes, "AWS_REGION is no name of a region. Correct it"),
            (self.codes & _EXPIRED, "the credentials have expired. Renew them, and run again"),
            (
                self.codes & _WRONG,
                "the store does not accept these credentials. Correct them, or the endpoint that they are for",
            ),
            (
                self.codes & _REGION or self.statuses & {301, 307},
                f"the bucket lies in another region{self.region and f', {self.region}'}. Set AWS_REGION to it",
            ),
            (self.codes & _CREDENTIALS, _NO_CREDENTIALS.format(given=given)),
            ("RequestTimeTooSkewed" in self.codes, "the clock of this machine is wrong. Set it, and run again"),
            (
                self.codes & _DENIED or 403 in self.statuses,
                f"permission is denied. Allow these credentials to {operation} there, or use others",
            ),
            (
                self.codes & _TLS,
                f"the endpoint{_endpoint()} speaks no TLS, or has a certificate that is not trusted. Correct"
                " AWS_ENDPOINT_URL, or name the authority in AWS_CA_BUNDLE",
            ),
            (
                self.codes & _NETWORK,
                f"the endpoint{_endpoint()} does not answer{tried}. Check the network, and AWS_ENDPOINT_URL if it is"
                " set",
            ),
            (
                self.codes & _BROKEN,
                f"the connection broke or timed out{tried}. Check the network, and run again",
            ),
            (self.passing, f"the store is busy or failing{tried} ({self._shown}). Run again later"),
            (self.not_there, "there is no such object (any more). Run again, to list the lake anew"),
        ]
        other = f"the store refused it ({self._shown}). Check the address and the permissions, and run again"
        return next((reason for holds, reason in found if holds), other)

    @property
    def _shown(self) -> str:
        names = sorted(code for code in self.codes if code.isalnum() and len(code) < 60)
        return ", ".join([*map(str, sorted(self.statuses)), *names[:3]]) or "no reason given"


def _endpoint() -> str:
    """Host of the endpoint, if the environment names one; never a user or a password in it."""
    given = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    found = urlsplit(given) if given else None
    try:
        port = f":{found.port}" if found is not None and found.port else ""
    except ValueError:
        port = ""
    return f" {found.hostname}{port}" if found is not None and found.hostname else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen = set[int]()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            pending += [each.__cause__, each.__context__]


def _codes(error: BaseException) -> Iterator[str]:
    yield from (kind.__name__ for kind in type(error).__mro__[:3] if kind not in (Exception, OSError, BaseException))
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        yield str(response.get("Error", {}).get("Code", ""))
    for name in ("error_code", "reason", "code"):
        value = getattr(error, name, None)
        if isinstance(value, str | int):
            yield str(value)


def _status(error: BaseException) -> int:
    response: Any = getattr(error, "response", None)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    found = status or getattr(error, "status_code", None) or getattr(error, "status", None)
    return found if isinstance(found, int) else 0


def _region(error: BaseException) -> str:
    response: Any = getattr(error, "response", None)
    if not isinstance(response, dict):
        return ""
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region") or response.get("Error", {}).get("Region") or ""
    return region if isinstance(region, str) and region.replace("-", "").isalnum() else ""
