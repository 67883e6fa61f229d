"""The botocore sessions behind a bucket's clients, with what makes them start and list faster."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fsync.storage.s3_columns import take_columns
from fsync.storage.s3_listing import timestamp


def open_session(profile: str | None) -> Any:
    """Return botocore's session of a profile, whose ``ListObjectsV2`` pages come as columns."""
    from botocore.session import Session

    session = _prepared(Session(profile=profile))
    session.register("before-parse.s3", check_whole)
    return session


def open_async_session(profile: str | None) -> Any:
    """Return the like for s3fs."""
    from aiobotocore.session import AioSession

    return _prepared(AioSession(profile=profile))


def check_whole(response_dict: Mapping[str, Any], operation_model: Any, **_: Any) -> None:
    """Raise ConnectionError for an answer that broke off: botocore's event ``before-parse.s3``.

    botocore takes the end of a connection for the end of an answer, and what is missing in it for empty. A body that is
    streamed, or a page of a listing, is looked at where it is read.
    """
    told = operation_model.name != "ListObjectsV2" and not operation_model.has_streaming_output
    if response_dict["status_code"] >= 300 or not told or operation_model.http["method"] == "HEAD":
        return
    headers, body = response_dict["headers"], response_dict["body"]
    length = headers.get("content-length", "")
    if length.isdecimal():
        whole = len(body) == int(length)
    else:
        # an answer whose headers broke off has neither
        whole = bool(body) or "transfer-encoding" in headers or response_dict["status_code"] == 204
    if not whole:
        raise ConnectionError("the connection was lost before the end of the answer")


def _prepared(session: Any) -> Any:
    from botocore.exceptions import BotoCoreError

    from fsync.storage.s3_descriptions import descriptions

    # a configuration that cannot be read is an error of the first request
    with suppress(BotoCoreError):
        session.register_component("data_loader", descriptions(session.get_config_variable("data_path")))
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=timestamp)
    # a wildcard in this place goes before botocore's own search of the whole page for an <Error>
    session.register("before-parse.*.ListObjectsV2", take_columns)
    return session
