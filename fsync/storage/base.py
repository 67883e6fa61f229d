"""The storage seam: what the flow asks of an opened end, and the reference implementation over plain fsspec calls.

A :class:`Storage` holds one opened, private fsspec filesystem and the root of an address. Families subclass it for
what they do better; every method here works for any registered fsspec protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Sequence
from typing import Any, ClassVar, Self, TypeVar

import pyarrow as pa

from fsync.address import Address
from fsync.errors import AccessDenied, ListingError, ShortRead, UnsafeName
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.pacing import Verdict, classify, describe
from fsync.schema import Kind
from fsync.storage.entry import Entry, Presence
from fsync.storage.info import row_of
from fsync.storage.naming import refused_as_path
from fsync.storage.running import Running
from fsync.storage.standing import Standing, standing_of
from fsync.storage.turns import closing
from fsync.storage.upload import DirectCopy, Hasher, Upload
from fsync.storage.walk import Prunes, bare, page_of_rows, walk
from fsync.traits import KeyOrder, MtimeKind, Traits

T = TypeVar("T")

#: protocols whose packages refuse to remove a directory that is not empty
_CAREFUL = frozenset({"memory", "sftp", "ssh", "ftp", "smb"})


class NotQuick(Exception):
    """An object cannot be carried by one blocking call at each end."""


class Storage:
    """One opened end of a run: a private fsspec filesystem and the root of an address."""

    family: ClassVar[str] = "generic"
    #: what the family promises; one opened storage may turn out to promise more or less
    traits = Traits(
        family="generic",
        file_like=True,
        key_order=KeyOrder.BYTES,
        mtime=MtimeKind.NONE,
        mtime_tick=1_000_000_000,
    )

    #: several requests of one listing can be under way
    sharded: ClassVar[bool] = True

    @property
    def nests(self) -> bool:
        """Whether an object and one below its key, as ``a`` and ``a/b``, can be written at the same time."""
        return True

    def __init__(self, address: Address, running: Running) -> None:
        self.address = address
        self.running = running
        self.fs: Any = None

    # opening ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the private filesystem; raises UsageError for a missing package or a bad option; touches nothing."""
        from fsync.storage.opening import open_filesystem

        # some packages connect at once, and wait for their answer on the loop that this runs on
        self.fs = await self.running.in_pool(open_filesystem, self.address)

    async def close(self) -> None:
        """Give back connections."""

    def at(self, address: Address) -> Self:
        """Return the same opened storage at another root of it."""
        moved = type(self)(address, self.running)
        moved.fs = self.fs
        return moved

    async def probe(self) -> Presence:
        """Tell what stands at the root; raises ListingError subclasses for a missing bucket or refused access."""
        try:
            info = await self.listing_call("info", bare(self.address.root))
        except FileNotFoundError:
            return Presence.NOTHING
        return Presence.DIRECTORY if info.get("type") == "directory" else Presence.FILE

    # calling fsspec --------------------------------------------------------------------------------------------

    async def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call one fsspec method, asynchronous or not, within the timeout."""
        if self._is_async():
            awaited = getattr(self.fs, "_" + method)(*args, **kwargs)
        else:
            awaited = self.running.in_pool(getattr(self.fs, method), *args, **kwargs)
        return await asyncio.wait_for(awaited, self.running.timeout)

    def _is_async(self) -> bool:
        """Tell whether the filesystem, and the one it may stand in front of, has coroutines."""
        inner = getattr(self.fs, "fs", None)
        return bool(getattr(self.fs, "async_impl", False) and getattr(inner, "async_impl", True))

    async def listing_call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method that listings depend on: retried, and any error but "not there" ends the listing."""
        try:
            return await self.running.retried(lambda: self.call(method, *args, **kwargs))
        except Exception as error:
            raise self.listing_error(error) from error

    def listing_error(self, error: Exception, where: str | None = None) -> Exception:
        """Turn an error of a listing request into what the run reports; FileNotFoundError stays itself."""
        if isinstance(error, ListingError):
            return error
        verdict = classify(error)
        place = where or self.address.given
        if verdict is Verdict.GONE:
            return error if isinstance(error, FileNotFoundError) else FileNotFoundError(place)
        if verdict in (Verdict.DENIED, Verdict.FATAL):
            return AccessDenied(f"cannot list {place}: {describe(error)}; check the credentials and their permissions")
        return ListingError(f"cannot list {place}: {describe(error)}")

    # names -----------------------------------------------------------------------------------------------------

    def path(self, key: bytes) -> str:
        """Return the filesystem's path of a key."""
        return self.address.join(key)

    def refuses(self, key: bytes) -> str | None:
        """Return why this storage cannot hold a key, or None if it can."""
        try:
            text = key.decode()
        except UnicodeDecodeError:
            return "the name is not UTF-8"
        if self.traits.file_like:
            return refused_as_path(self.address.root.rpartition("/")[2] + text)
        return None

    # listing ---------------------------------------------------------------------------------------------------

    async def pages(
        self, *, follow: bool = True, prunes: Prunes | None = None, within: KeyRange = EVERY_KEY
    ) -> AsyncIterator[pa.RecordBatch]:
        """Yield the entries below the root as pages.

        Depth first, each directory's children sorted with ``/`` behind directory names: the order of the keys'
        bytes. ``follow`` lists what links lead to instead of the links (where the storage has links); a directory
        for which ``prunes(key)`` holds is not entered. Of the keys outside ``within`` as many may be left out as
        spares requests; where it is ``under`` a directory, only that one is listed. Raises ListingError for anything
        but a directory that is proven gone.
        """
        async with closing(walk(self, prunes, within)) as found:
            async for page in found:
                yield page

    async def rows(self, keys: Sequence[bytes], *, follow: bool = True, directories: bool = True) -> pa.RecordBatch:
        """Return the rows of exactly these keys, in their order, as a listing would give them.

        A name that is a directory has its row with ``/`` behind it (unless these need not be found: not
        ``directories``), one that ends in ``/`` only if it is one; what is not there has no row. ``follow`` as for
        :meth:`pages`. Raises ListingError.
        """
        found = await asyncio.gather(*(self._looked_up(key, directories) for key in keys))
        rows = [row for row in found if row is not None]
        return page_of_rows([key for key, _ in rows], [row for _, row in rows])

    async def _looked_up(self, key: bytes, directories: bool) -> tuple[bytes, dict[str, Any]] | None:
        # a name that the storage cannot hold is not there, and must not be asked for: it could mean another place
        if self.refuses(key.rstrip(b"/")) is not None:
            return None
        try:
            async with self.running.slots:
                return await self._look(key, directories)
        except NotADirectoryError:
            return None
        except Exception as error:
            raise self.listing_error(error) from error

    async def _look(self, key: bytes, directories: bool) -> tuple[bytes, dict[str, Any]] | None:
        """Return the key and the row of what stands under a name, None if nothing does."""
        try:
            info = await self.running.retried(lambda: self.call("info", bare(self.path(key))))
        except Exception as error:
            if classify(error) is Verdict.GONE:
                return None
            raise
        row = row_of(info)
        if row["kind"] == Kind.DIRECTORY:
            return key.rstrip(b"/") + b"/", row
        return None if key.endswith(b"/") else (key, row)

    async def exists(self, key: bytes) -> bool:
        """Tell whether anything but a directory stands under exactly this key, for ``d/`` a directory; doubt raises."""
        try:
            info = await self.running.retried(lambda: self.call("info", bare(self.path(key))))
        except NotADirectoryError:
            return False
        except Exception as error:
            if classify(error) is Verdict.GONE:
                return False
            raise
        return bool((info.get("type") == "directory") == key.endswith(b"/"))

    async def entry(self, key: bytes) -> Entry | None:
        """Return the present facts of one object, None if it is gone."""
        try:
            info = await self.running.retried(lambda: self.call("info", self.path(key)))
        except NotADirectoryError:
            return None
        except Exception as error:
            if classify(error) is Verdict.GONE:
                return None
            raise
        row = row_of(info)
        return Entry(key, row["size"], row["mtime"], row["etag"])

    async def standings(self, entries: Sequence[Entry]) -> list[Standing | Exception]:
        """Tell what has become of listed entries, or why that cannot be told; facts that are None are not compared.

        Where there are files, links are not followed, and ``identity`` is filled in.
        """
        return list(await asyncio.gather(*(standing_of(self, entry) for entry in entries)))

    # reading ---------------------------------------------------------------------------------------------------

    async def read(self, entry: Entry) -> bytes:
        """Return the whole content of a small object; ShortRead unless it has the listed size."""
        data: bytes = await self.call("cat_file", self.path(entry.key))
        if entry.size is not None and len(data) != entry.size:
            raise ShortRead(f"read {len(data)} bytes where the listing said {entry.size}")
        return data

    def quick(self, key: bytes) -> bool:
        """Tell whether :meth:`read_now` and :meth:`write_now` can carry small objects under a key."""
        return False

    def read_now(self, entry: Entry) -> bytes:
        """Do what :meth:`read` does in one blocking call, on any thread; only for keys that are ``quick``."""
        raise NotImplementedError

    def write_now(self, entry: Entry, data: bytes) -> str:
        """Do what :meth:`put` does in one blocking call, on any thread; only for keys that are ``quick``.

        Raises NotQuick where only :meth:`put` can say what the object says of itself.
        """
        raise NotImplementedError

    async def parts(self, entry: Entry, part_size: int) -> AsyncIterator[bytes]:
        """Yield the content of a large object in order, in parts of ``part_size`` bytes, never past its listed size."""
        from fsync.storage.streamed import read_exactly

        assert entry.size is not None
        file = await self._blocking("open", self.path(entry.key), "rb")
        try:
            left = entry.size
            while left > 0:
                data = await self.running.in_pool(read_exactly, file, min(part_size, left))
                if not data:
                    raise ShortRead(f"the object ended {left} bytes before its listed size of {entry.size}")
                left -= len(data)
                yield data
        finally:
            await self.running.in_pool(file.close)

    async def part(self, entry: Entry, offset: int, length: int) -> bytes | memoryview:
        """Return one range of an object; only where :attr:`ranged` holds."""
        raise NotImplementedError

    def flow(self, entry: Entry, offset: int, length: int) -> Generator[memoryview] | None:
        """Return the bytes of a range in pieces, as they come, by blocking calls, on any thread.

        None where they come by :meth:`part` only. Nothing is asked for before the first piece is.
        """
        return None

    def give_back(self, data: bytes | memoryview) -> None:
        """Take back what :meth:`part` returned, whose memory the next part may then have; nothing may read it now."""

    #: ranges of one object can be read independently through :meth:`part`
    ranged: bool = False

    async def _blocking(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call the synchronous face of an fsspec method off the loop."""
        return await asyncio.wait_for(
            self.running.in_pool(getattr(self.fs, method), *args, **kwargs), self.running.timeout
        )

    # writing ---------------------------------------------------------------------------------------------------

    async def put(self, entry: Entry, data: bytes) -> str:
        """Write a small object under the key of ``entry``; return what verified it (``size``, ``md5``, ...)."""
        path = self.path(entry.key)
        await self._make_parent(path)
        await self.call("pipe_file", path, data)
        return "none"

    async def begin(self, entry: Entry) -> Upload:
        """Begin writing a large object."""
        path = self.path(entry.key)
        await self._make_parent(path)
        from fsync.storage.streamed import StreamedUpload

        return StreamedUpload(self, path, await self._blocking("open", path, "wb"))

    async def _make_parent(self, path: str) -> None:
        if self.traits.file_like:
            await self.call("makedirs", path.rpartition("/")[0] or "/", exist_ok=True)

    async def prepare_destination(self) -> None:
        """Make the destination's own directory; object storages have none."""
        if self.traits.file_like:
            await self.call("makedirs", bare(self.address.root.rpartition("/")[0] or "/"), exist_ok=True)

    async def put_link(self, entry: Entry) -> None:
        """Make a link with the text of ``entry``."""
        raise UnsafeName(f"{self.address.given} holds no links")

    async def put_directory(self, key: bytes) -> None:
        """Make a directory; a zero-byte marker ending in ``/`` where there are only objects."""
        if self.traits.file_like:
            await self.call("makedirs", bare(self.path(key)), exist_ok=True)
        else:
            await self.call("pipe_file", self.path(key), b"")

    async def set_permissions(self, entry: Entry) -> str:
        """Give an entry mode, owner and group; return what could not be set. Only with the trait ``permissions``."""
        raise NotImplementedError

    async def set_directory_time(self, key: bytes, mtime: int) -> None:
        """Give a directory its time, in nanoseconds; only where the trait ``mtime`` is SETTABLE."""
        raise NotImplementedError

    async def remove_directory(self, key: bytes) -> bool:
        """Remove a directory if it is empty, or a marker; tell whether it is gone."""
        if not self.traits.file_like:
            return await self._delete_one(key) is None
        try:
            # some packages' rmdir takes along all that is in it
            if not self.removes_only_empty and await self.call("ls", bare(self.path(key)), detail=False):
                return False
            await self.call("rmdir", bare(self.path(key)))
        except Exception as error:
            return classify(error) is Verdict.GONE
        return True

    async def is_empty(self, key: bytes) -> bool:
        """Tell whether nothing lies below a directory or its marker."""
        below = await self.listing_call("ls", bare(self.path(key)), detail=False)
        return all(bare(str(path)) == bare(self.path(key)) for path in below)

    @property
    def removes_only_empty(self) -> bool:
        """Tell whether the storage has directories, and itself refuses to remove one that is not empty."""
        return self.address.protocol in _CAREFUL

    @property
    def removes(self) -> bool:
        """Tell whether entries can be removed at all."""
        from fsspec.asyn import AsyncFileSystem
        from fsspec.spec import AbstractFileSystem

        if self.fs is None:
            # reached without fsspec
            return True
        kind = type(self.fs)
        if issubclass(kind, AsyncFileSystem):
            return kind._rm_file is not AsyncFileSystem._rm_file
        return kind._rm is not AbstractFileSystem._rm or kind.rm_file is not AbstractFileSystem.rm_file

    async def delete(self, entries: Sequence[Entry]) -> list[Exception | None]:
        """Remove exactly these entries; one result each, None for done (also when it was gone already)."""
        return list(await asyncio.gather(*(self._delete_one(entry.key) for entry in entries)))

    async def _delete_one(self, key: bytes) -> Exception | None:
        try:
            await self.running.retried(lambda: self.call("rm_file", self.path(key)))
        except Exception as error:
            return None if classify(error) is Verdict.GONE else error
        return None

    async def sweep(self) -> None:
        """Remove what runs that are over have left unfinished below the root, where that is known."""

    def same_store(self, source: Storage) -> bool:
        """Tell whether :meth:`server_copy` can take objects of ``source``."""
        return False

    async def server_copy(self, source: Storage, entry: Entry) -> str:
        """Copy within the storage, metadata kept; return what verified it."""
        raise NotImplementedError

    def quick_copy(self, source: Storage, key: bytes) -> bool:
        """Tell whether :meth:`copy_now` can copy small objects of ``source`` under a key."""
        return False

    def copy_now(self, source: Storage, entry: Entry) -> str:
        """Do what :meth:`server_copy` does in one blocking call, on any thread; only for keys that are ``quick_copy``.

        What the source holds at that moment is copied, even if it is another version than the listed one.
        """
        raise NotImplementedError

    # type clashes, where the trait ``rename`` is ATOMIC ----------------------------------------------------------

    async def obstacle(self, key: bytes) -> bytes:
        """Return the key of what stands in the way of writing ``key``."""
        raise NotImplementedError

    async def inside(self, key: bytes) -> list[bytes]:
        """Return the keys at or below a key that are no directories, invisible ones too."""
        raise NotImplementedError

    async def move_aside(self, key: bytes) -> bytes:
        """Rename what stands at a key to a hidden name; return a token for what comes next."""
        raise NotImplementedError

    async def put_back(self, moved: bytes, key: bytes) -> None:
        """Undo :meth:`move_aside`."""
        raise NotImplementedError

    async def remove_aside(self, moved: bytes) -> None:
        """Remove what :meth:`move_aside` moved."""
        raise NotImplementedError

    def hasher(self, etag: str, size: int) -> Hasher | None:
        """Return a hash over an object's bytes whose hexdigest equals ``etag``, None where the etag is no such hash."""
        return None

    def direct(self, source: Storage) -> DirectCopy | None:
        """Return a function that copies files in one go and verifies their length, None if there is none."""
        return None

    #: reading content to decide whether to write it is much cheaper than writing it
    near = False

    def clock(self) -> tuple[float, float]:
        """Return the bounds, in seconds, of how far the clock that stamps uploads is ahead of ours."""
        return (0.0, 0.0)
