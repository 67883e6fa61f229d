"""A store whose listing follows a script and whose reads and writes fail where the script says so.

:class:`Script` holds the truth (what is stored) apart from what its listing tells. It has two faces: a
:class:`ScriptedFileSystem`, handed to fsync as ``(fs, path)``, whose directories are listed by ``ls``; and a
:class:`ScriptedStorage`, which gives the listing's pages exactly as they stand in the script.
"""

from __future__ import annotations

import asyncio
import errno
import io
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import pyarrow as pa
from fsspec import AbstractFileSystem

from fsync.address import Address
from fsync.errors import FsyncError, Redactor
from fsync.filters import Rules
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.options import options_from
from fsync.pacing import Pacing
from fsync.report import Report, SyncResult
from fsync.schema import Kind, page_from_columns
from fsync.storage.base import Storage
from fsync.storage.entry import Entry, Presence
from fsync.storage.running import Running
from fsync.storage.walk import Prunes
from fsync.traits import KeyOrder, MtimeKind, Traits

Fault = Callable[[], Exception]
Page = list["Row"]

#: what a storage package raises when something goes wrong, by the name of what it means
FAULTS: dict[str, Fault] = {
    "input/output error": lambda: OSError(errno.EIO, "Input/output error"),
    "timeout": lambda: TimeoutError("no answer from the store"),
    "denied": lambda: PermissionError(errno.EACCES, "Permission denied"),
    "not found": lambda: FileNotFoundError(errno.ENOENT, "No such file or directory"),
    "connection reset": lambda: ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
}

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """What a listing tells of one key; ``mtime`` in nanoseconds since 1970."""

    key: str
    size: int
    mtime: int


@dataclass(frozen=True, slots=True)
class Held:
    """What is stored under one key; ``mtime`` in nanoseconds since 1970."""

    data: bytes
    mtime: int


@dataclass
class Script:
    """One store: ``held`` is the truth, ``pages`` what its listing tells, page by page.

    ``fails_at`` is the number of the page (storage) or ``ls`` call (filesystem) that raises ``fault``, as often as
    it is asked for, or ``times`` times. ``before`` holds what happens right before a page or ``ls`` call of that
    number. ``reads``, ``writes``, ``questions`` and ``removals`` give the faults of single keys; ``writing`` is called
    with its offset before each piece of a streamed write. ``written`` counts the writes of each key, ``removed``
    collects the keys that were removed.
    """

    held: dict[str, Held]
    pages: list[Page] = field(default_factory=list)
    fails_at: int | None = None
    fault: Fault = FAULTS["input/output error"]
    times: int | None = None
    before: dict[int, Callable[[], object]] = field(default_factory=dict)
    reads: dict[str, Fault] = field(default_factory=dict)
    writes: dict[str, Fault] = field(default_factory=dict)
    questions: dict[str, Fault] = field(default_factory=dict)
    removals: dict[str, Fault] = field(default_factory=dict)
    writing: Callable[[int], object] = lambda _: None
    written: Counter[str] = field(default_factory=Counter)
    removed: list[str] = field(default_factory=list)
    listed: int = 0

    @classmethod
    def of(cls, contents: dict[str, Held], *, rows: int, order: Iterable[str] | None = None) -> Script:
        """Make a store that lists its truth in pages of ``rows`` keys, in byte order or in the order given."""
        keys = sorted(contents, key=str.encode) if order is None else list(order)
        facts = [Row(key, len(contents[key].data), contents[key].mtime) for key in keys]
        return cls(dict(contents), [facts[start : start + rows] for start in range(0, len(facts), rows)])

    def fail_if_due(self, number: int) -> None:
        """Let happen what is due before page or call ``number``, and raise the fault if it is the one that fails."""
        self.before.pop(number, lambda: None)()
        if number == self.fails_at and (self.times is None or self.times > 0):
            self.times = None if self.times is None else self.times - 1
            raise self.fault()

    def read(self, key: str) -> bytes:
        """Return the content of a key, or raise what the script has for it."""
        if key in self.reads:
            fault = self.reads[key]()
            raise fault
        if key not in self.held:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return self.held[key].data

    def write(self, key: str, data: bytes, mtime: int) -> None:
        """Store a key, or raise what the script has for it and store nothing."""
        if key in self.writes:
            fault = self.writes[key]()
            raise fault
        self.held[key] = Held(data, mtime)
        self.written[key] += 1

    def remove(self, key: str) -> None:
        """Remove a key, or raise what the script has for it and remove nothing."""
        if key in self.removals:
            fault = self.removals[key]()
            raise fault
        if key not in self.held:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        del self.held[key]
        self.removed.append(key)

    def data(self) -> dict[str, bytes]:
        """Return the content of every key."""
        return {key: held.data for key, held in self.held.items()}


# what can happen to a listing --------------------------------------------------------------------------------------


