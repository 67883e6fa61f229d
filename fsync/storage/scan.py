"""The listing of a local tree: directory by directory, sorted, a page of rows at a time.

Nothing here needs more than the standard library, and a :class:`Scan` that has begun can be pickled: the rest of a
large tree is read by a helper process (:mod:`fsync.storage.serving`).
"""

from __future__ import annotations

import errno
import operator
import os
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from fsync.errors import AccessDenied, ListingError, SourceNotFound, printable
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.storage.local_copy import clamped
from fsync.storage.names import MANY, NO_PLAIN_FILE, PackedNames, merged
from fsync.storage.partial import PARTIAL_END, is_partial
from fsync.storage.rows import DIRECTORY, FILE, LINK, OTHER, UNKNOWN, Rows, group_name, user_name

_MOST = 2**63 - 1

#: errors of following a link that leads nowhere
NOWHERE = {errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG}

#: what a JuiceFS mount shows of itself at its root, told from a user's names by its inode numbers (seen with 1.4.2)
JUICEFS = {b".accesslog", b".config", b".stats", b".trash"}
JUICEFS_INODES = 0x7FFFFFFF_00000000

#: rows of the first page
_FIRST = 1024
#: files in a row for which their directory is opened once, instead of walking its path for each
_WORTH_OPENING = 4


class _Level:
    """A directory on the way down, its names, how many of them are done, and when it or one above it was renamed."""

    __slots__ = ("at", "directory", "moved", "names")

    def __init__(self, directory: bytes, names: Sequence[bytes], moved: int) -> None:
        self.directory, self.names, self.moved = directory, names, moved
        self.at = 0


class _Place(NamedTuple):
    """A directory that single rows lie in: when it or one above it was renamed, and what they are (device, inode)."""

    directory: bytes
    moved: int
    identities: tuple[tuple[int, int], ...]


