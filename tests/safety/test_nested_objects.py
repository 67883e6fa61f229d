"""Objects ``a`` and ``a/b``: SeaweedFS loses some that are written at the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fsync
from tests.servers.s3 import S3Server

_PAIRS = [key for number in range(150) for key in (f"{number:03}", f"{number:03}/x", f"{number:03}/x/y")]


def test_an_object_and_those_below_its_key_all_arrive(s3_server: S3Server, bucket: Callable[[S3Server], str]) -> None:
    source, target = bucket(s3_server), bucket(s3_server)
    client = s3_server.client()
    for key in _PAIRS:
        client.put_object(Bucket=source, Key=key, Body=key.encode())
    options: Any = {"storage_options": s3_server.storage_options, "threads": 40}

    def told(name: str, prefix: str = "") -> list[str]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=prefix)
        return sorted(item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", ()))

    assert fsync.sync(f"s3://{source}/", f"s3://{target}/now/", **options).copied == len(_PAIRS)
    assert told(target, "now/") == sorted(_PAIRS)
    # what is replaced and what is deleted is kept first, in the same buckets
    client.put_object(Bucket=source, Key="other", Body=b"1")
    for key in told(source):
        if key != "other":
            client.delete_object(Bucket=source, Key=key)
    done = fsync.sync(
        f"s3://{source}/", f"s3://{target}/now/", delete_dst=True,
        backup_dir=f"s3://{target}/kept/", **options,
    )  # fmt: skip
    assert done.deleted == len(_PAIRS)
    assert told(target, "kept/") == sorted(_PAIRS)
    assert told(target, "now/") == ["other"]
