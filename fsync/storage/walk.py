"""A listing in key order out of single-directory ``ls`` calls, for every storage without a pager of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fsync.errors import ListingError, SourceNotFound, printable
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.schema import Kind, page_from_columns
from fsync.storage.info import row_of

if TYPE_CHECKING:
    from fsync.storage.base import Storage

#: rows of a page
PAGE_ROWS = 4096

Child = tuple[str, Mapping[str, Any]]
Prunes = Callable[[bytes], bool]


async def walk(storage: Storage, prunes: Prunes | None, within: KeyRange = EVERY_KEY) -> AsyncIterator[pa.RecordBatch]:
    """Yield the entries below a storage's root as pages, depth first, in the order of the keys' bytes.

    Directories wholly outside ``within`` are not listed; where it is under one directory, the walk begins there, with
    that directory's own row. A directory that its parent lists but that is gone when it is listed itself becomes a row
    of kind OTHER (it protects what the destination has below it) if the parent, listed again, no longer has it; any
    other failure raises ListingError.
    """
    root = storage.address.root
    start = root + within.under.decode("utf-8", "surrogateescape")
    head, slash, _ = start.rpartition("/")
    base = head + slash
    keys: list[bytes] = []
    rows: list[dict[str, Any]] = []
    top = await _children(storage, base, None)
    if top is None:
        raise SourceNotFound(f"{printable(start) if within.under else storage.address.given} does not exist")
    if within.under:
        keys, rows = [within.under], [await _own_row(storage, start)]
    top = [child for child in top if child[0].startswith(start)]

    def key_of(name: str) -> bytes:
        return name[len(root) :].encode("utf-8", "surrogateescape")

    def entered(name: str) -> bool:
        key = key_of(name)
        return name.endswith("/") and not within.misses(key) and not (prunes and prunes(key))

    coming = _Coming(storage, entered)
    stack: list[Iterator[Child]] = [coming.enter(top)]
    try:
        while stack:
            child = next(stack[-1], None)
            if child is None:
                stack.pop()
                coming.leave()
                continue
            name, info = child
            row = row_of(info)
            if coming.holds(name):
                below = await coming.children(name)
                if below is None:
                    row = {**row, "kind": int(Kind.OTHER), "link": b"vanished"}
                else:
                    stack.append(coming.enter(below))
            keys.append(key_of(name))
            rows.append(row)
            if len(keys) >= PAGE_ROWS:
                yield page_of_rows(keys, rows)
                keys, rows = [], []
    finally:
        await coming.close()
    if keys:
        yield page_of_rows(keys, rows)


class _Coming:
    """The directories that a walk comes to; with ``--list-threads`` the next few are listed before it does."""

    def __init__(self, storage: Storage, entered: Callable[[str], bool]) -> None:
        self._storage, self._entered = storage, entered
        #: a level each: what is still to come there and is not being listed yet
        self._levels: list[deque[str]] = []
        self._under_way: dict[str, asyncio.Task[list[Child] | None]] = {}

    def enter(self, children: list[Child]) -> Iterator[Child]:
        """Begin with a directory's children, those to be entered in the order in which they come."""
        self._levels.append(deque(dict.fromkeys(name for name, _ in children if self._entered(name))))
        return iter(children)

    def leave(self) -> None:
        """End the level begun last."""
        self._levels.pop()

    def holds(self, name: str) -> bool:
        """Tell whether the walk, having come to this name, enters it."""
        level = self._levels[-1]
        return name in self._under_way or bool(level and level[0] == name)

    async def children(self, name: str) -> list[Child] | None:
        """Return what :func:`_children` says of the directory that the walk has come to."""
        if name not in self._under_way:
            self._begin(self._levels[-1])
        for level in reversed(self._levels):
            while level and len(self._under_way) < self._storage.running.list_threads:
                self._begin(level)
        return await self._under_way.pop(name)

    def _begin(self, level: deque[str]) -> None:
        name = level.popleft()
        parent = name.rstrip("/").rpartition("/")[0]
        self._under_way[name] = asyncio.ensure_future(_children(self._storage, name, parent))

    async def close(self) -> None:
        """End what is still under way."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)


async def _own_row(storage: Storage, directory: str) -> dict[str, Any]:
    """Return the row of a directory; SourceNotFound if none has the name, a file's ``ls`` being no error."""
    try:
        info = await storage.listing_call("info", bare(directory))
    except FileNotFoundError:
        info = {}
    if info.get("type") != "directory":
        raise SourceNotFound(f"{printable(directory)} is no directory")
    return row_of(info)


async def _children(storage: Storage, directory: str, parent: str | None) -> list[Child] | None:
    """List one directory as (path, info), directories' paths with ``/`` behind, sorted by bytes; None if it is gone."""
    try:
        infos = await storage.listing_call("ls", bare(directory), detail=True)
    except FileNotFoundError:
        if parent is None:
            return None
        again = await storage.listing_call("ls", parent, detail=True)
        if any(_last(info["name"]) == _last(directory) for info in again):
            raise ListingError(
                f"cannot list {printable(directory)}: its parent has it, yet the storage says that it does not exist"
            ) from None
        return None
    children = []
    for info in infos:
        if bare(info["name"]) != bare(directory):
            path = directory + _last(info["name"])
            children.append((path + "/" if info["type"] == "directory" else path, info))
    children.sort(key=lambda child: child[0].encode("utf-8", "surrogateescape"))
    return children


def page_of_rows(keys: list[bytes], rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Build a page from row dicts; columns that no row has are null."""
    columns: dict[str, Any] = {"key": keys}
    for name in {name for row in rows for name in row}:
        columns[name] = [row.get(name) for row in rows]
    return page_from_columns(columns, len(keys))


def _last(path: str) -> str:
    return bare(path).rpartition("/")[2]


def bare(path: str) -> str:
    """Return a path without trailing slashes, the root itself kept."""
    return path.rstrip("/") or path[:1]
