"""Rules against the binary's answers, against a plain reference, and against names that nobody expects."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsync.errors import RuleError
from fsync.filters import Rules
from tests.model.filter_table import CASES, DECIDED

Pairs = Sequence[tuple[str, str]]


def include(pattern: str) -> tuple[str, str]:
    return "include", pattern


def exclude(pattern: str) -> tuple[str, str]:
    return "exclude", pattern


def kept(rules: Rules, keys: Iterable[bytes]) -> list[bytes]:
    """Return what the mask keeps, having checked that the other two methods say the same."""
    column = sorted(keys)
    mask = rules.mask(pa.array(column, pa.binary()))
    assert mask.type == pa.bool_()
    assert mask.null_count == 0
    verdicts = mask.to_pylist()
    assert verdicts == [rules.keeps(key) for key in column]
    left = [key for key, verdict in zip(column, verdicts, strict=True) if verdict]
    for directory in {key[: at + 1] for key in column for at, byte in enumerate(key) if byte == ord("/")}:
        if rules.prunes(directory):
            assert not [key for key in left if key.startswith(directory) and key != directory]
    return left


def kept_of(tree: str, *pairs: tuple[str, str], full_path: bool = False) -> str:
    """Do the same for blank-separated text keys."""
    left = kept(Rules.parse(pairs, full_path=full_path), [key.encode() for key in tree.split()])
    return b" ".join(left).decode()


# --- the binary's answers: filter_cases.json -------------------------------------------------------------------------

#: no key rules at all: ranges, limits and sizes are decided elsewhere
WITHOUT_RULES = {299, 301, 302, 305, 306, 307, 309, 311}


def rules_of(arguments: list[str]) -> Rules:
    """Read the rules of a command line as the table's authors wrote them."""
    pairs = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name in ("include", "exclude"):
            if equals and not value:
                continue
            pairs.append((name, value if equals else next(words)))
    return Rules.parse(pairs, full_path="--match-full-path" in arguments)


def with_parents(keys: Iterable[str]) -> list[str]:
    return sorted({key[: at + 1] for key in keys for at, character in enumerate(key + "\0") if character in "/\0"})


