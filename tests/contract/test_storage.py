"""What every storage keeps to, whatever stands behind it: listings, questions, reading, writing, removing."""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from fsync.address import Address, parse
from fsync.api import run
from fsync.errors import (
    AccessDenied,
    BucketNotFound,
    ListingError,
    ShortRead,
    SourceChanged,
    SourceNotFound,
    SourceVanished,
)
from fsync.filters import Rules
from fsync.listing import Listing
from fsync.pacing import Verdict, classify
from fsync.schema import Kind
from fsync.storage import open_storage
from fsync.storage.base import Storage
from fsync.storage.entry import Entry, Presence
from fsync.storage.generic import GenericStorage
from fsync.storage.local import LocalStorage
from fsync.storage.memory import MemoryStorage
from fsync.storage.running import Running
from fsync.storage.s3 import S3Storage
from fsync.storage.walk import PAGE_ROWS
from fsync.traits import KeyOrder, MtimeKind, Traits
from tests.contract.subjects import S3, GenericLocal, GenericMemory, GenericS3, Local, Memory, S3ByS3fs, Subject
from tests.servers.s3 import S3Server
from tests.unit.pages import keys_of, rows_of

T = TypeVar("T")
Row = dict[str, Any]

MIB = 1 << 20
SIZES = [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB]

#: keys whose order in bytes is neither that of directories nor that of lower case
TREE = {
    b"B": b"1", b"a": b"22", b"a-b": b"333", b"a.b/c": b"", b"b/c/d": b"4444", b"b/c-d": b"5", b"b/c0": b"6",
    "\u00e9/\U0001f600".encode(): b"7", b"z z/#?%41+&": b"88",
}  # fmt: skip


@pytest.fixture(
    params=["local", "memory", "moto", "seaweed", "moto s3fs", "generic local", "generic memory", "generic s3fs"]
)
def subject(request: pytest.FixtureRequest, tmp_path: Path, bucket: Callable[[S3Server], str]) -> Subject:
    """Each storage in turn, with an empty place."""
    match request.param:
        case "local" | "generic local":
            return (Local if request.param == "local" else GenericLocal)(tmp_path / "place")
        case "memory" | "generic memory":
            return (Memory if request.param == "memory" else GenericMemory)()
        case _:
            server: S3Server = request.getfixturevalue("seaweed" if request.param == "seaweed" else "moto_s3")
            kind = {"moto s3fs": S3ByS3fs, "generic s3fs": GenericS3}.get(request.param, S3)
            return kind(server, bucket(server))


@pytest.fixture(params=["local", "memory", "moto", "seaweed", "moto s3fs"])
def with_pager(request: pytest.FixtureRequest, tmp_path: Path, bucket: Callable[[S3Server], str]) -> Subject:
    """Each storage that lists in a way of its own."""
    if request.param in ("local", "memory"):
        return Local(tmp_path / "place") if request.param == "local" else Memory()
    server: S3Server = request.getfixturevalue("seaweed" if request.param == "seaweed" else "moto_s3")
    return (S3ByS3fs if request.param == "moto s3fs" else S3)(server, bucket(server))


def using(subject: Subject, work: Callable[[Storage], Awaitable[T]], below: str = "") -> T:
    """Open the storage on fsspec's loop, let something be done with it, and close it."""
    return used(subject.storage, subject.address(below), work, subject.engine)


def used(cls: type[Storage], address: Address, work: Callable[[Storage], Awaitable[T]], engine: str = "auto") -> T:
    async def whole() -> T:
        running = Running(threads=8, timeout=30, engine=engine)
        storage = cls(address, running)
        try:
            await storage.open()
            await storage.probe()
            return await work(storage)
        finally:
            await storage.close()
            running.shutdown()

    return run(whole())


async def rows(storage: Storage) -> list[Row]:
    """Return what a listing tells, in the order of the keys, directories and markers included."""
    listing = Listing(storage, Rules.parse(()), follow=True)
    found = rows_of([page async for page in listing.pages()])
    assert listing.ended
    return found


