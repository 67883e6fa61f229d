"""Run one command and measure it: ``python -I -S meter.py RESULT LOG SECONDS COMMAND...`` writes RESULT as JSON.

A program of its own, with the standard library alone, because Linux counts what a process held before ``exec`` as the
new program's memory: here that is an interpreter of some 10 MB, not the harness.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

#: seconds between two looks at the memory of the processes
_EVERY = 0.02


def _tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                found += map(int, Path(f"/proc/{parent}/task/{thread}/children").read_text().split())
    return found


def _resident(pid: int) -> int:
    """Return the bytes that a process and its descendants have in memory together; shared ones count in each.

    Until it is another program, a child that was started by vfork lives in its parent's memory, which counts once.
    """
    seen: dict[tuple[str, str], int] = {}
    for member in _tree(pid):
        with contextlib.suppress(OSError, IndexError):
            memory = Path(f"/proc/{member}/statm").read_text()
            # where the stack begins, which is another place in each program (proc_pid_stat(5), 28)
            stack = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()[25]
            seen[memory, stack] = int(memory.split()[1])
    return sum(seen.values()) * os.sysconf("SC_PAGE_SIZE")


def measure(command: list[str], log: str, seconds: float) -> dict[str, float]:
    """Run a command, its output into a file, and measure it; after ``seconds`` it is killed.

    ``wall`` and ``cpu`` (user and system, of all its processes) are seconds, ``memory`` the most bytes that its
    processes held together, ``code`` its exit code, negative for a signal.
    """
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    actions = [(os.POSIX_SPAWN_DUP2, nothing, 0), (os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
    began = time.monotonic()
    pid = os.posix_spawnp(command[0], command, dict(os.environ), file_actions=actions, setpgroup=0)
    ended = os.pidfd_open(pid)
    memory = 0
    killed = False
    while not select.select([ended], [], [], _EVERY)[0]:
        memory = max(memory, _resident(pid))
        if time.monotonic() - began > seconds and not killed:
            os.killpg(pid, signal.SIGKILL)
            killed = True
    wall = time.monotonic() - began
    _, status, used = os.wait4(pid, 0)
    return {
        "wall": wall,
        "cpu": used.ru_utime + used.ru_stime,
        "memory": max(memory, used.ru_maxrss * 1024),
        "code": os.waitstatus_to_exitcode(status),
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(measure(sys.argv[4:], sys.argv[2], float(sys.argv[3]))))
