"""What becomes of a pair of files under each choice of options: juicefs sync 1.4.2 beside fsync, differences marked.

One letter a kind of pair: ``-`` untouched, ``C`` copied, ``D`` removed from the source, ``M`` copied and removed from
the source, ``X`` removed from the destination.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.model.programs import Ended, fsync, juicefs_sync
from tests.model.trees import OLD, SECOND, Entry, File, read, write

_LATER, _EARLIER = OLD + 100 * SECOND, OLD - 100 * SECOND

#: kind of pair -> what the source and the destination have
PAIRS: dict[str, tuple[File | None, File | None]] = {
    "identical": (File(b"same"), File(b"same")),
    "newer": (File(b"new!", _LATER), File(b"old!")),
    "older": (File(b"old!", _EARLIER), File(b"new!")),
    "same time": (File(b"one!"), File(b"two!")),
    "newer, other size": (File(b"newer", _LATER), File(b"old!")),
    "older, other size": (File(b"older", _EARLIER), File(b"new!")),
    "same time, other size": (File(b"other"), File(b"two!")),
    "source only": (File(b"1"), None),
    "destination only": (None, File(b"2")),
}

#: why fsync decides otherwise
QUICK = "the quick check sees edits that keep the size, as rsync does"
ANY = "-u leaves alone what is newer at the destination, and nothing else"
VOIDS = "-f voids no other option"
PROVEN = "a source is removed only if the rule in force says that the destination has the same"
WHOLE = "everything is read, not as many bytes as the source has"


@dataclass(frozen=True)
class Column:
    """One choice of options: the binary's letters and exit code, fsync's letters, and why they differ if they do."""

    options: str
    theirs: str
    ours: str
    why: str = ""
    code: int = 0


COLUMNS = (
    Column("", "----CCCC-", "-CC-CCCC-", QUICK),
    Column("-u", "-C--C--C-", "-C--C-CC-", ANY),
    Column("-f", "CCCCCCCC-", "CCCCCCCC-"),
    Column("--existing", "----CCC--", "-CC-CCC--", QUICK),
    Column("--ignore-existing", "-------C-", "-------C-"),
    Column("--existing --ignore-existing", "---------", "---------"),
    Column("-u --existing", "-C--C----", "-C--C-C--", ANY),
    Column("-u --ignore-existing", "-------C-", "-------C-"),
    Column("-f --existing", "---------", "CCCCCCC--", VOIDS),
    Column("-f --ignore-existing", "CCCCCCCC-", "-------C-", VOIDS),
    Column("--delete-dst", "----CCCCX", "-CC-CCCCX", QUICK),
    Column("-u --delete-dst", "-C--C--CX", "-C--C-CCX", ANY),
    Column("-f --delete-dst", "CCCCCCCC-", "CCCCCCCCX", VOIDS),
    Column("--existing --delete-dst", "----CCC-X", "-CC-CCC-X", QUICK),
    Column("--ignore-existing --delete-dst", "-------CX", "-------CX"),
    Column("--check-new", "----CCCC-", "-CC-CCCC-", QUICK),
    Column("--check-change", "----CCCC-", "-CC-CCCC-", QUICK),
    Column("--check-all", "-CCCCCCC-", "-CCCCCCC-"),
    Column("-u --check-all", "-C-CC--C-", "-C-CC-CC-", WHOLE, code=1),
    Column("--delete-src", "DDDDCCCC-", "DCCDCCCC-", PROVEN),
    Column("-u --delete-src", "DC-DC-DC-", "DC-DC-CC-", PROVEN),
    Column("-f --delete-src", "CCCCCCCC-", "CCCCCCCC-"),
    Column("--check-all --delete-src", "DCCCCCCC-", "DCCCCCCC-"),
    Column("--delete-src-after", "----MMMM-", "-MM-MMMM-", QUICK),
)
#: of fsync's own: the first is the binary's only rule
ALONE = (Column("--size-only", "----CCCC-", "----CCCC-"), Column("--checksum", "", "-CCCCCCC-"))

Letters = Callable[[Column], str]


def _run(root: Path, column: Column, program: Callable[..., Ended]) -> tuple[str, Ended]:
    """Let a program handle all pairs at once; return a letter a pair."""
    source = write(root / "s", {name: pair[0] for name, pair in PAIRS.items() if pair[0]})
    destination = write(root / "d", {name: pair[1] for name, pair in PAIRS.items() if pair[1]})
    before = _inodes(destination)
    # what has changed within the clock's tick is not removed from a source
    time.sleep(0.05)
    ended = program(*column.options.split(), f"{source}/", f"{destination}/")
    left, now, inodes = read(source), read(destination), _inodes(destination)
    return "".join(_letter(name, left, now, before, inodes) for name in PAIRS), ended


def _letter(
    name: str, left: dict[str, Entry], now: dict[str, Entry], before: dict[str, int], inodes: dict[str, int]
) -> str:
    source = PAIRS[name][0]
    if source is None:
        return "-" if name in inodes else "X"
    # a file whose inode number was used again is told by what it holds
    copied = name in inodes and (inodes[name] != before.get(name) or now[name] != PAIRS[name][1])
    assert not copied or now[name] == source
    return {(False, True): "-", (False, False): "D", (True, True): "C", (True, False): "M"}[copied, name in left]


def _inodes(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in root.iterdir()}


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Letters:
    """What fsync does with each kind of pair; each choice of options is run once."""
    known: dict[str, str] = {}

    def of(column: Column) -> str:
        if column.options not in known:
            root = tmp_path_factory.mktemp("decisions")
            known[column.options], ended = _run(root, column, lambda *words: fsync("sync", *words))
            assert ended.code == 0, ended
        return known[column.options]

    return of


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("column", [*COLUMNS, *ALONE], ids=lambda column: column.options or "default")
def test_decision(letters: Letters, column: Column, name: str) -> None:
    at = list(PAIRS).index(name)
    assert letters(column)[at] == column.ours[at]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.options or "default")
def test_what_the_binary_does(tmp_path: Path, column: Column) -> None:
    seen, ended = _run(tmp_path, column, juicefs_sync)
    assert (seen, ended.code) == (column.theirs, column.code), ended


def test_every_difference_has_a_reason() -> None:
    for column in COLUMNS:
        assert bool(column.why) == (column.theirs != column.ours), column
        assert len(column.theirs) == len(column.ours) == len(PAIRS)
