"""``filter_cases.json``: what juicefs sync 1.4.2 does with rules, and where the specification decides otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: one case: ``tree`` and ``args``, ``expect`` (the keys at the destination) and ``counts``; ``src`` and ``dst`` are
#: what follows each root in the addresses (``/`` if absent), ``dst_tree`` the destination before, ``sizes`` of files
CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data" / "filter_cases.json").read_text(encoding="utf-8")
)

_CLASSES = ["a!", "a-", "a1", "a2", "a3", "a:", "aZ", "a[", "a]", "a^", "ab"]
_BACKSLASHES = ["*", "a*b", "a?b", "a\\*b", "ab", "axb", "x*"]

#: where the specification decides otherwise: case -> the keys at the destination, or why it is refused
DECIDED: dict[int, list[str] | str] = {
    # rsync's idioms stay: another include names something below foo/, below /some/ and below /some/path/
    33: ["foo/bar.c"],
    37: ["some/path/this-file"],
    # an include after the exclude that matches first is void
    47: [],
    # POSIX classes
    170: [name for name in _CLASSES if name not in ("a1", "a2", "a3")],
    # ] first in a class is literal, so these classes are never closed
    171: "no closing ]",
    175: "no closing ]",
    # ] first, - first or last
    177: [name for name in _CLASSES if name != "a]"],
    182: [name for name in _CLASSES if name not in ("a-", "a1")],
    183: [name for name in _CLASSES if name not in ("a-", "a1")],
    184: [name for name in _CLASSES if name not in ("a-", "a1")],
    # without a wildcard a backslash is itself, also at the end
    193: _BACKSLASHES,
    194: _BACKSLASHES,
    199: sorted([*_BACKSLASHES, "a\\b"]),
    # = in a pattern
    207: ["a", "a,b", "b", "x"],
    # listing in parallel changes nothing, as 1.4.2 with one list thread
    294: ["a/b/c", "a/x/y", "b/c"],
    295: ["a/b/c", "a/x/y", "b/c"],
    296: ["a/b/c"],
    # --start and --end are inclusive everywhere
    299: ["b", "b0", "c/d", "c/e", "d"],
    301: ["b", "b0"],
}
