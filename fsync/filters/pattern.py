"""One pattern -> regular expressions.

Per component of a pattern: ``*`` is any run without ``/`` (also empty), ``?`` one code point but ``/``,
``[abc] [a-z] [!a] [^a] [[:alpha:]]`` a class (POSIX classes are ASCII; ``]`` first and ``-`` first or last are
literal), ``\\c`` a literal c. ``**`` inside a component also crosses ``/``; as a component it is one or more of them,
and as the first of several it may be nothing. ``***`` as last component is the directory itself and all below it. A
pattern without ``*?[`` is literal, backslashes included. A leading ``/`` anchors at the address's root, else a match
may begin at any component; a trailing ``/`` matches directories only, a pattern without one matches directories too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fsync.errors import RuleError, printable

#: a byte that is not UTF-8 (decoded as U+DC80..U+DCFF, which RE2 does not take) becomes one of the last private-use
#: code points, which no real name uses
RAW_BYTES = {0xDC00 + byte: 0x10FF00 + byte for byte in range(0x80, 0x100)}

#: what begins the expression of a pattern that may begin at any component
FLOATING = "(?:.*/)?"

#: longer than any path, and short enough for RE2's memory budget whatever is in it
_LONGEST_PATTERN = 8192
#: deeper includes are taken to reach everything: both engines refuse an expression nested without limit
_DEEPEST_REACH = 50

#: first and last characters of the ranges
_POSIX = {
    "alnum": "09AZaz",
    "alpha": "AZaz",
    "blank": "\t\t  ",
    "cntrl": "\x00\x1f\x7f\x7f",
    "digit": "09",
    "graph": "!~",
    "lower": "az",
    "print": " ~",
    "punct": "!/:@[`{~",
    "space": "\t\r  ",
    "upper": "AZ",
    "xdigit": "09AFaf",
}
_POSIX_CLASS = re.compile(r"\[:([a-z]*):\]")


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern as regular expressions that Python and RE2 read alike, each for the whole of a string.

    ``regex`` is for a key; ``directory_regex`` for a directory of layered mode with its ``/``; ``reach`` matches every
    directory (with its ``/``) below which ``regex`` may match. ``swallows``: if ``regex`` matches a string that ends in
    ``/``, it matches everything that begins with that string. ``backtracking`` counts what a backtracking engine may
    have to try again.
    """

    include: bool
    pattern: str
    regex: str
    directory_regex: str
    reach: str
    swallows: bool
    backtracking: int

    @property
    def catches_all(self) -> bool:
        """Whether this is an exclude that no name passes."""
        return not self.include and self.pattern in ("*", "**")

    @property
    def has_wildcard(self) -> bool:
        """Whether the pattern is more than literal text."""
        return _has_wildcard(self.pattern)

    @property
    def names(self) -> list[str]:
        """The components of a literal pattern."""
        return self.pattern.strip("/").split("/")


def read_rule(kind: str, pattern: str) -> Rule | None:
    """Translate the pattern of an ``"include"`` or ``"exclude"``; None for ``/``, which no key matches.

    Raises RuleError for a malformed pattern.
    """
    try:
        if kind not in ("include", "exclude"):
            raise ValueError('a rule is an "include" or an "exclude"')
        if len(pattern) > _LONGEST_PATTERN:
            raise ValueError(f"it is longer than any path ({len(pattern)} characters)")
        text = pattern.translate(RAW_BYTES)
        text.encode()
        components = _components(text)
    except UnicodeEncodeError as error:
        why = f"it holds {error.object[error.start]!a}, which is no character"
    except ValueError as error:
        why = str(error)
    else:
        return None if pattern == "/" else _assemble(kind == "include", pattern, components)
    shown = printable(pattern[:200]) + "..." * (len(pattern) > 200)
    raise RuleError(f"--{kind} '{shown}' is not a valid pattern: {why}")


def _assemble(include: bool, pattern: str, components: list[tuple[str, str]]) -> Rule:
    raw = [text for text, _ in components]
    parts = [regex for _, regex in components]
    slashed = pattern.endswith("/") or raw[-1] == "***"
    if pattern.startswith("/"):
        raw, parts = raw[1:], parts[1:]
        if "***" in raw:
            # juicefs sync never looks at what follows an anchored ***
            parts = parts[: raw.index("***") + 1]
        regex = _anchored(parts)
        reach = _reach(parts)
    else:
        if raw[0] in ("**", "***") and len(raw) > 1:
            raw, parts = raw[1:], parts[1:]
        elif raw == ["*"]:
            parts = [".*"]
        regex = "/".join(parts)
        if pattern and not regex.startswith(".*"):
            regex = FLOATING + regex
        reach = ".*"
    return Rule(
        include=include,
        pattern=pattern,
        regex=regex,
        directory_regex=regex if slashed else regex + "/",
        reach=reach,
        swallows=parts[-1].endswith(".*"),
        backtracking=sum(part.count("[^/]*") + 2 * part.count(".*") for part in parts),
    )


