"""The rules of a run over the keys of a page, or over one key.

Pages are matched by RE2, linear in the length of a key whatever the patterns are. Bytes that are not UTF-8 are one
character each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from fsync.filters.pattern import FLOATING, RAW_BYTES, Rule, read_rule

#: RE2 refuses programs over its memory budget: alternatives are spread over expressions of about this length
_LONGEST_REGEX = 16_000
#: over these, asking RE2 for one text costs less than what Python's engine may need (for a hostile name: for ever)
_MOST_BACKTRACKING = 3
_LONGEST_BACKTRACKING = 2_000
_KNOWN_DIRECTORIES = 4096

#: what a directory of layered mode is
_DROPPED, _KEPT, _KEPT_WITH_CONTENT = 0, 1, 2


class Rules:
    """Which keys are kept.

    Keys are relative to the address's root, directories end in ``/``; in prefix mode a key may be empty or begin with
    ``/``. Instances can be pickled and used from several threads. This class itself tries whole keys (full path).
    """

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._keys = _grouped((rule.include, rule.regex, rule.backtracking) for rule in rules)
        # An exclude that swallows a directory drops all below it, unless an earlier include can reach down there.
        self._below = _grouped(
            (rule.include, rule.reach if rule.include else rule.regex, rule.backtracking)
            for rule in rules
            if rule.include or rule.swallows
        )

    @classmethod
    def parse(cls, rules: Sequence[tuple[str, str]], *, full_path: bool = False) -> Rules:
        """Read ``("include" | "exclude", pattern)`` pairs, the earlier ones deciding first.

        Raises RuleError, naming the pattern and what is wrong with it, for a malformed pattern.
        """
        read = [rule for kind, pattern in rules if (rule := read_rule(kind, pattern)) is not None]
        while read and read[-1].include:
            read.pop()
        return Rules(read) if full_path or not read else _LayeredRules(read)

    def __bool__(self) -> bool:
        """Tell whether any key could be dropped."""
        return bool(self._keys)

    def mask(self, keys: pa.BinaryArray) -> pa.BooleanArray:
        """Return True for each key that is kept; keys are not null, and sorted ones are decided fastest."""
        return _kept_rows(self._keys, _texts(keys)) if self else pc.is_valid(keys)

    def keeps(self, key: bytes) -> bool:
        """Tell whether one key is kept, as :meth:`mask` does for many."""
        return _kept(self._keys, _text(key))

    def prunes(self, directory: bytes) -> bool:
        """Tell whether nothing below a directory (its key, ending in ``/``) is kept, so it need not be listed.

        True is certain, False may mean that it is not known.
        """
        return not _kept(self._below, _text(directory))


class _LayeredRules(Rules):
    """Every level of a key is tried; a dropped directory drops all below it."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__(rules)
        last = next((at for at, rule in enumerate(rules) if rule.catches_all), len(rules))
        content = [rule for rule in rules[:last] if _keeps_content(rule, rules[:last])] if last < len(rules) else []
        self._levels = {_KEPT: _Level(rules[: last + 1])}
        if content:
            self._levels[_KEPT_WITH_CONTENT] = _Level([rule for rule in rules if not rule.catches_all])
        self._content = _grouped((False, rule.directory_regex, rule.backtracking) for rule in content)
        self._known: dict[str, int] = {}

    def mask(self, keys: pa.BinaryArray) -> pa.BooleanArray:
        texts = _texts(keys)
        parts = pc.split_pattern(texts, "/", max_splits=1, reverse=True)
        nested = pc.equal(pc.list_value_length(parts), 2)
        directories = pc.if_else(nested, pc.list_element(parts, 0), pa.scalar(None, pa.string())).dictionary_encode()
        states = self._states([f"{name}/" for name in directories.dictionary.to_pylist()])
        state = pc.fill_null(pa.array(states, pa.int8()).take(directories.indices), pa.scalar(_KEPT, pa.int8()))
        kept = _kept_rows(self._levels[_KEPT].files, texts)
        if _KEPT_WITH_CONTENT in states:
            inside = _kept_rows(self._levels[_KEPT_WITH_CONTENT].files, texts)
            kept = pc.if_else(pc.equal(state, _KEPT_WITH_CONTENT), inside, kept)
        nameless = pc.or_(pc.ends_with(texts, "/"), pc.equal(texts, ""))
        return pc.and_(pc.greater(state, _DROPPED), pc.or_(nameless, kept))

    def keeps(self, key: bytes) -> bool:
        text = _text(key)
        directory = text[: text.rfind("/") + 1]
        state = self._state(directory)
        return state != _DROPPED and (directory == text or _kept(self._levels[state].files, text))

    def prunes(self, directory: bytes) -> bool:
        return self._state(_text(directory)) == _DROPPED

    def _states(self, directories: list[str]) -> list[int]:
        """Decide many directories, their levels by RE2 over all that are new."""
        known = self._remembered()
        new = sorted({level for directory in directories for level in _levels(directory, known)})
        if new:
            texts = pa.array(new, pa.string())
            verdicts = {
                state: dict(zip(new, _kept_rows(level.directories, texts).to_pylist(), strict=True))
                for state, level in self._levels.items()
            }
            content = dict(zip(new, pc.invert(_kept_rows(self._content, texts)).to_pylist(), strict=True))
            for directory in new:
                above = known.get(_parent(directory), _KEPT)
                if above == _DROPPED or _is_nameless(directory):
                    known[directory] = above
                elif not verdicts[above][directory]:
                    known[directory] = _DROPPED
                else:
                    known[directory] = _KEPT_WITH_CONTENT if content[directory] else above
        return [known[directory] for directory in directories]

    def _state(self, directory: str) -> int:
        """Decide one directory."""
        known = self._remembered()
        for level in reversed(_levels(directory, known)):
            above = known.get(_parent(level), _KEPT)
            if above == _DROPPED or _is_nameless(level):
                known[level] = above
            elif not _kept(self._levels[above].directories, level):
                known[level] = _DROPPED
            else:
                known[level] = above if _kept(self._content, level) else _KEPT_WITH_CONTENT
        return known[directory] if directory else _KEPT

    def _remembered(self) -> dict[str, int]:
        # Listings are sorted, so what comes next shares its parents with what came last: forgetting all is cheap.
        if len(self._known) >= _KNOWN_DIRECTORIES:
            self._known = {}
        return self._known


