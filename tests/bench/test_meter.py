"""The meter counts what a program and its children take, from start to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench import meter

_MEGA = 10**6
#: holds 60 MB for as long as a child that holds as much
_TWO = """
import subprocess, sys
held = b"x" * 60_000_000
if len(sys.argv) == 1:
    subprocess.run([sys.executable, "-I", "-S", __file__, "child"], check=True)
else:
    import time
    time.sleep(0.3)
"""
_BUSY = "import time\nwhile time.process_time() < 0.4: pass"


def measured(directory: Path, *command: str, seconds: float = 30) -> tuple[dict[str, Any], str]:
    result, log = directory / "result.json", directory / "log"
    words = [sys.executable, "-I", "-S", meter.__file__, str(result), str(log), str(seconds), *command]
    subprocess.run(words, check=True, timeout=60)
    return json.loads(result.read_text()), log.read_text()


def test_memory_is_that_of_all_processes_together(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(_TWO)
    found, _ = measured(tmp_path, sys.executable, "-I", "-S", str(tmp_path / "two.py"))
    assert found["code"] == 0
    assert 120 * _MEGA < found["memory"] < 200 * _MEGA
    assert found["wall"] > 0.3


def test_a_small_program_is_not_charged_for_the_one_that_started_it(tmp_path: Path) -> None:
    found, said = measured(tmp_path, "sh", "-c", "echo here; echo there >&2; exit 3")
    assert found["code"] == 3
    assert found["memory"] < 25 * _MEGA
    assert said == "here\nthere\n"


def test_cpu_is_counted(tmp_path: Path) -> None:
    found, _ = measured(tmp_path, sys.executable, "-I", "-S", "-c", _BUSY)
    assert found["cpu"] >= 0.4


def test_what_never_ends_is_ended(tmp_path: Path) -> None:
    found, _ = measured(tmp_path, "sh", "-c", "sleep 50 & sleep 50", seconds=0.3)
    assert found["code"] == -9
    assert found["wall"] < 20
