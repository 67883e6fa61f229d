"""Local files: listed by :mod:`fsync.storage.scan`, read and written through directory descriptors."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import stat
from collections.abc import AsyncIterator, Sequence

import pyarrow as pa

from fsync.address import Address
from fsync.errors import SourceChanged
from fsync.storage import aside
from fsync.storage.base import DirectCopy, Entry, Presence, Storage, Upload, refused_as_path
from fsync.storage.copier import Copier
from fsync.storage.directories import Directories
from fsync.storage.local_copy import READ, Tree, check_unchanged, copy_files
from fsync.storage.partial import CREATE, partial_name, rename_into_place
from fsync.storage.running import Running
from fsync.storage.scan import Scan
from fsync.storage.walk import Prunes
from fsync.traits import KeyOrder, MtimeKind, Rename, Traits

#: an empty component, one that is ``.`` or ``..``, or a NUL byte: exactly what refused_as_path refuses
_UNSAFE = re.compile(rb"(?:\A|/)\.{0,2}(?:/|\Z)|\0")

#: files after which a helper process is worth its start
_MANY = 1024

#: what the clock of file times may lag behind: the kernel stamps with its last tick
_KERNEL_TICK = 10_000_000


class LocalStorage(Storage):
    """A local tree; the address's own path may hold links, what lies below it is never written through one."""

    family = "local"
    ranged = True
    near = True

    def __init__(self, address: Address, running: Running) -> None:
        super().__init__(address, running)
        self.traits = Traits(
            family=self.family,
            file_like=True,
            key_order=KeyOrder.BYTES,
            mtime=MtimeKind.SETTABLE,
            mtime_tick=1,
            clock_error=_KERNEL_TICK,
            rename=Rename.ATOMIC,
            final_put=True,
            links=True,
            permissions=True,
        )
        self._root = os.fsencode(address.root)
        head, slash, self._prefix = self._root.rpartition(b"/")
        self._base = head + slash
        self._read_from = Directories(self._base, follow=True)
        self._write_to = Directories(self._base, follow=False)
        self.partials = 0
        self._lanes: _Lanes | None = None

    async def open(self) -> None:
        """Do nothing: files are reached by the system's own calls, and fsspec's local filesystem adds none."""

    async def close(self) -> None:
        """End the helper and close the directories that are still open."""
        if self._lanes is not None:
            await self._lanes.close()
        self._read_from.close()
        self._write_to.close()

    async def probe(self) -> Presence:
        """Tell what stands at the root, links followed."""
        try:
            facts = await self.running.on_disk(os.stat, self._root)
        except (FileNotFoundError, NotADirectoryError):
            return Presence.NOTHING
        except OSError as error:
            raise self.listing_error(error) from error
        return Presence.DIRECTORY if stat.S_ISDIR(facts.st_mode) else Presence.FILE

    def refuses(self, key: bytes) -> str | None:
        """Return why a local path cannot have this key."""
        path = self._prefix + key
        if _UNSAFE.search(path):
            return refused_as_path(os.fsdecode(path))
        if len(path) > 255 and any(len(component) > 255 for component in path.split(b"/")):
            return "the name has a component of more than 255 bytes"
        return None

    async def pages(self, *, follow: bool = True, prunes: Prunes | None = None) -> AsyncIterator[pa.RecordBatch]:
        """Yield the entries below the root as pages, read by the one thread of the local disk."""
        scan = Scan(self._root, self.address.given, follow=follow, prunes=prunes)
        pages = scan.pages()
        while (page := await self.running.on_disk(next, pages, None)) is not None:
            yield page
        self.partials += scan.partials

    async def exists(self, key: bytes) -> bool:
        """Tell whether anything but a directory stands under this key, a dangling link too."""
        return await self.running.on_disk(self._stands, key)

    def _stands(self, key: bytes) -> bool:
        path = self._root + key
        try:
            facts = os.lstat(path)
            if stat.S_ISLNK(facts.st_mode) and os.path.isdir(path):
                return False
        except (FileNotFoundError, NotADirectoryError):
            return False
        return not stat.S_ISDIR(facts.st_mode)

    async def entry(self, key: bytes) -> Entry | None:
        """Return the present facts of one file, links followed."""
        try:
            facts = await self.running.on_disk(os.stat, self._root + key)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Entry(key, facts.st_size, facts.st_mtime_ns)

    # reading ---------------------------------------------------------------------------------------------------

    async def read(self, entry: Entry) -> bytes:
        """Return the whole content of a small file, unchanged while it was read."""
        return await self.running.in_pool(self._read_whole, entry)

    def _read_whole(self, entry: Entry) -> bytes:
        descriptor, facts = self.open_source(entry)
        try:
            data = os.read(descriptor, facts.st_size)
            while len(data) < facts.st_size and (more := os.read(descriptor, facts.st_size - len(data))):
                data += more
            check_unchanged(descriptor, facts, len(data))
            return data
        finally:
            os.close(descriptor)

    async def part(self, entry: Entry, offset: int, length: int) -> bytes:
        """Return one range of a file that still is what the listing said."""
        return await self.running.in_pool(self._read_range, entry, offset, length)

    def _read_range(self, entry: Entry, offset: int, length: int) -> bytes:
        descriptor, facts = self.open_source(entry)
        try:
            data = os.pread(descriptor, length, offset)
            while len(data) < length and (more := os.pread(descriptor, length - len(data), offset + len(data))):
                data += more
            check_unchanged(descriptor, facts, facts.st_size if len(data) == length else len(data))
            return data
        finally:
            os.close(descriptor)

    async def parts(self, entry: Entry, part_size: int) -> AsyncIterator[bytes]:
        """Yield a large file in order."""
        assert entry.size is not None
        for offset in range(0, entry.size, part_size):
            yield await self.part(entry, offset, min(part_size, entry.size - offset))

    def open_source(self, entry: Entry) -> tuple[int, os.stat_result]:
        """Open a listed file for reading; SourceChanged if it no longer is the regular file of the listing."""
        directory, _, name = (self._prefix + entry.key).rpartition(b"/")
        with self._read_from.lease(directory) as above:
            descriptor = os.open(name, READ, dir_fd=above)
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size != entry.size or facts.st_mtime_ns != entry.mtime:
            os.close(descriptor)
            raise SourceChanged("the source changed after it was listed")
        return descriptor, facts

    # writing ---------------------------------------------------------------------------------------------------

    async def prepare_destination(self) -> None:
        """Make the directory that the address names; its own path may hold links."""
        await self.running.on_disk(os.makedirs, self._base, exist_ok=True)

    async def put(self, entry: Entry, data: bytes) -> str:
        """Write a small file whole under a partial name, then give it its own; the length is what verifies it."""
        await self.running.in_pool(self._write_whole, entry, data)
        return "size"

    def _write_whole(self, entry: Entry, data: bytes) -> None:
        with PartialFile(self, entry.key) as partial:
            partial.write(data, 0)
            partial.finish(entry.mtime, len(data))

    async def begin(self, entry: Entry) -> Upload:
        """Begin a large file: a partial of its full length, into which parts are written in any order."""
        return await self.running.in_pool(_LocalUpload, self, entry)

    def direct(self, source: Storage) -> DirectCopy | None:
        """Return the copying of files between two local trees, by this process and a helper."""
        if not isinstance(source, LocalStorage):
            return None
        if self._lanes is None or self._lanes.source is not source:
            self._lanes = _Lanes(source, self)
        return self._lanes.copy

    def tree(self, directories: Directories) -> Tree:
        """Return this end as the copying code wants it."""
        return Tree(directories, self._prefix)

    def setup(self) -> tuple[bytes, bytes]:
        """Return base and prefix for a helper process."""
        return self._base, self._prefix

    def place(self, key: bytes) -> tuple[bytes, bytes]:
        """Return the directory below the base and the name of a key."""
        directory, _, name = (self._prefix + key).rpartition(b"/")
        return directory, name

    @property
    def source_directories(self) -> Directories:
        """The directories that files are read from."""
        return self._read_from

    @property
    def destination_directories(self) -> Directories:
        """The directories that files are written to."""
        return self._write_to

    async def delete(self, entries: Sequence[Entry]) -> list[Exception | None]:
        """Remove files that still are what their listing said."""
        return await self.running.on_disk(lambda: [self._unlink(entry) for entry in entries])

    def _unlink(self, entry: Entry) -> Exception | None:
        directory, name = self.place(entry.key)
        try:
            with self._write_to.lease(directory) as above:
                facts = os.stat(name, dir_fd=above, follow_symlinks=False)
                if facts.st_mtime_ns != entry.mtime or facts.st_size != entry.size:
                    return SourceChanged("it changed after it was listed, so it was not removed")
                os.unlink(name, dir_fd=above)
        except FileNotFoundError:
            return None
        except Exception as error:
            return error
        return None

    # type clashes ----------------------------------------------------------------------------------------------

    async def obstacle(self, key: bytes) -> bytes:
        """Return the key of what stands in the way of writing ``key``."""
        found = await self.running.on_disk(aside.obstacle, self._write_to, self._prefix + key)
        return found[len(self._prefix) :]

    async def inside(self, key: bytes) -> list[bytes]:
        """Return the keys at or below a key that are no directories, invisible ones too."""
        found = await self.running.on_disk(aside.inside, self._write_to, self._prefix + key)
        return [path[len(self._prefix) :] for path in found]

    async def move_aside(self, key: bytes) -> bytes:
        """Move what stands at a key aside; return where it is."""
        return await self.running.on_disk(aside.move_aside, self._write_to, self._prefix + key)

    async def put_back(self, moved: bytes, key: bytes) -> None:
        """Undo :meth:`move_aside`."""
        await self.running.on_disk(aside.put_back, self._write_to, moved, self._prefix + key)

    async def remove_aside(self, moved: bytes) -> None:
        """Remove what :meth:`move_aside` moved."""
        await self.running.on_disk(aside.remove_aside, self._write_to, moved)


