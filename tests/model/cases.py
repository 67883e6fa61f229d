"""Random trees, rules and options, and both programs on them."""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from tests.model import rules as random_rules
from tests.model.differences import ENDINGS, NOT_EMPTY, OUTCOMES, End, Fate, only_not_empty
from tests.model.programs import Ended, fsync, juicefs_sync
from tests.model.rules import Rule
from tests.model.trees import OLD, SECOND, Directory, Entry, File, Link, Tree, read, write

#: what a component of a key may be; the binary holds all of these, too, when they are not in an address
_NAMES = ("a", "b", "ab", "c1", "a-b", "a.b", "b.tmp", "A", "\u00e9", "e\u0301", "1")
_HOSTILE = (
    " a", "a ", "a\nb", "\t", "-a", "--delete-dst", "a*b", "*", "a?", "[ab]", "a\\b", "a]", "!a", "#", "a#b", "%41",
    "a%", "'a'", '"', "$HOME", "~", "{a,b}", "a,b", "a=b", ":", "a:b", "@", "&", ";", ".a", "...", "\u2028",
    "\U0001f600", "caf\udce9", "\x01", "x" * 200,
)  # fmt: skip
_PREFIXES = ("te", "a", "b")


@dataclass(frozen=True)
class Limits:
    """Which files a run handles: sizes in bytes, times in whole seconds after :data:`OLD`; None: no limit."""

    min_size: int | None = None
    max_size: int | None = None
    start_time: int | None = None
    end_time: int | None = None

    def words(self) -> list[str]:
        """Return the limits as words of a command line."""
        told = []
        for name in ("min_size", "max_size"):
            if (size := getattr(self, name)) is not None:
                told += ["--" + name.replace("_", "-"), str(size)]
        for name in ("start_time", "end_time"):
            if (second := getattr(self, name)) is not None:
                moment = datetime.fromtimestamp(OLD // SECOND + second, tz=UTC).astimezone()
                told += ["--" + name.replace("_", "-"), f"{moment:%Y-%m-%d %H:%M:%S}"]
        return told

    def exclude(self, entry: Entry | None) -> bool:
        """Tell whether a file is outside the limits; nothing else can be."""
        if not isinstance(entry, File):
            return False
        size, second = len(entry.data), (entry.mtime - OLD) / SECOND
        return (
            (self.min_size is not None and size < self.min_size)
            or (self.max_size is not None and size > self.max_size)
            or (self.start_time is not None and second <= self.start_time)
            or (self.end_time is not None and second >= self.end_time)
        )


@dataclass(frozen=True)
class Case:
    """A run: both trees before it, rules, further options, and the texts behind the roots in prefix mode."""

    source: Tree
    destination: Tree
    rules: Sequence[Rule] = ()
    options: Sequence[str] = ()
    #: of the source and of the destination; none: directory mode
    prefixes: tuple[str, str] | None = None
    ours_alone: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def full_path(self) -> bool:
        """Whether patterns match whole keys."""
        return "--match-full-path" in self.options

    def words(self, *, binary: bool) -> list[str]:
        """Return rules and options as words of a command line."""
        told = random_rules.words(self.rules, binary=binary, full_path=self.full_path)
        return [*told, *self.options, *self.limits.words(), *(() if binary else self.ours_alone)]

    def place(self, key: str) -> str | None:
        """Return under which key of the destination's root a key of the source's root belongs; None: nowhere."""
        if self.prefixes is None:
            return key
        old, new = self.prefixes
        return new + key[len(old) :] if key.startswith(old) else None


@dataclass
class Outcome:
    """What both programs have made of a case."""

    case: Case
    ours: Ended
    theirs: Ended
    #: differences that were seen, by name
    seen: set[str] = field(default_factory=set)
    #: differences that nothing explains
    unexplained: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"source      {_shown(self.case.source)}",
            f"destination {_shown(self.case.destination)}",
            f"prefixes    {self.case.prefixes}",
            f"fsync   ({self.ours.code}) {self.case.words(binary=False)}",
            f"juicefs ({self.theirs.code}) {self.case.words(binary=True)}",
            *self.unexplained,
            f"fsync said:\n{self.ours.text}",
            f"juicefs said:\n{self.theirs.text}",
        ]
        return "\n".join(lines)


