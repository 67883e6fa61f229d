"""Local files: listed by :mod:`fsync.storage.scanning`, read and written through directory descriptors."""

from __future__ import annotations

import mmap
import os
import re
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fsync.address import Address
from fsync.errors import SourceChanged, TypeClash, UnsafeName
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.schema import Kind
from fsync.storage import aside, attributes
from fsync.storage.base import Storage
from fsync.storage.directories import Directories
from fsync.storage.entry import Entry, Presence
from fsync.storage.inplace import InPlaceFile, InPlaceUpload
from fsync.storage.lanes import Lanes
from fsync.storage.local_copy import READ, Tree, check_unchanged, clamped
from fsync.storage.lookup import Lookup
from fsync.storage.naming import refused_as_path
from fsync.storage.partial_file import LocalUpload, PartialFile
from fsync.storage.promises import PROMISES
from fsync.storage.running import Running
from fsync.storage.scanning import Scanning, page_of
from fsync.storage.standing import Standing
from fsync.storage.turns import closing
from fsync.storage.upload import PART, DirectCopy, Upload
from fsync.storage.walk import Prunes

#: an empty component, one that is ``.`` or ``..``, or a NUL byte: exactly what refused_as_path refuses
_UNSAFE = re.compile(rb"(?:\A|/)\.{0,2}(?:/|\Z)|\0")
#: the same for RE2, and a component of more than 255 bytes
_UNSAFE_KEY = r"(?:\A|/)\.{0,2}(?:/|\z)|\x00|[^/]{256}"

#: the longest path that the system's calls take (limits.h counts the NUL byte too)
_PATH_MAX = 4095


