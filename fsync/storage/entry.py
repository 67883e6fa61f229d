"""One entry of a storage on its way through a run, and what can stand at the root of an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from fsync.schema import Kind


class Presence(Enum):
    """What stands at the root of an address."""

    NOTHING = "nothing"
    FILE = "file"
    DIRECTORY = "directory"


@dataclass(slots=True)
class Entry:
    """One source object on its way: the facts of its listing row that a copy depends on.

    ``mtime`` is in nanoseconds since 1970, None where unknown; ``size`` None where the listing has none.
    """

    key: bytes
    size: int | None
    mtime: int | None = None
    etag: str | None = None
    digest: str | None = None
    kind: Kind = Kind.FILE
    link: bytes | None = None
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    #: what tells a file from one put in its place with the same size and time (device, inode, change time);
    #: None until it is known
    identity: tuple[int, int, int] | None = None
    #: the latest time at which the content can have come under its name, as the listing gave it
    changed: int | None = None
