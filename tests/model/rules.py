"""Random include and exclude rules, each in two spellings that mean the same: fsync's and juicefs sync's.

A pattern is made of tokens rather than of text. Where both programs read a text alike the spellings are one; where
they do not, and :mod:`tests.model.differences` says why, the binary gets the text that means to it what the pattern
means here. So the languages are compared, and not only excused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

#: characters that mean something to a pattern with wildcards
_SPECIAL = "*?[\\"


@dataclass(frozen=True)
class Token:
    """One piece of a pattern; ``differs`` names the difference between its spellings, if there is one.

    A ``literal`` is one character that stands for itself, and is escaped where it must be.
    """

    ours: str
    theirs: str
    differs: str = ""
    literal: bool = False


#: what stands for one character, and which names of :data:`tests.model.differences.SPELLINGS` that touches
CLASSES = (
    Token("[ab]", "[ab]"),
    Token("[a-c]", "[a-c]"),
    Token("[^a]", "[^a]"),
    Token("[!a]", "[^a]", "[!...]"),
    Token("[!b-d1]", "[^b-d1]", "[!...]"),
    Token("[[:alpha:]]", "[A-Za-z]", "POSIX class"),
    Token("[[:digit:].]", "[0-9.]", "POSIX class"),
    Token("[[:upper:][:digit:]_]", "[A-Z0-9_]", "POSIX class"),
    Token("[!-~]", "[^\\-~]", "[!...]"),
    Token("[]a]", "[\\]a]", "] or - in a class"),
    Token("[-a]", "[\\-a]", "] or - in a class"),
    Token("[a-]", "[a\\-]", "] or - in a class"),
    Token("[^]b]", "[^\\]b]", "] or - in a class"),
    Token("[\\]\\-b]", "[\\]\\-b]"),
)


@dataclass(frozen=True)
class Rule:
    """An include or an exclude in both spellings, and the names of the differences between them."""

    kind: str
    ours: str
    theirs: str
    differs: frozenset[str] = frozenset()

    @property
    def literal(self) -> bool:
        """Whether the pattern has no wildcard."""
        return not any(character in self.ours for character in "*?[")

    @property
    def catches_all(self) -> bool:
        """Whether this excludes every name."""
        return self.kind == "exclude" and self.ours in ("*", "**")


def random_rules(random: Random, keys: Sequence[str], *, full_path: bool) -> list[Rule]:
    """Return one to four rules that have to do with these keys, in order; at least one excludes."""
    idioms = (
        [Rule("exclude", "*", "*")],
        [Rule("include", "*/", "*/"), Rule("exclude", "*", "*")],
        [Rule("exclude", "**", "**")],
        [Rule("exclude", "/*", "/*")],
    )
    rules = [random_rule(random, keys) for _ in range(random.choice((1, 1, 2, 2, 3, 4)))]
    if random.random() < 0.45:
        rules += random.choice(idioms)
    if not any(rule.kind == "exclude" for rule in rules):
        rules[random.randrange(len(rules))] = random_rule(random, keys, "exclude")
    if not full_path:
        # What follows a catch-all is void to the binary; here it still holds inside an opened directory, and no rule
        # of the binary's says that.
        at = next((at for at, rule in enumerate(rules) if rule.catches_all), None)
        if at is not None and opened(rules[:at]):
            rules = rules[: at + 1]
    return rules


def random_rule(random: Random, keys: Sequence[str], kind: str = "") -> Rule:
    """Return a rule whose pattern comes from one of the keys."""
    key = random.choice(list(keys) or ["a/b"])
    names = [name for name in key.rstrip("/").split("/") if name] or ["a"]
    begin = random.randrange(len(names))
    names = names[begin : random.randint(begin + 1, len(names))]
    components = [_component(random, name) for name in names]
    if random.random() < 0.15:
        star = random.choice(("**", "***", "*"))
        components.insert(random.randint(0, len(components)), [Token(star, star)])
    anchored = random.random() < 0.3
    slashed = random.random() < (0.5 if key.endswith("/") or len(names) < key.count("/") else 0.15)
    slash = _literal("/")
    tokens = slash * anchored
    for at, component in enumerate(components):
        tokens += slash * (at > 0) + component
    tokens += slash * slashed
    return _spelled(kind or random.choice(("include", "exclude", "exclude")), tokens)


_STAR, _STARS, _ANY = Token("*", "*"), Token("**", "**"), Token("?", "?")


def _literal(text: str) -> list[Token]:
    return [Token(character, character, literal=True) for character in text]


def _component(random: Random, name: str) -> list[Token]:
    shape = random.random()
    literal = _literal(name)
    at = random.randrange(len(name))
    end = random.randint(at, len(name))
    if shape < 0.5:
        return literal
    if shape < 0.6:
        return [_STAR]
    if shape < 0.75:
        return [*literal[:at], _STAR, *literal[end:]]
    if shape < 0.82:
        return [*literal[:at], _ANY, *literal[at + 1 :]]
    if shape < 0.9:
        return [*literal[:at], random.choice(CLASSES), *literal[at + 1 :]]
    return [*literal[:at], _STARS, *literal[end:]]


def _spelled(kind: str, tokens: Sequence[Token]) -> Rule:
    """Write a pattern in both spellings."""
    wild = any(not token.literal or token.ours in "*?[" for token in tokens)
    ours = theirs = ""
    differs = set()
    for token in tokens:
        escape = "\\" if token.literal and token.ours in _SPECIAL else ""
        ours += (escape if wild else "") + token.ours
        theirs += escape + token.theirs
        if escape and not wild:
            differs.add("backslash")
        elif token.differs:
            differs.add(token.differs)
    return Rule(kind, ours, theirs, frozenset(differs))


def opened(before: Sequence[Rule]) -> list[Rule]:
    """Return the includes before a catch-all exclude that keep their directory's content against it.

    Each ends in ``/``, and no other include has a wildcard or names something below it.
    """
    includes = [rule for rule in before if rule.kind == "include" and rule.ours != "/"]
    return [
        rule
        for rule in includes
        if rule.ours.endswith("/")
        and rule.literal
        and all(other is rule or (other.literal and not _below(other.ours, rule.ours)) for other in includes)
    ]


def _below(inner: str, outer: str) -> bool:
    """Tell whether some path that the literal ``inner`` names lies in a directory that the literal ``outer`` names."""
    directory, path = outer.strip("/").split("/"), inner.strip("/").split("/")
    for lead in range(1 if inner.startswith("/") else len(directory) + 1):
        whole = directory[:lead] + path
        for depth in range(lead + 1, len(whole)):
            parent = whole[:depth]
            if parent == directory or (not outer.startswith("/") and parent[-len(directory) :] == directory):
                return True
    return False


def words(rules: Sequence[Rule], *, binary: bool, full_path: bool) -> list[str]:
    """Return the rules as words of a command line, for fsync or as the binary is told the same."""
    told = [(rule.kind, rule.theirs if binary else rule.ours) for rule in rules]
    at = next((at for at, rule in enumerate(rules) if rule.catches_all), None)
    if binary and not full_path and at is not None:
        told[at:at] = [("include", f"{rule.theirs}***") for rule in opened(rules[:at])]
    return [word for kind, pattern in told for word in (f"--{kind}", pattern)]


def differences(rules: Sequence[Rule], *, full_path: bool) -> list[str]:
    """Return the names of the differences that the two spellings of these rules bridge."""
    names = {name for rule in rules for name in rule.differs}
    at = next((at for at, rule in enumerate(rules) if rule.catches_all), None)
    if not full_path and at is not None and opened(rules[:at]):
        names.add("pic/")
    return sorted(names)
