"""The line that repeats only what failed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from fsync.cli.faults import Hide
from fsync.errors import printable
from fsync.options import BY_NAME
from fsync.report import Failure

#: names that a line can carry
_MOST = 20
_HINT = (
    "to repeat only what failed, keep a list of it: add --report failed.jsonl, and next time --files-from failed.jsonl"
)


def repeat_line(
    verb: str, addresses: Sequence[str], options: dict[str, Any], failures: Sequence[Failure], failed: int, hide: Hide
) -> str:
    """Return a line for people that ends with the command to repeat what failed, "" where there is none.

    With ``--report`` the report is the list; else a few plain names stand in the line itself, and what a line cannot
    carry (many names, or one with a line break, blanks at its end or bytes that are no text) needs a report. Failed
    deletions are repeated by a whole run only. ``options`` are as the command line gave them; secrets are hidden.
    """
    copies = [failure for failure in failures if failure.action != "delete"]
    if not copies or "exact" in options:
        return ""
    report = options.get("report")
    words = ["fsync", verb, "--files-from", report or "-", *_given(options), *addresses]
    command = shlex.join(hide(word) for word in words)
    if report is not None:
        return f"to repeat only what failed: {command}"
    names = [failure.key for failure in copies]
    if failed > len(failures) or len(names) > _MOST or not all(map(_fits, names)):
        return _HINT
    return rf"to repeat only what failed: printf '%s\n' {shlex.join(name.decode() for name in names)} | {command}"


def _given(options: dict[str, Any]) -> Iterator[str]:
    """Yield the words of the options that a repetition shares."""
    for name, value in options.items():
        if name in ("report", "files_from"):
            continue
        if name == "rules":
            for kind, pattern in value:
                yield from (f"--{kind}", pattern)
        elif value is True:
            yield BY_NAME[name].flags[0]
        else:
            for one in value if isinstance(value, list) else [value]:
                yield from (BY_NAME[name].flags[0], one)


def _fits(key: bytes) -> bool:
    """Tell whether a name can be a line of a list, and be shown as it is."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return False
    return bool(text) and text == text.rstrip() == printable(key) and ".." not in text.split("/")
