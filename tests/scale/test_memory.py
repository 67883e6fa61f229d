"""Memory stays flat however many keys there are: a million a side, and half a million out of order, under 250 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

_MOST = 250 * 10**6
_EVERY = 3000


@pytest.mark.parametrize(
    ("case", "rows"),
    [
        ("ordered", 1_000_000),
        ("shuffled source", 500_000),
        ("shuffled destination", 500_000),
        ("both shuffled", 500_000),
    ],
)
def test_a_plan_stays_below_250_megabytes(case: str, rows: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.scale.synthetic", case, str(rows)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        text=True,
        capture_output=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    print(f"{case}: {rows} keys a side in {found['seconds']} s, {found['peak'] / 10**6:.0f} MB at most")
    # one key in 3000 is missing, one has another size, and after one comes an extra: 0.1 % of differences
    missing, other, extra = (len(range(rest, rows, _EVERY)) for rest in (0, 1, 2))
    assert (found["copy"], found["update"], found["delete"]) == (missing, other, extra)
    assert (found["listed"], found["skip"]) == (rows, rows - missing - other)
    assert found["peak"] < _MOST, f"{found['peak'] / 10**6:.0f} MB"
