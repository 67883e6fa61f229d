"""The two programs, run to their end: the juicefs binary, and fsync's command line."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsync.cli import main
from tests.servers.process import program

#: no command here needs more, whatever else the machine does
_SECONDS = 90
_SUMMARY = re.compile(r"Found: .*")
_COUNT = re.compile(r"(\w+): (\d+)")


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, and stdout and stderr as one text."""

    code: int
    text: str

    @property
    def counts(self) -> dict[str, int]:
        """The counts of juicefs's summary line: ``found excluded skipped copied extra deleted failed``."""
        lines = _SUMMARY.findall(self.text)
        return {name.lower(): int(count) for name, count in _COUNT.findall(lines[-1])} if lines else {}


def juicefs_sync(*words: str | Path, bound: bool = False) -> Ended:
    """Run ``juicefs sync`` in a process; ``bound`` as :func:`fsync_apart` has it."""
    quiet = ("--no-agent", "--no-color", "--metrics", "127.0.0.1:0")
    return _apart([*_prefix(bound), program("juicefs"), "sync", *quiet, *map(str, words)])


def fsync_apart(*words: str | Path, bound: bool = False) -> Ended:
    """Run ``fsync`` in a process; ``bound`` runs it as a user whom permissions bind, which root is not."""
    return _apart([*_prefix(bound), sys.executable, "-m", "fsync", *map(str, words)])


def fsync(*words: str | Path) -> Ended:
    """Run ``fsync`` in this process, which takes a hundredth of the time."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        code = main([str(word) for word in words])
    return Ended(code, text.getvalue())


def _prefix(bound: bool) -> list[str]:
    """Return what starts a program without root's right to read and write everything."""
    if not bound or os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    assert setpriv is not None, "setpriv (Debian's util-linux) takes rights away from a process of root"
    return [setpriv, "--bounding-set=-dac_override,-dac_read_search", "--"]


def _apart(command: Sequence[str]) -> Ended:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        timeout=_SECONDS, check=False,
    )  # fmt: skip
    return Ended(ended.returncode, ended.stdout.decode("utf-8", "replace"))


@contextlib.contextmanager
def closed(path: Path) -> Iterator[None]:
    """Take all permissions of a file or directory away as long as the block lasts."""
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        yield
    finally:
        path.chmod(mode)
