"""Whatever words the command is given: a code of the list, no traceback, and nothing touched outside its addresses."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsync.cli.arguments import VERBS
from fsync.cli.foreign import ANSWERS, NOT_YET, REFUSED
from fsync.options import TABLE, Option
from tests.model.programs import fsync
from tests.safety.places import Snapshot, fill, snapshot

#: what the list of exit codes has for a run that no signal ends
_CODES = {0, 1, 2, 3, 4, 5}

_TREE = {
    "s/a": b"1", "s/d/b": b"22", "s/d/c.tmp": b"333", "s/empty/": b"", "d/a": b"2", "d/d/b": b"22", "d/extra": b"x",
    "d2/sub/x": b"1", "s -x/'q'": b"1", "outside": b"mine", "list.txt": b"a\nd/\nnosuch\n", "o.json": b'{"x": 1}',
    "bad.json": b"{",
}  # fmt: skip

#: no server and no other host: what could be one is malformed
_ADDRESSES = (
    "s/", "s/", "s/", "d/", "d/", "s", "d", "d2/", "s/a", "s/d/b", "new/", "new", "nosuch/", "s/nosuch", "./s/../s/",
    "s -x/", "", "-", ".", "/dev/null", "/dev/null/", "s\n/", "memory://m/", "memory://m/x", "file://s/", "foo://b/k/",
    "jfs://v/", "s3://", "s3:///", "minio://", "://", "http://[", "a::b", "zip://x::s/a", "caf\udce9/", "x" * 5000,
    "s3://AK:SK@/", "~nobody-of-this-name/", "%zz/",
)  # fmt: skip

_VALUES = {
    "N": ("0", "1", "2", "10", "-1", "-2", "1.5", "x", "", " 3", "1e3", "99999999999999999999", "\u0663"),
    "SIZE": ("0", "1", "16M", "1.5g", "64K", "-1", "x", "", "1E", "9" * 40, "1 M", "nan", "1b"),
    "SECONDS": ("0", "1", "60", "0.5", "-1", "x", "", "nan", "inf", "1e400", "9" * 40),
    "MBPS": ("0", "1", "1000", "1.5G", "-1", "x", "", "nan", "9" * 40, "1K"),
    "N|N%": ("0", "1", "50%", "100%", "101%", "-1", "%", "x", "", "nan%", "9" * 40),
    "ADDRESS": ("keep/", "keep", "d/", "s/", "", "memory://keep/", "foo://x"),
    "DIR": ("spill", ".", "nosuch/spill", "outside", ""),
    "FILE": ("r.jsonl", "r.csv", "r.parquet", "r.txt", "nosuch/r.csv", "d/r.csv", "", "-", "d2/"),
    "K=V": ("a=1", "a.b=[1", "=", "x", "", "@o.json", "@bad.json", "@nosuch", "auto_mkdir=true", "a..b=1"),
    "PATTERN": ("*", "*.tmp", "d/", "/a", "[", "a[", "[!a]", "\\", "**", "a=b", "-x", "", "/", "[[:nope:]]", "{year}"),
    "AGE": ("1h", "1", "1d12h", "1w", "-1", "x", "", "0", "9" * 40),
    "TIME": ("2020-01-01", "now", "x", "", "2020-01-01T00:00:00Z", "1", "9999-99-99"),
    "KEY": ("a", "d/", "d/b", "z", "", "caf\udce9", "/"),
}
#: of metavars that say no kind
_ANYTHING = ("1", "x", "", "a/b", "--dirs", "\u2028", "%s")


_KINDS = {"BYTES": "SIZE", None: "PATTERN", "LIST": "FILE"}


def _values(row: Option) -> tuple[str, ...]:
    return _VALUES.get(_KINDS.get(row.metavar, row.metavar or ""), _ANYTHING)


@st.composite
def _option(draw: st.DrawFn, rows: list[Option]) -> list[str]:
    row = draw(st.sampled_from(rows))
    flag = draw(st.sampled_from(("--include", "--exclude") if row.name == "rules" else row.flags))
    if row.metavar is None and row.name != "rules":
        return [flag]
    value = draw(st.sampled_from(_values(row)))
    return [f"{flag}={value}"] if draw(st.booleans()) else [flag, value]


_FOREIGN = sorted([*ANSWERS, *REFUSED, *NOT_YET, "--nope", "-", "--", "-zz", "--=", "-=x", "--dirs=1", "-p"])


@st.composite
def _commands(draw: st.DrawFn) -> list[str]:
    """Draw words: mostly a verb, as many addresses as it takes, and some of its options."""
    verb = draw(st.sampled_from(["sync", "sync", "sync", *VERBS]))
    rows = [row for row in TABLE if verb in row.verbs]
    count = len(VERBS[verb].addresses)
    addresses = draw(st.lists(st.sampled_from(_ADDRESSES), min_size=count, max_size=count))
    parts = [[address] for address in addresses]
    if rows:
        parts += draw(st.lists(_option(rows), max_size=4))
    if draw(st.integers(0, 9)) == 0:
        parts.append([draw(st.sampled_from(_FOREIGN))])
    words = [word for part in draw(st.permutations(parts)) for word in part]
    return words if draw(st.integers(0, 19)) == 0 else [verb, *words]


@contextlib.contextmanager
def _ground() -> Iterator[Path]:
    """Make the trees in a directory of their own, which is the current one as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="fsync-words-") as name:
        root = fill(Path(name), _TREE)
        here = os.getcwd()
        os.chdir(root)
        stdin, sys.stdin = sys.stdin, io.StringIO("a\nnosuch\n")
        try:
            yield root
        finally:
            sys.stdin = stdin
            os.chdir(here)


def _untouchable(root: Path) -> Snapshot:
    """Return what no run may change, whatever it was told: files that no address leads into."""
    return {key: row for key, row in snapshot(root).items() if key in (b"outside", b"list.txt", b"o.json", b"bad.json")}


@given(_commands())
@settings(
    max_examples=2 * settings.default.max_examples,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_any_words(words: list[str]) -> None:
    with _ground() as root:
        before, source = _untouchable(root), snapshot(root / "s")
        ended = fsync(*words)
        told = f"{words} ended with {ended.code}:\n{ended.text}"
        assert ended.code in _CODES, told
        assert "Traceback" not in ended.text, told
        assert "BUG" not in ended.text, told
        assert _untouchable(root) == before, told
        if ended.code == 2:
            assert snapshot(root / "s") == source, told
            errors = [line for line in ended.text.splitlines() if line.startswith("fsync: ERROR: ")]
            assert len(errors) == 1 or not words or "--json" in words, told
