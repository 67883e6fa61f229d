"""Read the command line by the option table: the verb, its addresses and its options, or one line why not.

The words are read here rather than by argparse, because a rule may begin with a dash (``--exclude -old``), includes
and excludes count in the order given over both, and an option that is unknown is answered before anything else is
found missing. argparse writes the help.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fsync.cli.foreign import is_foreign, unknown_option
from fsync.errors import OptionError, UsageError, printable
from fsync.options import TABLE, Option

if TYPE_CHECKING:
    import argparse

_RULES = ("--include", "--exclude")
_HELP = ("--help", "-h")


@dataclass(frozen=True, slots=True)
class Verb:
    """One command: the addresses it takes and what it does."""

    addresses: tuple[str, ...]
    summary: str
    details: str
    example: str
    exit_codes: dict[str, str]


VERBS: dict[str, Verb] = {
    "sync": Verb(
        ("SRC", "DST"),
        "make DST hold what SRC holds",
        "Copy what is missing or different at DST. With a trailing / an address is a directory, without one a prefix: "
        "every key that begins with the text. Nothing is deleted without --delete-dst.",
        "fsync sync --exclude '*.tmp' ./data/ s3://bucket/data/",
        {
            "0": "done",
            "1": "some objects failed",
            "2": "wrong usage, option or address; nothing was touched",
            "3": "a listing failed, or an end is missing or refuses access; nothing was deleted",
            "4": "safety stop; nothing was deleted",
            "5": "differences were found (--dry --exit-code)",
            "130, 143": "interrupted by SIGINT, SIGTERM",
        },
    ),
    "check": Verb(
        ("SRC", "DST"),
        "compare only: what is missing, extra or different",
        "Print one line a difference: missing (at DST), extra (at DST only) or differs, with the reason; sizes are "
        "SRC's -> DST's. An entry is the same by the rule that a sync would go by. Nothing is touched.",
        "fsync check ./data/ s3://bucket/data/",
        {
            "0": "equal",
            "1": "some entries could not be read to be compared",
            "2": "wrong usage, option or address",
            "3": "a listing failed, or an end is missing or refuses access",
            "5": "differences were found",
            "130, 143": "interrupted by SIGINT, SIGTERM",
        },
    ),
    "ls": Verb(
        ("ADDRESS",),
        "list what an address holds, through the same rules",
        "Print one line an entry: size in bytes, modification time in UTC, key relative to the address. "
        "A directory's key ends in /; what cannot be printed is shown as \\xNN, and whole in --json.",
        "fsync ls --include '*.parquet' --exclude '*' s3://bucket/data/",
        {
            "0": "listed to the end",
            "2": "wrong usage, option or address",
            "3": "the listing failed, or the address is missing or refuses access",
            "130, 143": "interrupted by SIGINT, SIGTERM",
        },
    ),
    "storages": Verb(
        (),
        "tell which storages there are, what each keeps and what it needs",
        "Print one line a storage: the package that reaches it (its version, or the line that installs it), what it "
        "keeps of an entry, and how a written object gets its name.",
        "fsync storages",
        {"0": "told", "2": "wrong usage or option"},
    ),
}

_GROUPS = {
    "selection": "which entries",
    "comparison": "when an entry is the same",
    "action": "what is done",
    "running": "how it runs",
    "addresses": "addresses",
    "output": "what is shown",
}


@dataclass(slots=True)
class Command:
    """What was asked for; ``options`` are texts and switches as :func:`fsync.options.options_from` takes them."""

    verb: str
    addresses: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)


def parse(arguments: Sequence[str]) -> Command | str:
    """Read the words after the program's name; a text is to be printed as it is (help, version).

    Raises UsageError, OptionError. The switches of output may stand before the verb.
    """
    before: list[str] = []
    words = list(arguments)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word in _HELP:
            return general_help()
        if word in ("--version", "-V"):
            from fsync import __version__

            return f"fsync {__version__}\n"
        if word not in _leading():
            raise OptionError(unknown_option(word.partition("=")[0], "sync", flags_of("sync")))
        before.append(word)
    if not words:
        raise UsageError(f"no command was given: fsync {' | '.join(VERBS)}; try fsync --help")
    name = words.pop(0)
    if name not in VERBS:
        raise UsageError(_no_verb(name))
    return _read(name, [*before, *words])


def flags_of(verb: str) -> dict[str, Option]:
    """Return every spelling of a verb's options with its row; the rule options share one."""
    rows = [row for row in TABLE if verb in row.verbs]
    return {flag: row for row in rows for flag in (_RULES if row.name == "rules" else row.flags)}


def _leading() -> set[str]:
    """Return the switches that may stand before the verb, as juicefs's global ones do."""
    return {flag for row in TABLE if row.group == "output" and row.metavar is None for flag in row.flags}


def _no_verb(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, VERBS, 1)
    if close:
        return f"fsync has no command {printable(name)}; did you mean fsync {close[0]}?"
    # a word that is no verb may be an address: it is not repeated, there may be a secret in it
    return f"the first word must be a command: fsync {' | '.join(VERBS)}; for example: {VERBS['sync'].example}"


def _read(verb: str, words: Sequence[str]) -> Command | str:
    command = Command(verb)
    flags = flags_of(verb)
    rest = iter(words)
    for word in rest:
        if word == "--":
            command.addresses.extend(rest)
        elif word == "-" or not word.startswith("-"):
            command.addresses.append(word)
        elif word in _HELP:
            return verb_help(verb)
        else:
            for flag, value in _options_in(word, rest, verb, flags):
                _take(command.options, flag, flags[flag], value)
    if "quiet" in command.options and "verbose" in command.options:
        raise OptionError("--quiet and --verbose contradict each other: give one of them")
    _count(verb, command.addresses)
    return command


