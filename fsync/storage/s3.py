"""S3 and what speaks it: one request for each thing done, keys as the store has them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from typing import Any, Self

import pyarrow as pa

from fsync.address import Address
from fsync.errors import ObjectError, ShortRead, SourceChanged, SourceVanished
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.pacing import Verdict, classify, http_status, service_code
from fsync.schema import Kind
from fsync.storage import seaweedfs
from fsync.storage.base import NotQuick, Storage
from fsync.storage.entry import Entry, Presence
from fsync.storage.multipart import MultipartUpload, PartsHash, is_md5, part_size
from fsync.storage.object_engine import ObjectEngine, attributes_of, is_clean
from fsync.storage.promises import PROMISES
from fsync.storage.running import Running
from fsync.storage.s3_columns import columns_of
from fsync.storage.s3_connection import S3Connection
from fsync.storage.s3_headers import archived, to_say, to_say_anew, told
from fsync.storage.s3_listing import explained
from fsync.storage.s3_listing import pages as listed
from fsync.storage.s3_shards import Shards
from fsync.storage.s3_uploads import S3Uploads
from fsync.storage.turns import closing
from fsync.storage.upload import Hasher
from fsync.storage.walk import Prunes
from fsync.traits import KeyOrder

#: the most that one copy_object call takes (Amazon S3 API reference, CopyObject)
_WHOLE_COPY = 5 << 30
_DELETE_AT_ONCE = 1000


class S3Storage(Storage):
    """A bucket, or what begins with a prefix in it."""

    family = "s3"
    traits = PROMISES["s3"]
    ranged = True

    def __init__(self, address: Address, running: Running) -> None:
        super().__init__(address, running)
        self._bucket = address.bucket
        self._prefix = address.root[len(self._bucket) + 1 :]
        self._connection = S3Connection(address, running)

    # opening ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the bucket's clients."""
        await self._connection.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def call_s3(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Make one request in the bucket."""
        answer = await self._connection.call(method, **arguments)
        if self.traits is S3Storage.traits:
            self._identify()
        return answer

    def _identify(self) -> None:
        """Adjust the traits to the server at the other end."""
        if self._server.startswith("SeaweedFS") or self._bucket.endswith("--x-s3"):
            # lists directory by directory; directory buckets list in no order at all
            self._order(KeyOrder.NONE)
        elif self._server == "AmazonS3":
            self._order(KeyOrder.BYTES)

    def _order(self, order: KeyOrder) -> None:
        from dataclasses import replace

        self.traits = replace(self.traits, key_order=order)

    @property
    def _server(self) -> str:
        return self._connection.server

    @property
    def _always(self) -> dict[str, Any]:
        """What every PUT says."""
        added = self._connection.added
        return {name: added[name] for name in ("StorageClass",) if name in added}

    def at(self, address: Address) -> Self:
        """Return the same opened bucket at another root, with what is known of the server."""
        moved = super().at(address)
        moved._connection, moved.traits = self._connection, self.traits
        return moved

    async def probe(self) -> Presence:
        """Tell whether an object has the root as its key (FILE), or keys lie below it (DIRECTORY)."""
        below = self._prefix if self.address.is_directory else self._prefix + "/"
        answer = await self._list(Prefix=below, MaxKeys=1)
        if not self.address.is_directory and await self.entry(b"") is not None:
            return Presence.FILE
        return Presence.DIRECTORY if columns_of(answer).key else Presence.NOTHING

    # names -----------------------------------------------------------------------------------------------------

    def refuses(self, key: bytes) -> str | None:
        """Return why the server cannot hold a key."""
        full = self._prefix.encode("utf-8", "surrogateescape") + key
        try:
            full.decode()
        except UnicodeDecodeError:
            return "the name is not UTF-8"
        if len(full) > 1024:
            return "the key has more than 1024 bytes"
        if not full:
            return "the key is empty"
        if self._server.startswith("SeaweedFS"):
            return seaweedfs.refused(full)
        return None

    @property
    def nests(self) -> bool:
        """Whether an object and one below its key can be written at the same time; a proxy may hide who else it is."""
        return self._server == "AmazonS3"

    def _key(self, key: bytes) -> str:
        return self._prefix + key.decode("utf-8", "surrogateescape")

    # listing ---------------------------------------------------------------------------------------------------

    async def pages(
        self, *, follow: bool = True, prunes: Prunes | None = None, within: KeyRange = EVERY_KEY
    ) -> AsyncIterator[pa.RecordBatch]:
        """Yield the listing's pages as the server gives them, by several requests at once with ``--list-threads``."""
        ordered = self.traits.key_order is KeyOrder.BYTES
        if self.running.list_threads > 1:
            found = Shards(
                self._list, self._prefix, self.address, within, prunes, ordered=ordered,
                at_once=self.running.list_threads, depth=self.running.list_depth,
            ).pages()  # fmt: skip
        else:
            found = listed(self._list, self._prefix, self.address, within, ordered=ordered)
        async with closing(found):
            async for page in found:
                yield page

    async def _list(self, **arguments: Any) -> dict[str, Any]:
        answer = await self._list_once(**arguments)
        if self._server.startswith("SeaweedFS") and "MaxKeys" not in arguments:
            return await seaweedfs.proven(answer, self._list_once, self.address, **arguments)
        return answer

    async def _list_once(self, **arguments: Any) -> dict[str, Any]:
        try:
            return await self.running.retried(lambda: self.call_s3("list_objects_v2", **arguments))
        except Exception as error:
            raise self.listing_error(error) from error

    def listing_error(self, error: Exception, where: str | None = None) -> Exception:
        """Turn an error of a request that the whole run depends on into what the run reports."""
        return explained(error, self.address, self._bucket, where)

    async def _look(self, key: bytes, directories: bool) -> tuple[bytes, dict[str, Any]] | None:
        """Return the row of an object from a HEAD; a directory is there where anything begins with its key."""
        found = None if key.endswith(b"/") else await self.entry(key)
        if found is not None:
            facts = {"size": found.size, "mtime": found.mtime, "etag": found.etag, "digest": found.digest}
            return key, {"kind": int(Kind.FILE), **facts}
        below = key if key.endswith(b"/") else key + b"/"
        if directories and columns_of(await self._list(Prefix=self._key(below), MaxKeys=1)).key:
            return below, {"kind": int(Kind.DIRECTORY), "size": 0}
        return None

    async def exists(self, key: bytes) -> bool:
        """Tell whether an object has exactly this key."""
        return await self.entry(key) is not None

    async def entry(self, key: bytes) -> Entry | None:
        """Return the present facts of one object from a HEAD."""
        try:
            head = await self.running.retried(lambda: self.call_s3("head_object", Key=self._key(key)))
        except Exception as error:
            if classify(error) is Verdict.GONE:
                return None
            raise self.listing_error(error) if service_code(error) in ("403", "NoSuchBucket") else error from error
        moment = int(head["LastModified"].timestamp()) * 1_000_000_000
        etag = head.get("ETag", "").strip('"') or None
        digest = etag if etag and is_md5(etag) else None
        return Entry(key, head["ContentLength"], moment, etag, digest, metadata=told(head))

    # bodies ----------------------------------------------------------------------------------------------------

    def _engine(self, key: str) -> ObjectEngine | None:
        """Return what carries the body of a key faster than s3fs, None where only s3fs can."""
        bodies = self._connection.bodies
        return None if bodies is None else bodies.engine(key)

    # reading ---------------------------------------------------------------------------------------------------

    async def read(self, entry: Entry) -> bytes:
        """Return the whole content of a small object, of the listed version; its metadata goes into ``entry``."""
        return self._whole(entry, await self._get(entry))

    def _whole(self, entry: Entry, got: tuple[Mapping[str, Any], bytes | memoryview]) -> bytes:
        answer, data = got
        entry.metadata = told(answer)
        if len(data) != entry.size:
            raise ShortRead(f"read {len(data)} bytes where the listing said {entry.size}")
        return bytes(data)

    def quick(self, key: bytes) -> bool:
        """Tell whether the engine carries a key."""
        return self._engine(self._key(key)) is not None

    def read_now(self, entry: Entry) -> bytes:
        """Read a small object through the engine."""
        key = self._key(entry.key)
        engine = self._engine(key)
        assert engine is not None
        try:
            return self._whole(entry, engine.get_now(key, entry.etag, entry.size or 0))
        except Exception as error:
            raise self._object_error(error, entry) from error

    async def part(self, entry: Entry, offset: int, length: int) -> bytes | memoryview:
        """Return one range of the version that was listed."""
        _, data = await self._get(entry, (offset, offset + length))
        if len(data) != length:
            raise ShortRead(f"read {len(data)} bytes of a range of {length}")
        return data

    def flow(self, entry: Entry, offset: int, length: int) -> Generator[memoryview] | None:
        """Return one range of the version that was listed in pieces; None where s3fs reads it."""
        span = offset, offset + length
        pieces = self._connection.flow(self._key(entry.key), entry.etag, entry.size or 0, span)
        return None if pieces is None else self._explained(pieces, entry)

    def _explained(self, pieces: Generator[memoryview], entry: Entry) -> Generator[memoryview]:
        try:
            yield from pieces
        except Exception as error:
            raise self._object_error(error, entry) from error

    async def parts(self, entry: Entry, part_size: int) -> AsyncIterator[bytes]:
        """Yield a large object in order."""
        assert entry.size is not None
        for offset in range(0, entry.size, part_size):
            yield bytes(await self.part(entry, offset, min(part_size, entry.size - offset)))

    async def _get(
        self, entry: Entry, span: tuple[int, int] | None = None
    ) -> tuple[Mapping[str, Any], bytes | memoryview]:
        """Return what an answer says of an object and its bytes, of the listed version."""
        key = self._key(entry.key)
        try:
            engine = self._engine(key)
            if engine is not None:
                return await engine.get(key, entry.etag, entry.size or 0, span)
            arguments = {"IfMatch": f'"{entry.etag}"'} if entry.etag else {}
            if span is not None:
                arguments["Range"] = f"bytes={span[0]}-{span[1] - 1}"
            answer = await self.call_s3("get_object", Key=key, **arguments)
            async with answer["Body"] as body:
                if answer.get("ContentLength", 0) > (entry.size or 0):
                    raise ShortRead(f"the server sends more than the {entry.size} bytes of the listing")
                return answer, await body.read()
        except Exception as error:
            raise self._object_error(error, entry) from error

    def _object_error(self, error: Exception, entry: Entry) -> Exception:
        """Turn an error of one source object into what it means for that object."""
        if isinstance(error, ObjectError):
            return error
        if http_status(error) == 412:
            return SourceChanged("the source changed after it was listed")
        if service_code(error) in ("InvalidObjectState", "ObjectNotInActiveTierError"):
            endpoint = _place(self.address.storage_options)[0]
            return archived(self._bucket, self._key(entry.key), endpoint)
        if classify(error) is Verdict.GONE:
            return SourceVanished("the source is gone")
        return error

    # writing ---------------------------------------------------------------------------------------------------

    async def put(self, entry: Entry, data: bytes) -> str:
        """Write a small object in one request, whose checksum the server verifies."""
        key, described = self._key(entry.key), self._described(entry)
        engine, attributes = self._engine(key), attributes_of(described)
        if engine is not None and attributes is not None:
            return self._proven(await engine.put(key, data, attributes), data, engine)
        answer = await self.call_s3("put_object", Key=key, Body=data, **described)
        if answer.get("ETag", "").strip('"') == _md5(data):
            return "md5"
        return "crc32" if "ChecksumCRC32" in answer else "size"

    def write_now(self, entry: Entry, data: bytes) -> str:
        """Write a small object through the engine."""
        key = self._key(entry.key)
        engine, attributes = self._engine(key), attributes_of(self._described(entry))
        assert engine is not None
        if attributes is None:
            raise NotQuick("it says more of itself than a single request through obstore can")
        return self._proven(engine.put_now(key, data, attributes), data, engine)

    def _described(self, entry: Entry) -> dict[str, Any]:
        return {**self._always, **to_say(entry, self.running)}

    def _proven(self, etag: str, data: bytes, engine: ObjectEngine) -> str:
        """Return what the answer to a PUT through the engine proves of the bytes that have arrived."""
        if etag == _md5(data):
            return "md5"
        # of servers that are not Amazon's nobody knows whether they check the digest that requests are signed over
        return "sha256" if self._server == "AmazonS3" and engine.signed else "size"

    async def begin(self, entry: Entry) -> MultipartUpload:
        """Begin a multipart upload, or go on with one that a killed run has left."""
        return await self._uploads.begin(self._key(entry.key), entry)

    async def sweep(self) -> None:
        """Abort the multipart uploads below the root that earlier runs have left open and nobody has finished."""
        await self._uploads.sweep(self._prefix)

    @property
    def _uploads(self) -> S3Uploads:
        place = f"{_place(self.address.storage_options)[0] or 'aws'} {self._bucket}"
        return S3Uploads(self.call_s3, place, self.running, lambda: self._connection.sums)

    async def prepare_destination(self) -> None:
        """Do nothing: a bucket holds no directories, and buckets are not made."""

    async def put_directory(self, key: bytes) -> None:
        """Write the marker of a directory: an object without bytes whose key ends in ``/``."""
        await self.call_s3("put_object", Key=self._key(key), Body=b"", ContentType="application/x-directory")

    async def is_empty(self, key: bytes) -> bool:
        """Tell whether a marker is all that a listing of it shows."""
        answer = await self._list(Prefix=self._key(key), MaxKeys=2)
        # keys come as the store has them
        return {*columns_of(answer).key} <= {self._key(key).encode("utf-8", "surrogateescape")}

    async def remove_directory(self, key: bytes) -> bool:
        """Remove the marker of a directory."""
        return await self._delete_key(self._key(key)) is None

    async def delete(self, entries: Sequence[Entry]) -> list[Exception | None]:
        """Remove objects, up to a thousand a request; key by key where the server refuses that."""
        results: list[Exception | None] = []
        for start in range(0, len(entries), _DELETE_AT_ONCE):
            results += await self._delete_many(
                [self._key(entry.key) for entry in entries[start : start + _DELETE_AT_ONCE]]
            )
        return results

    async def _delete_many(self, keys: list[str]) -> list[Exception | None]:
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        try:
            answer = await self.running.retried(lambda: self.call_s3("delete_objects", Delete=wanted))
        except Exception as error:
            if classify(error) in (Verdict.DENIED, Verdict.FATAL):
                return [error] * len(keys)
            return list(await asyncio.gather(*(self._delete_key(key) for key in keys)))
        failed = {
            item["Key"]: OSError(f"{item.get('Code')}: {item.get('Message')}") for item in answer.get("Errors", [])
        }
        return [failed.get(key) for key in keys]

    async def _delete_key(self, key: str) -> Exception | None:
        try:
            await self.running.retried(lambda: self.call_s3("delete_object", Key=key))
        except Exception as error:
            return None if classify(error) is Verdict.GONE else error
        return None

    # within the store ------------------------------------------------------------------------------------------

    def same_store(self, source: Storage) -> bool:
        """Tell whether both ends are reached through one endpoint with one identity."""
        if not isinstance(source, S3Storage):
            return False
        mine, other = self.address.storage_options, source.address.storage_options
        return all(mine.get(name) == other.get(name) for name in ("key", "secret", "token", "anon", "profile")) and (
            _place(mine) == _place(other)
        )

    async def server_copy(self, source: Storage, entry: Entry) -> str:
        """Copy inside the store, metadata kept, the version that was listed."""
        assert isinstance(source, S3Storage)
        assert entry.size is not None
        origin = {"Bucket": source._bucket, "Key": source._key(entry.key)}
        pin = {"CopySourceIfMatch": f'"{entry.etag}"'} if entry.etag else {}
        try:
            if entry.size <= _WHOLE_COPY:
                said = to_say_anew(entry, self.running)
                await self.call_s3("copy_object", Key=self._key(entry.key), CopySource=origin, **pin, **said)
                return "server"
            present = await source.entry(entry.key)
            if present is None:
                raise SourceVanished("the source is gone")
            entry.metadata = present.metadata
            upload = await self.begin(entry)
            try:
                await upload.copy_from(origin, pin, entry.size)
                await upload.commit()
            except BaseException:
                await asyncio.shield(upload.abort())
                raise
            return "server"
        except Exception as error:
            raise source._object_error(error, entry) from error

    def quick_copy(self, source: Storage, key: bytes) -> bool:
        """Tell whether the engine copies under a key, which it does with all that is said of an object as it is."""
        if self._always or self.running.storage_class or not self.running.metadata:
            return False
        assert isinstance(source, S3Storage)
        return self._engine(self._key(key)) is not None and is_clean(source._key(key))

    def copy_now(self, source: Storage, entry: Entry) -> str:
        """Copy a small object inside the store through the engine."""
        assert isinstance(source, S3Storage)
        bodies, key = self._connection.bodies, self._key(entry.key)
        assert bodies is not None
        try:
            bodies.copier(source._bucket).copy_now(source._key(entry.key), key)
        except Exception as error:
            raise source._object_error(error, entry) from error
        return "server"

    def clock(self) -> tuple[float, float]:
        """Return the bounds of how far the server's clock is ahead, from its answers' ``Date``."""
        return self._connection.clock()

    def hasher(self, etag: str, size: int) -> Hasher | None:
        """Return MD5 for a plain ETag, and the hash of parts for one that fsync's own part size explains."""
        if is_md5(etag):
            return hashlib.md5(usedforsecurity=False)
        digest, dash, count = etag.partition("-")
        if dash and is_md5(digest) and count == str(-(-size // part_size(size))):
            return PartsHash(part_size(size))
        return None


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _place(options: Mapping[str, Any]) -> tuple[Any, Any]:
    client = options.get("client_kwargs", {})
    return options.get("endpoint_url") or client.get("endpoint_url"), client.get("region_name")
