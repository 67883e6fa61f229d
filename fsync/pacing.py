"""When an error is worth another attempt, and how long to wait before it."""

from __future__ import annotations

import errno
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from fsync.errors import FatalError, FsyncError, ObjectError


class Verdict(Enum):
    """What one failed attempt says about the next."""

    #: a passing fault
    RETRY = "retry"
    #: the storage asks for fewer requests
    SLOW_DOWN = "slow down"
    #: the object is not there
    GONE = "gone"
    #: the storage refuses the caller
    DENIED = "denied"
    #: this object cannot succeed
    PERMANENT = "permanent"
    #: nothing further can succeed
    FATAL = "fatal"


_FATAL_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_PASSING_ERRNO = {
    errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.EIO, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED,
    errno.ECONNABORTED, errno.EPIPE, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EREMOTEIO, errno.ESTALE,
}  # fmt: skip
_FATAL_CODES = {"ExpiredToken", "TokenRefreshRequired", "RequestTimeTooSkewed", "QuotaExceeded"}
_SLOW_CODES = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "BandwidthLimitExceeded",
}
_PASSING_CODES = {
    "RequestTimeout",
    "InternalError",
    "ServiceUnavailable",
    "OperationAborted",
    "XAmzContentSHA256Mismatch",
}
#: faults of connections, and of bytes on their way, that HTTP packages tell by no OSError, by class name
_PASSING_NAMES = {
    "HTTPClientError", "EndpointConnectionError", "ConnectionClosedError", "IncompleteRead", "ClientPayloadError",
    "ServerDisconnectedError", "ClientConnectionError", "ResponseParserError", "TransportError", "FSTimeoutError",
    "RequestError", "ServiceRequestError", "ServiceResponseError", "ConnectTimeoutError", "ReadTimeoutError",
    "FlexibleChecksumError",
}  # fmt: skip


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then what caused it, and so on."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__


def http_status(error: BaseException) -> int | None:
    """Return the HTTP status that an error or one of its causes carries."""
    for cause in chain(error):
        response = getattr(cause, "response", None)
        candidates = [getattr(cause, name, None) for name in ("status", "status_code", "code")]
        if isinstance(response, dict):
            candidates.append(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
        elif response is not None:
            candidates.append(getattr(response, "status_code", None))
        for candidate in candidates:
            if isinstance(candidate, int) and 100 <= candidate <= 599:
                return candidate
    return None


def service_code(error: BaseException) -> str | None:
    """Return the storage's own error code (``NoSuchKey``, ``SlowDown``) where an error carries one."""
    for cause in chain(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            code = response.get("Error", {}).get("Code")
            if isinstance(code, str):
                return code
    return None


def classify(error: BaseException) -> Verdict:
    """Tell what an error says about a further attempt: by class, errno, service code, HTTP status, in that order."""
    if isinstance(error, FatalError):
        return Verdict.FATAL
    if isinstance(error, ObjectError):
        return Verdict.RETRY if error.retryable else Verdict.PERMANENT
    if isinstance(error, FsyncError):
        return Verdict.PERMANENT
    code = service_code(error)
    if code in _FATAL_CODES:
        return Verdict.FATAL
    if code in _SLOW_CODES:
        return Verdict.SLOW_DOWN
    if code in _PASSING_CODES:
        return Verdict.RETRY
    for cause in chain(error):
        if isinstance(cause, FileNotFoundError):
            return Verdict.GONE
        if isinstance(cause, PermissionError):
            return Verdict.DENIED
        if isinstance(cause, (TimeoutError, ConnectionError)):
            return Verdict.RETRY
    status = http_status(error)
    if status is not None:
        return _by_status(status)
    for cause in chain(error):
        if isinstance(cause, OSError) and cause.errno in _FATAL_ERRNO:
            return Verdict.FATAL
        if isinstance(cause, OSError) and cause.errno == errno.ENOENT:
            return Verdict.GONE
        if isinstance(cause, OSError) and cause.errno in _PASSING_ERRNO:
            return Verdict.RETRY
        if any(parent.__name__ in _PASSING_NAMES for parent in type(cause).__mro__):
            return Verdict.RETRY
    return Verdict.PERMANENT


def _by_status(status: int) -> Verdict:
    if status in (429, 503):
        return Verdict.SLOW_DOWN
    if status in (404, 410):
        return Verdict.GONE
    if status in (401, 403):
        return Verdict.DENIED
    return Verdict.RETRY if status >= 500 or status in (408, 409, 425) else Verdict.PERMANENT


@dataclass(frozen=True, slots=True)
class Pacing:
    """How often and how patiently to try again.

    ``retries`` further attempts follow the first. Waits grow from ``first`` seconds by doubling up to ``longest``,
    each drawn evenly from the upper half of its range, so that many callers do not come back together.
    """

    retries: int = 4
    first: float = 0.2
    longest: float = 20.0

    def again(self, attempt: int, verdict: Verdict) -> bool:
        """Tell whether attempt number ``attempt`` (from 0) may be followed by another."""
        return attempt < self.retries and verdict in (Verdict.RETRY, Verdict.SLOW_DOWN)

    def wait(self, attempt: int, verdict: Verdict) -> float:
        """Return the seconds to wait after attempt number ``attempt`` (from 0) failed."""
        start = self.first * (5 if verdict is Verdict.SLOW_DOWN else 1)
        most = min(self.longest, start * 2.0**attempt)
        return most * (0.5 + random.random() / 2)


def describe(error: BaseException) -> str:
    """Return an error as one short line: what the storage said, without class noise."""
    for cause in () if isinstance(error, FsyncError) else chain(error):
        if isinstance(cause, OSError) and cause.strerror:
            return _one_line(cause.strerror)
    words = _one_line(str(error))
    if isinstance(error, TimeoutError):
        return words or "no answer in time"
    return words or type(error).__name__


#: an address in a message: what comes after ``?`` are the details of one request, and may be a signature
_QUERY = re.compile(r"(https?://[^\s\"'?]+)\?[^\s\"']*")


def _one_line(words: str) -> str:
    """Return words as one line without full stop: more may follow."""
    return _QUERY.sub(r"\1", " ".join(words.split())).removesuffix(".")