def test_every_case_of_the_table_is_looked_at() -> None:
    ids = [case["id"] for case in CASES]
    assert len(CASES) == len(set(ids)) == 172
    assert {case["id"] for case in CASES if "differs" in case} <= set(DECIDED) <= set(ids)
    flags = {
        word.partition("=")[0]
        for case in CASES
        if case["id"] in WITHOUT_RULES
        for word in case["args"]
        if word[0] == "-"
    }
    assert flags == {"--start", "--end", "--limit", "--min-size", "--max-size"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_filter_case(case: dict[str, Any]) -> None:
    number = case["id"]
    expected = DECIDED.get(number, sorted(case["expect"]))
    if isinstance(expected, str):
        with pytest.raises(RuleError, match=expected):
            rules_of(case["args"])
        return
    rules = rules_of(case["args"])
    if number in WITHOUT_RULES:
        assert not rules
        assert len(kept(rules, [key.encode() for key in case["tree"]])) == len(case["tree"])
        return
    source, target = case.get("src", "/")[1:], case.get("dst", "/")[1:]
    keys = [key for key in case["tree"] if key.startswith(source)]
    if "--dirs" in case["args"]:
        keys = with_parents(keys)
    result = [target + key.decode() for key in kept(rules, [key[len(source) :].encode() for key in keys])]
    if "--dirs" in case["args"]:
        # a file's parents are made whether they are rows or not
        result = with_parents(result)
    if "--delete-dst" in case["args"]:
        there = [key.encode() for key in case["dst_tree"]]
        result += [key.decode() for key in set(there) - set(kept(rules, there))]
    assert sorted(result) == expected


# What the binary copied between two buckets: empty names, which no local tree has.
BUCKET = ["/r", "a//", "a//b", "a/c", "d/", "d//", "d//e/f", "x"]


@pytest.mark.parametrize(
    ("pattern", "layered", "full_path"),
    [
        ("a/*", "a/c", "a/c"),
        ("a/", "a// a//b a/c", ""),
        ("a//b", "a//b", "a//b"),
        ("b", "a//b", "a//b"),
        ("*/", "a// a//b a/c d/ d// d//e/f", "a// d/ d//"),
        ("d/*", "", "d/"),
        ("d/**", "d//e/f", "d/ d// d//e/f"),
        ("/*", " ".join(BUCKET), "/r x"),
        ("//r", "", ""),
        ("r", "/r", "/r"),
        ("/r", "/r", "/r"),
        ("**", " ".join(BUCKET), " ".join(BUCKET)),
        ("", "", ""),
    ],
)
def test_empty_names_of_object_stores(pattern: str, layered: str, full_path: str) -> None:
    tree = " ".join(BUCKET)
    for gone, whole in ((layered, False), (full_path, True)):
        left = [key for key in BUCKET if key not in gone.split()]
        assert kept_of(tree, exclude(pattern), full_path=whole).split() == left


@pytest.mark.parametrize(
    ("pattern", "full_path", "dropped"),
    [
        ("*", False, False),
        ("**", False, False),
        ("*", True, True),
        ("**", True, True),
        ("**/", True, True),
        ("", True, True),
        ("/", True, False),
        ("*/", True, False),
        ("/**", True, False),
        ("/***", True, False),
    ],
)
def test_the_object_named_like_the_prefix(pattern: str, full_path: bool, dropped: bool) -> None:
    assert kept(Rules.parse([exclude(pattern)], full_path=full_path), [b""]) == ([] if dropped else [b""])


# --- no rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("full_path", [False, True])
@pytest.mark.parametrize("pairs", [[], [include("a")], [include("*.c"), include("b/")], [exclude("/")]])
def test_nothing_to_drop_is_false_and_keeps_all(pairs: Pairs, full_path: bool) -> None:
    rules = Rules.parse(pairs, full_path=full_path)
    assert not rules
    assert kept(rules, [b"", b"/", b"a", b"a/", b"b/c\xff"]) == [b"", b"/", b"a", b"a/", b"b/c\xff"]


@pytest.mark.parametrize("full_path", [False, True])
def test_one_exclude_is_true(full_path: bool) -> None:
    assert Rules.parse([exclude("a"), include("b")], full_path=full_path)


@pytest.mark.parametrize("full_path", [False, True])
@pytest.mark.parametrize("keys", [[], [b"a"], [b"a/"], [b"a/b"]])
def test_small_pages(keys: list[bytes], full_path: bool) -> None:
    rules = Rules.parse([include("a"), exclude("b")], full_path=full_path)
    mask = rules.mask(pa.array([b"b", *keys, b"b"], pa.binary()).slice(1, len(keys)))
    assert mask.to_pylist() == [key != b"a/b" for key in keys]


# --- malformed patterns ----------------------------------------------------------------------------------------------


_POSIX = "alnum alpha blank cntrl digit graph lower print punct space upper xdigit"


@pytest.mark.parametrize("full_path", [False, True])
@pytest.mark.parametrize("kind", ["include", "exclude"])
@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("a[", r"the class opened at character 2 has no closing ]; write \[ for a literal ["),
        ("a[]", r"the class opened at character 2 has no closing ]; write \[ for a literal ["),
        ("[a]/b[!]", r"the class opened at character 6 has no closing ]; write \[ for a literal ["),
        ("[[:alpha:]", r"the class opened at character 1 has no closing ]; write \[ for a literal ["),
        ("[\\]", r"the class opened at character 1 has no closing ]; write \[ for a literal ["),
        (
            "[[:letter:]]",
            f"[:letter:] is no POSIX class; there are {_POSIX}",
        ),
        ("*[z-a]", "the range z-a is backwards"),
        ("a[b/c]d", "the class opened at character 2 holds a /, which no class matches"),
        ("*\\", r"the backslash at its end escapes nothing; write \\ for a backslash"),
        ("[a\\", r"the backslash at its end escapes nothing; write \\ for a backslash"),
        ("*\\/b", "a / cannot be escaped"),
        ("a\ud800", r"it holds '\ud800', which is no character"),
    ],
)
def test_malformed_patterns_are_refused(kind: str, pattern: str, why: str, full_path: bool) -> None:
    with pytest.raises(RuleError) as caught:
        Rules.parse([exclude("fine"), (kind, pattern)], full_path=full_path)
    shown = pattern.replace("\ud800", "\\ud800")
    assert str(caught.value) == f"--{kind} '{shown}' is not a valid pattern: {why}"
    assert caught.value.exit_code == 2


