"""The real command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import fsync

ENVIRONMENT = {"PYTHONPATH": str(Path(fsync.__file__).resolve().parents[1])}


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, stdout and stderr as text."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A factory: ``start("sync", ...)`` starts the command in the test's directory, with pipes to read from."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str | bytes, **settings: Any) -> subprocess.Popen[str]:
        command = ["env", "--default-signal=INT", sys.executable, "-m", "fsync", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        env = {**os.environ, **ENVIRONMENT}
        process = subprocess.Popen(
            command, cwd=tmp_path, env=env, text=True, errors="surrogateescape", **{**pipes, **settings}
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        # only what a failed test has left behind still runs
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def run(start: Start) -> Run:
    """A factory: ``run("sync", ...)`` runs the command to its end."""

    def to_the_end(*words: str | bytes) -> Ended:
        process = start(*words)
        out, err = process.communicate(timeout=60)
        return Ended(process.returncode, out, err)

    return to_the_end


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small source ``a/`` in the test's directory."""
    root = tmp_path / "a"
    (root / "d").mkdir(parents=True)
    (root / "one").write_bytes(b"1")
    (root / "d" / "two").write_bytes(b"22")
    return root
