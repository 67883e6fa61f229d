"""What an S3 object says of itself besides its bytes: carried from object to object, guessed for files."""

from __future__ import annotations

import mimetypes
import shlex
from collections.abc import Mapping
from typing import Any

from fsync.errors import Archived, printable
from fsync.storage.entry import Entry
from fsync.storage.running import Running

#: what a GET or HEAD tells of an object that a PUT can say again
_CARRIED = (
    *("ContentType", "CacheControl", "ContentEncoding", "ContentDisposition", "ContentLanguage", "Expires"),
    "Metadata",
)


def told(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an answer says of its object, as arguments of a PUT."""
    return {name: answer[name] for name in _CARRIED if answer.get(name)}


def to_say(entry: Entry, running: Running) -> dict[str, Any]:
    """Return what a PUT says: what the source said, else a type guessed from the name, and the storage class."""
    said = dict(entry.metadata) if entry.metadata and running.metadata else _guessed(entry.key)
    return {**said, **_class(running)}


def to_say_anew(entry: Entry, running: Running) -> dict[str, Any]:
    """Return what a server-side copy says: nothing where all is kept, as the store itself then carries it."""
    said = {} if running.metadata else {"MetadataDirective": "REPLACE", **_guessed(entry.key)}
    return {**said, **_class(running)}


def _class(running: Running) -> dict[str, Any]:
    return {"StorageClass": running.storage_class} if running.storage_class else {}


def _guessed(key: bytes) -> dict[str, Any]:
    guessed, encoding = mimetypes.guess_type(key.rpartition(b"/")[2].decode("utf-8", "replace"))
    return {"ContentType": guessed} if guessed and not encoding else {}


def archived(bucket: str, key: str, endpoint: str | None) -> Archived:
    """Return the error of an object whose content has to be restored before it can be read."""
    line = f"aws s3api restore-object --bucket {bucket} --key {shlex.quote(printable(key.encode('utf-8', 'replace')))}"
    line += " --restore-request Days=7" + (f" --endpoint-url {endpoint}" if endpoint else "")
    return Archived(f"it is archived; restore it, wait until that is done, and run again: {line}")