class PartialFile:
    """A file being written beside its final name; leaving the ``with`` block without :meth:`finish` removes it."""

    def __init__(self, storage: LocalStorage, key: bytes) -> None:
        self._directories = storage.destination_directories
        self._directory, self._name = storage.place(key)
        self._partial = partial_name(self._name, storage.running.run_id)
        self._above = self._directories.take(self._directory, create=True)
        try:
            self.descriptor = self._create()
        except BaseException:
            self._directories.give_back(self._directory)
            raise
        self._open = True

    def _create(self) -> int:
        return os.open(self._partial, CREATE, 0o666, dir_fd=self._above)

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self.descriptor, view, offset)
            view = view[written:]
            offset += written

    def finish(self, mtime: int | None, size: int) -> None:
        """Check the length, set the time and give the file its final name; TypeClash if a directory has it."""
        if os.fstat(self.descriptor).st_size != size:
            raise OSError(errno.EIO, "the file written has not the length that was written")
        if mtime is not None:
            os.utime(self.descriptor, ns=(mtime, mtime))
        os.close(self.descriptor)
        self._open = False
        try:
            rename_into_place(self._partial, self._name, self._above)
        except BaseException:
            os.unlink(self._partial, dir_fd=self._above)
            raise
        finally:
            self._directories.give_back(self._directory)

    def discard(self) -> None:
        """Close and remove the partial unless it was finished."""
        if self._open:
            self._open = False
            os.close(self.descriptor)
            try:
                os.unlink(self._partial, dir_fd=self._above)
            finally:
                self._directories.give_back(self._directory)


