"""The listing of an S3 bucket: ListObjectsV2 answers as pages, and its errors as what a run reports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any

import pyarrow as pa

from fsync.address import Address
from fsync.errors import AccessDenied, BucketNotFound, ListingError
from fsync.pacing import Verdict, classify, describe, http_status, service_code
from fsync.schema import Kind, page_from_columns
from fsync.storage.multipart import is_md5

#: one ListObjectsV2 request, retried, its errors those of a listing
Ask = Callable[..., Awaitable[dict[str, Any]]]

#: pages without a key that may follow each other before a listing counts as stuck
_EMPTY_PAGES = 1000


async def pages(ask: Ask, prefix: str, address: Address) -> AsyncIterator[pa.RecordBatch]:
    """Yield the pages of all keys that begin with ``prefix``, as the server gives them.

    Zero-byte keys that end in ``/`` are rows of kind DIRECTORY. Raises ListingError where the end of the listing
    is not proven: a page that says there is more without saying where, or a place that repeats itself.
    """
    token: str | None = None
    empty = 0
    while True:
        more = {"ContinuationToken": token} if token else {}
        answer = await ask(Prefix=prefix, **more)
        contents = answer.get("Contents", [])
        if contents:
            empty = 0
            yield _page(contents, len(prefix), whole=address.is_directory)
        if not answer.get("IsTruncated"):
            return
        following = answer.get("NextContinuationToken")
        empty += not contents
        if not following or following == token or empty > _EMPTY_PAGES:
            raise ListingError(f"cannot list {address.given}: the server does not say how the listing goes on")
        token = following


def _page(contents: list[dict[str, Any]], cut: int, *, whole: bool) -> pa.RecordBatch:
    keys = [item["Key"][cut:].encode("utf-8", "surrogateescape") for item in contents]
    sizes = [item["Size"] for item in contents]
    etags = [item.get("ETag", "").strip('"') or None for item in contents]
    directory, file = int(Kind.DIRECTORY), int(Kind.FILE)
    return page_from_columns(
        {
            "key": keys,
            "kind": [
                directory if not size and (key.endswith(b"/") or (not key and whole)) else file
                for key, size in zip(keys, sizes, strict=True)
            ],
            "size": sizes,
            "mtime": pa.array([item["LastModified"] for item in contents], pa.timestamp("us", tz="UTC")),
            "etag": etags,
            "digest": [etag if etag and is_md5(etag) else None for etag in etags],
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
    return ListingError(f"cannot list {given}: {describe(error)}")


def timestamp(text: Any) -> datetime:
    """Parse a timestamp of an answer: ISO 8601 without dateutil's cost, any other form as botocore does."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        from botocore.utils import parse_timestamp

        parsed: datetime = parse_timestamp(text)
        return parsed
