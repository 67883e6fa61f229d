"""What a test knows of a running S3 server: where it is, who may enter, and a client to prepare things with."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import botocore.session
from botocore.config import Config

from tests.servers.process import Process

REGION = "us-east-1"


@dataclass(frozen=True)
class S3Server:
    """A running S3 server; ``key`` and ``secret`` may do everything."""

    name: str
    endpoint: str
    key: str
    secret: str
    process: Process = field(repr=False)

    @property
    def host(self) -> str:
        """The ``HOST:PORT`` part of the endpoint."""
        return self.endpoint.partition("://")[2]

    @property
    def storage_options(self) -> dict[str, Any]:
        """The options with which s3fs reaches the server; a new dict each time."""
        return self.options_for(self.key, self.secret)

    def options_for(self, key: str, secret: str) -> dict[str, Any]:
        """Return the s3fs options of another user."""
        return {
            "key": key,
            "secret": secret,
            "client_kwargs": {"endpoint_url": self.endpoint, "region_name": REGION},
        }

    def client(self, key: str | None = None, secret: str | None = None) -> Any:
        """Return a plain botocore client that does not retry, as the administrator or another user."""
        return _client(self.endpoint, key or self.key, secret or self.secret)

    def make_bucket(self, name: str) -> str:
        """Make a bucket and return its name."""
        self.client().create_bucket(Bucket=name)
        return name

    def remove_bucket(self, name: str) -> None:
        """Remove a bucket with everything in it, open multipart uploads included; a bucket that is gone is no error."""
        client = self.client()
        try:
            for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=name):
                for upload in page.get("Uploads", ()):
                    client.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
            for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
                for entry in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
                    client.delete_object(Bucket=name, Key=entry["Key"], VersionId=entry["VersionId"])
            client.delete_bucket(Bucket=name)
        except client.exceptions.NoSuchBucket:
            return


@functools.cache
def _client(endpoint: str, key: str, secret: str) -> Any:
    # Reading the service model takes a tenth of a second, so a client is made once; it may be shared by threads.
    config = Config(
        s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30
    )
    return botocore.session.Session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config,
    )
