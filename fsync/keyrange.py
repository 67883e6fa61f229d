"""A range of keys: what ``--start`` and ``--end`` leave, and the one directory that a list of names may mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys from ``start`` to ``end``, both included (None: no bound), that begin with ``under``.

    ``under`` is empty or the key of a directory, with its ``/``. Keys are compared by their bytes.
    """

    start: bytes | None = None
    end: bytes | None = None
    under: bytes = b""

    def __bool__(self) -> bool:
        """Tell whether any key could be outside."""
        return self.start is not None or self.end is not None or bool(self.under)

    def holds(self, key: bytes) -> bool:
        """Tell whether a key is inside."""
        return key.startswith(self.under) and not self.is_past(key) and (self.start is None or key >= self.start)

    def mask(self, keys: pa.BinaryArray) -> pa.BooleanArray:
        """Return True for each key that is inside."""
        # the processes that only read directories do without pyarrow
        import pyarrow as pa
        import pyarrow.compute as pc

        inside = pc.is_valid(keys)
        if self.under:
            inside = pc.and_(inside, pc.starts_with(keys, self.under))
        if self.start is not None:
            inside = pc.and_(inside, pc.greater_equal(keys, pa.scalar(self.start, pa.binary())))
        if self.end is not None:
            inside = pc.and_(inside, pc.less_equal(keys, pa.scalar(self.end, pa.binary())))
        return inside

    def misses(self, prefix: bytes) -> bool:
        """Tell whether no key that begins with ``prefix`` is inside."""
        if self.start is not None and prefix < self.start and not self.start.startswith(prefix):
            return True
        apart = not prefix.startswith(self.under) and not self.under.startswith(prefix)
        return apart or self.is_past(prefix)

    def reaches(self, name: bytes) -> bool:
        """Tell whether a key, or anything that would lie below it as a directory, is inside."""
        return self.holds(name) or not self.misses(name.rstrip(b"/") + b"/")

    def is_past(self, key: bytes) -> bool:
        """Tell whether a key, and so every greater one, lies beyond the end."""
        return self.end is not None and key > self.end

    def below(self, directory: bytes) -> KeyRange:
        """Return the part of this range that lies in one directory, given by its key with its ``/``."""
        return KeyRange(self.start, self.end, directory)

    @property
    def just_before(self) -> bytes | None:
        """Return a key that comes before ``start`` with little in between, None where there is no such key.

        What a listing that begins *after* a key is asked for; it is UTF-8.
        """
        try:
            text = (self.start or b"").decode()
        except UnicodeDecodeError as error:
            text = error.object[: error.start].decode() + "\0"
        head, last = text[:-1], text[-1:]
        # one less must be a character, and none that servers have trouble with
        if last > "!":
            head += ("\ud7ff" if last == "\ue000" else chr(ord(last) - 1)) + "\U0010fffd"
        return head.encode() or None


EVERY_KEY = KeyRange()