def test_an_error_is_one_printable_line() -> None:
    with pytest.raises(RuleError, match=r"^--exclude 'x\\x0ay\[\\xff' is not a valid pattern: "):
        Rules.parse([exclude("x\ny[\udcff")])
    with pytest.raises(RuleError, match="longer than any path") as caught:
        Rules.parse([exclude("?" * 8193)])
    assert len(str(caught.value)) < 300


def test_a_rule_of_another_kind_is_refused() -> None:
    with pytest.raises(RuleError, match='a rule is an "include" or an "exclude"'):
        Rules.parse([("filter", "a")])


# --- the pattern language --------------------------------------------------------------------------------------------

_ASCII = [chr(code) for code in range(1, 128) if chr(code) != "/"]


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("alnum", str.isalnum),
        ("alpha", str.isalpha),
        ("blank", lambda c: c in " \t"),
        ("cntrl", lambda c: ord(c) < 32 or ord(c) == 127),
        ("digit", str.isdigit),
        ("graph", lambda c: 32 < ord(c) < 127),
        ("lower", str.islower),
        ("print", lambda c: 32 <= ord(c) < 127),
        ("punct", lambda c: 32 < ord(c) < 127 and not c.isalnum()),
        ("space", lambda c: c in " \t\n\v\f\r"),
        ("upper", str.isupper),
        ("xdigit", lambda c: c in "0123456789abcdefABCDEF"),
    ],
)
def test_posix_classes(name: str, has: Callable[[str], bool]) -> None:
    keys = [character.encode() for character in [*_ASCII, "é", "日"]]
    matched = sorted(character.encode() for character in _ASCII if has(character))
    others = sorted(set(keys) - set(matched))
    assert kept(Rules.parse([exclude(f"[[:{name}:]]")]), keys) == others
    assert kept(Rules.parse([exclude(f"[![:{name}:]]")]), keys) == matched
    assert kept(Rules.parse([exclude(f"[^[:{name}:]]")]), keys) == matched


@pytest.mark.parametrize(
    ("pattern", "members"),
    [
        ("[abc]", "abc"),
        ("[a-c]", "abc"),
        ("[]]", "]"),
        ("[]a]", "]a"),
        ("[-a]", "-a"),
        ("[a-]", "a-"),
        ("[a-c-e]", "abc-e"),
        ("[[:digit:]-a]", "0123456789-a"),
        ("[[]", "["),
        ("[[:]", "[:"),
        ("[\\]a]", "]a"),
        ("[\\a]", "a"),
        ("[a\\-c]", "a-c"),
        ("[+-9]", "+,-.0123456789"),
        ("[.-0]", ".0"),
        ("[!-.]", None),
        ("[a!]", "a!"),
        ("[a^]", "a^"),
    ],
)
def test_classes(pattern: str, members: str | None) -> None:
    # [!-.] is a negation: all but - and .
    wanted = set(members) if members is not None else set(_ASCII) - set("-.")
    keys = [character.encode() for character in _ASCII]
    left = kept(Rules.parse([exclude(pattern)]), keys)
    assert {key.decode() for key in set(keys) - set(left)} == wanted


def test_a_class_never_matches_a_slash() -> None:
    for pattern in ("a[!b]c", "a[+-9]c", "a[[:punct:]]c", "a[^[:alpha:]]c", "a?c", "a*c"):
        assert kept_of("a.c a/c", exclude(pattern), full_path=True) == "a/c", pattern