def _shown(tree: Tree) -> str:
    return "\n            ".join(f"{key!a}: {entry}" for key, entry in sorted(tree.items())) or "nothing"


def compare(case: Case, root: Path) -> Outcome:
    """Run both programs on trees of their own below ``root``; tell what differs, and what nothing explains."""
    ended = []
    for name in ("theirs", "ours"):
        source, destination = write(root / name / "s", case.source), write(root / name / "d", case.destination)
        old, new = case.prefixes or ("", "")
        words = [*case.words(binary=name == "theirs"), f"{source}/{old}", f"{destination}/{new}"]
        if "--delete-src" in case.options:
            # what has changed within the clock's tick is not removed from a source
            time.sleep(0.05)
        ended.append(juicefs_sync(*words) if name == "theirs" else fsync("sync", *words))
    theirs, ours = ended
    outcome = Outcome(case, ours, theirs)
    _compare_destinations(outcome, root)
    _compare_sources(outcome, root)
    _compare_codes(outcome)
    return outcome


def _compare_sources(outcome: Outcome, root: Path) -> None:
    """Hold the sources to what they were, or with ``--delete-src`` to what the binary has left of its own."""
    theirs, ours = read(root / "theirs" / "s"), read(root / "ours" / "s")
    if "--delete-src" not in outcome.case.options:
        wanted = read(root / "check")
        outcome.unexplained += [
            f"{name}: the source was changed" for name, left in (("juicefs", theirs), ("fsync", ours)) if left != wanted
        ]
    elif outcome.ours.code in (3, 4) and ours == read(root / "check"):
        # what stops deletions at the destination stops them here; _compare_codes says whether it may
        pass
    elif theirs != ours:
        outcome.unexplained.append(f"left of the source: juicefs {sorted(theirs)}, fsync {sorted(ours)}")


def _compare_destinations(outcome: Outcome, root: Path) -> None:
    case = outcome.case
    theirs, ours = read(root / "theirs" / "d"), read(root / "ours" / "d")
    before = read(write(root / "before", case.destination))
    placed = {place: key for key in read(write(root / "check", case.source)) if (place := case.place(key)) is not None}
    options = set(case.options) | set(case.ours_alone)
    if any(isinstance(entry, Link) and entry.text.startswith("nowhere") for entry in case.source.values()):
        options.add("dangling")
    for key in sorted({*theirs, *ours}):
        if theirs.get(key) == ours.get(key):
            continue
        source = _led_to(placed[key], root / "check", options) if key in placed else None
        fate = Fate(
            key,
            before.get(key),
            source,
            theirs.get(key),
            ours.get(key),
            frozenset(options),
            outcome.ours.code,
            any(case.limits.exclude(entry) for other, entry in before.items() if _is_at(other, key)),
            case.limits.exclude(source),
            any(_folded(other) == _folded(key) and other != key for other in placed),
        )
        names = [difference.name for difference in OUTCOMES if difference.accepts(fate)]
        outcome.seen.update(names)
        if not names:
            outcome.unexplained.append(
                f"{key!a}: before {fate.before}, source {fate.source}: juicefs {fate.theirs}, fsync {fate.ours}"
            )


def _is_at(key: str, place: str) -> bool:
    return key == place or (place.endswith("/") and key.startswith(place))


def _folded(key: str) -> str:
    return unicodedata.normalize("NFC", key).casefold()


def _led_to(key: str, root: Path, options: set[str]) -> Entry | None:
    """Return what a source entry is to a run: a link's file or directory, unless links are copied as links."""
    entry = read(root)[key]
    if not isinstance(entry, Link) or "--links" in options:
        return entry
    path = root / key
    if path.is_file():
        facts = path.stat()
        return File(path.read_bytes(), facts.st_mtime_ns, facts.st_mode & 0o7777)
    return Directory() if path.is_dir() else None