async def entry_of(storage: Storage, key: bytes) -> Entry:
    """Return an entry as a copy gets it from the listing."""
    for row in await rows(storage):
        if row["key"] == key:
            return Entry(key, row["size"], row["mtime"], row["etag"], row["digest"])
    raise AssertionError(f"{key!r} is not listed")


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


# listings --------------------------------------------------------------------------------------------------------


def test_the_class_is_the_one_that_addresses_open(subject: Subject) -> None:
    async def opened() -> type[Storage]:
        running = Running()
        storage = await open_storage(subject.address(), running)
        await storage.close()
        running.shutdown()
        return type(storage)

    if subject.storage is not GenericStorage:
        assert run(opened()) is subject.storage


def test_pages_hold_every_key_once_in_order(subject: Subject) -> None:
    before = time.time_ns()
    for key, data in TREE.items():
        subject.write(key, data)
    found = using(subject, rows)
    directories = {key[: end + 1] for key in TREE for end in range(len(key)) if key[end : end + 1] == b"/"}
    wanted = {*TREE, *directories} if subject.directories else set(TREE)
    assert [row["key"] for row in found] == sorted(wanted)
    for row in found:
        if row["key"] in TREE:
            assert (row["kind"], row["size"]) == (Kind.FILE, len(TREE[row["key"]]))
            # whole seconds, or a clock that lags behind by a tick of the kernel
            assert before - 1_000_000_000 <= row["mtime"] <= time.time_ns() + 1_000_000_000
        else:
            assert (row["kind"], row["size"]) == (Kind.DIRECTORY, 0)


def test_an_order_that_is_promised_is_kept_without_sorting(subject: Subject) -> None:
    for key, data in TREE.items():
        subject.write(key, data)

    async def raw(storage: Storage) -> tuple[KeyOrder, list[bytes]]:
        return storage.traits.key_order, keys_of([page async for page in storage.pages()])

    order, keys = using(subject, raw)
    if order is KeyOrder.NONE:
        assert keys != sorted(keys)
    else:
        assert keys == sorted(set(keys))


def test_a_listing_of_nothing_is_empty_or_missing(subject: Subject) -> None:
    try:
        assert using(subject, rows) == []
    except SourceNotFound:
        # a plain ls of a prefix without keys says that there is no such directory
        assert isinstance(subject, GenericS3)


def test_directories_that_rules_drop_are_not_entered(subject: Subject) -> None:
    for key, data in TREE.items():
        subject.write(key, data)
    asked: list[bytes] = []

    def prunes(key: bytes) -> bool:
        asked.append(key)
        return key == b"b/"

    async def pruned(storage: Storage) -> list[bytes]:
        return keys_of([page async for page in storage.pages(prunes=prunes)])

    keys = using(subject, pruned)
    # flat stores give what they have in one go; the rules drop it afterwards
    entered = any(key.startswith(b"b/c") for key in keys)
    assert entered == (subject.storage in (MemoryStorage, S3Storage))
    assert {b"B", b"a", b"a-b", b"a.b/c"} <= set(keys)
    assert entered or sorted(asked) == [b"a.b/", b"b/", b"z z/", "\u00e9/".encode()]


def test_an_address_in_the_place(subject: Subject) -> None:
    for key, data in TREE.items():
        subject.write(key, data)
    places = {
        "a": [b"", b"-b", b".b/c"],
        "a.b": [b"/c"],
        "b/c": [b"-d", b"/d", b"0"],
        "b/": [b"c-d", b"c/d", b"c0"],
        "b/c/": [b"d"],
        "none": [],
    }

    async def listed(storage: Storage) -> dict[str, list[bytes]]:
        found = {}
        for below in places:
            there = await rows(storage.at(subject.address(below)))
            found[below] = [row["key"] for row in there if row["kind"] == Kind.FILE]
        return found

    assert using(subject, listed) == places


def test_an_empty_object_by_its_name(subject: Subject, request: pytest.FixtureRequest) -> None:
    subject.write(b"d/_SUCCESS", b"")
    (row,) = using(subject, rows, "d/_SUCCESS")
    assert (row["key"], row["kind"], row["size"]) == (b"", Kind.FILE, 0)


