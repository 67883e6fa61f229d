"""Errors, their exit codes, and texts that people may see."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fsync
from fsync import errors
from fsync.errors import FsyncError, Interrupted, ObjectError, Redactor, SyncError, printable
from fsync.report import SyncResult

#: the contract with shells: 1 some objects failed, 2 wrong usage, 3 a listing failed, 4 safety stop
EXIT_CODES = {
    "FsyncError": 1,
    "UsageError": 2,
    "AddressError": 2,
    "OptionError": 2,
    "RuleError": 2,
    "ListingError": 3,
    "OrderError": 3,
    "SourceNotFound": 3,
    "BucketNotFound": 3,
    "AccessDenied": 3,
    "SafetyStop": 4,
    "ObjectError": 1,
    "Archived": 1,
    "TypeClash": 1,
    "UnsafeName": 1,
    "SourceChanged": 1,
    "SourceVanished": 1,
    "ShortRead": 1,
    "FatalError": 1,
    "VerifyError": 1,
    "WrongCopy": 1,
    "TooManyFailures": 1,
}


def classes(root: type[FsyncError] = FsyncError) -> Iterator[type[FsyncError]]:
    # other modules may have errors of their own below these
    if root.__module__ == "fsync.errors":
        yield root
        for child in root.__subclasses__():
            yield from classes(child)


def test_every_error_has_its_exit_code() -> None:
    found = {cls.__name__: cls for cls in classes()}
    assert found.keys() == EXIT_CODES.keys() | {"SyncError", "Interrupted"}
    assert {name: found[name]("x").exit_code for name in EXIT_CODES} == EXIT_CODES


def test_an_interruption_ends_as_a_shell_expects() -> None:
    assert Interrupted("x").exit_code == 130
    assert Interrupted("x", 15).exit_code == 143


def test_a_sync_error_ends_as_its_result_says() -> None:
    result = SyncResult(failed=2, exit_code=1)
    error = SyncError("2 failed", result)
    assert error.exit_code == 1
    assert error.result is result
    assert str(error) == "2 failed"


def test_errors_have_no_result_until_a_run_gives_one() -> None:
    assert all(cls.result is None for cls in classes())


def test_only_passing_faults_of_objects_are_tried_again() -> None:
    assert {cls.__name__ for cls in classes(ObjectError) if cls.retryable} == {
        "SourceChanged", "ShortRead", "VerifyError", "WrongCopy",
    }  # fmt: skip


def test_what_callers_catch_is_exported() -> None:
    for cls in classes():
        if not issubclass(cls, ObjectError):
            assert getattr(fsync, cls.__name__) is cls
            assert cls.__name__ in fsync.__all__


def test_what_is_not_exported_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        fsync.nothing_of_the_kind  # noqa: B018
    assert set(fsync.__all__) <= set(dir(fsync))


# secrets ---------------------------------------------------------------------------------------------------------

_secrets = st.text("abcXYZ019/+=%&? é", min_size=4, max_size=20)


@given(st.lists(_secrets, max_size=4), st.lists(st.text("abcXYZ019/+=%&? é-", max_size=10), min_size=1))
def test_no_secret_remains(secrets: list[str], around: list[str]) -> None:
    text = "-".join(around)
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), quote(secret)):
            text += f"<{form}>{form}"
    cleaned = Redactor(secrets)(text)
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), quote(secret)):
            assert form not in cleaned


def test_a_secret_within_a_longer_one() -> None:
    assert Redactor(["abcd", "abcd-efgh"])("x abcd-efgh y abcd z") == "x **** y **** z"


def test_what_is_hidden_and_what_is_not() -> None:
    redact = Redactor(["se/cr+et", "abc", ""])
    assert redact("a se/cr+et in s3://K:se%2Fcr%2Bet@b/ and se/cr%2Bet") == "a **** in s3://K:****@b/ and ****"
    assert redact("abc is too short to be told from a word") == "abc is too short to be told from a word"
    assert redact(OSError("no se/cr+et")) == "no ****"
    assert Redactor()("as it is") == "as it is"


# names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (b"plain", "plain"),
        ("caf\u00e9 \u65e5\u672c".encode(), "caf\u00e9 \u65e5\u672c"),
        (b"caf\xe9", "caf\\xe9"),
        (b"a\nb\rc\td", "a\\x0ab\\x0dc\\x09d"),
        (b"\x1b[31m\x7f", "\\x1b[31m\\x7f"),
        ("\u2028\u202e".encode(), "\\u2028\\u202e"),
        ("\U000e0001".encode(), "\\U000e0001"),
        ("\udc80", "\\x80"),
        ("\ud800", "\\ud800"),
        ("", ""),
    ],
)
def test_printable(key: bytes | str, shown: str) -> None:
    assert printable(key) == shown


@given(st.binary())
def test_every_key_shows_on_one_line(key: bytes) -> None:
    shown = printable(key)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    for name in EXIT_CODES:
        assert name in errors.__doc__
