"""What helper processes do: copy local files, read a local tree.

Protocol, over standard input and output, in pickles. *copy*: first a :data:`Setup`, then batches, each a list of rows,
answered by one list of results; tuples that come before it tell how far a large file is. *scan*: one
:class:`fsync.storage.scan.Scan` that has begun, answered by its pages, packed, then by the scan itself, or by the error
that ended it. The end of the input ends a helper; it ignores SIGINT, because a file that it has begun is finished or
removed.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
from typing import Any

from fsync.errors import FsyncError
from fsync.storage.directories import Directories
from fsync.storage.local_copy import Tree, copy_files

#: base and prefix of the source, base and prefix of the destination, run id, umask, permission bits of new files, and
#: whether copies are read back
Setup = tuple[bytes, bytes, bytes, bytes, str, int, int, bool]


def _receive() -> Any:
    # the other end is this program's own process, reached by no other
    return pickle.load(sys.stdin.buffer)  # noqa: S301


def _answer(value: Any) -> None:
    pickle.dump(value, sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
    sys.stdout.buffer.flush()


def _answer_or_end(value: Any) -> None:
    try:
        _answer(value)
    except BrokenPipeError:
        # nobody is there any more, and the interpreter's own last flush would say so on the terminal
        os._exit(0)


def copy() -> None:
    """Copy batches of files until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        source_base, source_prefix, base, prefix, run_id, umask, mask, check = _receive()
    except EOFError:
        return
    os.umask(umask)
    source = Tree(Directories(source_base, follow=True), source_prefix)
    destination = Tree(Directories(base, follow=False, own=prefix), prefix)

    def stopped() -> bool:
        # nothing is sent while an answer is awaited, so what there is to read can only be the end
        return bool(select.select([sys.stdin.buffer], [], [], 0)[0])

    def tell(key: bytes, size: int, written: int) -> None:
        _answer((key, size, written))

    while True:
        try:
            rows = _receive()
        except EOFError:
            return
        _answer_or_end(copy_files(source, destination, run_id, mask, rows, stopped, tell, check))


def scan() -> None:
    """Read the rest of a tree; whoever does not want it any more closes the other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        rest = _receive()
    except EOFError:
        return
    try:
        while (page := rest.more()) is not None:
            _answer_or_end(page.packed())
        _answer_or_end(rest)
    except FsyncError as error:
        _answer_or_end(error)
