"""Every deliberate difference between fsync and juicefs sync 1.4.2, with its reason: all that the fuzz may find.

Three kinds. *Spellings*: a pattern that the two read differently; the binary gets another one that means the same, so
what comes out must be equal. *Outcomes*: what may become of one key of the destination; each says which state on
either side it accepts, given what was there before and what the source has. *Ends*: exit codes.

What fits none of these is a defect of one of the two programs, and the test says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.model.trees import SECOND, Directory, Entry, File, Link

SPELLINGS: Mapping[str, str] = {
    "[!...]": "negates as in rsync and in a shell; to the binary it is the set of ! and what follows",
    "POSIX class": "the binary's own help promises them, and it reads [[:alpha:]] as a set followed by a ]",
    "] or - in a class": "literal at the place where rsync and POSIX have them literal; the binary drops such a rule",
    "backslash": "literal in a pattern without wildcards, as the guide says; to the binary it always escapes",
    "pic/": "an include pic/ keeps the content of pic/ against a catch-all exclude, as the guide's example says",
}


@dataclass(frozen=True)
class Fate:
    """One key of the destination: before, as the source has it now, and what either program has made of it."""

    key: str
    before: Entry | None
    source: Entry | None
    theirs: Entry | None
    ours: Entry | None
    options: frozenset[str]
    #: fsync's exit code
    code: int
    #: whether size or time put what was there (a directory: a file in it), and what the source has, outside the limits
    before_outside: bool
    source_outside: bool
    #: whether the source has a name that a case-insensitive or normalising file system may take for this one
    twin: bool

    def has(self, *options: str) -> bool:
        """Tell whether all these options were given."""
        return self.options.issuperset(options)

    @property
    def copied(self) -> bool:
        """Whether fsync has copied the entry and the binary has left it, or has set its permissions alone."""
        untouched = self.theirs == self.before
        if self.has("--perms") and self.theirs is not None and self.before is not None:
            untouched = _same(self.theirs, self.before)
        return untouched and self.source is not None and _same(self.ours, self.source)

    @property
    def left(self) -> bool:
        """Whether the binary has copied the entry and fsync has left it as it was."""
        return self.ours == self.before and self.source is not None and _same(self.theirs, self.source)

    @property
    def removed(self) -> bool:
        """Whether fsync has removed an extra and the binary has left it."""
        return self.before is not None and self.theirs == self.before and self.ours is None and self.source is None

    @property
    def spared(self) -> bool:
        """Whether the binary has removed an extra and fsync has left it."""
        return self.before is not None and self.ours == self.before and self.theirs is None


def _same(entry: Entry | None, source: Entry) -> bool:
    """Tell whether an entry is a copy, whatever its permissions."""
    if isinstance(entry, File) and isinstance(source, File):
        return (entry.data, entry.mtime) == (source.data, source.mtime)
    return entry == source


def _sizes_equal(fate: Fate) -> bool:
    both = isinstance(fate.before, File) and isinstance(fate.source, File)
    return both and len(fate.before.data) == len(fate.source.data)  # type: ignore[union-attr]


def _times(fate: Fate) -> tuple[int, int] | None:
    """Return the source's and the destination's time of a file that both have."""
    if isinstance(fate.before, File) and isinstance(fate.source, File):
        return fate.source.mtime, fate.before.mtime
    return None


def _same_second(fate: Fate) -> bool:
    times = _times(fate)
    return times is not None and times[0] // SECOND == times[1] // SECOND and times[0] >= times[1]


@dataclass(frozen=True)
class Outcome:
    """A difference in what becomes of a key, and when it may be seen."""

    name: str
    reason: str
    accepts: Callable[[Fate], bool]


OUTCOMES = (
    Outcome(
        "quick check",
        "an edit that keeps the size is copied, as rsync does by time; the binary compares sizes alone",
        lambda fate: (
            fate.copied
            and _sizes_equal(fate)
            and not fate.options & {"-u", "-f", "--size-only", "--check-all", "--ignore-existing"}
            and _times(fate) is not None
            and fate.source.mtime != fate.before.mtime  # type: ignore[union-attr]
        ),
    ),
    Outcome(
        "update in one second",
        "with -u the binary sees whole seconds and no sizes; here all but a newer destination is copied",
        lambda fate: fate.has("-u") and fate.copied and _same_second(fate) and not fate.has("--ignore-existing"),
    ),
    Outcome(
        "-f and --existing",
        "-f voids no other option; the binary does not list the destination with it, and copies nothing then",
        lambda fate: fate.has("-f", "--existing") and fate.copied and fate.before is not None,
    ),
    Outcome(
        "-f and --ignore-existing",
        "-f voids no other option; the binary does not list the destination with it, and copies everything then",
        lambda fate: fate.has("-f", "--ignore-existing") and fate.left and fate.before is not None,
    ),
    Outcome(
        "-f and --delete-dst",
        "-f voids no other option; the binary does not list the destination with it, and deletes nothing then",
        lambda fate: fate.has("-f", "--delete-dst") and fate.removed,
    ),
    Outcome(
        "--limit counts source entries",
        "the binary counts deletions, and with --dirs the root, and stops earlier",
        lambda fate: (
            fate.has("--limit") and bool(fate.options & {"--delete-dst", "--dirs"}) and (fate.copied or fate.removed)
        ),
    ),
    Outcome(
        "link text",
        "links are the same when their texts are; the binary compares the lengths",
        lambda fate: (
            fate.has("--links")
            and fate.copied
            and isinstance(fate.source, Link)
            and isinstance(fate.before, Link)
            and len(fate.source.text) == len(fate.before.text)
        ),
    ),
    Outcome(
        "kind",
        "a link and a file are never the same; to the binary they are if the text is as long as the file",
        lambda fate: (
            fate.has("--links")
            and fate.copied
            and isinstance(fate.source, Link) != isinstance(fate.before, Link)
            and fate.before is not None
        ),
    ),
    Outcome(
        "limits of live entries",
        "limits of size and time select what is copied; the binary holds the destination to them too, and deletes what "
        "its source has outgrown",
        lambda fate: fate.spared and fate.source_outside and fate.has("--delete-dst"),
    ),
    Outcome(
        "limits of extras",
        "limits of size and time select what is copied: an extra is one whatever its size; the binary does not see it",
        lambda fate: fate.removed and fate.before_outside and fate.has("--delete-dst"),
    ),
    Outcome(
        "limits of what is there",
        "limits of size and time select what is copied; what they hide at the destination is missing to the binary",
        lambda fate: (fate.left or (fate.copied and fate.has("--existing"))) and fate.before_outside,
    ),
    Outcome(
        "emptied directories",
        "what --delete-dst has emptied goes too, as with rsync; the binary leaves the directories",
        lambda fate: (
            fate.has("--delete-dst")
            and not fate.has("--dirs")
            and isinstance(fate.before, Directory)
            and isinstance(fate.theirs, Directory)
            and fate.ours is None
            and fate.source is None
        ),
    ),
    Outcome(
        "safety stop",
        "nothing is deleted when the rules leave nothing of the source, or, without --delete-prefix, when top-level "
        "names are only at the destination",
        lambda fate: fate.has("--delete-dst") and fate.code == 4 and fate.spared,
    ),
    Outcome(
        "source not found",
        "nothing is deleted where nothing begins with the source's address; the binary takes that for an empty source",
        lambda fate: fate.has("--delete-dst") and fate.code == 3 and fate.spared,
    ),
    Outcome(
        "names that fold",
        "an extra that differs only in case or Unicode form from what the run writes stays: it may be the same file",
        lambda fate: fate.has("--delete-dst") and fate.spared and fate.twin,
    ),
    Outcome(
        "what a dangling link hides",
        "a link that leads nowhere protects what lies under its name at the destination",
        lambda fate: fate.has("dangling") and fate.spared,
    ),
)


@dataclass(frozen=True)
class End:
    """How both programs have ended: their exit codes, what was asked for, and what there was to do."""

    theirs: int
    ours: int
    options: frozenset[str]
    #: whether any key of the source begins with its address, and lies within --start and --end
    found: bool
    #: whether the binary has found nothing at the source that the rules keep
    nothing: bool


#: A directory that holds what the rules exclude, or what a limit hides from the binary, stays without an error, at the
#: destination and (``--delete-src``) at the source, and so does the root. The binary tries to remove it, and ends with
#: 1 for nothing else: then it is taken to have ended with 0.
NOT_EMPTY = "directories that are not empty"


def only_not_empty(text: str) -> bool:
    """Tell whether directories that are not empty are all that the binary complains of."""
    lines = [line for line in text.split("\n") if "<ERROR>" in line]
    return {line.rpartition(": ")[2].partition(" [")[0] for line in lines} == {"directory not empty"}


@dataclass(frozen=True)
class Ending:
    """A difference between the exit codes, and when it may be seen."""

    name: str
    reason: str
    accepts: Callable[[End], bool]


ENDINGS = (
    Ending(
        "source not found",
        "a prefix that no key of the range begins with is a mistyped one; the binary calls that done",
        lambda end: (end.theirs, end.ours) == (0, 3) and not end.found,
    ),
    Ending(
        "nothing in the range",
        "the same where all of a prefix that lies in the range lies in excluded directories: nobody looks into those",
        lambda end: (end.theirs, end.ours) == (0, 3) and end.nothing and bool(end.options & {"--start", "--end"}),
    ),
    Ending(
        "safety stop",
        "deletions that would leave nothing, or reach beyond the source's names, stop the run",
        lambda end: (
            (end.theirs, end.ours) == (0, 4)
            and (
                (end.nothing and bool(end.options & {"--delete-dst", "--delete-src"}))
                or ("--delete-dst" in end.options and "--delete-prefix" not in end.options)
            )
        ),
    ),
)
