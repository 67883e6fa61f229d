"""A helper process that copies local files beside this one."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from fsync.storage.child import DIED, Child
from fsync.storage.local_copy import Row, Tell
from fsync.storage.serving import Setup


class Copier:
    """The helper process, as its owner sees it; one batch at a time."""

    def __init__(self, setup: Setup) -> None:
        self._child = Child("copy")
        self._lock = threading.Lock()
        try:
            self._child.send(setup)
        except DIED:
            # it has died at once, which the first batch finds
            return

    def copy(self, rows: Sequence[Row], tell: Tell) -> list[Exception | None] | None:
        """Copy a batch; give for each row None or its error, or None for all if the helper has died."""
        with self._lock:
            try:
                self._child.send(list(rows))
                answer: list[Exception | None] | tuple[bytes, int, int] = self._child.receive()
                while isinstance(answer, tuple):
                    tell(*answer)
                    answer = self._child.receive()
            except DIED:
                return None
            return answer

    def close(self) -> None:
        """End the helper after the file it is at; a call of :meth:`copy` that waits for it gets its answer first."""
        self._child.end_input()
        with self._lock:
            self._child.close()
