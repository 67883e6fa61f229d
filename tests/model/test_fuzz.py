"""Random trees, rules and options: fsync and the juicefs binary make the same of them, but for what is listed.

FSYNC_FUZZ=N tries N cases a part, other ones each time; a failure tells the number that makes the case again.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings

from tests.model.cases import compare, random_case

_FIXED = settings.get_current_profile_name() == "default"
#: about a sixth of a second each
_CASES = 25 if _FIXED else settings.default.max_examples
_PARTS = 4


@pytest.mark.timeout(60 + 10 * _CASES)
@pytest.mark.parametrize("part", range(_PARTS))
def test_only_listed_differences(tmp_path: Path, part: int) -> None:
    first = part * _CASES + (0 if _FIXED else time.time_ns() // 1000 * _PARTS * _CASES)
    for seed in range(first, first + _CASES):
        outcome = compare(random_case(Random(seed)), tmp_path / str(seed))
        assert not outcome.unexplained, f"case {seed}\n{outcome}"
