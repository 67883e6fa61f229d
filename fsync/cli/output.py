"""stdout: the product of a command, line by line, and what happens when nobody reads it any more; stderr: the rest."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from fsync.errors import FsyncError


class OutputError(FsyncError):
    """stdout cannot be written to; ``closed`` says that its reader has gone, which needs no words."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write to stdout: {error.strerror or error}")
        self.closed = error.errno == errno.EPIPE


def write(text: str, *, flush: bool = False) -> None:
    """Write text to stdout; raises OutputError."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        if flush:
            sys.stdout.flush()
    except OSError as error:
        raise OutputError(error) from None


def write_json(value: Mapping[str, Any]) -> None:
    """Write one JSON value as one line of ASCII, at once; raises OutputError."""
    write(json.dumps(value) + "\n", flush=True)


def finish() -> None:
    """Write out what is buffered; raises OutputError."""
    write("", flush=True)


def open_standard_streams() -> None:
    """Let those of the three standard streams that are closed lead nowhere.

    Else the next files to be opened would get their numbers, and a library's own complaints would be written into
    them; and Python has no ``sys.stdout`` or ``sys.stderr`` then.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # the lowest free number is taken: those before it are open by now
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(nowhere, True)
            setattr(sys, name, os.fdopen(nowhere, "w" if number else "r", closefd=False))


def give_up() -> None:
    """Let stdout lead nowhere, so that the interpreter's own last flush has nothing to complain about."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def complain(text: str) -> None:
    """Write one line to stderr."""
    if sys.stderr is not None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
