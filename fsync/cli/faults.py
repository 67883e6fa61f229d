"""What ended a command early, as lines for stderr without secrets, and its exit code."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Sequence

import fsync
from fsync.cli.text import one_line
from fsync.errors import FsyncError, Redactor

#: characters that are shown of a message nobody wrote for a person
_LONGEST = 300

Hide = Callable[[str], str]


def explain(error: BaseException, hide: Hide, *, verbose: bool) -> tuple[list[str], int]:
    """Return the lines that tell an error, and the exit code; an error that fsync did not raise on purpose is a bug."""
    if isinstance(error, FsyncError):
        return [f"fsync: ERROR: {one_line(hide(str(error)))}"], error.exit_code
    words = one_line(hide(f"{type(error).__name__}: {error}"))
    words = words if verbose or len(words) <= _LONGEST else words[:_LONGEST] + "..."
    lines = [f"fsync: BUG: {words} (at {_place(error)}, fsync {fsync.__version__}); please report this line"]
    if verbose:
        text = hide("".join(traceback.format_exception(error)))
        lines += [one_line(line) for line in text.splitlines()]
    return lines, 1


def _place(error: BaseException) -> str:
    """Return ``fsync/module.py:line`` of the innermost frame in our own package."""
    package = os.path.dirname(os.path.abspath(fsync.__file__))
    place = "unknown place"
    for frame in traceback.extract_tb(error.__traceback__):
        path = os.path.abspath(frame.filename)
        if path.startswith(package + os.sep):
            place = f"fsync/{os.path.relpath(path, package)}:{frame.lineno}"
    return place


def hider(arguments: Sequence[str]) -> Hide:
    """Return a function that takes every secret of a command line, and of what its addresses lead to, out of a text.

    Nothing is read before the first text: most runs end without an error.
    """
    found: tuple[Redactor, dict[str, str]] | None = None

    def hide(text: str) -> str:
        nonlocal found
        if found is None:
            found = _secrets(arguments)
        redact, masks = found
        for word, shown in masks.items():
            text = text.replace(word, shown)
        return redact(text)

    return hide


def _secrets(arguments: Sequence[str]) -> tuple[Redactor, dict[str, str]]:
    """Return the secret values, and the words that could not be understood with what may be shown of them."""
    from fsync.address import parse
    from fsync.credentials import masked, secrets_in
    from fsync.values import key_values

    secrets: list[str] = []
    masks: dict[str, str] = {}
    for argument in arguments:
        for word in {argument, argument.partition("=")[2]} - {""}:
            if masked(word) != word:
                masks[word] = masked(word)
            try:
                secrets.extend(parse(word).secrets)
            except FsyncError:
                # no address: its mask stands for it
                pass
            try:
                secrets.extend(secrets_in(key_values(word)))
            except ValueError:
                # no KEY=VALUE
                pass
    return Redactor(secrets), dict(sorted(masks.items(), key=lambda item: len(item[0]), reverse=True))
