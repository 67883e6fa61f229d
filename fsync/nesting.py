"""Objects below one another's keys, as ``a`` and ``a/b``: some servers lose one of two that are written at once.

SeaweedFS 4.48 does: it keeps objects as files in directories, ``a`` as a directory with content. Of ``a`` and ``a/b``
written one after the other it loses neither; written at once, about one ``a`` in twenty is gone, both answers 200.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence


class Nesting:
    """The keys that are being written, none of which is below another."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()
        self._above: Counter[bytes] = Counter()

    def take(self, keys: Sequence[bytes]) -> int:
        """Note keys up to the first that is, is below or is above one that is noted; return how many those are."""
        for count, key in enumerate(keys):
            above = _above(key)
            if key in self._keys or key in self._above or not self._keys.isdisjoint(above):
                return count
            self._keys.add(key)
            self._above.update(above)
        return len(keys)

    def leave(self, keys: Sequence[bytes]) -> None:
        """Forget keys that were noted."""
        for key in keys:
            self._keys.discard(key)
            for name in _above(key):
                self._above[name] -= 1
                if not self._above[name]:
                    del self._above[name]


def _above(key: bytes) -> list[bytes]:
    """Return the keys that a key is below: ``a`` and ``a/b`` for ``a/b/c``."""
    result = []
    end = key.rfind(b"/")
    while end > 0:
        result.append(key[:end])
        end = key.rfind(b"/", 0, end)
    return result


def runs(keys: Sequence[bytes]) -> Iterator[slice]:
    """Yield the stretches of keys that may be written at once, one after the other."""
    start = 0
    while start < len(keys):
        end = start + Nesting().take(keys[start:])
        yield slice(start, end)
        start = end
