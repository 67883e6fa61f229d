"""The listing of a local tree: directory by directory, sorted, a page at a time."""

from __future__ import annotations

import errno
import functools
import os
import stat
import time
from collections.abc import Iterator

import pyarrow as pa

from fsync.errors import AccessDenied, ListingError, SourceNotFound, printable
from fsync.schema import Kind, page_from_columns
from fsync.storage.local_copy import clamped
from fsync.storage.partial import PARTIAL_END, is_partial
from fsync.storage.walk import PAGE_ROWS, Prunes

_FILE, _DIRECTORY, _LINK, _OTHER = int(Kind.FILE), int(Kind.DIRECTORY), int(Kind.LINK), int(Kind.OTHER)

#: errors of following a link that leads nowhere
_NOWHERE = {errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG}

#: what a JuiceFS mount shows of itself at its root, told from a user's names by its inode numbers (seen with 1.4.2)
_JUICEFS = {b".accesslog", b".config", b".stats", b".trash"}
_JUICEFS_INODES = 0x7FFFFFFF_00000000

#: (name, with ``/`` behind a directory's; whether it is a link)
Name = tuple[bytes, bool]


class Scan:
    """One listing of the files whose paths begin with ``root``.

    ``root`` is bytes and ends in ``/`` in directory mode. ``follow`` lists what links lead to: a link to a directory
    is walked, unless it leads to one of its own ancestors. Entries that exist but are nothing to copy (dangling link,
    loop, device, socket) are rows of kind OTHER whose ``link`` column says why; a directory's row comes right before
    what it holds. ``owners`` fills the owner and group columns, by name. ``partials`` counts what unfinished fsync
    runs left under hidden names, which is invisible.

    The ``changed`` column is the later of mtime and ctime, over the entry, the links that lead to it, and those
    directories above it whose ctime is later than their mtime: that is how a renamed directory shows.
    """

    def __init__(self, root: bytes, given: str, *, follow: bool, prunes: Prunes | None, owners: bool = False) -> None:
        self._root, self._given, self._follow, self._prunes, self._with_owners = root, given, follow, prunes, owners
        self._now = time.time_ns()
        self.partials = 0
        self._clear()

    def _clear(self) -> None:
        self._keys: list[bytes] = []
        self._kinds: list[int] = []
        self._sizes: list[int | None] = []
        self._mtimes: list[int | None] = []
        self._changed: list[int | None] = []
        self._links: list[bytes | None] = []
        self._modes: list[int | None] = []
        self._owners: list[str | None] = []
        self._groups: list[str | None] = []

    def pages(self) -> Iterator[pa.RecordBatch]:
        """Yield the pages; raises SourceNotFound, AccessDenied or ListingError."""
        base, slash, prefix = self._root.rpartition(b"/")
        base += slash
        cut = len(self._root)
        try:
            names = [self._own(base, name, prefix) for name in self._names(base) if name[0].startswith(prefix)]
            names.sort()
            above = os.stat(base)
        except FileNotFoundError:
            raise SourceNotFound(f"{self._given} does not exist") from None
        except NotADirectoryError:
            raise SourceNotFound(f"{self._given} is not a directory") from None
        except OSError as error:
            raise self._failed(base, error) from error
        ancestors = [(above.st_dev, above.st_ino)]
        moved = above.st_ctime_ns if above.st_ctime_ns > above.st_mtime_ns else 0
        stack = [(base, iter(names), moved)]
        while stack:
            directory, children, moved = stack[-1]
            for name, is_link in children:
                path = directory + name
                if name.endswith(b"/"):
                    below = self._enter(path, path[cut:], is_link, moved, ancestors)
                    if below is not None:
                        stack.append(below)
                        break
                else:
                    self._leaf(path, path[cut:], is_link, moved)
                if len(self._keys) >= PAGE_ROWS:
                    yield self._page()
            else:
                stack.pop()
                ancestors.pop()
        if self._keys:
            yield self._page()

    def _own(self, base: bytes, name: Name, prefix: bytes) -> Name:
        """Walk a link that is the address itself: only links below an address are not followed."""
        if name == (prefix, True) and os.path.isdir(base + prefix):
            return prefix + b"/", True
        return name

    def _names(self, directory: bytes) -> list[Name]:
        """Return the names in a directory, sorted with ``/`` behind those of directories."""
        names: list[Name] = []
        with os.scandir(directory) as entries:
            for entry in entries:
                name = entry.name
                is_link = entry.is_symlink()
                if name in _JUICEFS and entry.inode() >= _JUICEFS_INODES:
                    continue
                if name.endswith(PARTIAL_END) and is_partial(name):
                    self.partials += 1
                elif _is_directory(entry, self._follow):
                    names.append((name + b"/", is_link))
                else:
                    names.append((name, is_link))
        names.sort()
        return names

    def _enter(
        self, path: bytes, key: bytes, is_link: bool, moved: int, ancestors: list[tuple[int, int]]
    ) -> tuple[bytes, Iterator[Name], int] | None:
        """Add a directory's row; return what to walk next, None where it is not entered."""
        try:
            facts = os.stat(path)
            if is_link:
                moved = max(moved, os.lstat(path[:-1]).st_ctime_ns)
            identity = (facts.st_dev, facts.st_ino)
            if is_link and identity in ancestors:
                self._add(key, _OTHER, None, None, None, b"loop", None)
                return None
            if facts.st_ctime_ns > facts.st_mtime_ns:
                moved = max(moved, facts.st_ctime_ns)
            if self._prunes is not None and self._prunes(key):
                names = None
            else:
                names = self._names(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            self._prove_gone(path, error)
            self._add(key, _OTHER, None, None, None, b"vanished", None)
            return None
        except OSError as error:
            raise self._failed(path, error) from error
        self._add(key, _DIRECTORY, 0, facts.st_mtime_ns, None, None, facts)
        if names is None:
            return None
        ancestors.append(identity)
        return path, iter(names), moved

    def _leaf(self, path: bytes, key: bytes, is_link: bool, moved: int) -> None:
        try:
            facts = os.lstat(path)
            changed = max(self._change(facts), moved)
            if is_link and not self._follow:
                self._add(key, _LINK, facts.st_size, facts.st_mtime_ns, changed, os.readlink(path), None)
                return
            if stat.S_ISLNK(facts.st_mode):
                try:
                    facts = os.stat(path)
                except (FileNotFoundError, NotADirectoryError):
                    self._add(key, _OTHER, None, None, None, b"dangling", None)
                    return
                changed = max(changed, self._change(facts))
        except FileNotFoundError:
            self._add(key, _OTHER, None, None, None, b"vanished", None)
            return
        except OSError as error:
            if is_link and error.errno in _NOWHERE:
                why = b"loop" if error.errno == errno.ELOOP else b"dangling"
                self._add(key, _OTHER, None, None, None, why, None)
                return
            raise self._failed(path, error) from error
        if stat.S_ISREG(facts.st_mode):
            self._add(key, _FILE, facts.st_size, facts.st_mtime_ns, changed, None, facts)
        else:
            self._add(key, _OTHER, None, None, None, b"special", None)

    def _change(self, facts: os.stat_result) -> int:
        """Return when an entry last changed; an mtime set into the future says nothing about that."""
        mtime, ctime = facts.st_mtime_ns, facts.st_ctime_ns
        return mtime if ctime < mtime <= self._now else ctime

    def _add(
        self,
        key: bytes,
        kind: int,
        size: int | None,
        mtime: int | None,
        changed: int | None,
        link: bytes | None,
        facts: os.stat_result | None,
    ) -> None:
        self._keys.append(key)
        self._kinds.append(kind)
        self._sizes.append(size)
        self._mtimes.append(None if mtime is None else clamped(mtime))
        self._changed.append(None if changed is None else clamped(changed))
        self._links.append(link)
        self._modes.append(None if facts is None else facts.st_mode)
        if self._with_owners:
            self._owners.append(None if facts is None else user_name(facts.st_uid))
            self._groups.append(None if facts is None else group_name(facts.st_gid))

    def _page(self) -> pa.RecordBatch:
        page = page_from_columns(
            {
                "key": self._keys,
                "kind": self._kinds,
                "size": self._sizes,
                "mtime": self._mtimes,
                "changed": self._changed,
                "link": self._links,
                "mode": self._modes,
                "owner": self._owners or None,
                "group": self._groups or None,
            },
            len(self._keys),
        )
        self._clear()
        return page

    def _prove_gone(self, path: bytes, error: OSError) -> None:
        """Return if a directory is gone from its parent's listing too; else the listing has failed."""
        parent, _, name = path[:-1].rpartition(b"/")
        try:
            os.lstat(path[:-1])
        except FileNotFoundError:
            return
        except OSError as second:
            raise self._failed(path, second) from second
        if name in os.listdir(parent or b"/"):
            raise self._failed(path, error) from error

    def _failed(self, path: bytes, error: OSError) -> ListingError:
        kind = AccessDenied if isinstance(error, PermissionError) else ListingError
        return kind(f"cannot list {printable(path)}: {error.strerror}")


def _is_directory(entry: os.DirEntry[bytes], follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError as error:
        if error.errno in _NOWHERE:
            return False
        raise


@functools.lru_cache(1024)
def user_name(number: int) -> str:
    """Return a user's name, the number as text where this machine knows none."""
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


@functools.lru_cache(1024)
def group_name(number: int) -> str:
    """Return a group's name, the number as text where this machine knows none."""
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