def _options_in(
    word: str, rest: Iterator[str], verb: str, flags: dict[str, Option]
) -> Iterator[tuple[str, str | None]]:
    """Yield the options of one word, each with its value, which may be the next word; switches have None.

    ``--name value``, ``--name=value``, both with one dash as Go programs take them, ``-nv``, ``-p10``, ``-p 10``.
    """
    name, equals, given = word.partition("=")
    if name not in flags and len(name) > 2 and "-" + name in flags:
        name = "-" + name
    if name in flags:
        if flags[name].metavar is None and name not in _RULES:
            if equals:
                raise OptionError(f"{name} is a switch and takes no value")
            yield name, None
        else:
            yield name, given if equals else _next(name, flags[name], rest)
        return
    letters = word[1:]
    # a name of another program is answered as a name, not read as letters: -pyroscope is no -p
    if word.startswith("--") or f"-{letters[0]}" not in flags or is_foreign("-" + name):
        raise OptionError(unknown_option(name, verb, flags))
    for position, letter in enumerate(letters):
        flag = f"-{letter}"
        if flag not in flags:
            raise OptionError(unknown_option(name, verb, flags))
        if flags[flag].metavar is not None:
            yield flag, letters[position + 1 :].removeprefix("=") or _next(flag, flags[flag], rest)
            return
        yield flag, None


def _next(flag: str, row: Option, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None:
        raise OptionError(f"{flag} needs a value: {flag} {row.metavar or 'PATTERN'}")
    return value


def _take(options: dict[str, Any], flag: str, row: Option, value: str | None) -> None:
    if row.name == "rules":
        options.setdefault("rules", []).append((flag.removeprefix("--"), value))
    elif row.repeats:
        options.setdefault(row.name, []).append(value)
    else:
        options[row.name] = True if value is None else value


def _count(verb: str, addresses: Sequence[str]) -> None:
    wanted = VERBS[verb].addresses
    if addresses and not wanted:
        raise UsageError(f"fsync {verb} takes no address: leave out what follows it")
    if len(addresses) < len(wanted):
        missing = wanted[len(addresses) :]
        lacking = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        raise UsageError(f"fsync {verb} takes {' and '.join(wanted)}: {lacking}; try fsync {verb} --help")
    if len(addresses) > len(wanted):
        raise UsageError(
            f"fsync {verb} takes {' and '.join(wanted)}, but {len(addresses)} addresses were given; "
            "a name with blanks or wildcards needs quotes"
        )


# help ---------------------------------------------------------------------------------------------------------------


def general_help() -> str:
    """Return what ``fsync --help`` prints."""
    lines = [
        "usage: fsync COMMAND [OPTIONS] [ADDRESS...]",
        "",
        "Synchronise trees of files and objects between any two storages that fsspec reaches.",
        "",
        "commands:",
        *(f"  {name:<9} {verb.summary}" for name, verb in VERBS.items()),
        "",
        "examples:",
        *(f"  {verb.example}" for verb in VERBS.values()),
        "",
        "fsync COMMAND --help lists a command's options; fsync --version tells the version.",
    ]
    return "\n".join(lines) + "\n"


def verb_help(verb: str) -> str:
    """Return what ``fsync VERB --help`` prints: the options by group, with defaults and units."""
    import argparse

    facts = VERBS[verb]
    parser = argparse.ArgumentParser(
        prog=f"fsync {verb}",
        usage=" ".join(["fsync", verb, "[OPTIONS]", *facts.addresses]),
        description=facts.details,
        formatter_class=_formatter(),
        add_help=False,
    )
    for group, title in _GROUPS.items():
        section = parser.add_argument_group(title)
        for row in TABLE:
            if row.group == group and verb in row.verbs:
                _describe(section, row)
        if group == "output":
            section.add_argument(*reversed(_HELP), action="store_true", help="show this")
    codes = "".join(f"  {code:<9} {meaning}\n" for code, meaning in facts.exit_codes.items())
    return f"{parser.format_help()}\nexit codes:\n{codes}\nexample:\n  {facts.example}\n"


def _describe(section: argparse._ArgumentGroup, row: Option) -> None:
    if row.name == "rules":
        section.add_argument("--include", metavar="PATTERN", help="keep what matches, whatever a later pattern says")
        section.add_argument(
            "--exclude", metavar="PATTERN",
            help="leave out what matches on both sides; patterns are tried in the order given, the first match decides",
        )  # fmt: skip
        return
    flags = sorted(row.flags, key=lambda flag: flag.startswith("--"))
    text = row.help + _default(row) + ("; may be repeated" if row.repeats else "")
    text = text.replace("%", "%%")
    if row.metavar is None:
        section.add_argument(*flags, dest=row.name, action="store_true", help=text)
    else:
        section.add_argument(*flags, dest=row.name, metavar=row.metavar, help=text)


def _default(row: Option) -> str:
    """Return an option's default for its help, where it has one that the help does not tell already."""
    if row.metavar is None or row.default in (None, {}, ()) or row.default == -1:
        return ""
    if row.metavar == "SIZE":
        return f" (default: {row.default >> 20}M)"
    return f" (default: {row.default if isinstance(row.default, str) else format(row.default, 'g')})"


def _formatter() -> type[argparse.HelpFormatter]:
    import argparse

    class Formatter(argparse.HelpFormatter):
        """Names an option's value once, after its last spelling."""

        def __init__(self, prog: str, **settings: Any) -> None:
            super().__init__(prog, **{**settings, "max_help_position": 32})

        def _format_action_invocation(self, action: argparse.Action) -> str:
            spellings = ", ".join(action.option_strings)
            return spellings if action.nargs == 0 else f"{spellings} {action.metavar}"

    return Formatter