@pytest.mark.parametrize(
    ("pattern", "dropped"),
    [
        ("a\\b", "a\\b"),
        ("a\\", "a\\"),
        ("a\\b*", "ab ab\\"),
        ("a\\\\b*", "a\\b"),
        ("a\\*", "a*"),
        ("a[\\\\]b", "a\\b"),
    ],
)
def test_backslashes(pattern: str, dropped: str) -> None:
    tree = sorted(["a*", "a\\", "a\\b", "ab", "ab\\", "x"])
    assert kept_of(" ".join(tree), exclude(pattern)).split() == [key for key in tree if key not in dropped.split()]


def test_star_may_match_nothing_and_directories_match_without_a_slash() -> None:
    assert kept_of("foo foo1 bar/foo/x fo", exclude("foo*")) == "fo"
    assert kept_of("d/ d/x dd/x", exclude("d")) == "dd/x"
    assert kept_of("x/d/ x/d/y x/d", exclude("d/")) == "x/d"


@pytest.mark.parametrize("pattern", ["/***/", "/***/x", "/***/x/"])
def test_what_follows_an_anchored_three_star_name_is_not_looked_at(pattern: str) -> None:
    for full_path in (False, True):
        assert kept_of("a/b/c a/x foo", exclude(pattern), full_path=full_path) == ""
    assert kept_of("a/x foo", exclude(f"/a{pattern}"), full_path=True) == "foo"


def test_regex_characters_are_literal() -> None:
    odd = ".^$+(){}|#&~- \"'"
    keys = [f"a{character}b" for character in [*odd, "x"]]
    for character in odd:
        for pattern in (f"a{character}b", f"a{character}b*", f"a[{character}x]b"):
            gone = {f"a{character}b"} | ({"axb"} if "[" in pattern else set())
            if pattern == "a[^x]b":
                gone = set(keys) - {"axb"}
            left = kept(Rules.parse([exclude(pattern)]), [key.encode() for key in keys])
            assert {key.decode() for key in left} == set(keys) - gone, pattern


# --- names that are no text ------------------------------------------------------------------------------------------


def text(name: bytes) -> str:
    """Return a pattern as the shell hands it over."""
    return name.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("full_path", [False, True])
@pytest.mark.parametrize(
    ("pattern", "dropped"),
    [
        ("a?", [b"a\xff", "aé".encode(), b"a\n"]),
        ("a??", [b"a\xe2\x82"]),
        ("a*", [b"a\xff", "aé".encode(), b"a\n", b"a\xe2\x82"]),
        ("a[!x]", [b"a\xff", "aé".encode(), b"a\n"]),
        (text(b"a\xff"), [b"a\xff"]),
        (text(b"[a]\xff"), [b"a\xff"]),
        (text(b"a[\xfe-\xff]"), [b"a\xff"]),
        ("aé", ["aé".encode()]),
        ("a[à-ü]", ["aé".encode()]),
        ("?\n", [b"a\n"]),
        (text(b"a\xc3"), []),
    ],
)
def test_bytes_that_are_not_utf8_are_one_character_each(pattern: str, dropped: list[bytes], full_path: bool) -> None:
    keys = sorted([b"a\xff", "aé".encode(), b"a\n", b"a\xe2\x82", b"b"])
    rules = Rules.parse([exclude(pattern)], full_path=full_path)
    assert kept(rules, keys) == [key for key in keys if key not in dropped]


@pytest.mark.parametrize("full_path", [False, True])
def test_one_undecodable_name_changes_nothing_for_the_others(full_path: bool) -> None:
    rules = Rules.parse([include("é*"), exclude("*.tmp")], full_path=full_path)
    keys = ["é.tmp".encode(), b"x.tmp", b"y\n.tmp", "日.c".encode(), b"d/x.tmp", b"d/x"]
    wanted = sorted(["é.tmp".encode(), "日.c".encode(), b"d/x"])
    assert kept(rules, keys) == wanted
    assert kept(rules, [*keys, b"\xff", b"\xff.tmp"]) == sorted([*wanted, b"\xff"])


def test_newlines_in_names() -> None:
    assert kept(Rules.parse([exclude("a")]), [b"a\n", b"\na", b"a\nb", b"a"]) == [b"\na", b"a\n", b"a\nb"]
    for pattern in ("a*b", "a**b", "**b", "/a*"):
        assert kept(Rules.parse([exclude(pattern)]), [b"a\nb", b"x"]) == [b"x"], pattern
    assert kept(Rules.parse([exclude("d\n")]), [b"d\n/x", b"d/x"]) == [b"d/x"]


