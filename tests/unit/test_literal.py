"""The rule that leaves out one key: bash gives the program exactly the pattern, and the pattern drops only the key."""

from __future__ import annotations

import os
import subprocess

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsync.filters import Rules
from fsync.filters.literal import exclude_option

KEYS = [
    b"a",
    b"a b/c d",
    b"back\\slash.txt",
    b"latin\xe9.txt",
    b"new\nline\t'x'\\1",
    b"st*r[1]?\\",
    "naïve/日本".encode(),
    b"-x",
]


def patterns(options: list[str]) -> list[bytes]:
    """Return what bash hands over for each ``--exclude WORD``."""
    script = "printf '%s\\0' " + " ".join(options)
    told = subprocess.run(["bash", "-c", os.fsencode(script)], capture_output=True, check=True, timeout=30).stdout
    words = told.split(b"\0")[:-1]
    assert words[::2] == [b"--exclude"] * len(options)
    return words[1::2]


@pytest.mark.parametrize("full_path", [False, True], ids=["layered", "full path"])
def test_each_key_is_dropped_and_no_other(full_path: bool) -> None:
    for key, pattern in zip(KEYS, patterns([exclude_option(key) for key in KEYS]), strict=True):
        others = [b"b", b"x/" + key, key + b"x", key[:-1] + b"*", *(other for other in KEYS if other != key)]
        rules = Rules.parse([("exclude", os.fsdecode(pattern))], full_path=full_path)
        assert rules.mask(pa.array([key, *others], pa.binary())).to_pylist() == [False] + [True] * len(others)


_names = st.binary(min_size=1, max_size=6).filter(lambda name: not {0, 0x2F} & {*name} and name not in (b".", b".."))


@settings(max_examples=5)
@given(st.lists(st.lists(_names, min_size=1, max_size=3).map(b"/".join), min_size=1, max_size=100))
def test_whatever_a_key_holds(keys: list[bytes]) -> None:
    for key, pattern in zip(keys, patterns([exclude_option(key) for key in keys]), strict=True):
        rules = Rules.parse([("exclude", os.fsdecode(pattern))])
        assert rules.keeps(key) is False
        assert rules.keeps(key + b"x") is True


def test_it_is_one_printable_line() -> None:
    for key in KEYS:
        assert exclude_option(key).isprintable()


def test_plain_words_stay_plain() -> None:
    assert exclude_option(b"d/back\\slash") == "--exclude '/d/back\\slash'"
    assert exclude_option(b"d/e.txt") == "--exclude /d/e.txt"
    assert exclude_option(b"latin\xe9") == "--exclude $'/latin\\351'"