def _anchored(parts: list[str]) -> str:
    """Return the expression of an anchored pattern's components.

    In prefix mode a key may begin with a ``/``, which an anchored pattern does not see; nor is there an empty name
    before the first ``/`` of a key for a ``*`` to match.
    """
    if not parts[0]:
        return "/" + "/".join(parts)
    first = "[^/]" + parts[0] if parts[0] in (".*", "[^/]*") else parts[0]
    if parts[0] == first:
        return "/?" + "/".join(parts)
    return f"(?:/{'/'.join(parts)}|{'/'.join([first, *parts[1:]])})"


def _reach(parts: list[str]) -> str:
    """Return the expression of the directories on the way to what an anchored pattern can match."""
    names = parts[:-1] if parts[-1] else parts[:-2]
    crossing = next((at for at, part in enumerate(parts) if ".*" in part), len(parts))
    regex = ""
    if crossing < len(parts) or len(names) > _DEEPEST_REACH:
        names, regex = parts[: min(crossing, _DEEPEST_REACH)], ".*"
    for name in reversed(names):
        regex = f"(?:{name}/{regex})?"
    return "/?" + regex


def _has_wildcard(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


def _components(pattern: str) -> list[tuple[str, str]]:
    """Split a pattern into its components, each as written and as an expression; raise ValueError if malformed."""
    if not _has_wildcard(pattern):
        return [(name, "".join(map(_literal, name))) for name in pattern.split("/")]
    components: list[tuple[str, str]] = []
    begin = at = 0
    regex = ""
    while at < len(pattern):
        start = at
        at += 1
        match pattern[start]:
            case "/":
                components.append((pattern[begin:start], regex))
                begin, regex = at, ""
            case "*":
                while pattern.startswith("*", at):
                    at += 1
                regex += "[^/]*" if at - start == 1 else ".*"
            case "?":
                regex += "[^/]"
            case "[":
                part, at = _class(pattern, start)
                regex += part
            case _:
                character, at = _character(pattern, start)
                regex += _literal(character)
    return [*components, (pattern[begin:], regex)]


def _character(pattern: str, at: int) -> tuple[str, int]:
    """Return the literal character at a position, escaped or not, and the position after it."""
    if pattern[at] != "\\":
        return pattern[at], at + 1
    if at + 1 == len(pattern):
        raise ValueError(r"the backslash at its end escapes nothing; write \\ for a backslash")
    if pattern[at + 1] == "/":
        raise ValueError("a / cannot be escaped")
    return pattern[at + 1], at + 2


def _class(pattern: str, opened: int) -> tuple[str, int]:
    """Translate the class whose ``[`` is at a position; return its expression and the position after its ``]``."""
    negated = pattern.startswith(("!", "^"), opened + 1)
    first = at = opened + 1 + negated
    ranges: list[tuple[str, str]] = []
    while at < len(pattern) and (pattern[at] != "]" or at == first):
        posix = _POSIX_CLASS.match(pattern, at)
        if posix is not None:
            if posix[1] not in _POSIX:
                raise ValueError(f"[:{posix[1]}:] is no POSIX class; there are {' '.join(_POSIX)}")
            bounds = _POSIX[posix[1]]
            ranges += zip(bounds[::2], bounds[1::2], strict=True)
            at = posix.end()
            continue
        low, at = _character(pattern, at)
        high = low
        if pattern.startswith("-", at) and at + 1 < len(pattern) and pattern[at + 1] != "]":
            high, at = _character(pattern, at + 1)
        if "/" in (low, high):
            raise ValueError(f"the class opened at character {opened + 1} holds a /, which no class matches")
        if low > high:
            raise ValueError(f"the range {printable(low)}-{printable(high)} is backwards")
        ranges.append((low, high))
    if at >= len(pattern):
        raise ValueError(rf"the class opened at character {opened + 1} has no closing ]; write \[ for a literal [")
    if not negated:
        ranges = [part for low, high in ranges for part in _around_slash(low, high)]
    members = "".join(_literal(low) if low == high else f"{_literal(low)}-{_literal(high)}" for low, high in ranges)
    return f"[^/{members}]" if negated else f"[{members}]", at + 1


def _around_slash(low: str, high: str) -> list[tuple[str, str]]:
    """Split a range such as ``+-9`` in two: no class matches ``/``."""
    if not low <= "/" <= high:
        return [(low, high)]
    return [part for part in ((low, "."), ("0", high)) if part[0] <= part[1]]


def _literal(character: str) -> str:
    return character if character.isalnum() or ord(character) > 0x7F else f"\\x{ord(character):02x}"
