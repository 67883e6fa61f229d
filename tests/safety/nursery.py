"""Runs that are stopped by a signal: a small process forks each run, signals it at the given moment, waits for it.

The forked processes have all code loaded and no threads yet, so that a run begins at once and the moments of a series
fall into it and not into the start of the interpreter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_SCRIPT = """
import json, os, select, signal, sys, time
import fsync.pipeline, fsync.storage.local, fsync.storage.memory, fsync.storage.s3, fsync.storage.opening
import aiobotocore.session, s3fs

def run(job, told):
    def interrupt(number, frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    def listener(event):
        if event["event"] == job["after"]:
            os.write(told, b".")
    result = fsync.sync(job["src"], job["dst"], progress=listener, raise_on_error=False, **job["options"])
    return result.exit_code

for line in sys.stdin:
    job = json.loads(line)
    hears, told = os.pipe()
    child = os.fork()
    if not child:
        os.close(hears)
        code = 99
        try:
            code = run(job, told)
        except KeyboardInterrupt:
            code = 98
        finally:
            sys.stdout.flush()
            os._exit(code) if code != 98 else None
        sys.exit(code)
    os.close(told)
    select.select([hears], [], [], 60)
    began = time.monotonic()
    if job["signal"]:
        time.sleep(job["delay"])
        try:
            os.kill(child, job["signal"])
        except ProcessLookupError:
            pass
    _, status = os.waitpid(child, 0)
    os.close(hears)
    print(json.dumps({"status": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began}), flush=True)
"""

#: how a run ends that a KeyboardInterrupt went through
INTERRUPTED = 98


@dataclass(frozen=True)
class Run:
    """A run that has ended: its exit status (negative: the signal that killed it), seconds since its first event."""

    status: int
    seconds: float


class Nursery:
    """The process that forks runs."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    def run(
        self, src: str, dst: str, *, signal: int = 0, delay: float = 0.0, after: str = "start", **options: Any
    ) -> Run:
        """Sync in a process of its own; send it ``signal`` ``delay`` seconds after its first event called ``after``."""
        job = {"src": src, "dst": dst, "signal": signal, "delay": delay, "after": after, "options": options}
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(job) + "\n")
        self._child.stdin.flush()
        return Run(**json.loads(self._child.stdout.readline()))


@contextmanager
def nursery() -> Iterator[Nursery]:
    """Start the process that forks runs, as long as the block lasts."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-c", _SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        yield Nursery(child)
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(30) == 0