def _compare_codes(outcome: Outcome) -> None:
    case = outcome.case
    ours, theirs = outcome.ours.code, outcome.theirs.code
    if theirs == 1 and only_not_empty(outcome.theirs.text):
        outcome.seen.add(NOT_EMPTY)
        theirs = 0
    if ours == theirs:
        return
    options = frozenset([*case.options, *case.ours_alone])
    found = any(case.place(key) is not None and _in_range(case, key) for key in case.source)
    counts = outcome.theirs.counts
    # with --dirs the binary counts the root
    nothing = counts["found"] <= counts.get("deleted", 0) + ("--dirs" in options)
    end = End(theirs, ours, options, found, nothing)
    names = [difference.name for difference in ENDINGS if difference.accepts(end)]
    outcome.seen.update(names)
    if not names:
        outcome.unexplained.append(f"exit codes: juicefs {theirs}, fsync {ours}")


def _in_range(case: Case, key: str) -> bool:
    """Tell whether a key of a prefixed source lies between ``--start`` and ``--end``."""
    told = dict(zip(case.options, case.options[1:], strict=False))
    at = os.fsencode(key[len(case.prefixes[0]) if case.prefixes else 0 :])
    return os.fsencode(told.get("--start", "")) <= at and ("--end" not in told or at <= os.fsencode(told["--end"]))


# cases --------------------------------------------------------------------------------------------------------------


def random_keys(random: Random, count: int, hostile: float = 0.25) -> list[str]:
    """Return up to ``count`` keys, some of directories (``/`` last); no file is a directory of another key."""
    keys: list[str] = []
    for _ in range(count):
        depth = random.choice((1, 1, 2, 2, 3, 4))
        key = "/".join(random.choice(_HOSTILE if random.random() < hostile else _NAMES) for _ in range(depth))
        key += "/" * (random.random() < 0.15)
        if all(_fit(key, other) for other in keys):
            keys.append(key)
    return keys


def _fit(one: str, other: str) -> bool:
    """Tell whether two keys can be in one tree, neither a file where the other has a directory."""
    if one.rstrip("/") == other.rstrip("/"):
        return False
    return all(
        not long.startswith(short.rstrip("/") + "/") or short.endswith("/")
        for short, long in ((one, other), (other, one))
    )


def random_case(random: Random) -> Case:
    """Return a case: trees that have to do with each other, rules about their keys, and options."""
    prefixes = (random.choice(_PREFIXES), random.choice(_PREFIXES)) if random.random() < 0.25 else None
    options = _random_options(random)
    pool = random_keys(random, random.choice((3, 6, 10, 14)))
    if prefixes is not None:
        pool = [random.choice(("te", "tea", "te-", "a", "b", "")) + key for key in pool]
        pool = [key for at, key in enumerate(pool) if all(_fit(key, other) for other in pool[:at])]
    source: dict[str, Entry] = {}
    destination: dict[str, Entry] = {}
    links = "-u" not in options and random.random() < 0.3
    case = Case(source, destination, prefixes=prefixes)
    for key in pool:
        place = case.place(key)
        where = random.choice(("both", "both", "both", "source", "source", "destination", "destination"))
        if where != "destination":
            source[key] = Directory() if key.endswith("/") else _random_file(random)
        if where != "source":
            target = key if place is None else place
            if all(_fit(target, other) for other in destination):
                mine = source.get(key)
                there = _variant(random, mine) if isinstance(mine, File) else _random_file(random)
                destination[target] = Directory() if key.endswith("/") else there
    # no file stands where the other side has a directory: that is a clash, and fsync's own tests have it
    places = [place for key in source if (place := case.place(key)) is not None]
    destination = {key: e for key, e in destination.items() if all(key == p or _fit(key, p) for p in places)}
    if links:
        _add_links(random, source, destination, case, options)
    full_path = "--match-full-path" in options
    known = [key if prefixes is None else key.removeprefix(prefixes[0]) for key in source]
    known += [key if prefixes is None else key.removeprefix(prefixes[1]) for key in destination]
    rules = random_rules.random_rules(random, known, full_path=full_path) if random.random() < 0.75 else []
    alone = ["--size-only"] if not {"-u", "-f", "--check-all"} & set(options) and random.random() < 0.5 else []
    if "--delete-dst" in options and prefixes is not None and random.random() < 0.7:
        alone.append("--delete-prefix")
    options += _random_range(random, known)
    # --limit counts what the limits leave out here, and not there
    limited = random.random() < 0.2 and "--limit" not in options
    limits = _random_limits(random) if limited else Limits()
    removes = random.random() < 0.4
    plain = not links and limits == Limits() and not {"--perms", "--limit"} & set(options)
    if removes and plain and alone == ["--size-only"]:
        # By the binary's own rule fsync removes from the source what the binary removes. With --perms it does not:
        # where permissions differ they are set first, and the next run removes. Nor with limits, which hide from the
        # binary what the destination has, nor what only a link leads to.
        options.append("--delete-src")
    return Case(source, destination, rules, options, prefixes, alone, limits)


