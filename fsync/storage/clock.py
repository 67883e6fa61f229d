"""How far a server's clock is ahead of ours, from the ``Date`` of its answers."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime


class ClockSkew:
    """Bounds of a clock difference in seconds, narrowed by every answer.

    ``Date`` is cut to whole seconds: an answer dated D that was asked for at ``sent`` and came at ``received`` says
    that the server's clock is ahead by at least D - received and at most D + 1 - sent.
    """

    def __init__(self) -> None:
        self._least, self._most = float("-inf"), float("inf")

    @staticmethod
    def now() -> float:
        """Return our own time in seconds since 1970."""
        return time.time()

    def note(self, date: str | None, sent: float) -> None:
        """Take one answer's ``Date`` header into account."""
        if not date:
            return
        try:
            server = parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):
            return
        least, most = max(self._least, server - time.time()), min(self._most, server + 1 - sent)
        if least <= most:
            self._least, self._most = least, most
        else:
            # one of the clocks was set meanwhile: only the newest answer counts
            self._least, self._most = server - time.time(), server + 1 - sent

    def bounds(self) -> tuple[float, float]:
        """Return (least, most) seconds that the server is ahead; (0, 0) where no answer told."""
        if self._least == float("-inf"):
            return (0.0, 0.0)
        return (self._least, self._most)