# --- what people mean by --include 'pic/' ----------------------------------------------------------------------------

_PICTURES = "4.png 5.png a/4.png a/pic/2.png pic/ pic/.hid pic/1.png pic/s/ pic/s/2.png pic/x.tmp"
_ALL_OF_PIC = "pic/ pic/.hid pic/1.png pic/s/ pic/s/2.png pic/x.tmp"


@pytest.mark.parametrize("catch_all", ["*", "**"])
@pytest.mark.parametrize(
    ("pairs", "left"),
    [
        # the guide's line
        ([include("pic/"), include("4.png")], f"4.png {_ALL_OF_PIC}"),
        ([include("4.png"), include("/pic/")], f"4.png {_ALL_OF_PIC}"),
        ([include("pic/")], _ALL_OF_PIC),
        ([include("pic"), include("pic/")], _ALL_OF_PIC),
        # other excludes hold inside, wherever they stand
        ([exclude(".*"), include("pic/"), exclude("*.tmp")], "pic/ pic/1.png pic/s/ pic/s/2.png"),
        ([exclude("pic/s/"), include("pic/")], "pic/ pic/.hid pic/1.png pic/x.tmp"),
        ([exclude("pic"), include("pic/")], ""),
        # parents one by one, the last with its content
        ([include("pic/"), include("pic/s/")], "pic/ pic/s/ pic/s/2.png"),
        ([include("/pic/"), include("pic/s/")], "pic/ pic/s/ pic/s/2.png"),
        ([include("a/"), include("a/pic/")], "a/pic/2.png"),
        # a directory whose parent is dropped stays dropped
        ([include("a/pic/")], ""),
        # rsync's idioms: a wildcard, or a name below
        ([include("pic/"), include("*.png")], "4.png 5.png pic/ pic/1.png"),
        ([include("*/"), include("*.png")], "4.png 5.png a/4.png a/pic/2.png pic/ pic/1.png pic/s/ pic/s/2.png"),
        ([include("pic/"), include("pic/1.png")], "pic/ pic/1.png"),
        ([include("pic/"), include("/pic/1.png")], "pic/ pic/1.png"),
        ([include("/pic/"), include("pic/1.png")], "pic/ pic/1.png"),
        ([include("/pic/"), include("/pic/s/"), include("s/2.png")], "pic/ pic/s/ pic/s/2.png"),
        ([include("pic/"), include("x/pic/1.png")], "pic/"),
        # not below: another anchor, another name
        ([include("/pic/"), include("a/pic/2.png")], _ALL_OF_PIC),
        ([include("pic/"), include("pics/1.png")], _ALL_OF_PIC),
        # without the slash, or with a wildcard, it is an include as any other
        ([include("pic")], "pic/"),
        ([include("p[i]c/")], "pic/"),
        ([include("pic/***")], _ALL_OF_PIC),
    ],
)
def test_an_included_directory_against_a_catch_all(pairs: Pairs, left: str, catch_all: str) -> None:
    assert kept_of(_PICTURES, *pairs, exclude(catch_all)) == left


def test_an_included_directory_with_rules_after_the_catch_all() -> None:
    pairs = [include("pic/"), exclude("*"), include("*.png"), exclude("*.tmp"), exclude("**")]
    assert kept_of(_PICTURES, *pairs) == "pic/ pic/.hid pic/1.png pic/s/ pic/s/2.png"


def test_an_included_directory_elsewhere_keeps_rsyncs_meaning() -> None:
    assert kept_of(_PICTURES, include("pic/"), include("4.png"), exclude("*"), full_path=True) == "4.png a/4.png pic/"
    assert kept_of(_PICTURES, include("pic/"), exclude("/**")) == "pic/"
    assert kept_of(_PICTURES, exclude("*"), include("pic/")) == ""


