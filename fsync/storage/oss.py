"""Alibaba OSS through ossfs, around what is broken in it: its listing cache and its streamed writes."""

from __future__ import annotations

import threading
from typing import Any

from fsync.storage.entry import Entry
from fsync.storage.generic import GenericStorage
from fsync.storage.promises import generic_traits
from fsync.storage.upload import Upload


class OssStorage(GenericStorage):
    """A bucket on OSS, or what begins with a prefix in it."""

    family = "oss"
    traits = generic_traits("oss")

    async def open(self) -> None:
        """Open a private filesystem whose listings are never those of an earlier call."""
        await super().open()
        if self.address.filesystem is None:
            self.fs.dircache = _Forgetful()

    async def begin(self, entry: Entry) -> Upload:
        """Begin a multipart upload: ossfs's own streamed write loses its place after the first block."""
        bucket, key = self.fs.split_path(self.path(entry.key))
        begun = await self.call("_call_oss", "init_multipart_upload", key, bucket=bucket)
        return _Multipart(self, bucket, key, begun.upload_id)


class _Forgetful:
    """ossfs reads every listing back from the cache it has just put it into: one slot a thread, read once."""

    def __init__(self) -> None:
        self._own = threading.local()

    def __contains__(self, path: object) -> bool:
        return False

    def __getitem__(self, path: str) -> Any:
        held, self._own.held = getattr(self._own, "held", None), None
        if held is None or held[0] != path:
            raise KeyError(path)
        return held[1]

    def __setitem__(self, path: str, listing: Any) -> None:
        self._own.held = (path, listing)

    def get(self, path: str, default: Any = None) -> Any:
        return default

    def pop(self, path: str, default: Any = None) -> Any:
        return default

    def clear(self) -> None:
        self._own = threading.local()


class _Multipart(Upload):
    """Parts that become an object when the upload is completed."""

    parallel = True

    def __init__(self, storage: OssStorage, bucket: str, key: str, upload: str) -> None:
        self._storage, self._bucket, self._key, self._upload = storage, bucket, key, upload
        self._parts: dict[int, Any] = {}

    async def _ask(self, method: str, *args: Any) -> Any:
        return await self._storage.call("_call_oss", method, self._key, self._upload, *args, bucket=self._bucket)

    async def write(self, number: int, data: bytes | bytearray | memoryview) -> None:
        from oss2.models import PartInfo

        done = await self._ask("upload_part", number + 1, bytes(data))
        self._parts[number] = PartInfo(number + 1, done.etag)

    async def commit(self) -> str:
        await self._ask("complete_multipart_upload", [self._parts[number] for number in sorted(self._parts)])
        return "none"

    async def abort(self) -> None:
        await self._ask("abort_multipart_upload")
