"""Every command and program of the README is run, on a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
TEXT = (TOP / "README.md").read_text(encoding="utf-8")
BLOCKS = [(match[1], match[2]) for match in re.finditer(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)]
LINES = [line for language, block in BLOCKS if language == "bash" for line in block.splitlines()]
INSTALL, TEST = (line for line in LINES if line.startswith("python3 -m venv"))
COMMANDS = [line for line in LINES if line.startswith("fsync ")]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what a fresh clone holds, with some data beside it."""
    top = tmp_path / "clone"
    ignored = shutil.ignore_patterns(".git", ".venv", ".tox", "build", ".*_cache", "__pycache__", ".hypothesis")
    shutil.copytree(TOP, top, ignore=ignored)
    for name in ("a.txt", "pic/b.png", "pic/c.tmp", ".hidden"):
        path = top / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return top


def ran(command: str, directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    # nothing was ever synchronised in the copy, so a check finds differences there
    assert done.returncode == (5 if command.startswith("fsync check ") else 0), (
        f"{command}\n{done.stdout}\n{done.stderr}"
    )
    return done


@pytest.mark.timeout(600)  # a whole installation, dependencies and all
def test_the_first_command_installs_and_syncs_and_then_finds_nothing_to_do(copy: Path) -> None:
    first = ran(INSTALL, copy)
    again = ran(INSTALL, copy)

    assert (copy / "build/docs-copy/architecture.md").read_bytes() == (copy / "docs/architecture.md").read_bytes()
    assert re.search(r"copied\s+[1-9]", first.stderr)
    assert not re.search(r"(copied|updated)\s+[1-9]", again.stderr)
    assert re.search(r"skipped\s+[1-9]", again.stderr)


def test_the_second_command_is_what_ci_runs() -> None:
    script = (TOP / ".ci/run").read_text(encoding="utf-8")

    assert [line for line in TEXT.splitlines() if line.endswith("/tox")] == [TEST]
    assert "grep -E '/tox$' README.md" in script


@pytest.mark.parametrize("line", COMMANDS)
def test_commands(copy: Path, line: str) -> None:
    ran(line, copy)


@pytest.mark.parametrize("program", [block for language, block in BLOCKS if language == "python"])
def test_programs(copy: Path, program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=copy, capture_output=True, text=True, timeout=500, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "<SyncResult complete: copied=" in done.stdout
