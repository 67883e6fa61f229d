"""The exceptions of fsync, each with the exit code it ends the command with.

::

    FsyncError                      1
    +-- UsageError                  2   nothing was touched
    |   +-- AddressError            2
    |   +-- OptionError             2
    |   +-- RuleError               2
    +-- ListingError                3   nothing was deleted
    |   +-- OrderError              3
    |   +-- SourceNotFound          3
    |   +-- BucketNotFound          3
    |   +-- AccessDenied            3
    +-- SafetyStop                  4   nothing was deleted
    +-- SyncError                   1   (or what its result says)
    |   +-- TooManyFailures         1   nothing was deleted
    +-- Interrupted                 130 or 143
    +-- ObjectError                 1   one object failed, the run goes on
        +-- Archived
        +-- TypeClash
        +-- UnsafeName
        +-- SourceChanged
        +-- SourceVanished
        +-- ShortRead
        +-- VerifyError
        |   +-- WrongCopy
        +-- FatalError              the run stops starting new copies

``str(error)`` is one line for a person: what was being done, to what, why it failed, what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from fsync.report import SyncResult


class FsyncError(Exception):
    """Base of every error that fsync raises on purpose.

    ``result`` is what a run had done when the error ended it, None where none had begun.
    """

    exit_code = 1
    result: SyncResult | None = None


class UsageError(FsyncError):
    """The call itself is wrong; nothing was touched."""

    exit_code = 2


class AddressError(UsageError):
    """An address cannot be understood, or two addresses cannot be used together."""


class OptionError(UsageError):
    """An option is unknown, or its value is no value for it."""


class RuleError(UsageError):
    """An include or exclude pattern is malformed."""


class ListingError(FsyncError):
    """A listing did not end properly, so what it said is not the whole truth."""

    exit_code = 3


class OrderError(ListingError):
    """A storage gave keys out of order or twice with different facts."""


class SourceNotFound(ListingError):
    """The source does not exist."""


class BucketNotFound(ListingError):
    """The bucket (or container) of an address does not exist."""


class AccessDenied(ListingError):
    """The storage refused the credentials, or the credentials do not reach that far."""


class SafetyStop(FsyncError):
    """A deletion would have gone further than the run was allowed to."""

    exit_code = 4


class SyncError(FsyncError):
    """A sync ended with failures; ``result`` holds what it did all the same."""

    def __init__(self, message: str, result: SyncResult) -> None:
        super().__init__(message)
        self.result = result
        self.exit_code = result.exit_code


class TooManyFailures(SyncError):
    """The run was stopped because as many objects failed as it was allowed (``--max-failure``)."""

    def __init__(self, message: str) -> None:
        FsyncError.__init__(self, message)


class Interrupted(FsyncError):
    """The run was stopped by a signal; ``exit_code`` is 128 plus its number."""

    def __init__(self, message: str, signal_number: int = 2) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class ObjectError(FsyncError):
    """One object could not be handled; the others go on."""

    #: a new attempt may succeed
    retryable = False


class Archived(ObjectError):
    """The source object is archived: it has to be restored before it can be read."""


class TypeClash(ObjectError):
    """A file stands where a directory is needed, or the other way round."""


class UnsafeName(ObjectError):
    """The destination cannot hold this key, or holding it would leave the destination."""


class SourceChanged(ObjectError):
    """The source object was modified while it was being read."""

    retryable = True


class SourceVanished(ObjectError):
    """The source object was listed but is gone."""


class ShortRead(ObjectError):
    """A read gave fewer or more bytes than the listing said."""

    retryable = True


class VerifyError(ObjectError):
    """What was written is not what the source holds."""

    retryable = True


class WrongCopy(VerifyError):
    """What stands under the final name is not what the source holds.

    ``version`` are the facts of what was found there (size, mtime, etag), None if nothing was.
    """

    def __init__(self, message: str, version: tuple[object, ...] | None = None) -> None:
        super().__init__(message)
        self.version = version


class FatalError(ObjectError):
    """Nothing after this can succeed either (disk full, read-only, credentials expired)."""


class Redactor:
    """Take the secrets of a run out of any text before a person or a file sees it.

    ``secrets`` are the exact values to hide; their percent-encoded forms are hidden too. Values shorter than
    four characters stay: hiding them would garble ordinary words without protecting anything.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) >= 4:
                forms.update((secret, quote(secret, safe=""), quote(secret)))
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: object) -> str:
        """Return ``str(text)`` with every secret replaced by ``****``."""
        cleaned = str(text)
        for form in self._forms:
            cleaned = cleaned.replace(form, "****")
        return cleaned


def printable(key: bytes | str) -> str:
    """Return a key as one printable line: control characters and undecodable bytes as ``\\xNN`` escapes."""
    text = key.decode("utf-8", "surrogateescape") if isinstance(key, bytes) else key
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    if character.isprintable() and not 0xDC80 <= ord(character) <= 0xDCFF:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
