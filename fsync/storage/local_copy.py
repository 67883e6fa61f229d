"""Local to local: files of one directory pair after the other, by descriptor, in one thread.

Both directories stay open while their files are copied; every name is opened relative to them, so no path is walked
twice and no link planted at the destination can redirect a write. Nothing here needs more than the standard library:
the same code runs in the helper process of :mod:`fsync.storage.copier`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from fsync.errors import FsyncError, ObjectError, SourceChanged, VerifyError
from fsync.storage.directories import Directories
from fsync.storage.partial import WRONG, create_partial, partial_name, pieces_of, rename_into_place, reopen_partial

#: how a source file is opened: a pipe or device that has taken its place must not block
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

#: up to this many bytes a file is read and written in one piece
_AT_ONCE = 1 << 20
_CHUNK = 64 << 20
_MOST = 2**63 - 1
_STOPPED = "not copied: the run was stopped"

#: key, size and modification time in nanoseconds of a listed file
Row = tuple[bytes, int, int]

#: gets the key of a file of more than one piece, its size, and how many bytes of it are written
Tell = Callable[[bytes, int, int], None]


class Tree(NamedTuple):
    """One local end: open directories, and the text that in prefix mode begins every key's first name."""

    directories: Directories
    prefix: bytes

    def below(self, directory: bytes) -> bytes:
        """Return the path below the base of a directory's key (``b""`` or ending in ``/``)."""
        return (self.prefix + directory).rpartition(b"/")[0]


def copy_files(
    source: Tree,
    destination: Tree,
    run_id: str,
    mask: int,
    rows: Sequence[Row],
    stopped: Callable[[], bool],
    tell: Tell | None = None,
    check: bool = False,
) -> list[Exception | None]:
    """Copy files; give for each None or the error of its only attempt.

    ``mask`` are the permission bits that a new file may have before its own are set. ``stopped`` is asked before each
    file and between the pieces of a large one, whose progress ``tell`` is told of. ``check`` reads every copy back and
    compares it with its source before it has its name.
    """
    results: list[Exception | None] = []
    pair = _Pair(source, destination, run_id, mask, stopped, tell, check)
    try:
        for key, size, mtime in rows:
            if stopped():
                results.append(ObjectError(_STOPPED))
                continue
            try:
                pair.copy(key, size, mtime)
            except (OSError, FsyncError) as error:
                results.append(error)
            else:
                results.append(None)
    finally:
        pair.leave()
    return results


class _Pair:
    """The source and destination directory of the file at hand, kept open while the next file is in them too."""

    def __init__(
        self,
        source: Tree,
        destination: Tree,
        run_id: str,
        mask: int,
        stopped: Callable[[], bool],
        tell: Tell | None,
        check: bool,
    ) -> None:
        self._source, self._destination = source, destination
        self._run_id, self._mask, self._stopped, self._tell, self._check = run_id, mask, stopped, tell, check
        self._here: bytes | None = None
        self._from = self._to = -1

    def _enter(self, directory: bytes) -> None:
        self.leave()
        source, destination = self._source, self._destination
        self._from = source.directories.take(source.below(directory))
        try:
            self._to = destination.directories.take(destination.below(directory), create=True)
        except BaseException:
            source.directories.give_back(source.below(directory))
            raise
        self._here = directory

    def leave(self) -> None:
        """Give back the directories at hand."""
        if self._here is not None:
            self._source.directories.give_back(self._source.below(self._here))
            self._destination.directories.give_back(self._destination.below(self._here))
            self._here = None

    def copy(self, key: bytes, size: int, mtime: int) -> None:
        """Copy one file to its final name, or leave everything as it was."""
        directory, slash, name = key.rpartition(b"/")
        directory += slash
        if directory != self._here:
            self._enter(directory)
        old = new = name
        if not directory:
            old, new = self._source.prefix + name, self._destination.prefix + name
        descriptor = os.open(old, READ, dir_fd=self._from)
        try:
            facts = os.fstat(descriptor)
            if facts.st_size != size or clamped(facts.st_mtime_ns) != mtime or not stat.S_ISREG(facts.st_mode):
                raise SourceChanged("the source changed after it was listed")
            self._write(descriptor, facts, new, key)
        finally:
            os.close(descriptor)

    def _write(self, source: int, facts: os.stat_result, name: bytes, key: bytes) -> None:
        def step(written: int) -> bool:
            if self._tell is not None:
                self._tell(key, facts.st_size, written)
            return self._stopped()

        partial = partial_name(name, self._run_id)
        target = create_partial(partial, self._mask, self._to)
        try:
            try:
                check_unchanged(source, facts, _copy_content(source, target, facts.st_size, step))
                mtime = clamped(facts.st_mtime_ns)
                os.utime(target, ns=(mtime, mtime))
            finally:
                os.close(target)
            if self._check:
                check_same(source, facts, partial, self._to)
            rename_into_place(partial, name, self._to)
        except BaseException:
            os.unlink(partial, dir_fd=self._to)
            raise


def clamped(nanoseconds: int) -> int:
    """Return a file time within what 64 bits of nanoseconds hold: the years 1677 to 2262."""
    return max(-_MOST, min(nanoseconds, _MOST))


def check_unchanged(descriptor: int, before: os.stat_result, length: int) -> None:
    """Raise SourceChanged if a file is not what it was when it was opened, or gave less than it had."""
    after = os.fstat(descriptor)
    if (
        length != before.st_size
        or after.st_mtime_ns != before.st_mtime_ns
        or after.st_ctime_ns != before.st_ctime_ns
        or after.st_size != before.st_size
    ):
        raise SourceChanged("the source changed while it was being read")


def check_same(source: int, facts: os.stat_result, partial: bytes, above: int) -> None:
    """Read a source and its closed partial; VerifyError if they differ, SourceChanged if the source is another now."""
    target = reopen_partial(partial, above)
    try:
        pairs = zip_longest(pieces_of(source, _AT_ONCE), pieces_of(target, _AT_ONCE))
        same = all(mine == theirs for mine, theirs in pairs)
    finally:
        os.close(target)
    check_unchanged(source, facts, facts.st_size)
    if not same:
        raise VerifyError(WRONG)


#: gets the bytes written before each piece, and tells whether to stop there
_Step = Callable[[int], bool]


def _copy_content(source: int, target: int, size: int, step: _Step) -> int:
    """Copy a file's bytes; return how many, fewer than ``size`` if the source shrank."""
    if size > _AT_ONCE:
        return _copy_extents(source, target, size, step)
    data = os.read(source, size)
    return os.write(target, data) if data else 0


def _copy_extents(source: int, target: int, size: int, step: _Step) -> int:
    """Copy what holds data, leave holes as holes; return the length, less than ``size`` if the source shrank."""
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return size
            if error.errno != errno.EINVAL:
                raise
            start = position
            end = size
        else:
            end = min(os.lseek(source, start, os.SEEK_HOLE), size)
        position = _copy_range(source, target, start, end, step)
        if position < end:
            return position
    return size


def _copy_range(source: int, target: int, start: int, end: int, step: _Step) -> int:
    """Copy one extent inside the kernel where it can, else through this process; return where it stopped."""
    position = start
    while position < end:
        if step(position):
            raise ObjectError(_STOPPED)
        wanted = min(_CHUNK, end - position)
        try:
            copied = os.copy_file_range(source, target, wanted, position, position)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
                raise
            copied = os.pwrite(target, os.pread(source, min(_AT_ONCE, wanted), position), position)
        if not copied:
            return position
        position += copied
    return position
