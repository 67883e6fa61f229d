"""Memory and the cost of a key stay flat however many keys there are: under 300 MB, with ten million a side too.

The ordinary suite takes sizes that need seconds; ``tox -e scale`` (FSYNC_SCALE) the whole ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_WHOLE = bool(os.environ.get("FSYNC_SCALE"))
_MOST = 300 * 10**6
_EVERY = 3000
#: how often as much CPU time a key may take among many keys as among few: what grows with the square takes ten times
_FLAT = 3
#: keys whose cost is that of starting up
_FEW = 1_000


def run(module: str, *words: str) -> dict[str, Any]:
    ended = subprocess.run(
        ["nice", "-n", "10", sys.executable, "-m", f"tests.scale.{module}", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        text=True,
        capture_output=True,
        timeout=3500 if _WHOLE else 280,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def told(what: str, rows: int, found: dict[str, Any], per_key: float | None = None) -> None:
    cost = "" if per_key is None else f", {per_key * 1e6:.2f} us of CPU a key"
    print(f"{what}: {rows:,} in {found['seconds']} s, {found['peak'] / 10**6:.0f} MB at most{cost}")


def expected(case: str, rows: int) -> dict[str, int]:
    if case == "moved":
        return {"copied": rows, "updated": 0, "deleted": rows, "skipped": 0, "listed": rows}
    # one key in 3000 is missing, one has another size, and after one comes an extra: 0.1 % of differences
    missing, other, extra = (len(range(rest, rows, _EVERY)) for rest in (0, 1, 2))
    return {"copied": missing, "updated": other, "deleted": extra, "skipped": rows - missing - other, "listed": rows}


@pytest.mark.timeout(4 * 3600 if _WHOLE else 300)
@pytest.mark.parametrize(
    ("case", "sizes", "most"),
    [
        ("ordered", [100_000, 1_000_000], 10_000_000),
        ("synced", [200_000], 10_000_000),
        ("prefix", [200_000], 10_000_000),
        ("moved", [100_000, 500_000], 10_000_000),
        ("shuffled source", [300_000], 5_000_000),
        ("shuffled destination", [300_000], 5_000_000),
        ("both shuffled", [300_000], 5_000_000),
    ],
)
def test_a_run_stays_flat(case: str, sizes: list[int], most: int) -> None:
    if _WHOLE:
        sizes = [100_000, 1_000_000, most]
    start = run("synthetic", case, str(_FEW))["cpu"]
    costs = []
    for size in sizes:
        found = run("synthetic", case, str(size))
        costs.append(max(found["cpu"] - start, 0.01) / size)
        told(case, size, found, costs[-1])
        counts = expected(case, size)
        assert {name: found[name] for name in counts} == counts
        assert found["peak"] < _MOST, f"{found['peak'] / 10**6:.0f} MB"
    assert costs[-1] < _FLAT * costs[0]


@pytest.mark.timeout(3600 if _WHOLE else 300)
def test_one_directory_of_many_files_stays_below(tmp_path: Path) -> None:
    rows = 1_000_000 if _WHOLE else 50_000
    found = run("directory", str(tmp_path / "one"), str(rows))
    told("one directory", rows, found)
    assert (found["listed"], found["destination"], found["planned"]) == (rows, rows, 0)
    assert found["peak"] < _MOST, f"{found['peak'] / 10**6:.0f} MB"
