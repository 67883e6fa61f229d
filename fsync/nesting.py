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

    def take(self, keys: Sequence[bytes]) -> list[int]:
        """Note each key, in turn, that neither is, nor is below or above, one that is noted; return their positions."""
        taken = []
        for position, key in enumerate(keys):
            above = _above(key)
            if key not in self._keys and key not in self._above and self._keys.isdisjoint(above):
                self._keys.add(key)
                self._above.update(above)
                taken.append(position)
        return taken

    def leave(self, keys: Sequence[bytes]) -> None:
        """Forget keys that were noted."""
        for key in keys:
            self._keys.discard(key)
            for name in _above(key):
                self._above[name] -= 1
                if not self._above[name]:
                    del self._above[name]


def _above(key: bytes) -> list[bytes]:
    """Return the keys that a key is below: ``a`` and ``a/b`` for ``a/b/c``; the empty one, a prefix, for ``/x``."""
    result = []
    end = key.rfind(b"/")
    while end >= 0:
        result.append(key[:end])
        end = key.rfind(b"/", 0, end)
    return result


def rounds(keys: Sequence[bytes]) -> Iterator[list[int]]:
    """Yield, as positions, keys that may be written at once, round after round."""
    left = list(range(len(keys)))
    while left:
        taken = Nesting().take([keys[position] for position in left])
        yield [left[position] for position in taken]
        left = sorted(set(left) - {left[position] for position in taken})
