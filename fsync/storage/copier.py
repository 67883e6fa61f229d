"""A helper process that copies local files beside this one: it needs the standard library alone and starts at once.

Protocol, over the helper's standard input and output: first one pickled :data:`Setup`, then batches, each a pickled
list of rows, answered by one pickled list of results; tuples that come before it tell how far a large file is. The end
of the input ends the helper; it ignores SIGINT, because a file that it has begun is finished or removed.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO, Any

from fsync.storage.directories import Directories
from fsync.storage.local_copy import Row, Tell, Tree, copy_files

#: base and prefix of the source, base and prefix of the destination, run id, umask, permission bits of new files
Setup = tuple[bytes, bytes, bytes, bytes, str, int, int]


class Copier:
    """The helper process, as its owner sees it; one batch at a time."""

    def __init__(self, setup: Setup) -> None:
        home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        begin = "import sys; sys.path.insert(0, sys.argv[1]); from fsync.storage.copier import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", begin, home],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._lock = threading.Lock()
        self._send(setup)

    def copy(self, rows: Sequence[Row], tell: Tell) -> list[Exception | None] | None:
        """Copy a batch; give for each row None or its error, or None for all if the helper has died."""
        with self._lock:
            try:
                self._send(list(rows))
                answer: list[Exception | None] | tuple[bytes, int, int] = _load(self._stdout)
                while isinstance(answer, tuple):
                    tell(*answer)
                    answer = _load(self._stdout)
            except (OSError, EOFError, pickle.UnpicklingError):
                return None
            return answer

    def close(self) -> None:
        """End the helper after the file it is at; a call of :meth:`copy` that waits for it gets its answer first."""
        try:
            self._stdin.close()
        except BrokenPipeError:
            pass
        self._process.wait()
        with self._lock:
            self._stdout.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _send(self, value: Any) -> None:
        pickle.dump(value, self._stdin, pickle.HIGHEST_PROTOCOL)
        self._stdin.flush()


def _load(pipe: IO[bytes]) -> Any:
    # the other end is this program's own process, reached by no other
    return pickle.load(pipe)  # noqa: S301


def serve() -> None:
    """Be the helper."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    source_base, source_prefix, base, prefix, run_id, umask, mask = _load(requests)
    os.umask(umask)
    source = Tree(Directories(source_base, follow=True), source_prefix)
    destination = Tree(Directories(base, follow=False, own=prefix), prefix)

    def stopped() -> bool:
        # nothing is sent while an answer is awaited, so what there is to read can only be the end
        return bool(select.select([requests], [], [], 0)[0])

    def answer(value: Any) -> None:
        pickle.dump(value, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()

    def tell(key: bytes, size: int, written: int) -> None:
        answer((key, size, written))

    while True:
        try:
            rows = _load(requests)
        except EOFError:
            return
        answer(copy_files(source, destination, run_id, mask, rows, stopped, tell))
