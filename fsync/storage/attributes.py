"""What a local destination holds besides file content: links, directories, permissions, directory times."""

from __future__ import annotations

import functools
import os
import stat

from fsync.errors import TypeClash, printable
from fsync.storage.directories import Directories
from fsync.storage.partial import partial_name, rename_into_place

#: opens whatever has a name, link or not, without following it and without reading it
_ITSELF = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def make_link(directories: Directories, path: bytes, text: bytes, mtime: int | None, run_id: str) -> None:
    """Make a link with exactly this text, in the place of a link or file of that name."""
    above, _, name = path.rpartition(b"/")
    partial = partial_name(name, run_id)
    with directories.lease(above, create=True) as descriptor:
        os.symlink(text, partial, dir_fd=descriptor)
        try:
            if mtime is not None:
                os.utime(partial, ns=(mtime, mtime), dir_fd=descriptor, follow_symlinks=False)
            rename_into_place(partial, name, descriptor)
        except BaseException:
            os.unlink(partial, dir_fd=descriptor)
            raise


def make_directory(directories: Directories, path: bytes) -> None:
    """Make a directory and its parents; TypeClash where something else has the name."""
    above, _, name = path.rpartition(b"/")
    with directories.lease(above, create=True) as descriptor:
        try:
            os.mkdir(name, 0o777, dir_fd=descriptor)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                raise TypeClash(f"{printable(path)} stands in the way: it is not a directory") from None


def remove_directory(directories: Directories, path: bytes) -> bool:
    """Remove a directory if it is empty; tell whether it is gone."""
    above, _, name = path.rpartition(b"/")
    directories.forget(path)
    try:
        with directories.lease(above) as descriptor:
            os.rmdir(name, dir_fd=descriptor)
    except (FileNotFoundError, TypeClash):
        # also where something that is no directory has taken its parent's place
        return True
    except OSError:
        return False
    return True


def set_time(directories: Directories, path: bytes, mtime: int) -> None:
    """Give a directory its modification time, if it has another."""
    with directories.lease(path) as descriptor:
        if os.fstat(descriptor).st_mtime_ns != mtime:
            os.utime(descriptor, ns=(mtime, mtime))


def set_permissions(directories: Directories, path: bytes, mode: int, owner: str | None, group: str | None) -> str:
    """Give a file or directory its mode, owner and group; return what could not be done, "" if nothing.

    Names that this machine does not know, and owners that this user may not set, are left as they are. The owner
    comes first: changing it takes set-user-ID bits away.
    """
    above, _, name = path.rstrip(b"/").rpartition(b"/")
    failed = ""
    with directories.lease(above) as descriptor:
        itself = os.open(name, _ITSELF, dir_fd=descriptor)
    try:
        if stat.S_ISLNK(os.fstat(itself).st_mode):
            raise TypeClash(f"{printable(path)} is a link now, whose permissions are not its own")
        user, members = _user(owner), _group(group)
        for wanted, found, ids in ((owner, user, (user, -1)), (group, members, (-1, members))):
            try:
                if found != -1:
                    os.chown(f"/proc/self/fd/{itself}", *ids)
                elif wanted is not None:
                    failed = "owner"
            except PermissionError:
                failed = "owner"
        # bits that lend the owner's rights must not lend somebody else's
        os.chmod(f"/proc/self/fd/{itself}", mode & (0o1777 if failed else 0o7777))
    finally:
        os.close(itself)
    return failed


@functools.lru_cache(1024)
def _user(name: str | None) -> int:
    import pwd

    try:
        return -1 if name is None else pwd.getpwnam(name).pw_uid
    except KeyError:
        return int(name) if name is not None and name.isdigit() else -1


@functools.lru_cache(1024)
def _group(name: str | None) -> int:
    import grp

    try:
        return -1 if name is None else grp.getgrnam(name).gr_gid
    except KeyError:
        return int(name) if name is not None and name.isdigit() else -1
