"""One processor core for threads that take turns at the interpreter's lock.

Spread over several cores each turn is a thread woken on another core, and others woken in vain; with many small calls
that costs more processor time than the calls themselves. On one core the next turn is a mere switch.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from contextlib import suppress

#: where Linux tells on which core a thread runs (proc(5))
_FACTS = "/proc/thread-self/stat"
#: the number of no core
_NONE = -1
#: seconds after which the core is chosen anew
_STAY = 1.0
#: seconds of a nap from which the system wakes a thread where there is room
_NAP = 1e-4


class Core:
    """A core that threads can be kept on; it moves on when something else needs the one it is.

    Where the system cannot keep threads on a core, or does not let this process do so, nothing happens.
    """

    def __init__(self) -> None:
        self._number = _NONE
        self._until = 0.0 if sys.platform == "linux" else math.inf
        self._choosing = threading.Lock()
        self._here = _Here()

    def join(self) -> None:
        """Keep the calling thread, and those that it starts from now on, on the core, if it may run there."""
        try:
            if time.monotonic() >= self._until and self._choosing.acquire(blocking=False):
                try:
                    self._choose()
                finally:
                    self._choosing.release()
            here, number = self._here, self._number
            if here.kept_on == number:
                return
            if number in here.allowed:
                os.sched_setaffinity(0, {number})
                here.kept_on = number
            else:
                self.leave()
        except (OSError, ValueError, IndexError):
            # a container that forbids it or tells it otherwise, or processors that were taken away
            self._number, self._until = _NONE, math.inf
            self.leave()

    def leave(self) -> None:
        """Let the calling thread run wherever it could before."""
        here = self._here
        if here.kept_on != _NONE:
            here.kept_on = _NONE
            # where none of them is left, the system itself lets it run elsewhere
            with suppress(OSError):
                os.sched_setaffinity(0, here.allowed)

    def _choose(self) -> None:
        self.leave()
        time.sleep(_NAP)
        with open(_FACTS, "rb") as facts:
            # field 39; the second, a name, may hold anything
            self._number = int(facts.read().rpartition(b")")[2].split()[36])
        self._until = time.monotonic() + _STAY


class _Here(threading.local):
    """What a thread knows of itself: the core that it is kept on, and those that it may run on, none if not told."""

    def __init__(self) -> None:
        self.kept_on = _NONE
        self.allowed: set[int] = set()
        if sys.platform == "linux":
            with suppress(OSError):
                self.allowed = os.sched_getaffinity(0)
