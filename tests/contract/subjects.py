"""The storages that the contract is about, each with a place of its own that is written and read without fsync."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import fsspec.implementations.memory

from fsync.address import Address, parse
from fsync.storage.base import Storage
from fsync.storage.generic import GenericStorage
from fsync.storage.local import LocalStorage
from fsync.storage.memory import MemoryStorage
from fsync.storage.s3 import S3Storage
from tests.servers.s3 import S3Server


class Subject(ABC):
    """One storage class and a place for it; ``directories`` says that listings have rows of directories."""

    storage: ClassVar[type[Storage]]
    directories: ClassVar[bool] = True
    engine: ClassVar[str] = "auto"

    @abstractmethod
    def address(self, below: str = "") -> Address:
        """Return the address of the place (``below`` empty) or of something in it."""

    @abstractmethod
    def write(self, key: bytes, data: bytes) -> None:
        """Store a key."""

    @abstractmethod
    def contents(self) -> dict[bytes, bytes]:
        """Return everything that stands in the place, hidden and unfinished things too."""


class Local(Subject):
    """A local directory."""

    storage = LocalStorage

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def address(self, below: str = "") -> Address:
        return parse(f"{self.root}/{below}")

    def path(self, key: bytes) -> bytes:
        return os.path.join(os.fsencode(self.root), key)

    def write(self, key: bytes, data: bytes) -> None:
        path = self.path(key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)

    def contents(self) -> dict[bytes, bytes]:
        root, found = os.fsencode(self.root), {}
        for directory, _, names in os.walk(root):
            for name in names:
                path = os.path.join(directory, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, root)] = file.read()
        return found


class GenericLocal(Local):
    """The same through fsspec's LocalFileSystem alone."""

    storage = GenericStorage


class Memory(Subject):
    """A directory in a store in memory that shares nothing with others."""

    storage = MemoryStorage

    def __init__(self) -> None:
        self.fs = fsspec.implementations.memory.MemoryFileSystem(global_store=False, skip_instance_cache=True)
        self.fs.pipe_file("/place/.keep", b"")
        self.fs.rm_file("/place/.keep")
        self.fs.makedirs("/place", exist_ok=True)

    def address(self, below: str = "") -> Address:
        return parse((self.fs, f"/place/{below}"))

    def write(self, key: bytes, data: bytes) -> None:
        self.fs.pipe_file(f"/place/{key.decode()}", data)

    def contents(self) -> dict[bytes, bytes]:
        return {path.removeprefix("/place/").encode(): file.getvalue() for path, file in self.fs.store.items()}


class GenericMemory(Memory):
    """The same through fsspec's own calls alone."""

    storage = GenericStorage


class S3(Subject):
    """A prefix of a bucket; open uploads count as contents, under their id."""

    storage = S3Storage
    directories = False
    engine = "obstore"

    def __init__(self, server: S3Server, bucket: str) -> None:
        self.server, self.bucket = server, bucket
        self._client = server.client()

    def address(self, below: str = "") -> Address:
        return parse(f"s3://{self.bucket}/place/{below}", options=self.server.storage_options)

    def write(self, key: bytes, data: bytes) -> None:
        self._client.put_object(Bucket=self.bucket, Key=f"place/{key.decode()}", Body=data)

    def contents(self) -> dict[bytes, bytes]:
        found = {}
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for item in page.get("Contents", ()):
                body = self._client.get_object(Bucket=self.bucket, Key=item["Key"])["Body"].read()
                found[item["Key"].removeprefix("place/").encode()] = body
        for upload in self._client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ()):
            found[upload["UploadId"].encode()] = b"unfinished"
        return found


class S3ByS3fs(S3):
    """The same with all bytes carried by s3fs."""

    engine = "fsspec"


class GenericS3(S3):
    """The same through s3fs's own calls alone."""

    storage = GenericStorage
    engine = "auto"
    directories = True

    def address(self, below: str = "") -> Address:
        import s3fs

        options: dict[str, Any] = {**self.server.storage_options, "skip_instance_cache": True}
        return parse((s3fs.S3FileSystem(**options), f"{self.bucket}/place/{below}"))
