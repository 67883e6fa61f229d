"""The botocore sessions behind a bucket's clients, with what makes them start and list faster."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fsync.storage.s3_columns import take_columns
from fsync.storage.s3_listing import timestamp


def open_session(profile: str | None) -> Any:
    """Return botocore's session of a profile, whose ``ListObjectsV2`` pages come as columns."""
    from botocore.session import Session

    return _prepared(Session(profile=profile))


def open_async_session(profile: str | None) -> Any:
    """Return the like for s3fs."""
    from aiobotocore.session import AioSession

    return _prepared(AioSession(profile=profile))


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
