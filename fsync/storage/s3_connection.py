"""One opened bucket: which client makes which request, and what the answers tell of the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from typing import Any

from fsync.address import Address
from fsync.errors import FatalError, OptionError
from fsync.pacing import describe
from fsync.storage.clock import ClockSkew
from fsync.storage.object_engine import is_clean
from fsync.storage.running import Running
from fsync.storage.s3_client import GivenClient, Opened, S3Client, configuration, options_of, reread
from fsync.storage.s3_engine import S3Bodies, not_spoken, not_understood
from fsync.storage.s3_session import open_async_session

_log = logging.getLogger("fsync")

#: what an answer to a listing request says, whatever it lists
_SAID = frozenset({"IsTruncated", "Name", "KeyCount", "MaxKeys"})
#: of which an answer tells at least one if what was asked for has been done
_TOLD = {
    "create_multipart_upload": ("UploadId",),
    "upload_part": ("ETag",),
    "upload_part_copy": ("CopyPartResult",),
    "complete_multipart_upload": ("ETag", "Key", "Location"),
    "copy_object": ("CopyObjectResult",),
}


class S3Connection:
    """The clients of one bucket, shared by all roots in it.

    Where the options are understood, bodies of single requests go through obstore and all else through botocore's own
    client; what neither can do, and everything where the options are not understood, is for s3fs, which is opened when
    the first such request is made. A filesystem that was handed in is asked everything but bodies. Raises OptionError
    for an option given by two names.
    """

    def __init__(self, address: Address, running: Running) -> None:
        self._address, self._running, self._bucket = address, running, address.bucket
        self._client: S3Client | None = None
        self._fs: Any = None
        self._opening = asyncio.Lock()
        self._skew = ClockSkew()
        #: the ``Server`` of the answers, empty before the first
        self.server = ""
        #: who carries bodies faster than s3fs, None where only s3fs can
        self.bodies: S3Bodies | None = None
        self._options = options_of(address)
        #: what s3fs adds to every request that takes it
        self.added: dict[str, Any] = self._options.get("s3_additional_kwargs") or {}

    async def open(self) -> None:
        """Choose and open the clients; raises OptionError for options that s3fs, or the engine, does not take."""
        opened = await self._understood()
        if isinstance(opened, S3Client):
            self._client = opened
        elif opened is None:
            await self._filesystem()
        if opened is not None:
            self.bodies = S3Bodies(opened, self._address, self._running.timeout)

    async def _understood(self) -> Opened | None:
        """Return the client whose requests obstore can make too, None where s3fs is to do everything.

        It is botocore's own, or that of a filesystem that was handed in: that one knows where it belongs.
        """
        running = self._running
        opened: Opened | None = None
        if running.engine == "fsspec":
            return None
        why = not_understood(self._address, self._options)
        if why is None:
            try:
                opened = await self._chosen()
            except Exception as error:
                # the first request meets it again, and tells it as what it is
                _log.debug("%s: no client could be made: %s", self._address.given, describe(error))
                return None
            why = not_spoken(opened)
        if why is None:
            return opened
        if running.engine == "obstore":
            raise OptionError(f"--engine obstore cannot serve {self._address.given}: {why}")
        _log.debug("%s: s3fs carries all bytes, because %s", self._address.given, why)
        return None

    async def _chosen(self) -> Opened:
        if self._address.filesystem is None:
            return await self._running.ask(S3Client, self._options, self._running)
        fs = await self._filesystem()
        return GivenClient(fs, await fs.set_session())

    async def _filesystem(self) -> Any:
        """Return the S3FileSystem, a private one with this run's timeouts unless one was handed in."""
        if self._fs is None:
            async with self._opening:
                if self._fs is None:
                    opened = await self._running.in_pool(self._open_filesystem)
                    if self._client is not None:
                        self._check_place(await opened.set_session())
                    self.added = getattr(opened, "s3_additional_kwargs", {})
                    self._fs = opened
        return self._fs

    def _check_place(self, client: Any) -> None:
        """Raise FatalError if s3fs, opened later, would go elsewhere than the questions went: variables may change."""
        assert self._client is not None
        here, there = self._client.client.meta, client.meta
        if (here.endpoint_url, here.region_name) != (there.endpoint_url, there.region_name):
            raise FatalError(f"{self._address.given}: endpoint or region are not what they were when the run began; "
                             "do not change AWS variables or files meanwhile, and run again")  # fmt: skip

    def _open_filesystem(self) -> Any:
        from fsync.storage.opening import open_filesystem

        if self._address.filesystem is not None:
            return open_filesystem(self._address)
        options = self._options
        changed = {
            "session": open_async_session(options.get("profile")),
            "config_kwargs": configuration(options.get("config_kwargs") or {}, self._running),
            "client_kwargs": options.get("client_kwargs") or {},
        }
        opened = open_filesystem(self._address, changed, without=("profile", *changed))
        # fsync alone counts attempts
        opened.retries = 1
        return opened

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Make one request in the bucket; the answer's ``Date`` and ``Server`` are noted."""
        sent = self._skew.now()
        arguments["Bucket"] = self._bucket
        client = None if method == "get_object" else self._client_for(arguments.get("Key", "key"))
        if client is not None:
            answer = await client.call(method, **arguments)
            if method == "head_object":
                answer = reread(answer)
        else:
            answer = await (await self._filesystem())._call_s3(method, **arguments)
        told = any(answer.get(name) for name in _TOLD.get(method, ())) or method not in _TOLD
        if not told or (method == "list_objects_v2" and answer.keys().isdisjoint(_SAID)):
            # botocore takes the answer of a connection that broke before the first byte for an empty one
            raise ConnectionError("the connection was lost before the answer")
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        self._skew.note(headers.get("date"), sent)
        if not self.server:
            self.server = headers.get("server", "unknown")
        return answer

    def _client_for(self, key: str) -> S3Client | None:
        """Return botocore's own client for a key, None where the rules for URLs would change it."""
        return self._client if is_clean(key) else None

    def flow(self, key: str, etag: str | None, size: int, span: tuple[int, int]) -> Generator[memoryview] | None:
        """Return a range ``(start, stop)`` of a version of an object as it comes, None where only s3fs can read it.

        It is read by blocking calls, on any thread; ShortRead, before the first piece, if the object has more than
        ``size`` bytes.
        """
        client = self._client_for(key)
        if client is not None:
            return client.pieces(self._bucket, key, etag, size, span)
        engine = None if self.bodies is None else self.bodies.engine(key)
        return None if engine is None else engine.pieces_now(key, etag, size, span)

    @property
    def sums(self) -> bool:
        """Tell whether the clients, which are all set alike, add a CRC32 to a part of their own accord."""
        client = self._client.client if self._client is not None else self._fs._s3
        config = client.meta.config
        return "ChecksumAlgorithm" not in self.added and config.request_checksum_calculation == "when_supported"

    def clock(self) -> tuple[float, float]:
        """Return the bounds of how far the server's clock is ahead, from its answers' ``Date``."""
        return self._skew.bounds()

    async def close(self) -> None:
        """Close the connections, those of s3fs on the loop that opened them."""
        if self.bodies is not None:
            self.bodies.close()
        if self._client is not None:
            self._client.close()
        client = getattr(self._fs, "_s3", None)
        if client is not None and self._address.filesystem is None:
            await client.close()