class Scan:
    """One listing of the files whose paths begin with ``root``, in the order of the keys' bytes.

    ``root`` is bytes and ends in ``/`` in directory mode. ``follow`` lists what links lead to: a link to a directory
    is walked, unless it leads to one of its own ancestors. Entries that exist but are nothing to copy (dangling link,
    loop, device, socket) are rows of kind OTHER; a directory's row comes right before what it holds. A directory for
    which ``prunes(key)`` holds is not entered. ``owners`` asks for owners and groups, by name. ``partials`` counts
    what unfinished fsync runs left under hidden names, which is invisible.

    The ``changed`` column is the later of mtime and ctime, over the entry, the links that lead to it, and those
    directories above it whose ctime is later than their mtime: that is how a renamed directory shows.

    Nothing outside ``within`` is looked at but the names beside it; where that is under one directory, the scan begins
    there, with that directory's own row.
    """

    def __init__(
        self,
        root: bytes,
        given: str,
        *,
        follow: bool,
        prunes: Callable[[bytes], bool] | None,
        owners: bool = False,
        page_rows: int = 4096,
        within: KeyRange = EVERY_KEY,
    ) -> None:
        self._root, self._given, self._follow, self._prunes, self._with_owners = root, given, follow, prunes, owners
        self._page_rows, self._within, self._bounded = page_rows, within, bool(within)
        # the first page is short, because copying begins with it
        self._room = min(page_rows, _FIRST)
        self._places: list[_Place] = []
        self._now = time.time_ns()
        self._stack: list[_Level] | None = None
        self._ancestors: list[tuple[int, int]] = []
        self._rows = Rows()
        self.partials = 0

    def more(self) -> Rows | None:
        """Return the next page, None at the end; raises SourceNotFound, AccessDenied or ListingError."""
        if self._stack is None:
            self._stack = [self._top()]
        while self._stack and len(self._rows) < self._room:
            level = self._stack[-1]
            if level.at == len(level.names):
                self._stack.pop()
                self._ancestors.pop()
            elif level.names[level.at].endswith(NO_PLAIN_FILE):
                self._descend(level, level.names[level.at])
                level.at += 1
            else:
                self._files(level)
        page, self._rows, self._room = self._rows, Rows(), self._page_rows
        return page if len(page) else None

    def _place(self, directory: bytes) -> _Place:
        """Return what is known of a directory at or below the root's own.

        Raises OSError; NotADirectoryError also for a way that no scan would take: through a loop, or a link where
        links are not followed.
        """
        if not self._places:
            base, slash, _ = self._root.rpartition(b"/")
            facts = os.stat(base + slash)
            moved = facts.st_ctime_ns if facts.st_ctime_ns > facts.st_mtime_ns else 0
            self._places.append(_Place(base + slash, moved, ((facts.st_dev, facts.st_ino),)))
        while not directory.startswith(self._places[-1].directory):
            self._places.pop()
        while directory != self._places[-1].directory:
            above = self._places[-1]
            path = directory[: directory.index(b"/", len(above.directory))]
            link = os.lstat(path)
            is_link = stat.S_ISLNK(link.st_mode)
            facts = os.stat(path) if is_link else link
            identity = (facts.st_dev, facts.st_ino)
            closed = is_link and (identity in above.identities or not (self._follow or path == self._root))
            if closed or not stat.S_ISDIR(facts.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            moved = max(above.moved, link.st_ctime_ns if is_link else 0)
            if facts.st_ctime_ns > facts.st_mtime_ns:
                moved = max(moved, facts.st_ctime_ns)
            self._places.append(_Place(path + b"/", moved, (*above.identities, identity)))
        return self._places[-1]

    def _top(self) -> _Level:
        under = self._within.under
        base, slash, prefix = (self._root + under).rpartition(b"/")
        base += slash
        shown = printable(base) if under else self._given
        try:
            place = self._place(base)
            names = self._names(base)
            if prefix:
                names = sorted(self._own(base, name, prefix) for name in names if name.startswith(prefix))
            if under:
                facts = os.stat(base)
                self._add(under, DIRECTORY, 0, clamped(facts.st_mtime_ns), UNKNOWN, facts)
        except FileNotFoundError:
            raise SourceNotFound(f"{shown} does not exist") from None
        except NotADirectoryError:
            raise SourceNotFound(f"{shown} is not a directory") from None
        except OSError as error:
            raise self._failed(base, error) from error
        self._ancestors.extend(place.identities)
        return _Level(base, names, place.moved)

    def _own(self, base: bytes, name: bytes, prefix: bytes) -> bytes:
        """Walk a link that is the address itself: only links below an address are not followed."""
        if name == prefix + b"\0" and os.path.isdir(base + prefix):
            return prefix + b"/\0"
        return name

    def _names(self, directory: bytes) -> Sequence[bytes]:
        """Return the names in a directory, sorted, as :mod:`fsync.storage.names` has them."""
        runs: list[PackedNames] = []
        with os.scandir(directory) as entries:
            while True:
                some = list(islice(entries, MANY))
                names = self._named(some)
                if len(some) == MANY:
                    runs.append(PackedNames(names))
                elif not runs:
                    return names
                else:
                    return merged([*runs, PackedNames(names)])

    def _named(self, entries: Sequence[os.DirEntry[bytes]]) -> list[bytes]:
        """Return the names of entries, sorted, without those that no scan shows."""
        names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        others: Sequence[os.DirEntry[bytes]] = ()
        if b"/." in b"/" + b"/".join(names):
            # all that is hidden begins with a dot
            names, others = [], entries
        elif len(names) < len(entries):
            others = [entry for entry in entries if not entry.is_file(follow_symlinks=False)]
        names += [name for entry in others if (name := self._name(entry)) is not None]
        names.sort()
        return names

    def _name(self, entry: os.DirEntry[bytes]) -> bytes | None:
        name = entry.name
        if name in JUICEFS and entry.inode() >= JUICEFS_INODES:
            return None
        if name.endswith(PARTIAL_END) and is_partial(name):
            self.partials += 1
            return None
        if entry.is_symlink():
            return name + (b"/\0" if _leads_to_directory(entry, self._follow) else b"\0")
        return name + b"/" if entry.is_dir() else name

    def _descend(self, level: _Level, name: bytes) -> None:
        """Go on with a directory, or with a link."""
        bare = name.removesuffix(b"\0")
        path = level.directory + bare
        if bare.endswith(b"/"):
            self._enter(path, bare != name, level.moved)
        elif not self._bounded or self._within.reaches(path[len(self._root) :]):
            self._leaf(path, True, level.moved)

    def _enter(self, path: bytes, is_link: bool, moved: int) -> None:
        """Add a directory's row, and go down into it unless there is a reason not to."""
        key = path[len(self._root) :]
        names: Sequence[bytes] = []
        try:
            facts = os.stat(path)
            if is_link:
                moved = max(moved, os.lstat(path[:-1]).st_ctime_ns)
            identity = (facts.st_dev, facts.st_ino)
            if is_link and identity in self._ancestors:
                self._other(key, b"loop")
                return
            if facts.st_ctime_ns > facts.st_mtime_ns:
                moved = max(moved, facts.st_ctime_ns)
            pruned = self._within.misses(key) or (self._prunes is not None and self._prunes(key))
            if not pruned:
                names = self._names(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            self._prove_gone(path, error)
            self._other(key, b"vanished")
            return
        except OSError as error:
            raise self._failed(path, error) from error
        self._add(key, DIRECTORY, 0, clamped(facts.st_mtime_ns), UNKNOWN, facts)
        if not pruned and self._stack is not None:
            self._stack.append(_Level(path, names, moved))
            self._ancestors.append(identity)

    def _files(self, level: _Level) -> None:
        """Add the rows of the files that follow each other in a directory, as far as the page has room."""
        names, first = level.names, level.at
        last = min(len(names), first + self._room - len(self._rows))
        end = first + 1
        while end < last and not names[end].endswith(NO_PLAIN_FILE):
            end += 1
        files = names[first:end]
        if self._bounded:
            cut = len(self._root)
            files = [name for name in files if self._within.reaches((level.directory + name)[cut:])]
        if files and (self._with_owners or not self._at_once(files, level)):
            for name in files:
                self._leaf(level.directory + name, False, level.moved)
        level.at = end

    def _at_once(self, names: Sequence[bytes], level: _Level) -> bool:
        """Add the rows of regular files column by column; False, and none added, if that is not what they are."""
        try:
            facts = _facts(level.directory, names)
        except OSError:
            # an error is that of one file
            return False
        mtimes = [fact.st_mtime_ns for fact in facts]
        changed = [fact.st_ctime_ns for fact in facts]
        now, moved = self._now, level.moved
        if any(map(operator.lt, changed, mtimes)):
            # an mtime set into the future says nothing about when the file changed
            changed = [mtime if ctime < mtime <= now else ctime for ctime, mtime in zip(changed, mtimes, strict=True)]
        if min(changed) < moved:
            changed = [max(when, moved) for when in changed]
        modes = [fact.st_mode for fact in facts]
        times = min(mtimes), max(mtimes), min(changed), max(changed)
        if not (all(map(stat.S_ISREG, set(modes))) and all(UNKNOWN < when < _MOST for when in times)):
            return False
        rows, cut = self._rows, len(self._root) - len(level.directory)
        if cut > 0:
            # the names that a prefix in the top directory begins
            rows.keys += [name[cut:] for name in names]
        else:
            start = level.directory[len(self._root) :]
            rows.keys += [start + name for name in names]
        rows.kinds.extend([FILE] * len(names))
        rows.sizes.extend([fact.st_size for fact in facts])
        rows.modes.extend(modes)
        rows.mtimes.extend(mtimes)
        rows.changed.extend(changed)
        return True

    def _leaf(self, path: bytes, is_link: bool, moved: int) -> None:
        """Add the row of anything but a directory."""
        key = path[len(self._root) :]
        try:
            facts = os.lstat(path)
            changed = max(self._change(facts), moved)
            if is_link and not self._follow:
                self._add(key, LINK, facts.st_size, clamped(facts.st_mtime_ns), changed, None, os.readlink(path))
                return
            if stat.S_ISLNK(facts.st_mode):
                try:
                    facts = os.stat(path)
                except (FileNotFoundError, NotADirectoryError):
                    self._other(key, b"dangling")
                    return
                changed = max(changed, self._change(facts))
        except FileNotFoundError:
            self._other(key, b"vanished")
            return
        except OSError as error:
            if is_link and error.errno in NOWHERE:
                self._other(key, b"loop" if error.errno == errno.ELOOP else b"dangling")
                return
            raise self._failed(path, error) from error
        if stat.S_ISREG(facts.st_mode):
            self._add(key, FILE, facts.st_size, clamped(facts.st_mtime_ns), changed, facts)
        else:
            self._other(key, b"special")

    def _change(self, facts: os.stat_result) -> int:
        """Return when an entry last changed; an mtime set into the future says nothing about that."""
        mtime, ctime = facts.st_mtime_ns, facts.st_ctime_ns
        return mtime if ctime < mtime <= self._now else ctime

    def _other(self, key: bytes, why: bytes) -> None:
        """Add the row of what exists but is nothing to copy."""
        self._add(key, OTHER, UNKNOWN, UNKNOWN, UNKNOWN, None, why)

    def _add(
        self,
        key: bytes,
        kind: int,
        size: int,
        mtime: int,
        changed: int,
        facts: os.stat_result | None,
        link: bytes | None = None,
    ) -> None:
        rows = self._rows
        if link is not None:
            rows.links[len(rows)] = link
        rows.keys.append(key)
        rows.kinds.append(kind)
        rows.sizes.append(size)
        rows.mtimes.append(mtime)
        rows.changed.append(changed if changed == UNKNOWN else clamped(changed))
        rows.modes.append(-1 if facts is None else facts.st_mode)
        if self._with_owners:
            rows.owners.append(None if facts is None else user_name(facts.st_uid))
            rows.groups.append(None if facts is None else group_name(facts.st_gid))

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


def _leads_to_directory(link: os.DirEntry[bytes], follow: bool) -> bool:
    try:
        return link.is_dir(follow_symlinks=follow)
    except OSError as error:
        if error.errno in NOWHERE:
            return False
        raise


def _facts(directory: bytes, names: Sequence[bytes]) -> list[os.stat_result]:
    """Return what the system says of the entries of a directory, links not followed; raises OSError."""
    look = os.stat
    above = None
    if len(names) >= _WORTH_OPENING:
        # in a directory that cannot be opened, files may still be reached by their paths
        with suppress(OSError):
            above = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if above is None:
        return [look(directory + name, follow_symlinks=False) for name in names]
    try:
        return [look(name, dir_fd=above, follow_symlinks=False) for name in names]
    finally:
        os.close(above)
