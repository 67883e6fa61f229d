"""A helper process beside this one: it needs the standard library alone, starts at once, and talks in pickles.

The process runs one function of :mod:`fsync.storage.serving`; the end of its input ends it.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import IO, Any


class Child:
    """A helper process, as its owner sees it; ``serve`` names the function that it runs."""

    def __init__(self, serve: str) -> None:
        home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        begin = f"import sys; sys.path.insert(0, sys.argv[1]); from fsync.storage import serving; serving.{serve}()"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", begin, home],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def send(self, value: Any) -> None:
        """Send one value; OSError if the process has died."""
        pickle.dump(value, self._stdin, pickle.HIGHEST_PROTOCOL)
        self._stdin.flush()

    def receive(self) -> Any:
        """Wait for one value; OSError, EOFError or UnpicklingError if the process has died."""
        # the other end is this program's own process, reached by no other
        return pickle.load(self._stdout)  # noqa: S301

    def end_input(self) -> None:
        """Tell the process to end after what it is at, and wait until it has."""
        try:
            self._stdin.close()
        except BrokenPipeError:
            pass
        self._process.wait()

    def kill(self) -> None:
        """End the process wherever it is; only for one that changes nothing."""
        self._process.kill()
        self.end_input()

    def close(self) -> None:
        """Let go of what the process may still have said."""
        self._stdout.close()


#: what a dead helper's pipes raise
DIED = (OSError, EOFError, pickle.UnpicklingError)