def plain(found: list[Row], tick: int) -> list[Row]:
    """Return what a plain ls tells of rows: times to the precision that it has, ETags without their quotes."""
    names = ("key", "kind", "size", "mtime", "etag")
    facts = [{name: row[name] for name in names} for row in found]
    for row in facts:
        row["etag"] = row["etag"] and row["etag"].strip('"')
        row["mtime"] = row["mtime"] and row["mtime"] // tick * tick
    return facts


def test_a_pager_tells_what_a_plain_ls_tells(with_pager: Subject) -> None:
    for key, data in TREE.items():
        with_pager.write(key, data)
    remote = isinstance(with_pager, S3)

    async def listed(storage: Storage) -> list[list[Row]]:
        return [
            await rows(storage.at(GenericS3.address(with_pager, below) if plainly else with_pager.address(below)))
            for below in ("", "b/", "a", "b/c")
        ]

    plainly = False
    fast = using(with_pager, listed)
    plainly = remote
    slow = used(GenericStorage, GenericS3.address(with_pager) if remote else with_pager.address(), listed)
    for quickly, slowly in zip(fast, slow, strict=True):
        if remote:
            slowly = [row for row in slowly if row["kind"] != Kind.DIRECTORY]
        if isinstance(with_pager, Memory):
            # a store of whole objects has no times of directories
            slowly = [{**row, "mtime": None} if row["kind"] == Kind.DIRECTORY else row for row in slowly]
            # a plain ls tells when a file was begun, the pager when it was ended
            for mine, other in zip(quickly, slowly, strict=True):
                assert mine["mtime"] is None or 0 <= mine["mtime"] - other["mtime"] < 1_000_000_000
                other["mtime"] = mine["mtime"]
        # the times of a plain ls of local files are floats
        assert plain(quickly, 1_000_000) == plain(slowly, 1_000_000)
        assert quickly


def test_more_than_a_page(subject: Subject) -> None:
    # a page of S3 has a thousand keys, and plain fsspec has no pages; what is slow here has them in common with others
    count = PAGE_ROWS + 7
    if isinstance(subject, S3):
        count = 1003 if subject.server.name == "seaweed" else 40
    keys = [b"d%d/%05d" % (number % 2, number) for number in range(count)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: subject.write(key, b"x"), keys))

    async def paged(storage: Storage) -> tuple[list[bytes], int, list[Exception | None]]:
        pages = [page async for page in Listing(storage, Rules.parse(()), follow=True).pages()]
        entries = [Entry(row["key"], row["size"], row["mtime"]) for row in rows_of(pages) if row["kind"] == Kind.FILE]
        return [entry.key for entry in entries], len(pages), await storage.delete(entries)

    found, pages, errors = using(subject, paged)
    assert found == sorted(keys)
    assert pages >= 2 or isinstance(subject, S3)
    assert errors == [None] * count
    assert subject.contents() == {}


# questions -------------------------------------------------------------------------------------------------------


def test_what_stands_at_an_address(subject: Subject) -> None:
    for key, data in {b"d/f": b"x", b"d/empty": b"", b"d/file": b"x"}.items():
        subject.write(key, data)

    places = {
        "": Presence.DIRECTORY,
        "d/": Presence.DIRECTORY,
        "d": Presence.DIRECTORY,
        "d/f": Presence.FILE,
        "d/empty": Presence.FILE,
        "d/none": Presence.NOTHING,
        "d/none/": Presence.NOTHING,
        "d/fi": Presence.NOTHING,
        "nothing/at/all/": Presence.NOTHING,
    }

    async def probed(storage: Storage) -> dict[str, Presence]:
        return {below: await storage.at(subject.address(below)).probe() for below in places}

    assert using(subject, probed) == places