def repeated(pages: Sequence[Page], number: int) -> list[Page]:
    """Give a page twice in a row, as a retried request does."""
    return [*pages[: number + 1], pages[number], *pages[number + 1 :]]


def repeated_twice(pages: Sequence[Page], number: int) -> list[Page]:
    """Give a page three times in a row."""
    return repeated(repeated(pages, number), number)


def repeated_at_the_end(pages: Sequence[Page], number: int) -> list[Page]:
    """Give a page once more when all are told."""
    return [*pages, pages[number]]


def swapped(pages: Sequence[Page], number: int) -> list[Page]:
    """Give a page after its successor; the last one comes first."""
    other = (number + 1) % len(pages)
    changed = list(pages)
    changed[number], changed[other] = changed[other], changed[number]
    return changed


def reversed_within(pages: Sequence[Page], number: int) -> list[Page]:
    """Give the rows of one page backwards."""
    return [*pages[:number], pages[number][::-1], *pages[number + 1 :]]


def dropped(pages: Sequence[Page], number: int) -> list[Page]:
    """Leave a page out."""
    return [*pages[:number], *pages[number + 1 :]]


def overlapping(pages: Sequence[Page], number: int) -> list[Page]:
    """Begin a page with the last row of the one before it (the first page with its own first row)."""
    before = pages[number - 1][-1] if number else pages[0][0]
    return [*pages[:number], [before, *pages[number]], *pages[number + 1 :]]


MUTATIONS: dict[str, Callable[[Sequence[Page], int], list[Page]]] = {
    function.__name__: function
    for function in (
        repeated,
        repeated_twice,
        repeated_at_the_end,
        swapped,
        reversed_within,
        dropped,
        overlapping,
    )
}


# the filesystem ----------------------------------------------------------------------------------------------------


class ScriptedFileSystem(AbstractFileSystem):
    """An fsspec filesystem over a :class:`Script`; ``name`` tells one store from another.

    ``ls`` gives what the script's pages tell of one directory, in their order and as often as they tell it. ``marker``
    is what the names that it gives begin with: packages differ in whether a path has a leading slash.
    """

    protocol = "scripted"
    cachable = False

    def __init__(self, name: str, marker: str, **options: Any) -> None:
        super().__init__(name=name, marker=marker, **options)
        self.marker = marker
        self.script = Script({})

    @classmethod
    def of(cls, name: str, script: Script, *, marker: str = "/") -> ScriptedFileSystem:
        """Open a store."""
        filesystem = cls(name=name, marker=marker)
        filesystem.script = script
        return filesystem

    @staticmethod
    def _key(path: str) -> str:
        return path.strip("/")

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """List one directory; a file is listed as itself."""
        call = self.script.listed
        self.script.listed += 1
        self.script.fail_if_due(call)
        directory = self._key(path)
        inside = directory + "/" if directory else ""
        infos: list[dict[str, Any]] = []
        directories: set[str] = set()
        for row in (row for page in self.script.pages for row in page):
            if row.key == directory:
                return [self._info(row)] if detail else [self.marker + row.key]
            if not row.key.startswith(inside):
                continue
            name, slash, _ = row.key[len(inside) :].partition("/")
            if not slash:
                infos.append(self._info(row))
            elif name not in directories:
                directories.add(name)
                infos.append({"name": self.marker + inside + name, "size": 0, "type": "directory"})
        if not infos and directory:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return infos if detail else [info["name"] for info in infos]

    def _info(self, row: Row) -> dict[str, Any]:
        return {"name": self.marker + row.key, "size": row.size, "type": "file", "mtime": row.mtime / SECOND}

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Tell what stands under a path: the truth, not what the listing says."""
        key = self._key(path)
        if key in self.script.questions:
            fault = self.script.questions[key]()
            raise fault
        held = self.script.held.get(key)
        if held is not None:
            return self._info(Row(key, len(held.data), held.mtime))
        if not key or any(known.startswith(key + "/") for known in self.script.held):
            return {"name": self.marker + key, "size": 0, "type": "directory"}
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        """Read a key."""
        return self.script.read(self._key(path))[start:end]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        """Write a key."""
        self.script.write(self._key(path), bytes(value), 2_000_000_000 * SECOND)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        return _Written(self.script, self._key(path)) if mode == "wb" else io.BytesIO(self.script.read(self._key(path)))

    def rm_file(self, path: str) -> None:
        """Remove a key."""
        self.script.remove(self._key(path))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do nothing: directories are implied."""


class _Written(io.BytesIO):
    """A key being written; it is stored when it is closed, unless it was discarded."""

    def __init__(self, script: Script, key: str) -> None:
        super().__init__()
        self._script, self._key = script, key

    def write(self, data: Any) -> int:
        self._script.writing(self.tell())
        return super().write(data)

    def close(self) -> None:
        if not self.closed:
            self._script.write(self._key, self.getvalue(), 2_000_000_000 * SECOND)
        super().close()

    def discard(self) -> None:
        super().close()


