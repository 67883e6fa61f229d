"""fsspec's in-memory filesystem: a flat store of whole objects in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pyarrow as pa

from fsync.address import Address
from fsync.errors import ShortRead, SourceNotFound, SourceVanished, TypeClash, printable
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.schema import Kind
from fsync.storage.base import Storage
from fsync.storage.entry import Entry, Presence
from fsync.storage.info import nanoseconds
from fsync.storage.promises import PROMISES
from fsync.storage.running import Running
from fsync.storage.upload import Upload
from fsync.storage.walk import PAGE_ROWS, Prunes, page_of_rows


class MemoryStorage(Storage):
    """What begins with a root in fsspec's shared store; objects appear whole, times are those of writing."""

    family = "memory"
    sharded = False
    traits = PROMISES["memory"]

    def __init__(self, address: Address, running: Running) -> None:
        super().__init__(address, running)
        self._implied: set[str] | None = None

    async def probe(self) -> Presence:
        """Tell what stands at the root."""
        root = "/" + self.address.root.strip("/")
        if root in self.fs.store and not self.address.is_directory:
            return Presence.FILE
        inside = "/" if root == "/" else root + "/"
        known = root in ("/", *self.fs.pseudo_dirs) or any(path.startswith(inside) for path in tuple(self.fs.store))
        return Presence.DIRECTORY if known else Presence.NOTHING

    async def pages(
        self, *, follow: bool = True, prunes: Prunes | None = None, within: KeyRange = EVERY_KEY
    ) -> AsyncIterator[pa.RecordBatch]:
        """Yield the store's paths below the root, with the directories that they and empty directories imply."""
        root = self.address.root
        if self.address.is_directory and await self.probe() is Presence.NOTHING:
            raise SourceNotFound(f"{self.address.given} does not exist")
        files = {path: held for path, held in tuple(self.fs.store.items()) if path.startswith(root)}
        names = set(files)
        empty = [directory + "/" for directory in tuple(self.fs.pseudo_dirs) if directory.startswith(root)]
        for path in (*files, *empty):
            end = path.rfind("/")
            while end >= len(root):
                names.add(path[: end + 1])
                end = path.rfind("/", 0, end)
        ordered = sorted((name[len(root) :].encode("utf-8", "surrogateescape"), name) for name in names)
        if within.under:
            ordered = [item for item in ordered if item[0].startswith(within.under)]
            if not ordered:
                raise SourceNotFound(f"{self.path(within.under)} does not exist")
        for start in range(0, len(ordered), PAGE_ROWS):
            chosen = ordered[start : start + PAGE_ROWS]
            yield page_of_rows([key for key, _ in chosen], [self._row(name, files.get(name)) for _, name in chosen])

    @staticmethod
    def _row(name: str, held: Any) -> dict[str, Any]:
        if name.endswith("/") or held is None:
            return {"kind": int(Kind.DIRECTORY), "size": 0, "mtime": None}
        return {"kind": int(Kind.FILE), "size": held.size, "mtime": nanoseconds(held.modified)}

    async def _look(self, key: bytes, directories: bool) -> tuple[bytes, dict[str, Any]] | None:
        """Return the row of an object, or of a directory that an object or the store's own names imply."""
        path = self.path(key)
        held = self.fs.store.get(path)
        if held is not None:
            return key, self._row(path, held)
        inside = path.rstrip("/") + "/"
        known = directories and (
            inside[:-1] in self.fs.pseudo_dirs or any(name.startswith(inside) for name in tuple(self.fs.store))
        )
        return (key.rstrip(b"/") + b"/", self._row(inside, None)) if known else None

    async def exists(self, key: bytes) -> bool:
        """Tell whether an object has this key."""
        path = self.path(key)
        return path in self.fs.store or (path.endswith("/") and path[:-1] in self.fs.pseudo_dirs)

    async def entry(self, key: bytes) -> Entry | None:
        """Return the present facts of one object."""
        held = self.fs.store.get(self.path(key))
        return None if held is None else Entry(key, held.size, nanoseconds(held.modified))

    async def read(self, entry: Entry) -> bytes:
        """Return an object's bytes as they are now."""
        held = self.fs.store.get(self.path(entry.key))
        if held is None:
            raise SourceVanished("the source is gone")
        data: bytes = held.getvalue()
        if len(data) != entry.size:
            raise ShortRead(f"read {len(data)} bytes where the listing said {entry.size}")
        return data

    async def parts(self, entry: Entry, part_size: int) -> AsyncIterator[bytes]:
        """Yield a large object in order, all of one version."""
        data = memoryview(await self.read(entry))
        for offset in range(0, len(data), part_size):
            yield bytes(data[offset : offset + part_size])

    async def put(self, entry: Entry, data: bytes) -> str:
        """Store an object; TypeClash where a parent of its path is an object."""
        path = self.path(entry.key)
        if path in self._parents():
            raise TypeClash(f"a directory {printable(path)} stands in the way")
        try:
            self.fs.pipe_file(path, data)
        except (FileExistsError, IsADirectoryError) as error:
            raise TypeClash(f"{printable(str(error))} stands in the way") from error
        self._note_parents(path)
        return "size"

    def _parents(self) -> set[str]:
        """Return the directories that the store's paths imply, which the store itself does not know."""
        if self._implied is None:
            self._implied = set()
            for path in tuple(self.fs.store):
                self._note_parents(path)
        return self._implied

    def _note_parents(self, path: str) -> None:
        assert self._implied is not None
        parent = path.rpartition("/")[0]
        while parent and parent not in self._implied:
            self._implied.add(parent)
            parent = parent.rpartition("/")[0]

    async def delete(self, entries: Sequence[Entry]) -> list[Exception | None]:
        """Remove objects; what they implied is worked out anew."""
        self._implied = None
        return await super().delete(entries)

    async def begin(self, entry: Entry) -> Upload:
        """Begin collecting the parts of an object."""
        return _Collected(self, entry)

    async def put_directory(self, key: bytes) -> None:
        """Make an empty directory, which the store keeps as a name."""
        path = self.path(key).rstrip("/")
        if path in self.fs.store:
            raise TypeClash(f"{printable(path)} stands in the way: it is not a directory")
        self.fs.makedirs(path, exist_ok=True)

    async def prepare_destination(self) -> None:
        """Do nothing: the store needs no directories."""


class _Collected(Upload):
    def __init__(self, storage: MemoryStorage, entry: Entry) -> None:
        self._storage, self._entry = storage, entry
        self._parts: list[bytes] = []

    async def write(self, number: int, data: bytes | bytearray | memoryview) -> None:
        self._parts.append(bytes(data))

    async def commit(self) -> str:
        return await self._storage.put(self._entry, b"".join(self._parts))

    async def abort(self) -> None:
        self._parts.clear()