# --- pruning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "full_path", "pruned", "listed"),
    [
        ([exclude("d/")], False, "d/ a/d/ d/x/y/", "a/ x/"),
        ([exclude("/d")], False, "d/ d/x/", "a/d/ a/"),
        ([include("d/"), exclude("*")], False, "x/ x/d/", "d/ d/x/"),
        ([include("d/"), include("d/a"), exclude("*")], False, "x/ d/x/", "d/"),
        ([exclude("d/**")], True, "d/ a/d/ d/x/", "a/ dd/"),
        ([exclude("/d/***")], True, "d/ d/x/", "a/d/ a/"),
        ([exclude("d**")], True, "d/ dd/ d/x/ a/d/", "a/"),
        ([exclude("*")], True, "a/ a/b/", ""),
        ([exclude("d/")], True, "", "d/ a/d/"),
        ([exclude("d/*")], True, "", "d/ d/x/"),
        ([include("*.c"), exclude("d/**")], True, "", "d/ a/"),
        ([exclude("d/**"), include("*.c")], True, "d/ a/d/", "a/"),
        ([include("/a/b/c"), exclude("*")], True, "b/ a/c/ a/b/c/ a/b/x/", "a/ a/b/"),
        ([include("/a/*/c/"), exclude("*")], True, "b/ a/x/y/", "a/ a/x/"),
        ([include("/a/**/c"), exclude("*")], True, "b/", "a/ a/x/ a/x/y/"),
        ([include("/a/b/***"), exclude("*")], True, "b/ a/c/", "a/ a/b/ a/b/c/"),
    ],
)
def test_pruning(pairs: Pairs, full_path: bool, pruned: str, listed: str) -> None:
    rules = Rules.parse(pairs, full_path=full_path)
    for directory in pruned.split():
        assert rules.prunes(directory.encode()), directory
    for directory in listed.split():
        assert not rules.prunes(directory.encode()), directory


# --- a plain reference -----------------------------------------------------------------------------------------------
# Patterns are generated as tokens, so the reference needs no parser; it matches by trying, and knows no expressions.


@dataclass(frozen=True)
class Token:
    written: str
    #: "one" character of a set (or not of it), a run "within" a component, a run "across" components
    kind: str
    members: frozenset[str] = frozenset()
    negated: bool = False


def matches_at(tokens: Sequence[Token], name: str) -> bool:
    if not tokens:
        return not name
    token, rest = tokens[0], tokens[1:]
    if token.kind == "one":
        return bool(name) and (name[0] in token.members) != token.negated and matches_at(rest, name[1:])
    for length in range(len(name) + 1):
        if token.kind == "within" and "/" in name[:length]:
            return False
        if matches_at(rest, name[length:]):
            return True
    return False


@dataclass(frozen=True)
class Pattern:
    anchored: bool
    components: tuple[tuple[Token, ...], ...]

    @property
    def written(self) -> str:
        bare = "/".join("".join(token.written for token in component) for component in self.components)
        return ("/" if self.anchored else "") + bare

    @property
    def wild(self) -> bool:
        return any(character in self.written for character in "*?[")

    def matches(self, name: str) -> bool:
        if self.written in ("", "/"):
            return self.written == name == ""
        names = [("".join(token.written for token in component), component) for component in self.components]
        if self.anchored:
            if "***" in [written for written, _ in names]:
                names = names[: [written for written, _ in names].index("***") + 1]
            return name != "" and matches_at(self._flat(names), name.removeprefix("/"))
        starts = [0] + [at + 1 for at, character in enumerate(name) if character == "/"]
        variants = [names]
        if names[0][0] in ("**", "***") and len(names) > 1:
            variants.append(names[1:])
        return any(matches_at(self._flat(variant), name[start:]) for variant in variants for start in starts)

    def _flat(self, names: Sequence[tuple[str, tuple[Token, ...]]]) -> list[Token]:
        flat: list[Token] = []
        for at, (_, component) in enumerate(names):
            flat += [Token("/", "one", frozenset("/"))] * (at > 0) + list(component)
        return flat