# the storage -------------------------------------------------------------------------------------------------------


class ScriptedStorage(Storage):
    """A storage over a :class:`Script` that yields the script's pages as they are."""

    family = "scripted"
    #: reads and writes may also be made on threads
    brisk = False

    def __init__(self, script: Script, running: Running, *, name: str, order: KeyOrder) -> None:
        super().__init__(Address("generic", "scripted", name + "/", {}, f"scripted://{name}/"), running)
        self.script = script
        self.traits = Traits(
            family=self.family,
            file_like=False,
            key_order=order,
            mtime=MtimeKind.SETTABLE,
            mtime_tick=1,
            final_put=True,
        )

    async def probe(self) -> Presence:
        """Tell that the root is there."""
        return Presence.DIRECTORY

    async def pages(
        self, *, follow: bool = True, prunes: Prunes | None = None, within: KeyRange = EVERY_KEY
    ) -> AsyncIterator[pa.RecordBatch]:
        """Yield the script's pages."""
        for number, rows in enumerate(self.script.pages):
            try:
                self.script.fail_if_due(number)
            except Exception as error:
                raise self.listing_error(error) from error
            self.script.listed += 1
            yield page_from_columns(
                {
                    "key": [row.key.encode() for row in rows],
                    "kind": [int(Kind.FILE)] * len(rows),
                    "size": [row.size for row in rows],
                    "mtime": [row.mtime for row in rows],
                },
                len(rows),
            )

    async def exists(self, key: bytes) -> bool:
        """Tell the truth."""
        return key.decode() in self.script.held

    async def entry(self, key: bytes) -> Entry | None:
        """Tell the truth."""
        held = self.script.held.get(key.decode())
        return None if held is None else Entry(key, len(held.data), held.mtime)

    def quick(self, key: bytes) -> bool:
        """Tell what the test has said."""
        return self.brisk

    async def read(self, entry: Entry) -> bytes:
        """Read a key."""
        return self.read_now(entry)

    def read_now(self, entry: Entry) -> bytes:
        """Read a key."""
        return self.script.read(entry.key.decode())

    async def put(self, entry: Entry, data: bytes) -> str:
        """Write a key with its source's time."""
        return self.write_now(entry, data)

    def write_now(self, entry: Entry, data: bytes) -> str:
        """Write a key with its source's time."""
        assert entry.mtime is not None
        self.script.write(entry.key.decode(), data, entry.mtime)
        return "size"

    async def delete(self, entries: Sequence[Entry]) -> list[Exception | None]:
        """Remove keys."""
        for entry in entries:
            self.script.remove(entry.key.decode())
        return [None] * len(entries)

    async def prepare_destination(self) -> None:
        """Do nothing: the store has no directories."""


class Losing(ScriptedStorage):
    """A store that must not be given a key and one below it at once; ``at_once`` tells of those read at once."""

    at_once: ClassVar[list[tuple[bytes, bytes]]] = []
    nests = False

    def __init__(self, *args: Any, **facts: Any) -> None:
        super().__init__(*args, **facts)
        self._writing: list[bytes] = []

    async def read(self, entry: Entry) -> bytes:
        """Read a key, slowly."""
        with self._noted(entry.key):
            await asyncio.sleep(0.002)
            return await super().read(entry)

    def read_now(self, entry: Entry) -> bytes:
        """Read a key, slowly."""
        with self._noted(entry.key):
            time.sleep(0.002)
            return super().read_now(entry)

    @contextmanager
    def _noted(self, key: bytes) -> Iterator[None]:
        self._writing.append(key)
        self.at_once += [(other, key) for other in self._writing if key.startswith(other + b"/")]
        yield
        self._writing.remove(key)


def sync_scripts(
    source: Script,
    destination: Script,
    *,
    source_order: KeyOrder = KeyOrder.BYTES,
    destination_order: KeyOrder = KeyOrder.BYTES,
    **options: Any,
) -> SyncResult:
    """Run the whole sync between two scripted storages; an error that ends it comes back as its result."""
    from fsync import pipeline
    from fsync.comparison import comparison_for
    from fsync.ends import Ends
    from fsync.loops import run

    checked = options_from(options, verb="sync")

    async def work() -> SyncResult:
        running = Running(threads=checked.threads, timeout=10, pacing=Pacing(retries=0))
        try:
            src = ScriptedStorage(source, running, name="src", order=source_order)
            dst = ScriptedStorage(destination, running, name="dst", order=destination_order)
            report = Report(None, Redactor(), dry=False)
            rule = comparison_for(src.traits, dst.traits, checked)
            return await pipeline.sync(Ends(src, dst, None, checked, Rules.parse(()), report, rule))
        except FsyncError as error:
            return cast("SyncResult", error.result)
        finally:
            running.shutdown()

    return run(work())
