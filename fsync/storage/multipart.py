"""Large objects on S3: multipart uploads, the size of their parts, and the ETag they end up with."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import io
import os
import zlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from fsync.pacing import Verdict, classify
from fsync.storage.running import Running
from fsync.storage.upload import Upload

MIB = 1 << 20
_MOST_PARTS = 10_000
#: bytes that are handed to a socket at once: urllib3 gives each time no more than what connecting may take
_PIECE = 64 << 10
#: seconds that a part which nobody wants any more may take to end
_PATIENCE = 5.0

#: one request in a bucket: method name and arguments to answer
Call = Callable[..., Awaitable[dict[str, Any]]]


def part_size(size: int) -> int:
    """Return the bytes of a part: 8 MiB, or as many whole MiB as keep an object within 10,000 parts."""
    return max(8 * MIB, -(-size // _MOST_PARTS // MIB) * MIB if size > 8 * MIB * _MOST_PARTS else 0)


#: what :func:`is_md5` looks for, for columns: the form, and what has the form and is none
MD5, NO_MD5 = r"\A[0-9a-f]{32}\z", r"\A0*\z"


def is_md5(etag: str) -> bool:
    """Tell whether an ETag has the form of a plain MD5; some gateways give every object one of zeros, which is none."""
    return len(etag) == 32 and all(character in "0123456789abcdef" for character in etag) and etag.strip("0") != ""


class PartsHash:
    """The ETag of a multipart upload: the MD5 of the parts' MD5s, a dash, the number of parts.

    Observed on Amazon S3 and what follows it; not documented as a promise, so a difference means nothing.
    """

    def __init__(self, size: int) -> None:
        self._size, self._filled = size, 0
        self._part = hashlib.md5(usedforsecurity=False)
        self._digests: list[bytes] = []

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""
        view = memoryview(data)
        while view:
            piece = view[: self._size - self._filled]
            self._part.update(piece)
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == self._size:
                self._close_part()

    def _close_part(self) -> None:
        self._digests.append(self._part.digest())
        self._part, self._filled = hashlib.md5(usedforsecurity=False), 0

    def hexdigest(self) -> str:
        """Return the ETag over all bytes taken."""
        parts = [*self._digests, self._part.digest()] if self._filled else self._digests
        return f"{hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"


class MultipartUpload(Upload):
    """Parts that become an object when the upload is completed; an aborted upload leaves nothing.

    Each part carries its CRC32, worked out on a thread, if ``sums()`` says so; else that is left to botocore.
    """

    parallel = True

    def __init__(
        self, running: Running, call: Call, key: str, upload_id: str, size: int, *, sums: Callable[[], bool]
    ) -> None:
        self._running, self._call, self._sums = running, call, sums
        self._name = {"Key": key, "UploadId": upload_id}
        self.part_size = size
        self._parts: dict[int, dict[str, Any]] = {}

    async def resume(self, known: Mapping[int, str]) -> None:
        """Keep the parts, by number with their ETag, that the server has just so; raises what the server answers."""
        there: dict[int, dict[str, Any]] = {}
        asked = dict(self._name)
        while True:
            answer = await self._running.retried(lambda: self._call("list_parts", **asked))
            there |= {part["PartNumber"] - 1: part for part in answer.get("Parts", [])}
            if not answer.get("IsTruncated"):
                break
            asked["PartNumberMarker"] = answer["NextPartNumberMarker"]
        for number, etag in known.items():
            if number in there and there[number]["ETag"] == etag:
                self._parts[number] = _named(number, there[number])
        self.present = frozenset(self._parts)

    async def write(self, number: int, data: bytes | bytearray | memoryview) -> None:
        said = {}
        if self._sums():
            crc = await self._running.in_pool(zlib.crc32, data)
            said["ChecksumCRC32"] = base64.b64encode(crc.to_bytes(4, "big")).decode()
        body = Views(data)
        part = {"PartNumber": number + 1, "Body": body, **self._name}
        sending = asyncio.ensure_future(self._call("upload_part", **part, **said))
        try:
            self._done(number, await asyncio.shield(sending))
        except asyncio.CancelledError:
            # a part that arrives after its upload was aborted would stay on the server
            body.give_up()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(sending, return_exceptions=True), _PATIENCE)
            raise

    async def copy_from(self, origin: dict[str, str], pin: Mapping[str, str], size: int) -> None:
        """Fill all parts from an object of the same store."""
        for number, offset in enumerate(range(0, size, self.part_size)):
            await self._copy_part(number, origin, pin, f"bytes={offset}-{min(offset + self.part_size, size) - 1}")

    async def _copy_part(self, number: int, origin: dict[str, str], pin: Mapping[str, str], span: str) -> None:
        arguments = {"PartNumber": number + 1, "CopySource": origin, "CopySourceRange": span, **self._name, **pin}
        answer = await self._running.retried(lambda: self._call("upload_part_copy", **arguments))
        self._done(number, answer["CopyPartResult"])

    def _done(self, number: int, answer: Mapping[str, Any]) -> None:
        self._parts[number] = _named(number, answer)
        self._running.journal.part(self._name["UploadId"], number, answer["ETag"])

    async def commit(self) -> str:
        parts = [self._parts[number] for number in sorted(self._parts)]
        answer = await self._call("complete_multipart_upload", MultipartUpload={"Parts": parts}, **self._name)
        self._running.journal.ended(self._name["UploadId"])
        return "crc32" if "ChecksumCRC32" in parts[0] or "ChecksumCRC32" in answer else "size"

    async def abort(self) -> None:
        try:
            await self._call("abort_multipart_upload", **self._name)
        except Exception as error:
            if classify(error) is not Verdict.GONE:
                raise
        self._running.journal.ended(self._name["UploadId"])


class Views(io.BytesIO):
    """Bytes as a file that is read without copying them: what :meth:`read` gives are views, of at least ``_PIECE``.

    Once given up, it cannot be read any more, which breaks off whoever is sending it. A BytesIO by name only, because
    aiohttp reads these, and no other file, on the loop's own thread.
    """

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        super().__init__()
        self._data, self._at = memoryview(data), 0
        self._given_up = False

    def give_up(self) -> None:
        """Let no more be read."""
        self._given_up = True

    def getbuffer(self) -> memoryview:
        # whoever asks for it releases it
        return memoryview(self._data)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._data)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int | None = -1, /) -> Any:
        if self._given_up:
            raise OSError(errno.ECANCELED, "nobody wants it any more")
        end = len(self._data) if size is None or size < 0 else self._at + max(size, _PIECE)
        piece = self._data[self._at : end]
        self._at += len(piece)
        return piece


def _named(number: int, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what completing an upload says of a part."""
    part = {"PartNumber": number + 1, "ETag": answer["ETag"]}
    return part | {name: answer[name] for name in ("ChecksumCRC32", "ChecksumCRC64NVME") if answer.get(name)}
