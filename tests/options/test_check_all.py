"""--check-all: what times and digests say does not count, bytes do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import fsync
from tests.faults.scripted import FAULTS, Held, Row, Script, ScriptedFileSystem
from tests.safety.conftest import KINDS, Maker
from tests.safety.places import OLD, LocalPlace, Place, fill, run

_MIB = 1 << 20
_PAIRS = [*(("local", kind) for kind in KINDS), ("moto", "local"), ("seaweed", "moto"), ("moto", "moto")]


def reasons(ended: Any) -> dict[str, int]:
    assert ended.code == 0, ended
    return dict(ended.result.reasons)


def falsify(place: Place, contents: dict[str, bytes]) -> None:
    """Put other bytes of the same lengths, so that no time tells of it."""
    local = [key for key in contents if isinstance(place, LocalPlace)]
    times = {key: os.stat(f"{place.address}{key}").st_mtime_ns for key in local}
    place.fill(contents)
    for key, time in times.items():
        os.utime(f"{place.address}{key}", ns=(time, time))


@pytest.mark.parametrize(("src", "dst"), _PAIRS)
def test_same_size_and_time_is_not_the_same_content(place: Maker, src: str, dst: str) -> None:
    source, target = place(src, "source"), place(dst, "target")
    large = os.urandom(9 * _MIB)
    tree = {"a": b"1", "d/b": b"22", "empty": b"", "large": large, "same": b"s" * 1000}
    source.fill(tree)
    assert run(source, target).code == 0
    # local: with the time of what was there; elsewhere: uploaded after the source changed
    falsify(target, {"a": b"2", "large": large[:-1] + bytes([large[-1] ^ 1])})
    if dst == "local":
        assert reasons(run(source, target, dry=True)) == {}
    check = fsync.check(
        source.address, target.address, check_all=True,
        **({"src_storage_options": source.options} if source.options else {}),
        **({"dst_storage_options": target.options} if target.options else {}),
    )  # fmt: skip
    assert (check.exit_code, check.reasons, check.skipped) == (5, {"digest": 2}, 3)
    ended = run(source, target, check_all=True)
    assert reasons(ended) == {"digest": 2}
    assert ended.result is not None
    assert ended.result.verified_by == {"read": 2}
    assert target.data() == tree
    assert reasons(run(source, target, check_all=True)) == {}


def test_times_alone_lead_to_no_copy(place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill({"a": b"1"})
    target.fill({"a": b"1"})
    os.utime(f"{target.address}a", ns=(OLD - 5, OLD - 5))
    assert reasons(run(source, target, dry=True)) == {"mtime": 1}
    assert reasons(run(source, target, check_all=True)) == {}


def test_what_is_newer_stays_under_update(place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill({"newer": b"1", "older": b"1", "longer": b"1", "equal time": b"1", "prefix": b"1"})
    target.fill({"newer": b"2", "older": b"2", "longer": b"22", "equal time": b"2", "prefix": b"12"})
    for key, time in (("newer", OLD + 5), ("longer", OLD + 5), ("older", OLD - 5)):
        os.utime(f"{target.address}{key}", ns=(time, time))
    ended = run(source, target, check_all=True, update=True)
    # juicefs ends in an error, or calls them the same, where one is the beginning of the other
    assert reasons(ended) == {"digest": 2, "size": 1}
    assert target.data() == {"newer": b"2", "older": b"1", "longer": b"22", "equal time": b"1", "prefix": b"1"}


def test_other_options_keep_their_meaning(place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill({"both": b"1", "new": b"1"})
    target.fill({"both": b"2"})
    assert reasons(run(source, target, check_all=True, ignore_existing=True, dry=True)) == {"missing": 1}
    assert reasons(run(source, target, check_all=True, existing=True, dry=True)) == {"digest": 1}
    ended = run(source, target, check_all=True, force_update=True)
    assert reasons(ended) == {"forced": 1, "missing": 1}
    assert ended.result is not None
    assert ended.result.verified_by == {"read": 2}


def test_links_are_compared_by_text(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "source", {"a": b"1"}), fill(tmp_path / "target", {"a": b"1"})
    for root, text in ((source, "one"), (target, "two")):
        (root / "link").symlink_to(text)
    ended = run(f"{source}/", f"{target}/", check_all=True, links=True)
    assert reasons(ended) == {"link": 1}
    assert os.readlink(target / "link") == "one"


@pytest.mark.parametrize("other", ["size_only", "checksum"])
def test_what_contradicts_it(tmp_path: Path, other: str) -> None:
    ended = run(f"{fill(tmp_path / 'a', {'f': b'1'})}/", f"{tmp_path}/b/", check_all=True, **{other: True})
    assert ended.code == 2
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("rule", ["check_all", "checksum"])
@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_check_tells_what_it_could_not_read(tmp_path: Path, side: str, rule: str) -> None:
    local = fill(tmp_path / "local", {"bad": b"1", "good": b"2"})
    held = {key: Held(data, OLD) for key, data in (("bad", b"1"), ("good", b"2"))}
    script = Script(held, [[Row("bad", 1, OLD), Row("good", 1, OLD)]], reads={"bad": FAULTS["denied"]})
    scripted = (ScriptedFileSystem.of("one", script), "/")
    ends = (scripted, f"{local}/") if side == "source" else (f"{local}/", scripted)
    result = fsync.check(*ends, **{rule: True})
    assert (result.exit_code, result.failed, result.skipped, result.updated) == (1, 1, 1, 0)
    assert [str(failure) for failure in result.failures] == ["bad: Permission denied"]
    assert result.table().column("status").to_pylist() == ["failed"]


def test_what_cannot_be_read_at_the_destination_is_copied_by_a_sync(tmp_path: Path) -> None:
    local = fill(tmp_path / "local", {"bad": b"1"})
    script = Script({"bad": Held(b"2", OLD)}, [[Row("bad", 1, OLD)]], reads={"bad": FAULTS["denied"]})
    ended = run(f"{local}/", (ScriptedFileSystem.of("one", script), "/"), checksum=True)
    assert reasons(ended) == {"digest": 1}
    assert script.data() == {"bad": b"1"}


def test_a_passing_error_of_reading_is_no_difference(tmp_path: Path) -> None:
    local = fill(tmp_path / "local", {"f": b"1"})
    script = Script({"f": Held(b"1", OLD)}, [[Row("f", 1, OLD)]])

    def once() -> Exception:
        del script.reads["f"]
        return FAULTS["timeout"]()

    script.reads["f"] = once
    result = fsync.check(f"{local}/", (ScriptedFileSystem.of("one", script), "/"), check_all=True)
    assert (result.exit_code, result.skipped) == (0, 1)


def test_checksum_of_a_bucket_against_a_directory_reads_the_directory(place: Maker) -> None:
    source, target = place("moto", "source"), place("local", "target")
    source.fill({"a": b"1", "b": b"2"})
    target.fill({"a": b"1", "b": b"3"})
    assert reasons(run(source, target, checksum=True)) == {"digest": 1}
    assert target.data() == {"a": b"1", "b": b"2"}
