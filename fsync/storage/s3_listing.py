"""The listing of an S3 bucket: ListObjectsV2 answers as pages, and its errors as what a run reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fsync.address import Address
from fsync.errors import AccessDenied, BucketNotFound, ListingError
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.pacing import Verdict, chain, classify, describe, http_status, service_code
from fsync.schema import Kind, page_from_columns
from fsync.storage.multipart import MD5, NO_MD5
from fsync.storage.s3_columns import Columns, columns_of
from fsync.storage.turns import closing

#: one ListObjectsV2 request, retried, its errors those of a listing
Ask = Callable[..., Awaitable[dict[str, Any]]]

#: botocore's errors of a server that is not there, or behind a wall
_UNREACHED = frozenset({"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"})

#: pages without a key that may follow each other before a listing counts as stuck
_EMPTY_PAGES = 1000


async def pages(
    ask: Ask,
    root: str,
    address: Address,
    within: KeyRange = EVERY_KEY,
    *,
    ordered: bool = False,
    prefix: str | None = None,
) -> AsyncGenerator[pa.RecordBatch]:
    """Yield the pages of all keys that begin with ``root``, as the server gives them, relative to it.

    Zero-byte keys that end in ``/`` are rows of kind DIRECTORY. ``prefix`` lists only what begins with it, which is
    ``root`` and more. Only a server that is known to list by bytes (``ordered``) is asked to begin near the start of
    ``within``; the listing's reader ends it. Raises ListingError as :func:`answers` does.
    """
    place = {"Prefix": first_prefix(root, within) if prefix is None else prefix}
    before = within.just_before if ordered else None
    if before is not None:
        place["StartAfter"] = root + before.decode()
    async with closing(answers(ask, address, place)) as found:
        async for _, columns in found:
            if columns.key:
                yield page_of(columns, root, address)


def first_prefix(root: str, within: KeyRange) -> str:
    """Return the prefix of all keys in a range."""
    return root + within.under.decode("utf-8", "surrogateescape")


async def answers(
    ask: Ask, address: Address, place: Mapping[str, str], *, ahead: bool = True
) -> AsyncGenerator[tuple[dict[str, Any], Columns]]:
    """Yield all answers to one question, each with its rows; ``ahead``, the next is on its way while one is worked on.

    Raises ListingError where the end of the listing is not proven: an answer that says there is more without saying
    where, or a place that repeats itself.
    """
    token: str | None = None
    empty = 0
    coming: asyncio.Future[dict[str, Any]] | None = None
    try:
        while True:
            if coming is None:
                answer = await ask(**place, **({"ContinuationToken": token} if token else {}))
            else:
                answer = await coming
            try:
                columns = columns_of(answer)
            except (KeyError, ValueError, OverflowError) as error:
                raise ListingError(
                    f"cannot list {address.given}: the server lists what is no entry: {error!r}"
                ) from error
            last, following = token, answer.get("NextContinuationToken")
            empty = 0 if columns.key or answer.get("CommonPrefixes") else empty + 1
            goes_on = following and following != last and empty <= _EMPTY_PAGES
            token = following
            if ahead and answer.get("IsTruncated") and goes_on:
                coming = asyncio.ensure_future(ask(**place, ContinuationToken=token))
                # it is sent before the reader goes on
                await asyncio.sleep(0)
            yield answer, columns
            if not answer.get("IsTruncated"):
                return
            if not goes_on:
                raise ListingError(f"cannot list {address.given}: the server does not say how the listing goes on")
    finally:
        if coming is not None:
            coming.cancel()
            # an error of the answer that nobody waits for any more is nobody's
            await asyncio.gather(coming, return_exceptions=True)


def page_of(columns: Columns, prefix: str, address: Address) -> pa.RecordBatch:
    """Return the page of an answer's rows, their keys relative to ``prefix``; ListingError for a key without it."""
    start = prefix.encode("utf-8", "surrogateescape")
    if not (min(columns.key).startswith(start) and max(columns.key).startswith(start)):
        raise ListingError(f"cannot list {address.given}: the server lists keys that do not begin with what was asked")
    keys = pa.array([key[len(start) :] for key in columns.key] if start else columns.key, pa.binary())
    named = pc.ends_with(keys, b"/")
    if address.is_directory:
        named = pc.or_(named, pc.equal(pc.binary_length(keys), 0))
    return page_from_columns(
        {
            "key": keys,
            "kind": pc.if_else(
                pc.and_(named, pc.fill_null(pc.equal(columns.size, 0), fill_value=False)),
                pa.scalar(int(Kind.DIRECTORY), pa.int8()),
                pa.scalar(int(Kind.FILE), pa.int8()),
            ),
            "size": columns.size,
            "mtime": columns.mtime,
            "etag": columns.etag,
            "digest": pc.if_else(
                pc.and_not(pc.match_substring_regex(columns.etag, MD5), pc.match_substring_regex(columns.etag, NO_MD5)),
                columns.etag,
                pa.scalar(None, pa.string()),
            ),
        },
        len(keys),
    )


def explained(error: Exception, address: Address, bucket: str, where: str | None = None) -> Exception:
    """Turn an error of a request that the whole run depends on into what the run reports."""
    if isinstance(error, ListingError):
        return error
    given, code = where or address.given, service_code(error)
    if code == "NoSuchBucket" or classify(error) is Verdict.GONE:
        endpoint = address.storage_options.get("client_kwargs", {}).get("endpoint_url")
        line = f"aws s3 mb s3://{bucket}" + (f" --endpoint-url {endpoint}" if endpoint else "")
        return BucketNotFound(f"{given}: the bucket {bucket} does not exist; make it with: {line}")
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return AccessDenied(f"cannot open {given}: no credentials found; give them as AWS_ACCESS_KEY_ID and "
                            "AWS_SECRET_ACCESS_KEY, in ~/.aws, or in the address")  # fmt: skip
    if http_status(error) in (301, 307):
        return ListingError(
            f"cannot open {given}: the bucket is in another region; name it with client_kwargs.region_name"
        )
    if classify(error) in (Verdict.DENIED, Verdict.FATAL):
        return AccessDenied(f"cannot open {given}: {describe(error)}; check the keys and what they are allowed to do")
    if any(type(cause).__name__ in _UNREACHED for cause in chain(error)):
        return ListingError(f"cannot reach {given}: {describe(error)}; check the endpoint's name and port, and the "
                            "network between")  # fmt: skip
    return ListingError(f"cannot list {given}: {describe(error)}")


def timestamp(text: Any) -> datetime:
    """Parse a timestamp of an answer: ISO 8601 without dateutil's cost, any other form as botocore does."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        from botocore.utils import parse_timestamp

        parsed: datetime = parse_timestamp(text)
        return parsed
