"""Hypothesis strategies that tests share: hostile keys, trees of them, and edits as people make them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hypothesis import assume
from hypothesis import strategies as st

Tree = Mapping[bytes, bytes]
Domain = Callable[[bytes], bool]

# keys -------------------------------------------------------------------------------------------------------------

_HOSTILE = (
    # blanks and control characters
    "a b", " lead", "trail ", "new\nline", "cr\rx", "tab\tx", "\x01", "\x1f", "\x7f", "\x85", "\u2028", "\u200b",
    # normal forms, case, and what folds to it; directions, astral and non-characters
    "\u00e9", "e\u0301", "E\u0301", "K", "\u212a", "\u00df", "SS", "\u65e5\u672c", "\U0001f600",
    "a\u202eb", "\ufeffbom", "\ufffe",
    # what URLs, shells, globs, templates, options and chained addresses read in a name
    "#h", "a?b", "50%", "%41", "%2F", "A", "a&b", "a*b", "a+b", "[x]", "{x}", "{0}", "a;b", ":c", "a::b", "a=b", "a@b",
    "'q'", '"dq"', "$HOME", "`id`", "<x>", "a|b", "a,b", "a!", "^", "~", "~x", "-dash", "--delete", "back\\slash",
    # names that mean something somewhere
    ".hid", "...", "x.", "CON", "null", "s3:", "http:", "x.partial", ".x.partial", "memory:", "file:",
    ".uploads", "v.versions",
    # 255 bytes, in one and in two bytes a character; neighbours of "/" in byte order
    "x" * 255, "x" + "\u00e9" * 127, "a", "a.", "a-", "a0",
)  # fmt: skip

#: what no path can hold
_NO_PATH = (b".", b"..", b"", b"n\0l", b"x" * 256)

#: components that a path of names can hold and that are UTF-8
hostile_components = st.one_of(
    st.sampled_from([name.encode() for name in _HOSTILE]),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=6)
    .filter(lambda name: name not in (".", ".."))
    .map(str.encode),
)
#: components that are not UTF-8: Latin-1, a cut sequence, an encoded surrogate, an overlong slash
undecodable_components = st.sampled_from([b"caf\xe9", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"a\x80b"])
#: components that are not names: an object store may have them in a key all the same
pathless_components = st.sampled_from(_NO_PATH)

_plain = st.sampled_from([b"a", b"b", b"c", b"d"])


def keys(components: st.SearchStrategy[bytes] = hostile_components, *, depth: int = 3) -> st.SearchStrategy[bytes]:
    """Keys of up to ``depth`` components, plain ones between the hostile ones so that directories get shared."""
    return st.lists(_plain | components, min_size=1, max_size=depth).map(b"/".join)


def parents(key: bytes) -> list[bytes]:
    """Return the directories a key lies in, outermost first, without trailing slashes."""
    parts = key.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]


def fits(key: bytes, files: Iterable[bytes]) -> bool:
    """Tell whether a path can be a file beside these files: none is a directory of it, or lies below it."""
    known = set(files)
    return not any(parent in known for parent in parents(key)) and not any(
        other.startswith(key + b"/") for other in known
    )


def folded(key: bytes) -> str:
    """Return a key as a file system that folds case and normal form may compare it."""
    return unicodedata.normalize("NFC", key.decode("utf-8", "backslashreplace")).lower()


# trees ------------------------------------------------------------------------------------------------------------


@st.composite
def contents(draw: st.DrawFn, size: int | None = None) -> bytes:
    """Contents of no, a few or some hundred bytes; two of one size seldom are the same."""
    if size is None:
        size = draw(st.sampled_from([0, 1, 2, 3, 3, 5, 8, 300]))
    seed = draw(st.binary(min_size=min(size, 4), max_size=min(size, 8)))
    return (seed * (size // max(len(seed), 1) + 1))[:size]


@st.composite
def trees(
    draw: st.DrawFn,
    *,
    components: st.SearchStrategy[bytes] = hostile_components,
    domain: Domain = lambda _: True,
    file_like: bool = True,
    least: int = 0,
    most: int = 12,
    beside: Iterable[bytes] = (),
) -> dict[bytes, bytes]:
    """Trees as contents by key, of keys in a storage's domain.

    With ``file_like`` no key is a directory of another one, nor of the keys in ``beside``.
    """
    tree: dict[bytes, bytes] = {}
    others = set(beside)
    for key in draw(st.lists(keys(components).filter(domain), min_size=least, max_size=most, unique=True)):
        if not file_like or (fits(key, tree) and fits(key, others)):
            tree[key] = draw(contents())
    assume(len(tree) >= least)
    return tree


# edits ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Write:
    """Give a key this content, in place where it exists."""

    key: bytes
    data: bytes


@dataclass(frozen=True)
class Append:
    """Add bytes to an existing key."""

    key: bytes
    data: bytes


@dataclass(frozen=True)
class Rewrite:
    """Write other bytes of the same size and put the modification time back, as ``touch -r`` does."""

    key: bytes
    data: bytes


@dataclass(frozen=True)
class Touch:
    """Set the modification time, in nanoseconds since 1970; contents stay."""

    key: bytes
    mtime: int


@dataclass(frozen=True)
class Remove:
    """Remove a key."""

    key: bytes


@dataclass(frozen=True)
class Rename:
    """Rename a file, times and all, onto a new name or an existing file."""

    key: bytes
    to: bytes


@dataclass(frozen=True)
class RenameDirectory:
    """Rename a directory, without trailing slashes, to a name that nothing has."""

    directory: bytes
    to: bytes


@dataclass(frozen=True)
class Copy:
    """Copy a file with its modification time (``cp -p``) to a new name or over an existing file."""

    key: bytes
    to: bytes


Edit = Write | Append | Rewrite | Touch | Remove | Rename | RenameDirectory | Copy


def apply(tree: dict[bytes, bytes], edit: Edit) -> None:
    """Do to a tree of contents what an edit does."""
    match edit:
        case Write(key, data) | Rewrite(key, data):
            tree[key] = data
        case Append(key, data):
            tree[key] += data
        case Remove(key):
            del tree[key]
        case Rename(key, to):
            tree[to] = tree.pop(key)
        case RenameDirectory(directory, to):
            for key in [key for key in tree if key.startswith(directory + b"/")]:
                tree[to + key[len(directory) :]] = tree.pop(key)
        case Copy(key, to):
            tree[to] = tree[key]


_KINDS = (
    *("same size", "same size", "other size", "append", "add", "remove", "rename", "rename over", "rename directory"),
    *("exchange directories", "copy", "copy over", "rewrite", "touch"),
)


@st.composite
def edits(
    draw: st.DrawFn,
    tree: Tree,
    *,
    components: st.SearchStrategy[bytes] = hostile_components,
    domain: Domain = lambda _: True,
    file_like: bool = True,
    beside: Iterable[bytes] = (),
    rewrites: bool = True,
    kinds_change: bool = False,
    most: int = 10,
) -> list[Edit]:
    """Edits that can be made to a tree one after the other and leave at least one key.

    ``rewrites`` allows edits that leave size and modification time as they were; without ``kinds_change`` no file gets
    the name that a directory had before, in the tree or ``beside`` it, nor the other way round.
    """
    now = dict(tree)
    ever = {*tree, *beside}
    done: list[Edit] = []

    def make(edit: Edit) -> None:
        apply(now, edit)
        ever.update(now)
        done.append(edit)

    def free(key: bytes) -> bool:
        if not domain(key) or key in now:
            return False
        return not file_like or fits(key, now if kinds_change else ever | set(now))

    def moved(directory: bytes, to: bytes) -> bool:
        new = [to + key[len(directory) :] for key in now if key.startswith(directory + b"/")]
        return not to.startswith(directory + b"/") and all(map(free, new))

    for kind in draw(st.lists(st.sampled_from(_KINDS), min_size=1, max_size=most)):
        key = draw(st.sampled_from(sorted(now)))
        other = draw(st.sampled_from(sorted(now)))
        new = draw(keys(components))
        directories = sorted({parent for key in now for parent in parents(key)})
        match kind:
            case "same size":
                make(Write(key, draw(contents(len(now[key])))))
            case "other size":
                make(Write(key, draw(contents())))
            case "append":
                make(Append(key, draw(contents(draw(st.integers(1, 9))))))
            case "add" if free(new):
                make(Write(new, draw(contents())))
            case "remove" if len(now) > 1:
                make(Remove(key))
            case "rename" if free(new):
                make(Rename(key, new))
            case "rename over" if key != other:
                make(Rename(key, other))
            case "rename directory" if directories:
                directory = draw(st.sampled_from(directories))
                if file_like and moved(directory, new):
                    make(RenameDirectory(directory, new))
            case "exchange directories" if len(directories) > 1:
                one, two = draw(st.sampled_from(directories)), draw(st.sampled_from(directories))
                if file_like and one != two and not _nested(one, two) and moved(one, new):
                    _exchange(one, two, new, now, make, moved)
            case "copy" if free(new):
                make(Copy(key, new))
            case "copy over" if key != other:
                make(Copy(key, other))
            case "rewrite" if rewrites and now[key]:
                make(Rewrite(key, draw(contents(len(now[key])))))
            case "touch":
                # long ago, before 1970, and long from now
                make(Touch(key, draw(st.integers(-(10**17), 10**18)) if draw(st.booleans()) else 4 * 10**18))
            case _:
                # this edit does not fit the tree as it is now
                pass
    return done


def _nested(one: bytes, two: bytes) -> bool:
    return (one + b"/").startswith(two + b"/") or (two + b"/").startswith(one + b"/")


def _exchange(
    one: bytes,
    two: bytes,
    aside: bytes,
    now: Tree,
    make: Callable[[Edit], None],
    moved: Callable[[bytes, bytes], bool],
) -> None:
    """Let two directories exchange their names by way of a third, as far as their content lets them."""
    make(RenameDirectory(one, aside))
    if moved(two, one):
        make(RenameDirectory(two, one))
        if moved(aside, two):
            make(RenameDirectory(aside, two))