def test_single_keys_are_asked_for(subject: Subject, request: pytest.FixtureRequest) -> None:
    for key, data in TREE.items():
        subject.write(key, data)

    async def ask(storage: Storage) -> None:
        listed = {row["key"]: row for row in await rows(storage)}
        for key, data in TREE.items():
            assert await storage.exists(key), key
            entry = await storage.entry(key)
            row = listed[key]
            assert entry is not None
            assert (entry.key, entry.size) == (key, len(data))
            # a copy compares them to tell whether the source has changed meanwhile
            assert (entry.mtime, entry.etag) == (row["mtime"], row["etag"]), key
        for key in (b"none", b"a.b", b"b/c", b"b/c/none", b"a/none"):
            assert not await storage.exists(key), key
        for key in (b"none", b"b/c/none", b"a/none"):
            assert await storage.entry(key) is None, key

    using(subject, ask)


def test_a_bucket_that_is_missing(subject: Subject) -> None:
    if not isinstance(subject, S3) or subject.storage is GenericStorage:
        pytest.skip("only object stores have buckets, and plain fsspec does not tell them from keys")
    subject.bucket = "no-such-bucket"
    with pytest.raises(BucketNotFound, match="no-such-bucket does not exist; make it with"):
        using(subject, rows)


def test_wrong_credentials(seaweed: S3Server, bucket: Callable[[S3Server], str]) -> None:
    place = S3(seaweed, bucket(seaweed))
    address = place.address()
    denied = replace(address, storage_options={**address.storage_options, "secret": "not-the-secret"})
    with pytest.raises(AccessDenied) as caught:
        used(place.storage, denied, rows)
    assert isinstance(caught.value, ListingError)
    assert "not-the-secret" not in str(caught.value)


# reading ---------------------------------------------------------------------------------------------------------


