"""Multipart uploads: their parts, what becomes of one that nobody wants, and the ETag they end up with."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.storage import multipart
from fsync.storage.multipart import MD5, MIB, NO_MD5, MultipartUpload, PartsHash, is_md5, part_size
from fsync.storage.running import Running
from tests.servers.s3 import S3Server

_MOST = 10_000


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (0, 8 * MIB),
        (1, 8 * MIB),
        (8 * MIB * _MOST, 8 * MIB),
        (8 * MIB * _MOST + 1, 9 * MIB),
        (9 * MIB * _MOST, 9 * MIB),
        (9 * MIB * _MOST + 1, 10 * MIB),
        (5 << 40, 525 * MIB),
    ],
)
def test_the_size_of_a_part(size: int, wanted: int) -> None:
    assert part_size(size) == wanted


@given(st.integers(0, 48 << 40))
def test_parts_are_few_and_large_enough(size: int) -> None:
    part = part_size(size)
    assert part % MIB == 0
    # limits of the S3 API: 5 MiB to 5 GiB a part, 10,000 parts
    assert 5 * MIB <= part <= 5 << 30
    assert -(-size // part) <= _MOST


@pytest.mark.parametrize(
    ("etag", "plain"),
    [
        ("d41d8cd98f00b204e9800998ecf8427e", True),
        ("D41D8CD98F00B204E9800998ECF8427E", False),
        ("0" * 32, False),
        ("d41d8cd98f00b204e9800998ecf8427", False),
        ("d41d8cd98f00b204e9800998ecf8427e-2", False),
        ('"d41d8cd98f00b204e9800998ecf842"', False),
        ("", False),
    ],
)
def test_what_a_plain_md5_looks_like(etag: str, plain: bool) -> None:
    assert is_md5(etag) is plain
    columns = [pc.match_substring_regex(pa.array([etag]), pattern)[0].as_py() for pattern in (MD5, NO_MD5)]
    assert (columns[0] and not columns[1]) is plain


@given(st.binary(max_size=60), st.integers(1, 20), st.lists(st.integers(1, 15)))
def test_the_hash_does_not_depend_on_how_the_bytes_come(data: bytes, size: int, pieces: list[int]) -> None:
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    hasher = PartsHash(size)
    rest = data
    for piece in pieces:
        hasher.update(rest[:piece])
        rest = rest[piece:]
    hasher.update(rest)
    assert hasher.hexdigest() == f"{hashlib.md5(digests).hexdigest()}-{len(parts)}"
    assert hasher.hexdigest() == hasher.hexdigest()


@pytest.mark.parametrize("length", [5 * MIB + 1, 12 * MIB - 1])
def test_the_hash_is_what_servers_give(s3_server: S3Server, bucket: Callable[[S3Server], str], length: int) -> None:
    data = bytes(range(256)) * (length // 256) + b"x" * (length % 256)
    client, name = s3_server.client(), bucket(s3_server)
    upload = client.create_multipart_upload(Bucket=name, Key="k")["UploadId"]
    parts = []
    for number, start in enumerate(range(0, length, 5 * MIB), 1):
        answer = client.upload_part(
            Bucket=name, Key="k", UploadId=upload, PartNumber=number, Body=data[start : start + 5 * MIB]
        )
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    client.complete_multipart_upload(Bucket=name, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    hasher = PartsHash(5 * MIB)
    hasher.update(data)
    head = client.head_object(Bucket=name, Key="k")
    assert head["ContentLength"] == length
    assert head["ETag"].strip('"') == hasher.hexdigest()


class Sender:
    """Sends a part from a thread, as botocore does: slowly, or not at all once it has begun."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.hangs, self.sent = hangs, 0
        self.begun, self.ended, self.go_on = threading.Event(), threading.Event(), threading.Event()

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        assert method == "upload_part"
        return await asyncio.to_thread(self._send, arguments["Body"])

    def _send(self, body: Any) -> dict[str, Any]:
        try:
            while piece := body.read(1):
                self.sent += len(piece)
                self.begun.set()
                time.sleep(0.01)
                if self.hangs:
                    self.go_on.wait(30)
            return {"ETag": '"etag"'}
        finally:
            self.ended.set()


async def cancelled(sender: Sender, data: bytes) -> None:
    """Cancel the writing of a part when some of it has been sent."""
    running = Running(threads=1)
    try:
        upload = MultipartUpload(running, sender.call, "k", "id", 8 * MIB, sums=lambda: False)
        writing = asyncio.ensure_future(upload.write(0, data))
        await asyncio.to_thread(sender.begun.wait, 30)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    finally:
        running.shutdown()


def test_a_part_that_nobody_wants_is_broken_off_before_its_upload_is_aborted() -> None:
    sender, data = Sender(), bytes(8 * MIB)

    async def check() -> None:
        await cancelled(sender, data)
        # whoever aborts now, does it after the last byte
        assert sender.ended.is_set()

    asyncio.run(check())
    assert 0 < sender.sent < len(data)


def test_a_part_that_hangs_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "_PATIENCE", 0.05)
    sender = Sender(hangs=True)

    async def check() -> None:
        await cancelled(sender, bytes(MIB))
        assert not sender.ended.is_set()
        sender.go_on.set()

    asyncio.run(check())
    assert sender.ended.is_set()