def _levels(directory: str, known: dict[str, int]) -> list[str]:
    """Return a directory and its parents up to the first that is known, deepest first."""
    levels = []
    while directory and directory not in known:
        levels.append(directory)
        directory = _parent(directory)
    return levels


def _parent(directory: str) -> str:
    return directory[: directory.rfind("/", 0, -1) + 1]


def _is_nameless(directory: str) -> bool:
    return directory == "/" or directory.endswith("//")


class _Level:
    """One list of rules, as expressions over directories (with their ``/``) and over files."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.directories = _grouped((rule.include, rule.directory_regex, rule.backtracking) for rule in rules)
        self.files = _grouped((rule.include, rule.regex, rule.backtracking) for rule in rules)


class _Group:
    """Neighbouring rules of one kind as one expression."""

    def __init__(self, include: bool, regexes: Sequence[str], backtracking: int) -> None:
        self.include = include
        # Said once, what may stand before most patterns leaves RE2 a small automaton for thousands of them.
        floating = [regex.removeprefix(FLOATING) for regex in regexes if regex.startswith(FLOATING)]
        alternatives = [regex for regex in regexes if not regex.startswith(FLOATING)]
        self._regex = "|".join([*alternatives, *([f"{FLOATING}(?:{'|'.join(floating)})"] if floating else [])])
        self._backtracks = backtracking > _MOST_BACKTRACKING or len(self._regex) > _LONGEST_BACKTRACKING

    def rows(self, texts: pa.StringArray) -> pa.BooleanArray:
        return pc.match_substring_regex(texts, rf"\A(?s:{self._regex})\z")

    def matches(self, text: str) -> bool:
        # Handing one text to Arrow takes fifty times as long as matching it.
        if self._backtracks:
            return bool(self.rows(pa.array([text], pa.string()))[0].as_py())
        return self._compiled.fullmatch(text) is not None

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self._regex, re.DOTALL)


def _grouped(rules: Iterable[tuple[bool, str, int]]) -> list[_Group]:
    groups: list[_Group] = []
    for include, same_kind in groupby(rules, key=lambda rule: rule[0]):
        regexes: list[str] = []
        length = most = 0
        for _, regex, backtracking in same_kind:
            if regexes and length + len(regex) > _LONGEST_REGEX:
                groups.append(_Group(include, regexes, most))
                regexes, length, most = [], 0, 0
            regexes.append(regex)
            length += len(regex) + 1
            most = max(most, backtracking)
        groups.append(_Group(include, regexes, most))
    while groups and groups[-1].include:
        groups.pop()
    return groups


def _kept_rows(groups: Sequence[_Group], texts: pa.StringArray) -> pa.BooleanArray:
    """Return for each text whether the first group that matches, if any, is an include."""
    kept = pc.is_valid(texts)
    for group in reversed(groups):
        matched = group.rows(texts)
        kept = pc.or_(kept, matched) if group.include else pc.and_not(kept, matched)
    return kept


def _kept(groups: Sequence[_Group], text: str) -> bool:
    return next((group.include for group in groups if group.matches(text)), True)


def _text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        return key.decode("utf-8", "surrogateescape").translate(RAW_BYTES)


def _texts(keys: pa.BinaryArray) -> pa.StringArray:
    try:
        return keys.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_text(key) for key in keys.to_pylist()], pa.string())


def _keeps_content(rule: Rule, rules: Sequence[Rule]) -> bool:
    """Tell whether a directory include means the directory's content, given the rules before the catch-all."""
    if not rule.include or not rule.pattern.endswith("/") or rule.has_wildcard:
        return False
    others = (other for other in rules if other.include and other is not rule)
    return not any(other.has_wildcard or _names_below(other, rule) for other in others)


def _names_below(inner: Rule, outer: Rule) -> bool:
    """Tell whether one literal pattern names something inside the directory that another one names."""
    path, directory = inner.names, outer.names
    for depth in range(1, len(path)):
        shared = min(depth, len(directory))
        if path[depth - shared : depth] != directory[-shared:]:
            continue
        # What one pattern names above the other's first name is free only if the other is not anchored.
        longer = inner if depth < len(directory) else outer
        if depth == len(directory) or not longer.pattern.startswith("/"):
            return True
    return False