def opens_content(pattern: Pattern, others: Sequence[Pattern]) -> bool:
    if not pattern.written.endswith("/") or pattern.wild or pattern.written == "/":
        return False
    directory = pattern.written.strip("/").split("/")
    for other in others:
        if other.wild:
            return False
        # A path that the other pattern names, spelled out above its own names as far as this pattern goes.
        below = other.written.strip("/").split("/")
        for above in range(1 if other.anchored else len(directory) + 1):
            path = directory[:above] + below
            for depth in range(above + 1, len(path)):
                parent = path[:depth]
                if parent == directory or (not pattern.anchored and parent[-len(directory) :] == directory):
                    return False
    return True


def reference_keeps(rules: Sequence[tuple[str, Pattern]], full_path: bool, key: str) -> bool:
    if not any(kind == "exclude" for kind, _ in rules):
        return True
    if full_path:
        return next((kind == "include" for kind, pattern in rules if pattern.matches(key)), True)
    catch_alls = [
        at for at, (kind, pattern) in enumerate(rules) if kind == "exclude" and pattern.written in ("*", "**")
    ]
    before = [pattern for kind, pattern in rules[: catch_alls[0]] if kind == "include"] if catch_alls else []
    opening = [
        pattern
        for at, pattern in enumerate(before)
        if opens_content(pattern, [other for index, other in enumerate(before) if index != at])
    ]
    names = key.split("/")
    inside = False
    for depth, name in enumerate(names, 1):
        if not name:
            continue
        bare = "/".join(names[:depth])
        slashed = bare + "/" * (depth < len(names))
        for at, (kind, pattern) in enumerate(rules):
            if inside and at in catch_alls:
                continue
            last = "".join(token.written for token in pattern.components[-1])
            if pattern.matches(slashed if last in ("", "***") and pattern.written else bare):
                if kind == "exclude":
                    return False
                break
        inside = inside or any(pattern.matches(slashed) for pattern in opening)
    return True


ALPHABET = ["a", "b", ".", "-", "]", "!", "\\", "é", "\n", "\udcff"]
_WILD = [
    Token("*", "within"),
    Token("?", "one", frozenset("/"), True),
    Token("**", "across"),
    Token("***", "across"),
    Token("[ab]", "one", frozenset("ab")),
    Token("[!a]", "one", frozenset("a/"), True),
    Token("[^]-]", "one", frozenset("]-/"), True),
    Token("[]é-]", "one", frozenset("]é-")),
    Token("[[:punct:]\udcff]", "one", frozenset(".-]!\\\udcff")),
    Token("\\\\", "one", frozenset("\\")),
    Token("\\.", "one", frozenset(".")),
]
literals = st.sampled_from([Token(character, "one", frozenset(character)) for character in ALPHABET])


def settled(components: list[list[Token]]) -> list[list[Token]]:
    """Drop what reads differently in company: backslashes, runs of stars."""
    wild = any(token in _WILD[:9] for component in components for token in component)
    result = []
    for component in components:
        tokens: list[Token] = []
        for token in component:
            alone = token.written == "\\" and wild
            escape = token in _WILD[9:] and not wild
            if alone or escape or (tokens and token.kind != "one" and tokens[-1].kind != "one"):
                continue
            tokens.append(token)
        result.append(tokens)
    return result


components = st.lists(
    st.one_of(
        st.lists(literals, max_size=2),
        st.lists(st.one_of(literals, st.sampled_from(_WILD)), min_size=1, max_size=4),
        st.sampled_from([[token] for token in _WILD[:4]]),
    ),
    min_size=1,
    max_size=3,
).map(settled)
patterns = st.builds(
    lambda anchored, parts, slash: Pattern(anchored, tuple(map(tuple, [*parts, *([[]] if slash else [])]))),
    st.booleans(),
    components,
    st.booleans(),
    # an empty first name of several is written as a leading slash, which anchors
).filter(lambda pattern: pattern.anchored or bool(pattern.components[0]) or len(pattern.components) == 1)
simple = st.builds(
    lambda anchored, names, slash: Pattern(
        anchored,
        tuple((Token(name, "one", frozenset(name)),) for name in names) + (((),) if slash else ()),
    ),
    st.booleans(),
    st.lists(st.sampled_from("ab"), min_size=1, max_size=3),
    st.booleans(),
)
everything = st.sampled_from([Pattern(False, ((token,),)) for token in (_WILD[0], _WILD[2])])
rule_lists = st.lists(
    st.tuples(st.sampled_from(["include", "exclude"]), st.one_of(patterns, simple, everything)), min_size=1, max_size=4
)
names = st.one_of(st.sampled_from(["a", "b", ".", "ab"]), st.lists(st.sampled_from(ALPHABET), max_size=3).map("".join))
trees = st.lists(
    st.tuples(st.lists(names, min_size=1, max_size=4).map("/".join), st.sampled_from(["", "/"])).map("".join),
    min_size=1,
    max_size=12,
)


