"""What a run tells of itself while it goes, as events and on a real terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fsync.storage.directories import Directories
from fsync.storage.local_copy import Tree, copy_files
from tests.cli.conftest import ENVIRONMENT, Run

#: bytes of a file that is told of by itself while it is copied
LARGE = 66 << 20


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A source ``a/`` with one large file."""
    path = tmp_path / "a" / "d" / "large"
    path.parent.mkdir(parents=True)
    path.write_bytes(os.urandom(1 << 20) * (LARGE >> 20))
    return path


def test_bytes_under_way_are_told(run: Run, large: Path) -> None:
    ended = run("sync", "--json", "--bwlimit", "300", "a/", "b/")
    assert ended.code == 0
    told = [json.loads(line) for line in ended.out.splitlines()]
    progress: list[dict[str, Any]] = [event for event in told if event["event"] == "progress"]
    moved = [event["moved"] for event in progress]
    assert moved == sorted(moved)
    halfway = [event for event in progress if 0 < event["moved"] < LARGE]
    assert len(halfway) > 2
    assert all(event["done"] == event["bytes"] == 0 for event in halfway)
    # the limit holds for what is told, too: 300 Mbit/s, and what may be made up for
    assert all(event["moved"] <= 37.5e6 * (event["seconds"] + 1) for event in halfway)
    assert halfway[-1]["large"] == [{"key": "d/large", "bytes": LARGE, "moved": halfway[-1]["moved"]}]


def test_a_large_local_file_tells_how_far_it_is(large: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    source = Tree(Directories(bytes(tmp_path) + b"/a/", follow=True), b"")
    destination = Tree(Directories(bytes(tmp_path) + b"/b/", follow=False, own=b""), b"")
    told: list[tuple[bytes, int, int]] = []
    rows = [(b"d/large", LARGE, large.stat().st_mtime_ns)]
    errors = copy_files(source, destination, "0" * 16, 0o666, rows, lambda: False, lambda *facts: told.append(facts))
    assert errors == [None]
    assert told[0] == (b"d/large", LARGE, 0)
    assert len(told) > 1
    assert [written for _, _, written in told] == sorted(written for _, _, written in told)
    assert (tmp_path / "b" / "d" / "large").stat().st_size == LARGE


def test_the_helper_process_tells_too(run: Run, tmp_path: Path) -> None:
    """Many small files and a few larger ones: whoever copies them, everything arrives and is counted."""
    root = tmp_path / "a"
    root.mkdir()
    (root / "first").write_bytes(b"x")
    for number in range(3000):
        os.link(root / "first", root / f"s{number:05}")
    for number in range(6):
        (root / f"t{number}").write_bytes(bytes([65 + number]) * (3 << 20))
    ended = run("sync", "--json", "a/", "b/")
    assert ended.code == 0
    summary = json.loads(ended.out.splitlines()[-1])
    assert (summary["copied"], summary["failed"], summary["bytes"]) == (3007, 0, 3001 + 6 * (3 << 20))
    assert all((tmp_path / "b" / f"t{n}").read_bytes() == (root / f"t{n}").read_bytes() for n in range(6))


def on_a_terminal(tmp_path: Path, *words: str) -> tuple[int, str]:
    """Run the command with a terminal as stdout and stderr; return its exit code and everything that was drawn."""
    ours, theirs = pty.openpty()
    env = {**os.environ, **ENVIRONMENT, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen(
        [sys.executable, "-m", "fsync", *words], cwd=tmp_path, env=env,
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        drawn = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                data = os.read(ours, 65536)
            except OSError:
                # the last holder of the other end has closed it
                break
            if not data:
                break
            drawn += data
        os.close(ours)
        return process.wait(30), drawn.decode()


def plain(drawn: str) -> list[str]:
    """Return what was drawn without colours, a piece for whatever stood on a line before it was wiped or left."""
    pieces = re.split(r"\r?\n|\r|\x1b\[[0-9]*[AK]", drawn)
    shown = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", piece) for piece in pieces]
    return [piece for piece in shown if piece]


def test_bars_on_a_terminal(large: Path, tmp_path: Path) -> None:
    code, drawn = on_a_terminal(tmp_path, "sync", "--bwlimit", "300", "a/", "b/")
    assert code == 0
    lines = plain(drawn)
    assert lines[0] == "Syncing a/ -> b/, by size and modification time, to 1 ns"
    assert any(re.fullmatch(r"0 of 1 objects, \S+ MiB of 66.0 MiB, \S+ MiB/s(, ETA 0:0\d)?", line) for line in lines)
    assert any(re.fullmatch(r"  \S+ MiB of 66.0 MiB  d/large", line) for line in lines)
    assert any(re.fullmatch(r"[━╸╺]+ \d+%", line.strip()) for line in lines)
    assert "  copied               1" in lines
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1


def test_lines_between_the_bars_stay_whole(large: Path, tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / "a" / f"{number:03}-{'n' * 90}").write_bytes(b"x" * 50_000)
    code, drawn = on_a_terminal(tmp_path, "sync", "-v", "--bwlimit", "400", "a/", "b/")
    assert code == 0
    lines = plain(drawn)
    for number in range(300):
        # a name longer than the terminal is wide is one line, which the terminal itself wraps
        assert f"copied  {number:03}-{'n' * 90}  (48.8 KiB (50000 bytes))" in lines


def test_a_check_draws_no_bars_between_its_lines(tmp_path: Path, tree: Path) -> None:
    code, drawn = on_a_terminal(tmp_path, "check", "a/", "b/")
    assert code == 5
    assert "\x1b" not in drawn
    assert "missing  d/two" in plain(drawn)
