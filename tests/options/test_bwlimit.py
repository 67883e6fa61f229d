"""--bwlimit: all copies together keep to a rate, counted by the bytes that are moved and by nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.safety.conftest import Maker
from tests.safety.places import fill, run

_KIB, _MIB = 1 << 10, 1 << 20

#: name: objects, their size, the limit in Mbit/s; each takes about a second
_CASES = {
    "small": (200, 5 * _KIB, 8),
    "middle": (10, 256 * _KIB, 20),
    "large": (1, 12 * _MIB, 100),
    "mixed parts": (3, 9 * _MIB, 200),
}


def _seconds(src: Any, dst: Any, **options: Any) -> float:
    ended = run(src, dst, **options)
    assert ended.code == 0, ended
    assert ended.result is not None
    return ended.result.seconds


@pytest.mark.parametrize("threads", [1, 10])
@pytest.mark.parametrize("case", _CASES)
def test_the_rate_is_kept(tmp_path: Path, case: str, threads: int) -> None:
    number, size, limit = _CASES[case]
    source = fill(tmp_path / "source", {f"f{one}": b"x" * size for one in range(number)})
    ideal = number * size * 8 / (limit * 1e6)
    free = _seconds(f"{source}/", f"{tmp_path}/free/", threads=threads)
    limited = _seconds(f"{source}/", f"{tmp_path}/limited/", threads=threads, bwlimit=limit)
    # a tenth of a second may be made up for; what comes on top is the machine's own time
    assert limited >= 0.85 * ideal - 0.1
    assert limited <= 2 * ideal + 3 * free + 2
    assert limited > free


@pytest.mark.parametrize("kind", ["memory", "moto", "seaweed"])
def test_the_rate_is_kept_towards_other_storages(place: Maker, tmp_path: Path, kind: str) -> None:
    source = fill(tmp_path / "source", {"large": b"x" * (9 * _MIB), "a": b"1", "b": b"2"})
    limited = _seconds(f"{source}/", place(kind, "limited"), bwlimit="80")
    assert limited >= 0.85 * (9 * _MIB * 8 / 80e6) - 0.1
    assert limited <= 30


def test_small_files_cost_what_they_hold(tmp_path: Path) -> None:
    # 300 files with 30 kB together: charged by buffers of 32 KiB they would take 80 s
    source = fill(tmp_path / "source", {f"f{number}": b"x" * 100 for number in range(300)})
    assert _seconds(f"{source}/", f"{tmp_path}/target/", bwlimit=1) < 5


def test_what_is_not_moved_costs_nothing(place: Maker, tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"large": b"x" * (10 * _MIB)})
    target = place("moto", "target")
    assert run(f"{source}/", target).code == 0
    # the same already, and copied by the server
    assert _seconds(f"{source}/", target, bwlimit=1) < 30
    assert _seconds(target, place("moto", "other"), bwlimit=1) < 30


def test_zero_is_no_limit(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"large": b"x" * (20 * _MIB)})
    assert _seconds(f"{source}/", f"{tmp_path}/target/", bwlimit=0) < 5
