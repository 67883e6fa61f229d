"""What stands in the way at a local destination: found, moved aside under a hidden name, removed or put back."""

from __future__ import annotations

import os
import secrets
import stat

from fsync.storage.directories import Directories
from fsync.storage.partial import partial_name, remove_if_hollow


def obstacle(directories: Directories, path: bytes) -> bytes:
    """Return the path of what stands in the way of writing ``path``: an ancestor that is no directory, or itself."""
    parts = path.split(b"/")
    for end in range(1, len(parts)):
        ancestor = b"/".join(parts[:end])
        above, _, name = ancestor.rpartition(b"/")
        with directories.lease(above) as descriptor:
            facts = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if not stat.S_ISDIR(facts.st_mode):
                return ancestor
    return path


def inside(directories: Directories, path: bytes) -> list[bytes]:
    """Return the paths of everything at or below ``path`` that is no directory, whatever it is called."""
    above, _, name = path.rpartition(b"/")
    with directories.lease(above) as descriptor:
        return _inside(path, name, descriptor)


def _inside(path: bytes, name: bytes, above: int) -> list[bytes]:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    except OSError:
        return [path]
    try:
        names = [os.fsencode(child) for child in os.listdir(descriptor)]
        return [found for child in names for found in _inside(path + b"/" + child, child, descriptor)]
    finally:
        os.close(descriptor)


def move_aside(directories: Directories, path: bytes) -> bytes:
    """Rename what stands at ``path`` to a hidden name beside it, never used before; return that path."""
    above, slash, name = path.rpartition(b"/")
    hidden = partial_name(name, secrets.token_hex(8))
    _rename(directories, path, above, name, hidden)
    return above + slash + hidden


def put_back(directories: Directories, aside: bytes, path: bytes) -> None:
    """Rename what was moved aside back, over directories without entries that have taken its place."""
    above, _, name = path.rpartition(b"/")
    directories.forget(path)
    with directories.lease(above) as descriptor:
        try:
            remove_if_hollow(name, descriptor)
        except FileNotFoundError:
            pass
    _rename(directories, aside, above, aside.rpartition(b"/")[2], name)


def _rename(directories: Directories, path: bytes, above: bytes, old: bytes, new: bytes) -> None:
    directories.forget(path)
    with directories.lease(above) as descriptor:
        os.rename(old, new, src_dir_fd=descriptor, dst_dir_fd=descriptor)


def remove_aside(directories: Directories, aside: bytes) -> None:
    """Remove what was moved aside, links themselves and not what they lead to."""
    above, _, name = aside.rpartition(b"/")
    with directories.lease(above) as descriptor:
        _remove(name, descriptor)


def _remove(name: bytes, above: int) -> None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    except OSError:
        os.unlink(name, dir_fd=above)
        return
    try:
        for child in os.listdir(descriptor):
            _remove(os.fsencode(child), descriptor)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=above)
