"""Cases of layered rules whose results the juicefs binary gave: made, recorded, read.

``python -m tests.model.layered`` makes ``tests/data/layered_cases.json`` anew: about two minutes with juicefs 1.4.2.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from tests.model.cases import random_keys
from tests.model.programs import juicefs_sync
from tests.model.rules import differences, random_rules, words
from tests.model.trees import files, read, tree_of, write

RECORD = Path(__file__).parent.parent / "data" / "layered_cases.json"
_CASES = 340


@dataclass(frozen=True)
class Layered:
    """One recorded case.

    ``tree`` are the source's keys, directories ending in ``/``; ``rules`` the words of fsync's command line, ``told``
    those the binary was given; ``differs`` names, as :mod:`tests.model.differences` does, why they are not the same.
    ``expect`` are the keys at a destination that was empty, directories among them with ``dirs``.
    """

    tree: list[str]
    rules: list[str]
    told: list[str]
    differs: list[str]
    dirs: bool
    expect: list[str]


def recorded() -> list[Layered]:
    """Return the recorded cases."""
    return [Layered(**case) for case in json.loads(RECORD.read_text(encoding="utf-8"))]


def answer(tree: list[str], told: list[str], *, dirs: bool) -> list[str]:
    """Ask the binary which keys come to an empty destination."""
    with tempfile.TemporaryDirectory(prefix="fsync-layered-") as name:
        source = write(Path(name) / "s", tree_of(tree))
        ended = juicefs_sync(*(["--dirs"] if dirs else []), *told, f"{source}/", f"{name}/d/")
        assert ended.code == 0, ended.text
        left = read(Path(name) / "d")
    return sorted(left if dirs else files(left))


def _made() -> Iterator[Layered]:
    """Make cases without end, mostly those of whose keys some are kept and some are not."""
    seed = 0
    while True:
        seed += 1
        random = Random(seed)
        tree = random_keys(random, random.choice((5, 8, 12)), hostile=0.2)
        rules = random_rules(random, tree, full_path=False)
        dirs = random.random() < 0.3
        told = words(rules, binary=True, full_path=False)
        expect = answer(tree, told, dirs=dirs)
        ours = words(rules, binary=False, full_path=False)
        some = 0 < len(files(tree_of(expect))) < len(files(tree_of(tree)))
        if some or random.random() < 0.15:
            yield Layered(tree, ours, told, differences(rules, full_path=False), dirs, expect)


def record() -> None:
    """Make the recorded cases anew."""
    made: dict[str, Layered] = {}
    for case in _made():
        made.setdefault(json.dumps([sorted(case.tree), case.rules]), case)
        if len(made) == _CASES:
            break
    lines = ",\n".join(json.dumps(asdict(case)) for case in made.values())
    RECORD.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    sys.stderr.write(f"{len(made)} cases written to {RECORD}\n")


if __name__ == "__main__":
    record()
