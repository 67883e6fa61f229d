"""Small new files: each gets its only name when it is whole, and is gone if its process is killed before that."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

#: 0 where the system has no files without names
_FLAG = getattr(os, "O_TMPFILE", 0)
_UMASK = re.compile(rb"^Umask:\s+([0-7]+)$", re.MULTILINE)


class Nameless:
    """Writes files that have no name until they are whole, two thirds of the work of a partial name and a rename.

    It gives up, for good, where there are no such files or no way to name them, and until :meth:`begin_anew` once a
    name was taken: what stands there is replaced by a rename only.
    """

    def __init__(self, *, usable: bool = True) -> None:
        self._forbidden = _umask() if usable and _FLAG else None
        self._usable = self._forbidden is not None
        self._free = True

    def begin_anew(self) -> None:
        """Take names for free again."""
        self._free = True

    def write(self, name: bytes, above: int, mask: int, fill: Callable[[int], None]) -> bool:
        """Let ``fill`` write a file, and name it in the directory ``above``; False if that must be done otherwise.

        Nothing is left then. ``mask`` are the permission bits that it may have. Raises what ``fill`` raises.
        """
        if not (self._usable and self._free):
            return False
        try:
            file = os.open(b".", os.O_WRONLY | os.O_CLOEXEC | _FLAG, mask, dir_fd=above)
        except OSError:
            # the kernel or the file system has none; whatever else it is, is met again on the other way
            self._usable = False
            return False
        try:
            if os.fstat(file).st_mode & (self._forbidden or 0):
                # kernels before 6.0 forget the umask where a file system has no access lists
                self._usable = False
                return False
            fill(file)
            return self._named(file, name, above)
        finally:
            os.close(file)

    def _named(self, file: int, name: bytes, above: int) -> bool:
        try:
            os.link(b"/proc/self/fd/%d" % file, name, dst_dir_fd=above, follow_symlinks=True)
        except FileExistsError:
            self._free = False
            return False
        except OSError:
            # no /proc, or no links; whatever else it is, is met again on the other way
            self._usable = False
            return False
        return True


def _umask() -> int | None:
    """Return this process's umask, None where it cannot be read without setting it."""
    try:
        with open("/proc/self/status", "rb") as file:
            found = _UMASK.search(file.read())
    except OSError:
        return None
    return int(found[1], 8) if found else None
