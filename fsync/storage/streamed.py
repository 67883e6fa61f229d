"""A large object written through fsspec's ``open(path, "wb")``, part after part."""

from __future__ import annotations

from typing import Any

from fsync.pacing import Verdict, classify
from fsync.storage.base import Storage
from fsync.storage.upload import Upload


class StreamedUpload(Upload):
    """Parts written one after the other through ``open(path, "wb")``."""

    def __init__(self, storage: Storage, path: str, file: Any) -> None:
        self._storage, self._path, self._file = storage, path, file

    async def write(self, number: int, data: bytes | bytearray | memoryview) -> None:
        await self._storage.running.in_pool(self._file.write, data)

    async def commit(self) -> str:
        await self._storage.running.in_pool(self._file.close)
        return "none"

    async def abort(self) -> None:
        await self._storage.running.in_pool(self._drop)
        try:
            await self._storage.call("rm_file", self._path)
        except Exception as error:
            if classify(error) is not Verdict.GONE:
                raise

    def _drop(self) -> None:
        """Let go of the file without writing what it still holds."""
        from fsspec.spec import AbstractBufferedFile

        if isinstance(self._file, AbstractBufferedFile):
            self._file.discard()
            # else its close(), at the latest when it is collected, would write the half object after all
            self._file.closed = True
        else:
            self._file.close()


def read_exactly(file: Any, length: int) -> bytes:
    """Read ``length`` bytes, fewer only at the end of the file."""
    first: bytes = file.read(length)
    if len(first) == length or not first:
        return first
    pieces = [first]
    left = length - len(first)
    while left and (piece := file.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