class _LocalUpload(Upload):
    parallel = True

    def __init__(self, storage: LocalStorage, entry: Entry) -> None:
        assert entry.size is not None
        self._storage, self._entry, self._size = storage, entry, entry.size
        self._partial = PartialFile(storage, entry.key)
        try:
            os.posix_fallocate(self._partial.descriptor, 0, entry.size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                self._partial.discard()
                raise
            os.ftruncate(self._partial.descriptor, entry.size)

    async def write(self, number: int, data: bytes | bytearray | memoryview) -> None:
        await self._storage.running.in_pool(self._partial.write, data, number * self.part_size)

    async def commit(self) -> str:
        await self._storage.running.in_pool(self._partial.finish, self._entry.mtime, self._size)
        return "size"

    async def abort(self) -> None:
        await asyncio.shield(self._storage.running.in_pool(self._partial.discard))


class _Lanes:
    """Who copies local files: the one thread of the local disk, and a helper process once there is much to do."""

    def __init__(self, source: LocalStorage, destination: LocalStorage) -> None:
        self.source, self._destination = source, destination
        self._free: asyncio.Queue[Copier | None] = asyncio.Queue()
        self._free.put_nowait(None)
        self._helpers: list[Copier] = []
        self._rows = 0

    async def copy(self, entries: Sequence[Entry]) -> list[str | Exception]:
        """Copy a batch by whoever is free; give for each entry what verified it, or the error of its only attempt."""
        rows = [(entry.key, entry.size or 0, entry.mtime or 0) for entry in entries]
        running = self._destination.running
        self._rows += len(rows)
        if self._rows > _MANY and len(self._helpers) < running.processes and self._free.empty():
            self._start()
        lane = await self._free.get()
        try:
            if lane is not None:
                errors = await running.in_pool(lane.copy, rows)
            else:
                errors = await running.on_disk(self._copy_here, rows)
        finally:
            self._free.put_nowait(lane)
        return ["size" if error is None else error for error in errors]

    def _copy_here(self, rows: Sequence[tuple[bytes, int, int]]) -> list[Exception | None]:
        destination, source = self._destination, self.source
        return copy_files(
            source.tree(source.source_directories),
            destination.tree(destination.destination_directories),
            destination.running.run_id,
            rows,
            destination.running.stop.is_set,
        )

    def _start(self) -> None:
        umask = os.umask(0)
        os.umask(umask)
        helper = Copier((*self.source.setup(), *self._destination.setup(), self._destination.running.run_id, umask))
        self._helpers.append(helper)
        self._free.put_nowait(helper)

    async def close(self) -> None:
        for helper in self._helpers:
            await self._destination.running.in_pool(helper.close)
