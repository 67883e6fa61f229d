"""Files on their way: hidden names beside the final one, and the rename that ends them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from fsync.errors import TypeClash, printable

#: a partial is new, and no link
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW

#: why a partial does not get its name
WRONG = "what was written is not what its source holds"

_PARTIAL = re.compile(rb"\.(.*)\.fsync-([0-9a-f]{16})\.partial", re.DOTALL)
PARTIAL_END = b".partial"
_PARTIAL_EXTRA = len(b"..fsync-0123456789abcdef.partial")


def partial_name(name: bytes, run_id: str) -> bytes:
    """Return the name under which ``name`` is written until it is whole: ``.NAME.fsync-RUNID.partial``.

    NAME is cut so that the whole fits into 255 bytes, and ends in a digest of the rest then, so that long names which
    begin alike stay apart; ``run_id`` has 16 hexadecimal digits.
    """
    most = 255 - _PARTIAL_EXTRA
    if len(name) > most:
        import hashlib

        name = name[: most - 17] + b"~" + hashlib.blake2b(name, digest_size=8).hexdigest().encode()
    return b"." + name + b".fsync-" + run_id.encode() + b".partial"


def is_partial(name: bytes) -> bool:
    """Tell whether a name has exactly the form of :func:`partial_name`."""
    return _PARTIAL.fullmatch(name) is not None


def create_partial(partial: bytes, mask: int, above: int) -> int:
    """Create a partial and return its descriptor; one of the same run, left by a helper that died, gives way."""
    try:
        return os.open(partial, _CREATE, mask, dir_fd=above)
    except FileExistsError:
        os.unlink(partial, dir_fd=above)
        return os.open(partial, _CREATE, mask, dir_fd=above)


def reopen_partial(partial: bytes, above: int) -> int:
    """Open a partial that was closed, to read what is in it."""
    return os.open(partial, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=above)


def pieces_of(descriptor: int, length: int) -> Iterator[bytes]:
    """Yield a file's content from its beginning in pieces of ``length`` bytes, the last one less."""
    offset = 0
    while piece := os.pread(descriptor, length, offset):
        while len(piece) < length and (more := os.pread(descriptor, length - len(piece), offset + len(piece))):
            piece += more
        yield piece
        offset += len(piece)


def rename_into_place(partial: bytes, name: bytes, above: int) -> None:
    """Give a partial its final name; a directory that holds no files gives way, any other is a TypeClash."""
    try:
        os.rename(partial, name, src_dir_fd=above, dst_dir_fd=above)
    except IsADirectoryError:
        remove_if_hollow(name, above)
        os.rename(partial, name, src_dir_fd=above, dst_dir_fd=above)


def remove_if_hollow(name: bytes, above: int) -> None:
    """Remove a directory that holds nothing but directories; raises TypeClash, touching nothing, if it holds more."""
    if _holds_entries(name, above):
        raise TypeClash(f"a directory {printable(name)} that is not empty stands in the way")
    _remove_hollow(name, above)


def _holds_entries(name: bytes, above: int) -> bool:
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        with os.scandir(descriptor) as entries:
            names = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
        return any(not is_directory or _holds_entries(child, descriptor) for child, is_directory in names)
    finally:
        os.close(descriptor)


def _remove_hollow(name: bytes, above: int) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        with os.scandir(descriptor) as entries:
            children = [os.fsencode(entry.name) for entry in entries]
        for child in children:
            _remove_hollow(child, descriptor)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=above)
