"""A place that can be an end of a sync: filled, read back whole, and compared byte for byte."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

import fsync
from fsync.errors import FsyncError
from fsync.report import SyncResult
from tests.servers.s3 import S3Server

#: 2020: long before any run, so that no clock's tick is waited for
OLD = 1_577_836_800_000_000_000

Snapshot = dict[bytes, tuple[Any, ...]]


def fill(root: Path, contents: Mapping[str, bytes], *, mtime: int | None = OLD) -> Path:
    """Write files below ``root`` (``dir/`` makes an empty directory), all with one mtime, and return it."""
    root.mkdir(parents=True, exist_ok=True)
    for key, data in contents.items():
        path = root / key
        if key.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if mtime is not None:
            os.utime(path, ns=(mtime, mtime))
    return root


def snapshot(root: Path) -> Snapshot:
    """Return everything below ``root``, links not followed: kind, permissions, and content, target or device.

    Files carry their mtime and inode too: a file that was replaced by an equal one shows.
    """
    found: Snapshot = {}
    for directory, names, files in os.walk(os.fsencode(root)):
        for name in [*names, *files]:
            path = os.path.join(directory, name)
            facts = os.lstat(path)
            row: tuple[Any, ...] = (stat.S_IFMT(facts.st_mode), stat.S_IMODE(facts.st_mode))
            if stat.S_ISLNK(facts.st_mode):
                row += (os.readlink(path),)
            elif stat.S_ISREG(facts.st_mode):
                row += (Path(os.fsdecode(path)).read_bytes(), facts.st_mtime_ns, facts.st_ino)
            found[os.path.relpath(path, os.fsencode(root))] = row
    return found


def contents(root: Path) -> dict[str, bytes]:
    """Return the content of every regular file below ``root``, partials included."""
    return {os.fsdecode(path): row[2] for path, row in snapshot(root).items() if stat.S_ISREG(row[0]) and len(row) > 3}


class Place:
    """One end of a sync; ``address`` ends in ``/``, ``options`` are its storage options."""

    address: str
    options: dict[str, Any]

    def write(self, key: str, data: bytes) -> None:
        """Store one key."""
        raise NotImplementedError

    def data(self) -> dict[str, bytes]:
        """Return the content of every key."""
        raise NotImplementedError

    def state(self) -> Any:
        """Return all that can be told of every key, so that any touch shows."""
        raise NotImplementedError

    def missing(self) -> str:
        """Return an address of the same kind at which nothing is."""
        raise NotImplementedError

    def fill(self, contents: Mapping[str, bytes]) -> None:
        """Store several keys."""
        for key, data in contents.items():
            self.write(key, data)


class LocalPlace(Place):
    """A directory."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.root, self.address, self.options = root, f"{root}/", {}

    def write(self, key: str, data: bytes) -> None:
        """Write a file."""
        fill(self.root, {key: data})

    def data(self) -> dict[str, bytes]:
        """Read all files."""
        return contents(self.root)

    def state(self) -> Any:
        """Return the tree as it is."""
        return snapshot(self.root)

    def missing(self) -> str:
        """Return a path beside the directory."""
        return f"{self.root}-not-there/"


class MemoryPlace(Place):
    """A directory of its own in fsspec's shared memory filesystem."""

    def __init__(self) -> None:
        self.root = f"/{uuid.uuid4().hex}/"
        self.address, self.options = f"memory:/{self.root}", {}
        self.fs = fsspec.filesystem("memory")

    def write(self, key: str, data: bytes) -> None:
        """Store an object."""
        self.fs.pipe_file(self.root + key, data)

    def _held(self) -> dict[str, Any]:
        return {path[len(self.root) :]: held for path, held in self.fs.store.items() if path.startswith(self.root)}

    def data(self) -> dict[str, bytes]:
        """Read all objects."""
        return {key: held.getvalue() for key, held in self._held().items()}

    def state(self) -> Any:
        """Return objects with the times of their writing."""
        return {key: (held.getvalue(), held.created, held.modified) for key, held in self._held().items()}

    def missing(self) -> str:
        """Return another directory's name."""
        return f"memory://{uuid.uuid4().hex}/"


class S3Place(Place):
    """A prefix of a bucket on a running server."""

    def __init__(self, server: S3Server, bucket: str, prefix: str = "some/prefix/") -> None:
        self.server, self.bucket, self.prefix = server, bucket, prefix
        self.address, self.options = f"s3://{bucket}/{prefix}", server.storage_options

    def write(self, key: str, data: bytes) -> None:
        """Store an object."""
        self.server.client().put_object(Bucket=self.bucket, Key=self.prefix + key, Body=data)

    def _listed(self) -> dict[str, Any]:
        pages = self.server.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        return {item["Key"][len(self.prefix) :]: item for page in pages for item in page.get("Contents", [])}

    def data(self) -> dict[str, bytes]:
        """Read all objects."""
        client = self.server.client()
        return {
            key: client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read() for key in self._listed()
        }

    def state(self) -> Any:
        """Return contents, ETags and times of writing."""
        data = self.data()
        return {key: (data[key], item["ETag"], item["LastModified"]) for key, item in self._listed().items()}

    def missing(self) -> str:
        """Return a prefix of the bucket that no key has."""
        return f"s3://{self.bucket}/some/other-prefix/"


@dataclass(frozen=True)
class Ended:
    """How a sync ended: the exit code of the command, the result if there is one, the error that ended it if any."""

    code: int
    result: SyncResult | None
    error: FsyncError | None

    @property
    def text(self) -> str:
        """All that a person would read: the error, failures and notices."""
        lines = [str(self.error)] if self.error else []
        if self.result:
            lines += [str(failure) for failure in self.result.failures] + list(self.result.notices)
        return "\n".join(lines)


def run(src: Any, dst: Any, **options: Any) -> Ended:
    """Sync two ends, places or addresses, and tell how it ended."""
    ends: dict[str, Any] = {}
    for name, end in (("src", src), ("dst", dst)):
        if isinstance(end, Place) and end.options:
            ends.setdefault(f"{name}_storage_options", end.options)
    addresses = [end.address if isinstance(end, Place) else end for end in (src, dst)]
    try:
        result = fsync.sync(*addresses, **{**ends, **options})
    except FsyncError as error:
        return Ended(error.exit_code, error.result, error)
    return Ended(result.exit_code, result, None)
