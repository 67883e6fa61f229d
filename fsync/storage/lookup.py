"""Single rows of a local tree, without reading the directories that they lie in."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from fsync.storage.local_copy import clamped
from fsync.storage.partial import is_partial
from fsync.storage.rows import DIRECTORY, UNKNOWN, Rows
from fsync.storage.scan import JUICEFS, JUICEFS_INODES, NOWHERE, Scan


class Lookup(Scan):
    """Gives the rows that a scan would give of single keys."""

    def rows(self, keys: Iterable[bytes]) -> Rows:
        """Return the rows of exactly these keys, in their order, as :meth:`more` would give them.

        A name that is a directory has its row with ``/`` behind it, one that ends in ``/`` only if it is one; what is
        not there has no row. Sorted keys cost the fewest calls. Raises AccessDenied or ListingError.
        """
        for key in keys:
            path = self._root + key
            try:
                self._row(path, key)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                if error.errno not in NOWHERE:
                    raise self._failed(path, error) from error
        found, self._rows = self._rows, Rows()
        return found

    def _row(self, path: bytes, key: bytes) -> None:
        """Add the row of one path; FileNotFoundError or NotADirectoryError if nothing to be seen is there."""
        bare = path.rstrip(b"/")
        directory, slash, name = bare.rpartition(b"/")
        place = self._place(directory + slash)
        facts = os.lstat(bare)
        if is_partial(name) or (name in JUICEFS and facts.st_ino >= JUICEFS_INODES):
            return
        is_link = stat.S_ISLNK(facts.st_mode)
        if is_link and (self._follow or bare == self._root) and os.path.isdir(bare):
            facts = os.stat(bare)
            if (facts.st_dev, facts.st_ino) in place.identities:
                self._other(key.rstrip(b"/") + b"/", b"loop")
                return
        if stat.S_ISDIR(facts.st_mode):
            self._add(key.rstrip(b"/") + b"/", DIRECTORY, 0, clamped(facts.st_mtime_ns), UNKNOWN, facts)
        elif not key.endswith(b"/"):
            self._leaf(path, is_link, place.moved)
