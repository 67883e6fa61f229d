"""After failures, a line that can be pasted repeats only what failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ENVIRONMENT, Run


def in_the_way(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "in-the-way").touch()


def paste(line: str, where: Path) -> int:
    """Run a shown line in a shell that knows fsync, and return its exit code."""
    command = line.partition("to repeat only what failed: ")[2]
    assert command
    script = f'fsync() {{ "{sys.executable}" -m fsync "$@"; }}\n{command}'
    return subprocess.run(["bash", "-c", script], cwd=where, env={**os.environ, **ENVIRONMENT}, check=False).returncode


@pytest.mark.parametrize("report", [[], ["--report", "failed it's.jsonl"]])
def test_the_line_repeats_what_failed_and_nothing_else(run: Run, tree: Path, tmp_path: Path, report: list[str]) -> None:
    (tree / "it's %s").write_bytes(b"3")
    (tree / "x.tmp").write_bytes(b"4")
    in_the_way(tmp_path / "b", "it's %s", "d/two")
    ended = run("sync", "--exclude", "*.tmp", "--threads", "3", *report, "a/", "b/")
    assert ended.code == 1
    (line,) = [line for line in ended.err.splitlines() if line.startswith("to repeat")]
    for name in ("it's %s", "d/two"):
        (tmp_path / "b" / name / "in-the-way").unlink()
        (tmp_path / "b" / name).rmdir()
    (tree / "one").write_bytes(b"changed")
    assert paste(line, tmp_path) == 0
    assert (tmp_path / "b/it's %s").read_bytes() == b"3"
    assert (tmp_path / "b/d/two").read_bytes() == b"22"
    assert (tmp_path / "b/one").read_bytes() == b"1"
    assert "--exclude '*.tmp'" in line


def test_what_no_line_can_carry_needs_a_report(run: Run, tree: Path, tmp_path: Path) -> None:
    (tree / "line\nbreak").write_bytes(b"3")
    in_the_way(tmp_path / "b", "line\nbreak")
    ended = run("sync", "a/", "b/")
    assert ended.code == 1
    assert "add --report failed.jsonl, and next time --files-from failed.jsonl" in ended.err


def test_secrets_stay_hidden(run: Run, tree: Path, tmp_path: Path) -> None:
    in_the_way(tmp_path / "b", "one")
    ended = run("sync", "--dst-option", "password=s3cretword", "a/", "b/")
    assert ended.code == 1
    assert "to repeat only what failed" in ended.err
    assert "s3cretword" not in ended.err