def test_every_size_is_read_whole(subject: Subject) -> None:
    for size in SIZES:
        subject.write(b"d/%d" % size, content(size))

    async def read(storage: Storage) -> None:
        for size in SIZES:
            entry, data = await entry_of(storage, b"d/%d" % size), content(size)
            assert await storage.read(entry) == data, size
            parts = [bytes(part) async for part in storage.parts(entry, 3 * MIB)]
            assert b"".join(parts) == data, size
            assert all(len(part) == 3 * MIB for part in parts[:-1]), size
            assert len(parts) == -(-size // (3 * MIB)), size
            if storage.ranged and size:
                for offset, length in ((0, 1), (size - 1, 1), (size // 2, size - size // 2)):
                    assert await storage.part(entry, offset, length) == data[offset : offset + length], size
                    flowed = await flow(storage, entry, offset, length)
                    assert flowed in (None, data[offset : offset + length]), size

    using(subject, read)


async def flow(storage: Storage, entry: Entry, offset: int, length: int) -> bytes | None:
    """Read a range in pieces, on a thread; None where the storage has no such way."""
    pieces = storage.flow(entry, offset, length)
    return None if pieces is None else await storage.running.in_pool(lambda: b"".join(pieces))


def test_a_range_that_flows_is_of_the_listed_version(subject: Subject) -> None:
    subject.write(b"k", content(3 * MIB))

    async def read(storage: Storage) -> None:
        entry = await entry_of(storage, b"k")
        through_obstore = subject.engine == "obstore"
        assert (await flow(storage, entry, MIB, 5) is not None) is through_obstore
        if through_obstore:
            subject.write(b"k", content(3 * MIB)[::-1])
            with pytest.raises(SourceChanged):
                await flow(storage, entry, MIB, 5)
            with pytest.raises(SourceVanished):
                await flow(storage, Entry(b"none", 5, 0), 0, 2)

    using(subject, read)


@pytest.mark.parametrize("said", [2, 4])
def test_another_size_than_listed_is_noticed(subject: Subject, said: int) -> None:
    subject.write(b"k", b"123")

    async def read(storage: Storage) -> None:
        entry = replace(await entry_of(storage, b"k"), size=said)
        with pytest.raises((ShortRead, SourceChanged)):
            await storage.read(entry)
        if said > 3:
            with pytest.raises((ShortRead, SourceChanged)):
                [part async for part in storage.parts(entry, 2)]

    using(subject, read)


def test_what_is_gone_is_told_apart_from_what_fails(subject: Subject) -> None:
    async def read(storage: Storage) -> None:
        for reading in (storage.read(Entry(b"none", 5, 0)), anext(storage.parts(Entry(b"none", 5, 0), 2))):
            with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is asked below
                await reading
            assert isinstance(caught.value, SourceVanished) or classify(caught.value) is Verdict.GONE

    using(subject, read)


# writing ---------------------------------------------------------------------------------------------------------

_T = 1_234_567_890_123_456_789


def test_every_size_is_put_whole(subject: Subject) -> None:
    async def put(storage: Storage) -> None:
        for size in SIZES[:4]:
            assert await storage.put(Entry(b"d/e/%d" % size, size, _T), content(size))
        listed = {row["key"]: row for row in await rows(storage) if row["kind"] == Kind.FILE}
        assert {key: row["size"] for key, row in listed.items()} == {b"d/e/%d" % size: size for size in SIZES[:4]}
        if storage.traits.mtime is MtimeKind.SETTABLE:
            assert {row["mtime"] for row in listed.values()} == {_T}

    using(subject, put)
    assert subject.contents() == {b"d/e/%d" % size: content(size) for size in SIZES[:4]}


def test_an_object_is_replaced(subject: Subject) -> None:
    subject.write(b"k", b"old and longer")

    async def put(storage: Storage) -> None:
        await storage.put(Entry(b"k", 3, _T), b"new")

    using(subject, put)
    assert subject.contents() == {b"k": b"new"}


@pytest.mark.parametrize(("size", "backwards"), [*((size, False) for size in SIZES[1:]), (20 * MIB, True)])
def test_parts_become_an_object(subject: Subject, size: int, backwards: bool) -> None:
    data = content(size)
    subject.write(b"d/k", b"old")

    async def upload(storage: Storage) -> bytes | None:
        entry = Entry(b"d/k", size, _T)
        begun = await storage.begin(entry)
        parts = list(enumerate(range(0, size, begun.part_size)))
        for number, offset in reversed(parts) if backwards and begun.parallel else parts:
            await begun.write(number, memoryview(data)[offset : offset + begun.part_size])
        meanwhile = subject.contents().get(b"d/k") if storage.traits.final_put else None
        assert await begun.commit()
        row = await entry_of(storage, b"d/k")
        assert row.size == size
        if storage.traits.mtime is MtimeKind.SETTABLE:
            assert row.mtime == _T
        return meanwhile

    assert using(subject, upload) in (b"old", None)
    assert subject.contents() == {b"d/k": data}


@pytest.mark.parametrize("written", [0, 2])
def test_an_aborted_upload_leaves_nothing(subject: Subject, written: int, request: pytest.FixtureRequest) -> None:

    async def upload(storage: Storage) -> None:
        begun = await storage.begin(Entry(b"new/k", 20 * MIB, _T))
        for number in range(written):
            await begun.write(number, content(begun.part_size))
        await begun.abort()
        # again, as when an abort is interrupted: what is gone is gone
        await begun.abort()

    using(subject, upload)
    # what fsspec's files do when nobody needs them any more
    gc.collect()
    assert subject.contents() == {}


class _Buffered(AbstractFileSystem):
    """A filesystem whose files are AbstractBufferedFile, as most packages' are."""

    protocol = "buffered"
    cachable = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.stored: dict[str, bytes] = {}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> AbstractBufferedFile:
        return _BufferedFile(self, path, mode, block_size=MIB)

    def rm_file(self, path: str) -> None:
        if self.stored.pop(path, None) is None:
            raise FileNotFoundError(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do nothing: directories are implied."""

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        return {"name": path, "type": "directory", "size": 0}


class _BufferedFile(AbstractBufferedFile):
    """Blocks that become an object with the last one."""

    def _initiate_upload(self) -> None:
        self.blocks: list[bytes] = []

    def _upload_chunk(self, final: bool = False) -> bool:
        self.blocks.append(self.buffer.getvalue())
        if final:
            self.fs.stored[self.path] = b"".join(self.blocks)
        return True


def test_what_was_aborted_does_not_come_back() -> None:
    fs = _Buffered()

    async def upload(storage: Storage) -> None:
        begun = await storage.begin(Entry(b"k", 20 * MIB, _T))
        await begun.write(0, content(begun.part_size))
        await begun.abort()

    used(GenericStorage, parse((fs, "place/")), upload)
    gc.collect()
    assert fs.stored == {}


def test_an_aborted_upload_leaves_what_was_there(with_pager: Subject) -> None:
    with_pager.write(b"k", b"old")

    async def upload(storage: Storage) -> bool:
        begun = await storage.begin(Entry(b"k", 20 * MIB, _T))
        await begun.write(0, content(begun.part_size))
        await begun.abort()
        return storage.traits.final_put

    assert using(with_pager, upload)
    assert with_pager.contents() == {b"k": b"old"}


def test_a_storage_that_writes_in_place_says_so(subject: Subject) -> None:
    async def traits(storage: Storage) -> Traits:
        return storage.traits

    in_place = isinstance(subject, GenericLocal | GenericMemory)
    assert using(subject, traits).final_put is not in_place


def test_many_uploads_in_one_directory_at_once(subject: Subject, request: pytest.FixtureRequest) -> None:
    # their names differ only far behind
    names = [b"d/" + b"x" * 240 + b"%d" % number for number in range(3)]

    async def upload(storage: Storage) -> None:
        begun = []
        try:
            begun += [await storage.begin(Entry(name, 9 * MIB, _T)) for name in names[:1]]
            begun += [await storage.begin(Entry(name, 9 * MIB, _T)) for name in names[1:]]
            for one in begun:
                for number, offset in enumerate(range(0, 9 * MIB, one.part_size)):
                    await one.write(number, content(9 * MIB)[offset : offset + one.part_size])
            while begun:
                await begun.pop().commit()
        finally:
            for one in begun:
                await one.abort()

    using(subject, upload)
    assert subject.contents() == dict.fromkeys(names, content(9 * MIB))


# names -----------------------------------------------------------------------------------------------------------

#: names that some storage cannot hold, or changes
NAMES = [
    b"plain", b"a b", b" lead", b"trail ", b"#h", b"a?b", b"50%", b"%41", b"a+b", b"a&b=c", b"[x]", b"{x}", b"*", b"~",
    b"a::b", b"a:b", b"'q'\"", b"$HOME", b"-dash", b"...", b".hid", b"x" * 255, "x\u00e9".encode() * 85,
    b"back\\slash", b"new\nline", b"cr\rx", b"tab\tx", b"\x01", b"\x7f", "\u00e9".encode(), "e\u0301".encode(),
    "\u65e5\u672c".encode(), "\U0001f600".encode(), "\ufffe".encode(), "\u2028".encode(),
    # what no path of names can be
    b"caf\xe9", b"\xff", b".", b"..", b"../x", b"a/../b", b"a/./b", b"a//b", b"/lead", b"trail/", b"x" * 256, b"n\0l",
    b"",
]  # fmt: skip


_EVERYWHERE = {
    b"plain", b"a b", b"#h", b"a?b", b"50%", b"%41", b"a+b", b"a&b=c", b"[x]", b"{x}", b"*", b"~", b"a::b", b"-dash",
    b"$HOME", b".hid", b"...", "\u00e9".encode(), "e\u0301".encode(), "\u65e5\u672c".encode(), b"x" * 255,
}  # fmt: skip


@pytest.mark.xfail(reason="a walk by ls drops what has the name of its directory, and takes d/ for a directory")
def test_keys_that_are_no_paths_are_not_left_out(moto_s3: S3Server, bucket: Callable[[S3Server], str]) -> None:
    for cls in (S3, GenericS3):
        place = cls(moto_s3, bucket(moto_s3))
        for key in (b"plain", b"a//b", b"/lead", b"d/"):
            place.write(key, b"x")
        try:
            found = [row["key"] for row in using(place, rows) if row["kind"] == Kind.FILE]
        except ListingError:
            # to say that it cannot be listed is honest too
            continue
        assert found == [b"/lead", b"a//b", b"d/", b"plain"], cls


def test_a_name_is_held_exactly_or_refused(subject: Subject) -> None:
    if isinstance(subject, GenericS3):
        pytest.skip("a listing by ls loses names that are no paths: the test before this one")

    async def put(storage: Storage) -> tuple[list[Entry], dict[bytes, str]]:
        held, refused = set(), {}
        for number, name in enumerate(NAMES):
            # each below a directory of its own, so that no name stands in another's way
            key = b"%02d/%s" % (number, name) if name else b""
            why = storage.refuses(key)
            if why is not None:
                refused[name] = why
                continue
            try:
                await storage.put(Entry(key, 1, _T), b"x")
            except OSError:
                # a server knows best what it cannot hold: that one object fails
                assert not isinstance(storage, LocalStorage | MemoryStorage)
            else:
                held.add(key)
        listed = {row["key"] for row in await rows(storage) if row["kind"] == Kind.FILE}
        assert listed == held
        for key in held:
            assert await storage.exists(key), key
            assert await storage.read(await entry_of(storage, key)) == b"x", key
        return [await entry_of(storage, key) for key in held], refused

    async def remove(storage: Storage) -> list[Exception | None]:
        return await storage.delete(entries)

    entries, refused = using(subject, put)
    held = {entry.key for entry in entries}
    assert set(subject.contents()) == held
    # what is no trouble to anybody is held by all
    assert {key.partition(b"/")[2] for key in held} >= _EVERYWHERE
    assert all(why and "\n" not in why for why in refused.values())
    if subject.directories:
        assert {b".", b"..", b"../x", b"a/../b", b"a//b", b"/lead", b"trail/", b"n\0l", b""} <= refused.keys()
    assert using(subject, remove) == [None] * len(entries)
    assert subject.contents() == {}


@pytest.mark.parametrize("depth", [50, 300])
def test_a_deep_key(subject: Subject, depth: int, request: pytest.FixtureRequest) -> None:
    key = b"d/" * depth + b"f"

    async def put(storage: Storage) -> None:
        await storage.put(Entry(key, 1, _T), b"x")
        assert (await entry_of(storage, key)).size == 1
        assert await storage.delete([await entry_of(storage, key)]) == [None]

    using(subject, put)
    assert subject.contents() == {}


# removing --------------------------------------------------------------------------------------------------------


def test_exactly_what_is_named_is_removed(subject: Subject) -> None:
    names = [b"a", b"a*", b"a?", b"[a]", b"ab", b"d/a", b"d/ab", b"%61"]
    for name in names:
        subject.write(name, b"x")

    async def remove(storage: Storage) -> list[Exception | None]:
        return await storage.delete([await entry_of(storage, name) for name in (b"a*", b"[a]", b"d/a", b"%61")])

    assert using(subject, remove) == [None] * 4
    assert set(subject.contents()) == {b"a", b"a?", b"ab", b"d/ab"}


def test_what_is_gone_counts_as_removed(subject: Subject) -> None:
    subject.write(b"k", b"x")

    async def remove(storage: Storage) -> list[Exception | None]:
        entry = await entry_of(storage, b"k")
        gone = [Entry(b"none", 1, 0), Entry(b"no/such/directory", 1, 0), entry]
        first = await storage.delete(gone)
        return [*first, *await storage.delete([entry]), *await storage.delete([])]

    assert using(subject, remove) == [None] * 4
    assert subject.contents() == {}


def test_a_local_file_that_changed_is_not_removed(tmp_path: Path) -> None:
    subject = Local(tmp_path / "place")
    subject.write(b"k", b"x")

    async def remove(storage: Storage) -> list[Exception | None]:
        entry = await entry_of(storage, b"k")
        os.utime(subject.path(b"k"), ns=(1, 1))
        return await storage.delete([entry])

    (error,) = using(subject, remove)
    assert isinstance(error, SourceChanged)
    assert subject.contents() == {b"k": b"x"}
