"""What a storage keeps and promises: the facts that comparison and transfer decide by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class KeyOrder(Enum):
    """In which order a storage lists its keys."""

    #: by the bytes of the key, over the whole listing; proven
    BYTES = "bytes"
    #: believed to be by bytes; a violation restarts the listing through the external sort
    CHECKED = "checked"
    #: known not to be by bytes; always sorted first
    NONE = "none"


class MtimeKind(Enum):
    """What the modification time of a listed entry means."""

    #: the content's own time; fsync can set it
    SETTABLE = "settable"
    #: when the entry was uploaded; nobody can set it
    UPLOAD = "upload"
    #: the storage tells no time
    NONE = "none"


class Rename(Enum):
    """What a rename onto an existing name does."""

    #: replaces it in one step that readers cannot see half of
    ATOMIC = "atomic"
    #: there is no rename, or it copies
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Traits:
    """The promises of one storage family, as ``fsync storages`` prints them.

    ``mtime_tick`` is the precision of listed times in nanoseconds; ``clock_error`` how far, in nanoseconds, the
    clock that stamps changes may lag behind the time of the change. ``final_put`` says that a written object
    appears whole or not at all under its final name. ``file_like`` storages hold names in directories, so a
    file and a directory of one name exclude each other.
    """

    family: str
    file_like: bool
    key_order: KeyOrder
    mtime: MtimeKind
    mtime_tick: int
    clock_error: int = 0
    rename: Rename = Rename.NONE
    final_put: bool = False
    links: bool = False
    permissions: bool = False
    server_side_copy: bool = False
    #: objects tell type, caching and user metadata, and take what another object told
    metadata: bool = False
    #: new objects can be given a storage class
    storage_classes: bool = False
    #: the kind of digest a listing gives, or None
    digest: str | None = None
