"""The recorded cases of layered rules: by the rules alone, by the command line, and a sample by the binary again."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import settings

from fsync.cli.arguments import parse
from fsync.filters import Rules
from tests.model.differences import SPELLINGS
from tests.model.layered import Layered, answer, recorded
from tests.model.programs import fsync
from tests.model.trees import files, read, tree_of, write

CASES = recorded()
#: about a sixth of a second each
_SAMPLE = 12 if settings.get_current_profile_name() == "default" else len(CASES)


def test_there_are_cases_of_everything() -> None:
    assert len(CASES) >= 300
    for name in SPELLINGS:
        assert any(name in case.differs for case in CASES), name
    assert sum(case.dirs for case in CASES) >= 50
    # the binary was given other words only where a difference has a name
    assert all((case.rules != case.told) == bool(case.differs) for case in CASES)
    some = [case for case in CASES if 0 < len(files(tree_of(case.expect))) < len(files(tree_of(case.tree)))]
    assert len(some) > 0.7 * len(CASES)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_case(tmp_path: Path, number: int) -> None:
    case = CASES[number]
    source = write(tmp_path / "s", tree_of(case.tree))
    ended = fsync("sync", *(["--dirs"] if case.dirs else []), *case.rules, f"{source}/", f"{tmp_path}/d/")
    assert ended.code == 0, ended
    left = read(tmp_path / "d")
    assert sorted(left if case.dirs else files(left)) == case.expect
    command = parse(["sync", *case.rules, "a/", "b/"])
    assert not isinstance(command, str)
    rules = Rules.parse(command.options["rules"])
    keys = [key.encode("utf-8", "surrogateescape") for key in (read(source) if case.dirs else files(read(source)))]
    mask = rules.mask(pa.array(keys, pa.binary())).to_pylist()
    kept = [key for key, keep in zip(keys, mask, strict=True) if keep]
    assert sorted(key.decode("utf-8", "surrogateescape") for key in kept) == case.expect


@pytest.mark.parametrize("number", sorted(random.Random(14).sample(range(len(CASES)), _SAMPLE)))
def test_the_binary_still_says_so(number: int) -> None:
    case: Layered = CASES[number]
    assert answer(case.tree, case.told, dirs=case.dirs) == case.expect