def check_against_reference(rules: Sequence[tuple[str, Pattern]], tree: Sequence[str], full_path: bool) -> None:
    written = [(kind, pattern.written) for kind, pattern in rules]
    keys = {key.encode("utf-8", "surrogateescape") for key in tree} | {b""}
    keys |= {key[: at + 1] for key in keys for at, byte in enumerate(key) if byte == ord("/")}
    wanted = [key for key in keys if reference_keeps(rules, full_path, key.decode("utf-8", "surrogateescape"))]
    # kept() also checks the single-key form, and that nothing is kept below a pruned directory
    assert kept(Rules.parse(written, full_path=full_path), keys) == sorted(wanted)


@given(rule_lists, trees, st.booleans())
@settings(max_examples=6 * settings.default.max_examples)
def test_mask_is_the_reference(rules: list[tuple[str, Pattern]], tree: list[str], full_path: bool) -> None:
    check_against_reference(rules, tree, full_path)


directory_includes = st.lists(st.tuples(st.just("include"), simple), min_size=1, max_size=3)
plain_trees = st.lists(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=5).map("/".join), min_size=1, max_size=12, unique=True
)


@given(
    directory_includes, st.lists(st.tuples(st.sampled_from(["include", "exclude"]), simple), max_size=1), plain_trees
)
@settings(max_examples=6 * settings.default.max_examples)
def test_includes_before_a_catch_all_are_the_reference(
    includes: list[tuple[str, Pattern]], more: list[tuple[str, Pattern]], tree: list[str]
) -> None:
    catch_all = Pattern(False, ((_WILD[0],),))
    check_against_reference([*includes, *more, ("exclude", catch_all)], tree, False)


# --- many keys, long lists, hostile names ----------------------------------------------------------------------------


def test_thousands_of_rules_and_directories() -> None:
    pairs = [exclude(f"name-{number}*") for number in range(3000)] + [include("d/"), exclude("x?")]
    keys = sorted(f"{number:05}/d/{name}".encode() for number in range(6000) for name in ("x1", "y"))
    keys += [b"name-2999", b"name-3000", b"name-30000"]
    for full_path in (False, True):
        rules = Rules.parse(pairs, full_path=full_path)
        for begin in range(0, len(keys), 5000):
            page = keys[begin : begin + 5000]
            left = [key for key in page if key.endswith(b"/y")]
            assert rules.mask(pa.array(page, pa.binary())).to_pylist() == [key in set(left) for key in page]
        assert rules.keeps(b"name-3/x") == full_path
        assert not rules.keeps(b"name-300")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("full_path", [False, True])
def test_hostile_names_take_no_longer(full_path: bool) -> None:
    rules = Rules.parse([exclude("*a" * 20 + "b"), exclude("**a**a**a**a**/b")], full_path=full_path)
    keys = [b"a" * 250, b"a/" * 500 + b"c", b"a" * 250 + b"b"]
    assert kept(rules, keys) == [b"a/" * 500 + b"c", b"a" * 250]


@pytest.mark.parametrize("full_path", [False, True])
def test_rules_can_be_pickled(full_path: bool) -> None:
    rules = Rules.parse([include("d/"), exclude("*.tmp"), exclude("*")], full_path=full_path)
    assert rules.keeps(b"d/")
    again = pickle.loads(pickle.dumps(rules))
    assert kept(again, [b"d/", b"d/x", b"d/x.tmp", b"x"]) == kept(rules, [b"d/", b"d/x", b"d/x.tmp", b"x"])
