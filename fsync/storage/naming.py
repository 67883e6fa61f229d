"""Names that a storage cannot hold: told before anything is written under them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsync.errors import UnsafeName
from fsync.filters.literal import exclude_option
from fsync.schema import Kind
from fsync.storage.entry import Entry

if TYPE_CHECKING:
    from fsync.storage.base import Storage


def refused_as_path(path: str) -> str | None:
    """Return why a relative path of names cannot exist below a directory, or None."""
    components = path.split("/")
    if "\0" in path:
        return "the name holds a NUL byte"
    if any(component in (".", "..") for component in components):
        return "the name has a component that is '.' or '..'"
    if not all(components):
        return "the name has an empty component, or begins or ends with '/'"
    return None


def check_name(storage: Storage, entry: Entry) -> None:
    """Raise UnsafeName if a storage cannot hold an entry's key."""
    why = storage.refuses(entry.key[:-1] if entry.kind is Kind.DIRECTORY else entry.key)
    if why is not None:
        # a rule speaks of keys below a directory
        hint = f"; to leave it out: {exclude_option(entry.key)}" if storage.address.is_directory else ""
        raise UnsafeName(f"{storage.address.given} cannot hold this name: {why}{hint}")
