"""One key -> the rule that leaves out exactly this key, as a word for a shell."""

from __future__ import annotations

import shlex

from fsync.errors import printable


def exclude_option(key: bytes) -> str:
    """Return ``--exclude WORD``, which drops this key alone; a word that cannot be quoted plainly is ``$'...'``.

    It holds in directory mode, where a key is relative to the address.
    """
    return f"--exclude {_shell_word(_pattern(key))}"


def _pattern(key: bytes) -> bytes:
    if not any(wildcard in key for wildcard in (b"*", b"?", b"[")):
        return b"/" + key
    for special in (b"\\", b"*", b"?", b"["):
        key = key.replace(special, b"\\" + special)
    return b"/" + key


def _shell_word(word: bytes) -> str:
    """Quote bytes for bash; what a terminal cannot show is written by number."""
    text = word.decode("utf-8", "surrogateescape")
    if printable(text) == text:
        return shlex.quote(text)
    # three octal digits, because what follows cannot be taken for a fourth
    inner = "".join(
        character
        if character.isprintable() and character not in "\\'"
        else "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))
        for character in text
    )
    return f"$'{inner}'"