def _random_range(random: Random, keys: Sequence[str]) -> list[str]:
    """Return a range of keys whose ends are no keys: what the binary does with those depends on where they are."""
    bounds = []
    for key in random.sample(keys, min(2, len(keys))):
        bound = key[: random.randint(1, len(key))].rstrip("/") + "!" if key else "!"
        if "\udce9" not in bound and all(bound not in (other, other.rstrip("/")) for other in keys):
            bounds.append(bound)
    if random.random() > 0.2 or not bounds:
        return []
    bounds.sort(key=os.fsencode)
    names = random.choice((("--start",), ("--end",), ("--start", "--end")))
    return [word for name, bound in zip(names, bounds, strict=False) for word in (name, bound)]


def _random_limits(random: Random) -> Limits:
    kind = random.choice(("size", "time"))
    least, most = random.choice(((None, 2), (1, None), (1, 3), (2, None), (None, 0), (3, 3)))
    return Limits(min_size=least, max_size=most) if kind == "size" else Limits(start_time=least, end_time=most)


def _random_options(random: Random) -> list[str]:
    options = []
    for option, chance in (
        ("--match-full-path", 0.4), ("--dirs", 0.4), ("--delete-dst", 0.4), ("--perms", 0.2), ("--links", 0.2),
        ("--existing", 0.12), ("--ignore-existing", 0.12),
    ):  # fmt: skip
        if random.random() < chance:
            options.append(option)
    # with -u --check-all the binary fails on pairs of one time and several sizes, after five seconds
    options += random.choice(([], [], [], ["-u"], ["-f"], ["--check-all"]))
    if random.random() < 0.15:
        options += ["--limit", str(random.choice((0, 1, 2, 5)))]
    return options


def _random_file(random: Random) -> File:
    data = random.choice((b"", b"1", b"2", b"22", b"333", b"4444"))
    return File(data, _random_time(random), random.choice((0o644, 0o644, 0o600, 0o755)))


def _random_time(random: Random) -> int:
    return OLD + random.choice((0, 0, 1, 5)) * SECOND + random.choice((0, 0, 1, 999_999_999, 123_456_789))


def _variant(random: Random, file: File) -> File:
    """Return what a destination may have of a source's file."""
    same = file if random.random() < 0.4 else File(file.data, _random_time(random), file.mode)
    other = same if random.random() < 0.5 else File(_random_file(random).data, same.mtime, same.mode)
    return other if random.random() < 0.7 else File(other.data, other.mtime, 0o640)


def _add_links(
    random: Random, source: dict[str, Entry], destination: dict[str, Entry], case: Case, options: Sequence[str]
) -> None:
    """Add a link or two to the source: to a file, to a directory, to nothing; with ``--links`` also beyond."""
    there = [key for key in source if "/" not in key.rstrip("/")]
    for name in random.sample(("l1", "l2", "tel", "z"), random.choice((1, 2))):
        if any(not _fit(name, key) for key in (*source, *destination)):
            continue
        source[name] = Link(random.choice([key.rstrip("/") for key in there] + ["nowhere"]))
        place = case.place(name)
        taken = place is None or not all(_fit(place, key) for key in destination)
        if place is not None and not taken and "--links" in options and random.random() < 0.6:
            destination[place] = random.choice((source[name], Link("nowhere1"), File(b"nowhere", OLD)))
