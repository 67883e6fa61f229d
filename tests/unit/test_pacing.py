"""What an error says about another attempt, and how long to wait."""

from __future__ import annotations

import errno
import http.client
import os
import socket
from typing import Any

import aiohttp
import botocore.exceptions
import httpx
import pytest
from fsspec.exceptions import FSTimeoutError
from hypothesis import given
from hypothesis import strategies as st
from s3fs.errors import translate_boto_error

from fsync.address import parse
from fsync.api import run
from fsync.errors import (
    AccessDenied,
    FatalError,
    ListingError,
    ObjectError,
    OptionError,
    ShortRead,
    SourceChanged,
    SourceVanished,
    TypeClash,
)
from fsync.pacing import Pacing, Verdict, chain, classify, describe, http_status, service_code
from fsync.storage.s3 import S3Storage
from tests.servers.process import free_ports
from tests.unit.pages import running

_AGAIN = (Verdict.RETRY, Verdict.SLOW_DOWN)


def from_s3(code: str, status: int, message: str = "said by the server") -> Exception:
    """Return what s3fs raises for an answer of a server: botocore's error behind a Python one."""
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = translate_boto_error(botocore.exceptions.ClientError(answer, "GetObject"))
    return error


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


class Answered(Exception):
    """An error as HTTP packages raise them, with the answer's status."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__("answered")
        self.__dict__.update(attributes)


class Response:
    """An answer of requests or httpx."""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


VERDICTS: list[Any] = [
    # ours
    (FatalError("x"), Verdict.FATAL),
    (SourceChanged("x"), Verdict.RETRY),
    (ShortRead("x"), Verdict.RETRY),
    (SourceVanished("x"), Verdict.PERMANENT),
    (TypeClash("x"), Verdict.PERMANENT),
    (ObjectError("x"), Verdict.PERMANENT),
    (ListingError("x"), Verdict.PERMANENT),
    (AccessDenied("x"), Verdict.PERMANENT),
    (OptionError("x"), Verdict.PERMANENT),
    # the disk and the network
    *(
        (OSError(number, os.strerror(number)), verdict)
        for verdict, numbers in {
            Verdict.FATAL: (errno.ENOSPC, errno.EDQUOT, errno.EROFS),
            Verdict.GONE: (errno.ENOENT,),
            Verdict.DENIED: (errno.EACCES, errno.EPERM),
            Verdict.RETRY: (
                errno.EIO, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ETIMEDOUT, errno.ECONNRESET, errno.ESTALE,
                errno.ECONNREFUSED, errno.ECONNABORTED, errno.EPIPE, errno.EHOSTUNREACH, errno.ENETUNREACH,
            ),
            Verdict.PERMANENT: (
                errno.EINVAL, errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY,
                errno.ELOOP, errno.EFBIG, errno.EOPNOTSUPP,
            ),
        }.items()
        for number in numbers
    ),
    (OSError("without a number"), Verdict.PERMANENT),
    (TimeoutError(), Verdict.RETRY),
    (TimeoutError(), Verdict.RETRY),
    (FSTimeoutError(), Verdict.RETRY),
    (ConnectionResetError(), Verdict.RETRY),
    (BrokenPipeError(), Verdict.RETRY),
    (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), Verdict.PERMANENT),
    (http.client.IncompleteRead(b"half"), Verdict.RETRY),
    (FileNotFoundError("x"), Verdict.GONE),
    (PermissionError("x"), Verdict.DENIED),
    (ValueError("x"), Verdict.PERMANENT),
    # S3
    (from_s3("NoSuchKey", 404), Verdict.GONE),
    (from_s3("NoSuchBucket", 404), Verdict.GONE),
    (from_s3("404", 404), Verdict.GONE),
    (from_s3("AccessDenied", 403), Verdict.DENIED),
    (from_s3("403", 403), Verdict.DENIED),
    (from_s3("InvalidAccessKeyId", 403), Verdict.DENIED),
    (from_s3("SignatureDoesNotMatch", 403), Verdict.DENIED),
    (from_s3("SlowDown", 503), Verdict.SLOW_DOWN),
    (from_s3("RequestLimitExceeded", 400), Verdict.SLOW_DOWN),
    (from_s3("SomethingElse", 503), Verdict.SLOW_DOWN),
    (from_s3("SomethingElse", 429), Verdict.SLOW_DOWN),
    (from_s3("InternalError", 500), Verdict.RETRY),
    (from_s3("SomethingElse", 502), Verdict.RETRY),
    (from_s3("RequestTimeout", 400), Verdict.RETRY),
    (from_s3("OperationAborted", 409), Verdict.RETRY),
    (from_s3("XAmzContentSHA256Mismatch", 400), Verdict.RETRY),
    (from_s3("ExpiredToken", 400), Verdict.FATAL),
    (from_s3("QuotaExceeded", 403), Verdict.FATAL),
    (from_s3("RequestTimeTooSkewed", 403), Verdict.FATAL),
    (from_s3("PreconditionFailed", 412), Verdict.PERMANENT),
    (from_s3("InvalidArgument", 400), Verdict.PERMANENT),
    (from_s3("EntityTooLarge", 400), Verdict.PERMANENT),
    (from_s3("KeyTooLongError", 400), Verdict.PERMANENT),
    (from_s3("PermanentRedirect", 301), Verdict.PERMANENT),
    (botocore.exceptions.EndpointConnectionError(endpoint_url="http://h"), Verdict.RETRY),
    (botocore.exceptions.ReadTimeoutError(endpoint_url="http://h"), Verdict.RETRY),
    (botocore.exceptions.ConnectTimeoutError(endpoint_url="http://h"), Verdict.RETRY),
    (botocore.exceptions.ConnectionClosedError(endpoint_url="http://h"), Verdict.RETRY),
    (botocore.exceptions.NoCredentialsError(), Verdict.PERMANENT),
    (botocore.exceptions.ParamValidationError(report="x"), Verdict.PERMANENT),
    # other HTTP packages
    (aiohttp.ServerDisconnectedError(), Verdict.RETRY),
    (aiohttp.ClientPayloadError("x"), Verdict.RETRY),
    (httpx.ReadTimeout("x"), Verdict.RETRY),
    (httpx.ConnectError("x"), Verdict.RETRY),
    (httpx.RemoteProtocolError("x"), Verdict.RETRY),
    (Answered(status=404), Verdict.GONE),
    (Answered(status=410), Verdict.GONE),
    (Answered(status=401), Verdict.DENIED),
    (Answered(status_code=403), Verdict.DENIED),
    (Answered(code=503), Verdict.SLOW_DOWN),
    (Answered(response=Response(500)), Verdict.RETRY),
    (Answered(response=Response(408)), Verdict.RETRY),
    (Answered(response=Response(400)), Verdict.PERMANENT),
    (Answered(code=7), Verdict.PERMANENT),
    (Answered(code="SlowDown"), Verdict.PERMANENT),
    # what stands behind an error counts
    (caused(RuntimeError("x"), OSError(errno.ENOSPC, "x")), Verdict.FATAL),
    (caused(RuntimeError("x"), caused(ValueError("x"), TimeoutError())), Verdict.RETRY),
    (caused(OSError(errno.EIO, "x"), FileNotFoundError("x")), Verdict.GONE),
    (caused(ObjectError("x"), TimeoutError()), Verdict.PERMANENT),
]  # fmt: skip


@pytest.mark.parametrize(("error", "verdict"), VERDICTS, ids=lambda value: repr(value)[:60])
def test_classified(error: Exception, verdict: Verdict) -> None:
    assert classify(error) is verdict


def test_a_port_that_nobody_listens_on_is_worth_another_attempt() -> None:
    address = parse(
        "s3://bucket/",
        options={"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{free_ports(1)[0]}"}},
    )
    with running(timeout=5) as shared:

        async def ask() -> Exception:
            storage = S3Storage(address, shared)
            await storage.open()
            try:
                await storage.call_s3("list_objects_v2")
            except Exception as error:  # noqa: BLE001 - the error is what is asked for
                return error
            finally:
                await storage.close()
            raise AssertionError("somebody answered")

        assert classify(run(ask())) is Verdict.RETRY


def test_a_circle_of_causes_ends() -> None:
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert list(chain(one)) == [one, two]
    assert classify(one) is Verdict.PERMANENT


def test_what_an_answer_carries() -> None:
    error = from_s3("SlowDown", 503)
    assert (service_code(error), http_status(error)) == ("SlowDown", 503)
    assert (service_code(ValueError()), http_status(ValueError())) == (None, None)
    # an exit status or an errno is no HTTP status
    assert http_status(Answered(code=2)) is None
    assert http_status(Answered(status="200")) is None


# patience --------------------------------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.sampled_from(_AGAIN), st.floats(0.001, 5), st.floats(0.001, 60))
def test_waits_are_bounded(attempt: int, verdict: Verdict, first: float, longest: float) -> None:
    pacing = Pacing(first=first, longest=longest)
    start = first * (5 if verdict is Verdict.SLOW_DOWN else 1)
    most = min(longest, start * 2.0**attempt)
    for _ in range(5):
        assert most / 2 <= pacing.wait(attempt, verdict) <= most


def test_waits_differ() -> None:
    assert len({Pacing().wait(3, Verdict.RETRY) for _ in range(20)}) > 1


def test_all_waits_of_one_object_together_are_short() -> None:
    pacing = Pacing()
    assert sum(pacing.wait(attempt, Verdict.SLOW_DOWN) for attempt in range(pacing.retries)) < 60


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("retries", [0, 1, 4])
def test_how_often(retries: int, verdict: Verdict) -> None:
    again = [Pacing(retries=retries).again(attempt, verdict) for attempt in range(6)]
    assert again == [verdict in _AGAIN and attempt < retries for attempt in range(6)]


# words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/path"), "No space left on device"),
        (caused(RuntimeError("noise"), OSError(errno.EIO, "Input/output\nerror")), "Input/output error"),
        (ValueError("one\n  two\tthree"), "one two three"),
        (ValueError(), "ValueError"),
        (TimeoutError(), "no answer in time"),
        (TimeoutError("asked for long"), "asked for long"),
        (caused(TypeClash("a directory stands in the way"), OSError(errno.ENOTDIR, "x")),
         "a directory stands in the way"),
        (from_s3("AccessDenied", 403, "Access Denied."), "Access Denied"),
        (OSError("no way: http://h:1/k?X-Amz-Signature=0f0f&x=1 'http://h/?a'"), "no way: http://h:1/k 'http://h/'"),
    ],
)  # fmt: skip
def test_described_in_one_line(error: Exception, words: str) -> None:
    assert describe(error) == words