class LocalStorage(Storage):
    """A local tree; the address's own path may hold links, what lies below it is never written through one."""

    family = "local"
    sharded = False
    traits = PROMISES["local"]
    ranged = True
    near = True

    def __init__(self, address: Address, running: Running) -> None:
        super().__init__(address, running)
        self._root = os.fsencode(address.root)
        head, slash, self._prefix = self._root.rpartition(b"/")
        self._base = head + slash
        self._read_from = Directories(self._base, follow=True)
        self._write_to = Directories(self._base, follow=False, own=self._prefix)
        self.partials = 0
        self._follows = True
        self._lanes: Lanes | None = None
        self._spare: list[Any] = []

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
        if len(self._root) + len(key) > _PATH_MAX:
            return f"the path has more than {_PATH_MAX} bytes"
        if len(path) > 255 and any(len(component) > 255 for component in path.split(b"/")):
            return "the name has a component of more than 255 bytes"
        return None

    async def pages(
        self, *, follow: bool = True, prunes: Prunes | None = None, within: KeyRange = EVERY_KEY
    ) -> AsyncIterator[pa.RecordBatch]:
        """Yield the entries below the root as pages."""
        self._follows = follow
        scanning = Scanning(self._root, self.address.given, self.running, follow=follow, prunes=prunes, within=within)
        async with closing(scanning.pages()) as pages:
            async for page in pages:
                yield page
        self.partials += scanning.partials

    async def rows(self, keys: Sequence[bytes], *, follow: bool = True, directories: bool = True) -> pa.RecordBatch:
        """Return the rows of exactly these keys, as a listing would give them."""
        self._follows = follow
        owners = self.running.mask != 0o666
        lookup = Lookup(self._root, self.address.given, follow=follow, prunes=None, owners=owners)
        possible = [key for key in keys if self.refuses(key.rstrip(b"/")) is None]
        rows = await self.running.on_disk(lookup.rows, possible)
        return page_of(rows.packed())

    async def exists(self, key: bytes) -> bool:
        """Tell whether anything but a directory stands under this key, a dangling link too; for ``d/`` a directory."""
        return await self.running.on_disk(self._stands, key)

    def _stands(self, key: bytes) -> bool:
        path = self._root + key
        if not self._follows:
            return self._stands_itself(key)
        if key.endswith(b"/"):
            return os.path.isdir(path)
        try:
            facts = os.lstat(path)
            if stat.S_ISLNK(facts.st_mode) and os.path.isdir(path):
                return False
        except (FileNotFoundError, NotADirectoryError):
            return False
        return not stat.S_ISDIR(facts.st_mode)

    def _stands_itself(self, key: bytes) -> bool:
        """Tell whether something stands under a key without following a link to it."""
        directory, name = self.place(key.rstrip(b"/"))
        try:
            with self._write_to.lease(directory) as above:
                facts = os.stat(name, dir_fd=above, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError, TypeClash):
            return False
        return stat.S_ISDIR(facts.st_mode) == key.endswith(b"/")

    async def entry(self, key: bytes) -> Entry | None:
        """Return the present facts of one file, links followed."""
        try:
            facts = await self.running.on_disk(os.stat, self._root + key)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Entry(key, facts.st_size, clamped(facts.st_mtime_ns), identity=_identity(facts))

    async def standings(self, entries: Sequence[Entry]) -> list[Standing | Exception]:
        """Tell what has become of listed entries, which nothing below the address's own path leads to by a link."""
        return await self.running.on_disk(lambda: [self._stands_as(entry) for entry in entries])

    def _stands_as(self, entry: Entry) -> Standing | Exception:
        directory, name = self.place(entry.key.rstrip(b"/"))
        try:
            with self._write_to.lease(directory) as above:
                facts = os.stat(name, dir_fd=above, follow_symlinks=False)
                text = os.readlink(name, dir_fd=above) if stat.S_ISLNK(facts.st_mode) else None
        except TypeClash:
            return Standing.BEHIND_LINK if os.path.lexists(self._root + entry.key) else Standing.GONE
        except (FileNotFoundError, NotADirectoryError):
            return Standing.GONE
        except OSError as error:
            return error
        entry.identity = _identity(facts)
        if text is not None and entry.kind is not Kind.LINK:
            return Standing.BEHIND_LINK
        if entry.kind is Kind.DIRECTORY:
            return Standing.UNCHANGED if stat.S_ISDIR(facts.st_mode) else Standing.CHANGED
        same = text == entry.link if entry.kind is Kind.LINK else stat.S_ISREG(facts.st_mode)
        same = same and entry.size in (None, facts.st_size) and entry.mtime in (None, clamped(facts.st_mtime_ns))
        same = same and (entry.changed is None or clamped(facts.st_ctime_ns) <= entry.changed)
        return Standing.UNCHANGED if same else Standing.CHANGED

    @property
    def removes_only_empty(self) -> bool:
        """Tell that the system refuses to remove a directory that is not empty."""
        return True

    async def is_empty(self, key: bytes) -> bool:
        """Tell whether nothing lies in a directory."""
        return not await self.running.on_disk(os.listdir, self._root + key)

    # reading ---------------------------------------------------------------------------------------------------

    async def read(self, entry: Entry) -> bytes:
        """Return the whole content of a small file, unchanged while it was read."""
        return await self.running.in_pool(self.read_now, entry)

    def quick(self, key: bytes) -> bool:
        """Tell that a file is read or written by one thread, except where it is written into."""
        return not self.running.inplace

    def read_now(self, entry: Entry) -> bytes:
        """Read a small file."""
        descriptor, facts = self.open_source(entry)
        entry.identity = _identity(facts)
        try:
            data = os.read(descriptor, facts.st_size)
            while len(data) < facts.st_size and (more := os.read(descriptor, facts.st_size - len(data))):
                data += more
            check_unchanged(descriptor, facts, len(data))
            return data
        finally:
            os.close(descriptor)

    async def part(self, entry: Entry, offset: int, length: int) -> memoryview:
        """Return one range of a file that still is what the listing said."""
        return await self.running.in_pool(self._read_range, entry, offset, length)

    def _read_range(self, entry: Entry, offset: int, length: int) -> memoryview:
        descriptor, facts = self.open_source(entry)
        try:
            view = self._room(length)
            filled = 0
            while filled < length and (more := os.preadv(descriptor, [view[filled:]], offset + filled)):
                filled += more
            check_unchanged(descriptor, facts, facts.st_size if filled == length else filled)
            return view
        finally:
            os.close(descriptor)

    def _room(self, length: int) -> memoryview:
        """Return memory for a part: what an earlier one has given back, for a new one costs as much as reading it."""
        try:
            spare = self._spare.pop()
        except IndexError:
            spare = None
        if spare is None or len(spare) < length:
            spare = mmap.mmap(-1, max(length, PART))
        return memoryview(spare)[:length]

    def give_back(self, data: bytes | memoryview) -> None:
        """Keep the memory of a part for the next one."""
        assert isinstance(data, memoryview)
        self._spare.append(data.obj)

    async def parts(self, entry: Entry, part_size: int) -> AsyncIterator[bytes]:
        """Yield a large file in order."""
        assert entry.size is not None
        for offset in range(0, entry.size, part_size):
            view = await self.part(entry, offset, min(part_size, entry.size - offset))
            yield bytes(view)
            self.give_back(view)

    def open_source(self, entry: Entry) -> tuple[int, os.stat_result]:
        """Open a listed file for reading; SourceChanged if it no longer is the regular file of the listing."""
        directory, _, name = (self._prefix + entry.key).rpartition(b"/")
        with self._read_from.lease(directory) as above:
            descriptor = os.open(name, READ, dir_fd=above)
        facts = os.fstat(descriptor)
        same = facts.st_size == entry.size and clamped(facts.st_mtime_ns) == entry.mtime and stat.S_ISREG(facts.st_mode)
        if not same or (entry.identity is not None and entry.identity != _identity(facts)):
            os.close(descriptor)
            raise SourceChanged("the source changed after it was listed")
        return descriptor, facts

    # writing ---------------------------------------------------------------------------------------------------

    async def prepare_destination(self) -> None:
        """Make the directory that the address names; its own path may hold links."""
        await self.running.on_disk(os.makedirs, self._base, exist_ok=True)

    async def put(self, entry: Entry, data: bytes) -> str:
        """Write a small file whole under a partial name, then give it its own; the length is what verifies it."""
        return await self.running.in_pool(self.write_now, entry, data)

    def write_now(self, entry: Entry, data: bytes) -> str:
        """Write a small file."""
        with self._existing(entry) or self._partial(entry.key) as file:
            file.write(data, 0)
            file.finish(entry.mtime, len(data))
        return "size"

    async def begin(self, entry: Entry) -> Upload:
        """Begin a large file: a partial of its full length, into which parts are written in any order."""
        existing = await self.running.in_pool(self._existing, entry)
        if existing is not None:
            return InPlaceUpload(existing, entry, self.running)
        return await self.running.in_pool(lambda: LocalUpload(self._partial(entry.key), entry, self.running))

    def _existing(self, entry: Entry) -> InPlaceFile | None:
        """Open the file that ``--inplace`` writes into; None where a new one is to take the name."""
        return InPlaceFile.of(self._write_to, *self.place(entry.key), entry) if self.running.inplace else None

    def direct(self, source: Storage) -> DirectCopy | None:
        """Return the copying of files between two local trees, by this process and a helper."""
        if not isinstance(source, LocalStorage):
            return None
        if self._lanes is None:
            setup = (source._base, source._prefix, self._base, self._prefix)
            self._lanes = Lanes(
                Tree(source._read_from, source._prefix), Tree(self._write_to, self._prefix), setup, self.running
            )
        return self._copy_directly

    async def _copy_directly(self, plan: pa.RecordBatch) -> Mapping[int, Exception]:
        """Copy the files of a PLAN batch; give by position the errors of those that were not copied."""
        assert self._lanes is not None
        unsafe = self._unsafe(plan.column("key"))
        if not unsafe:
            return await self._lanes.copy(plan)
        safe = [position for position in range(plan.num_rows) if position not in unsafe]
        failed = await self._lanes.copy(plan.take(pa.array(safe, pa.int64())))
        return unsafe | {safe[position]: error for position, error in failed.items()}

    def _unsafe(self, keys: pa.BinaryArray) -> dict[int, Exception]:
        """Return, by position, the keys that no path here can have."""
        # what the prefix does to a name is not seen in the keys alone
        if not self._prefix and not pc.any(pc.match_substring_regex(keys, _UNSAFE_KEY)).as_py():
            longest = pc.max(pc.binary_length(keys)).as_py() or 0
            if longest + len(self._root) <= _PATH_MAX:
                return {}
        refused = ((position, self.refuses(key)) for position, key in enumerate(keys.to_pylist()))
        return {position: UnsafeName(why) for position, why in refused if why is not None}

    def place(self, key: bytes) -> tuple[bytes, bytes]:
        """Return the directory below the base and the name of a key."""
        directory, _, name = (self._prefix + key).rpartition(b"/")
        return directory, name

    def _partial(self, key: bytes) -> PartialFile:
        return PartialFile(self._write_to, *self.place(key), self.running.run_id, self.running.mask)

    async def put_link(self, entry: Entry) -> None:
        """Make a link with the source's text."""
        assert entry.link is not None
        path = self._prefix + entry.key
        await self.running.on_disk(
            attributes.make_link, self._write_to, path, entry.link, entry.mtime, self.running.run_id
        )

    async def put_directory(self, key: bytes) -> None:
        """Make a directory and its parents."""
        await self.running.on_disk(attributes.make_directory, self._write_to, (self._prefix + key).rstrip(b"/"))

    async def set_permissions(self, entry: Entry) -> str:
        """Give an entry mode, owner and group; return what could not be set."""
        path = self._prefix + entry.key
        mode = entry.mode or 0
        return await self.running.on_disk(
            attributes.set_permissions, self._write_to, path, mode, entry.owner, entry.group
        )

    async def set_directory_time(self, key: bytes, mtime: int) -> None:
        """Give a directory its modification time."""
        path = (self._prefix + key).rstrip(b"/")
        await self.running.on_disk(attributes.set_time, self._write_to, path, mtime)

    async def remove_directory(self, key: bytes) -> bool:
        """Remove a directory if it is empty; tell whether it is gone."""
        path = (self._prefix + key).rstrip(b"/")
        return await self.running.on_disk(attributes.remove_directory, self._write_to, path)

    async def delete(self, entries: Sequence[Entry]) -> list[Exception | None]:
        """Remove files that still are what their listing said."""
        return await self.running.on_disk(lambda: [self._unlink(entry) for entry in entries])

    def _unlink(self, entry: Entry) -> Exception | None:
        directory, name = self.place(entry.key)
        try:
            with self._write_to.lease(directory) as above:
                facts = os.stat(name, dir_fd=above, follow_symlinks=False)
                if clamped(facts.st_mtime_ns) != entry.mtime or facts.st_size != entry.size:
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


def _identity(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_dev, facts.st_ino, facts.st_ctime_ns
