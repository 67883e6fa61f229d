"""Local trees as values: written, read back whole, compared."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

#: 2020: long before any run
OLD = 1_577_836_800_000_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True)
class File:
    """A file's content, modification time in nanoseconds, and permissions."""

    data: bytes
    mtime: int = OLD
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    """A link's text."""

    text: str


@dataclass(frozen=True)
class Directory:
    """A directory, whose key ends in ``/``; its own times are not told."""


Entry = File | Link | Directory
#: entries by key, names as the file system has them (undecodable bytes as surrogates)
Tree = Mapping[str, Entry]


def tree_of(keys: Iterable[str], sizes: Mapping[str, int] | None = None) -> dict[str, Entry]:
    """Return a tree of these keys: those that end in ``/`` are directories, a file holds its own key or has a size."""
    sizes = sizes or {}
    return {
        key: Directory()
        if key.endswith("/")
        else File(b"x" * sizes[key] if key in sizes else key.encode("utf-8", "surrogateescape"))
        for key in keys
    }


def write(root: Path, tree: Tree) -> Path:
    """Make a directory that holds a tree, parents included, and return it."""
    root.mkdir(parents=True, exist_ok=True)
    for key, entry in tree.items():
        path = root / key
        (path if isinstance(entry, Directory) else path.parent).mkdir(parents=True, exist_ok=True)
        if isinstance(entry, File):
            path.write_bytes(entry.data)
            path.chmod(entry.mode)
            os.utime(path, ns=(entry.mtime, entry.mtime))
        elif isinstance(entry, Link):
            path.symlink_to(entry.text)
    return root


def read(root: Path) -> dict[str, Entry]:
    """Return what a directory holds, every directory below it included; nothing for one that does not exist."""
    found: dict[str, Entry] = {}
    for directory, names, files in os.walk(root):
        for name in [*names, *files]:
            path = Path(directory, name)
            key = str(path.relative_to(root))
            facts = path.lstat()
            if stat.S_ISLNK(facts.st_mode):
                found[key] = Link(os.readlink(path))
            elif stat.S_ISDIR(facts.st_mode):
                found[key + "/"] = Directory()
            else:
                found[key] = File(path.read_bytes(), facts.st_mtime_ns, stat.S_IMODE(facts.st_mode))
    return found


def files(tree: Tree) -> dict[str, Entry]:
    """Return a tree without its directories."""
    return {key: entry for key, entry in tree.items() if not isinstance(entry, Directory)}
