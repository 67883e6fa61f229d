"""One opened bucket: which client makes which request, and what the answers tell of the server."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from fsync.address import Address
from fsync.errors import OptionError
from fsync.pacing import describe
from fsync.storage.clock import ClockSkew
from fsync.storage.running import Running
from fsync.storage.s3_client import S3Client, check_once, configuration, options_of
from fsync.storage.s3_engine import S3Bodies, not_spoken, not_understood
from fsync.storage.s3_session import open_async_session

_log = logging.getLogger("fsync")

#: requests without a body either way, which need no s3fs
_QUESTIONS = frozenset({"list_objects_v2", "head_object"})


class S3Connection:
    """The clients of one bucket, shared by all roots in it.

    Questions go through botocore's own client and bodies through obstore where the options are understood; all else,
    and everything where they are not, is for s3fs, which is opened when the first such request is made.
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
        check_once(self._address, self._options)
        self._client = await self._direct()
        if self._client is None:
            await self._filesystem()
        else:
            self.bodies = S3Bodies(self._client, self._address, self._running.timeout)

    async def _direct(self) -> S3Client | None:
        """Return botocore's own client, None where s3fs is to do everything."""
        running, client = self._running, None
        if running.engine == "fsspec":
            return None
        why = not_understood(self._address, self._options)
        if why is None:
            try:
                client = await running.asking(S3Client, self._options, running)
            except Exception as error:
                # the first request meets it again, and tells it as what it is
                _log.debug("%s: no client could be made: %s", self._address.given, describe(error))
                return None
            why = not_spoken(client)
        if why is None:
            return client
        if running.engine == "obstore":
            raise OptionError(f"--engine obstore cannot serve {self._address.given}: {why}")
        _log.debug("%s: s3fs carries all bytes, because %s", self._address.given, why)
        return None

    async def _filesystem(self) -> Any:
        """Return the S3FileSystem, a private one with this run's timeouts unless one was handed in."""
        if self._fs is None:
            async with self._opening:
                if self._fs is None:
                    self._fs = await self._running.in_pool(self._open_filesystem)
                    self.added = getattr(self._fs, "s3_additional_kwargs", {})
        return self._fs

    def _open_filesystem(self) -> Any:
        from fsync.storage.opening import open_filesystem

        if self._address.filesystem is not None:
            return open_filesystem(self._address)
        options = self._options
        changed = {
            "session": open_async_session(options.get("profile")),
            "config_kwargs": configuration(options.get("config_kwargs") or {}, self._running),
        }
        opened = open_filesystem(self._address, changed, without=("profile", "config_kwargs"))
        # fsync alone counts attempts
        opened.retries = 1
        return opened

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Make one request in the bucket; the answer's ``Date`` and ``Server`` are noted."""
        sent = self._skew.now()
        arguments["Bucket"] = self._bucket
        if self._client is not None and method in _QUESTIONS:
            answer = await self._client.call(method, **arguments)
        else:
            answer = await (await self._filesystem())._call_s3(method, **arguments)
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        self._skew.note(headers.get("date"), sent)
        if not self.server:
            self.server = headers.get("server", "unknown")
        return answer

    @property
    def sums(self) -> bool:
        """Tell whether s3fs's client, which has made a request, adds a CRC32 of its own accord."""
        config = self._fs._s3.meta.config
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
