"""The command line: ``fsync sync``, ``fsync check``, ``fsync ls``, ``fsync storages``."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Sequence

from fsync.cli import output
from fsync.cli.arguments import Command, general_help, parse
from fsync.cli.signals import interruptible
from fsync.cli.unneeded import spare_imports
from fsync.errors import FsyncError

__all__ = ["main"]

#: the most threads of obstore's own: together they move more than a network card
_WATCHERS = 4
#: seconds that threads have for ending by themselves when the program is over
_GRACE = 1.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` are the words after the program's name.

    Without ``argv`` this is the program itself: the process ends here if a thread still hangs in a storage's call.
    """
    if argv is not None:
        return _run(list(argv))
    output.open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            # a terminal that cannot show a letter must not end the run
            stream.reconfigure(errors="backslashreplace")
    # what a run allocates dies with its last reference; each collection would look at all that was imported
    gc.set_threshold(50_000, 20, 20)
    # obstore works on the threads that ask it; its own ones, which watch its sockets, only take turns with them
    os.environ.setdefault("TOKIO_WORKER_THREADS", str(max(1, min(_WATCHERS, (os.cpu_count() or 1) // 2))))
    spare_imports(sys.argv[1:])
    code = _run(sys.argv[1:])
    _leave(code)
    return code


def _run(arguments: list[str]) -> int:
    command: Command | str | None = None
    try:
        with interruptible():
            if not arguments:
                sys.stderr.write(general_help())
                return 2
            command = parse(arguments)
            return _carry_out(command, arguments)
    except Exception as error:  # noqa: BLE001  the last resort: whatever it is, it ends as one line and a code
        return _failed(error, arguments, verbose=isinstance(command, Command) and "verbose" in command.options)


def _carry_out(command: Command | str, arguments: Sequence[str]) -> int:
    from fsync.cli.faults import hider

    if isinstance(command, str):
        output.write(command)
        code = 0
    elif command.verb == "ls":
        from fsync.cli.entries import ls_command

        code = ls_command(command, hider(arguments))
    elif command.verb == "storages":
        from fsync.cli.storages import storages_command

        code = storages_command(command)
    else:
        from fsync.cli.syncing import sync_command

        code = sync_command(command, hider(arguments))
    output.finish()
    return code


def _failed(error: Exception, arguments: Sequence[str], *, verbose: bool) -> int:
    from fsync.cli.faults import explain, hider

    lines, code = explain(error, hider(arguments), verbose=verbose)
    if isinstance(error, output.OutputError):
        output.give_up()
        if error.closed:
            return code
    elif isinstance(error, FsyncError):
        try:
            output.finish()
        except output.OutputError:
            output.give_up()
    for line in lines:
        sys.stderr.write(line + "\n")
    return code


def _leave(code: int) -> None:
    """End the process now: the interpreter would wait for a thread that hangs, and take itself apart piece by piece."""
    deadline = time.monotonic() + _GRACE
    others = [
        thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.current_thread()
    ]
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    for stream in (sys.stdout, sys.stderr):
        # what a reader that has gone, or a full disk, does not take was told of where it was written
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    os._exit(code)
