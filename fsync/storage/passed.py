"""What an object's parts were as they passed, to hold what can be read back of it against."""

from __future__ import annotations

import hashlib


class Passed:
    """The digests of an object's parts; part ``number`` begins at ``number * part_size``."""

    def __init__(self, part_size: int) -> None:
        self.part_size = part_size
        self._digests: dict[int, bytes] = {}

    def note(self, number: int, data: bytes | bytearray | memoryview) -> None:
        """Take a part; one that is written again replaces itself."""
        self._digests[number] = _digest(data)

    def matches(self, number: int, data: bytes | bytearray | memoryview) -> bool:
        """Tell whether a part that was read back is what passed."""
        return self._digests.get(number) == _digest(data)


def _digest(data: bytes | bytearray | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
