"""What is removed at the source: only what is proven to be at the destination, at the moment of the removal."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fsync.comparison import comparison_for
from fsync.errors import OptionError
from fsync.options import options_from
from fsync.removal import check_departures
from fsync.storage.promises import PROMISES
from fsync.traits import KeyOrder, MtimeKind
from tests.faults.scripted import Held, Script, ScriptedStorage, reversed_within, sync_scripts
from tests.safety.conftest import Maker
from tests.safety.places import OLD, Ended, contents, fill
from tests.safety.places import run as run_at_once
from tests.unit.pages import running

_SECOND = 1_000_000_000


def run(src: Any, dst: Any, **options: Any) -> Ended:
    """Sync when the tick of the clock is over in which the test has written its files."""
    time.sleep(0.03)
    return run_at_once(src, dst, **options)


_BOTH: dict[str, Any] = {"delete_src": True, "delete_src_after": True}


@pytest.mark.parametrize("rule", [{}, {"update": True}, {"checksum": True}, {"force_update": True}], ids=str)
@pytest.mark.parametrize("mine", [-_SECOND, 0, _SECOND], ids=["older", "same time", "newer"])
@pytest.mark.parametrize("data", [b"edited", b"longer than before"])
def test_an_edit_that_the_destination_does_not_have_is_never_lost(
    tmp_path: Path, rule: dict[str, Any], mine: int, data: bytes
) -> None:
    # number 3 of what the other program loses: equal size, or equal time, is no proof
    source = fill(tmp_path / "source", {"f": data}, mtime=OLD + mine)
    destination = fill(tmp_path / "destination", {"f": b"before"})
    ended = run(f"{source}/", f"{destination}/", delete_src=True, **rule)
    assert ended.code == 0, ended
    if rule in ({}, {"update": True}) and not mine and data == b"edited":
        # size and time are those of the copy: a declared limit of the default rule, as in rsync
        assert contents(destination) == {"f": b"before"}
        return
    assert contents(source) == {"f": data}, "the source's version is nowhere else"


@pytest.mark.parametrize("option", ["update", "existing", "ignore_existing", "force_update"])
def test_only_what_is_the_same_goes(tmp_path: Path, option: str) -> None:
    source = fill(tmp_path / "source", {"same": b"1", "new": b"2", "older": b"3"})
    destination = fill(tmp_path / "destination", {"same": b"1"})
    fill(destination, {"older": b"4"}, mtime=OLD + _SECOND)
    ended = run(f"{source}/", f"{destination}/", delete_src=True, **{option: True})
    assert ended.code == 0, ended
    gone = {"same"} if option in ("update", "existing") else set()
    assert set(contents(source)) == {"same", "new", "older"} - gone


@pytest.mark.parametrize("edit", ["source", "source, time put back", "destination", "destination removed", "replaced"])
def test_both_ends_are_looked_at_again_right_before(tmp_path: Path, edit: str) -> None:
    source = fill(tmp_path / "source", {"a": b"1", "same": b"22", "z": b"3"})
    destination = fill(tmp_path / "destination", {"same": b"22"})

    def change(event: dict[str, Any]) -> None:
        # both listings have ended when the first copies are done
        if event["event"] != "done" or (event["action"], event["key"]) != ("copy", "z"):
            return
        path = (source if edit.startswith("source") else destination) / "same"
        if edit == "destination removed":
            path.unlink()
        elif edit == "replaced":
            path.unlink()
            path.symlink_to(source / "same")
        else:
            path.write_bytes(b"xx")
        if edit == "source, time put back":
            os.utime(path, ns=(OLD, OLD))

    ended = run(f"{source}/", f"{destination}/", progress=change, **_BOTH)
    assert ended.code == 1, ended
    assert ended.result is not None
    assert (ended.result.failed, ended.result.deleted_src) == (1, 2)
    assert "same: not removed:" in ended.text
    assert (source / "same").read_bytes() == (b"xx" if edit.startswith("source") else b"22")


@pytest.mark.parametrize("edit", ["source", "destination"])
def test_what_was_copied_is_looked_at_again_too(place: Maker, tmp_path: Path, edit: str) -> None:
    source, destination = fill(tmp_path / "source", {"f": b"1"}), place("moto", "destination")

    def change(event: dict[str, Any]) -> None:
        if event["event"] == "done" and event["action"] == "copy":
            if edit == "source":
                (source / "f").write_bytes(b"2")
            else:
                destination.write("f", b"something else")

    ended = run(f"{source}/", destination, progress=change, delete_src_after=True)
    assert ended.code == 1, ended
    assert (source / "f").read_bytes() == (b"2" if edit == "source" else b"1")


def test_one_failed_copy_keeps_everything_at_the_source(place: Maker, tmp_path: Path) -> None:
    source, destination = fill(tmp_path / "source", {"a": b"1", "b": b"2"}), place("memory", "destination")
    assert run(f"{source}/", destination).code == 0
    (source / os.fsdecode(b"bad\xff")).write_bytes(b"3")
    fill(source, {"c": b"4"})
    ended = run(f"{source}/", destination, **_BOTH)
    assert ended.code == 1, ended
    assert "nothing was removed at the source, because 1 entries failed" in ended.text
    assert len(contents(source)) == 4


def test_one_failed_deletion_keeps_everything_at_the_source() -> None:
    held = {"a": Held(b"1", OLD), "b": Held(b"2", OLD)}
    source, destination = Script.of(held, rows=2), Script.of({**held, "x": Held(b"9", OLD)}, rows=3)
    # listed is not told: the extra is at the source after all
    source.held["x"] = Held(b"8", OLD)
    result = sync_scripts(source, destination, delete_src=True, delete_dst=True)
    assert (result.failed, result.deleted, result.deleted_src) == (1, 0, 0)
    assert source.removed == destination.removed == []


def test_the_entry_at_the_destination_may_be_the_source_itself(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"f": b"1", "g": b"2"})
    destination = tmp_path / "destination"
    destination.mkdir()
    os.link(source / "f", destination / "f")
    ended = run(f"{source}/", f"{destination}/", **_BOTH)
    assert ended.code == 1, ended
    assert "f: not removed: the entry at the destination is this very file" in ended.text
    assert set(contents(source)) == {"f"}


def test_one_bucket_under_two_names_is_not_emptied(place: Maker) -> None:
    # number 4 of what the other program loses, where the addresses cannot tell
    source = place("moto", "source")
    source.fill({"a": b"1", "d/b": b"2"})
    client = {**source.options["client_kwargs"]}
    client["endpoint_url"] = client["endpoint_url"].replace("127.0.0.1", "localhost")
    ended = run(
        source.address, source.address, **_BOTH,
        src_storage_options=source.options, dst_storage_options={**source.options, "client_kwargs": client},
    )  # fmt: skip
    assert ended.code in (2, 4), ended
    assert source.data() == {"a": b"1", "d/b": b"2"}


@pytest.mark.parametrize("option", ["delete_src", "delete_src_after"])
@pytest.mark.parametrize("below", ["", "inside/"])
def test_a_tree_onto_or_into_itself_is_refused(tmp_path: Path, option: str, below: str) -> None:
    # number 4 of what the other program loses
    source = fill(tmp_path / "source", {"a": b"1"})
    (tmp_path / "alias").symlink_to(source)
    for other in (f"{source}/{below}", f"{tmp_path}/alias/{below}"):
        assert run(f"{source}/", other, **{option: True}).code == 2
    assert contents(source) == {"a": b"1"}


def test_a_listing_that_starts_again_does_not_make_new_copies_old_ones() -> None:
    keys = [f"k{number:02}" for number in range(12)]
    held = {key: Held(b"1", OLD) for key in keys}
    source = Script.of(held, rows=4)
    there = {key: held[key] for key in keys[6:]}
    destination = Script.of(there, rows=3)
    destination.pages = reversed_within(destination.pages, 1)
    result = sync_scripts(source, destination, destination_order=KeyOrder.CHECKED, delete_src=True)
    assert (result.exit_code, result.copied + result.updated) == (0, result.copied)
    assert result.copied >= 6
    assert set(destination.held) == set(keys)
    assert set(source.removed) == set(keys) - set(destination.written)


def test_size_alone_is_no_proof_unless_the_user_says_so() -> None:
    timeless = replace(PROMISES["memory"], mtime=MtimeKind.NONE)
    with running() as shared:
        source = ScriptedStorage(Script.of({}, rows=1), shared, name="src", order=KeyOrder.BYTES)
        for given, refused in (
            ({}, True),
            ({"size_only": True}, False),
            ({"checksum": True}, False),
            ({"force_update": True}, False),
        ):
            options = options_from({"delete_src": True, **given}, verb="sync")
            comparison = comparison_for(PROMISES["local"], timeless, options)
            if refused:
                with pytest.raises(OptionError, match="add --checksum to compare the content, or --size-only"):
                    check_departures(source, comparison, options)
            else:
                check_departures(source, comparison, options)


def test_sources_go_after_the_extras_of_the_destination(tmp_path: Path) -> None:
    # number 5 of what the other program loses: whatever is removed is removed after everything has been copied
    source = fill(tmp_path / "source", {"a": b"1", "z": b"2"})
    destination = fill(tmp_path / "destination", {"a": b"1", "m": b"9"})
    order: list[tuple[str, str]] = []

    def note(event: dict[str, Any]) -> None:
        if event["event"] == "done":
            order.append((event["action"], event["key"]))

    assert run(f"{source}/", f"{destination}/", delete_dst=True, progress=note, **_BOTH).code == 0
    assert order == [("copy", "z"), ("delete", "m"), ("delete_src", "a"), ("delete_src", "z")]


def test_a_link_at_the_destination_is_replaced_and_what_is_behind_it_is_safe(tmp_path: Path) -> None:
    # number 6 of what the other program loses
    outside = fill(tmp_path / "outside", {"x": b"theirs"})
    source = fill(tmp_path / "source", {"d/x": b"mine"})
    destination = tmp_path / "destination"
    destination.mkdir()
    (destination / "d").symlink_to(outside)
    for _ in range(2):
        ended = run(f"{source}/", f"{destination}/", links=True, delete_dst=True, **_BOTH)
        held = {**contents(source), **contents(destination)}
        assert held == {"d/x": b"mine"}, ended
        assert contents(outside) == {"x": b"theirs"}
        if not contents(source):
            break


def test_force_voids_nothing(tmp_path: Path) -> None:
    # number 8 of what the other program loses
    source = fill(tmp_path / "source", {"old": b"1", "new": b"2"})
    destination = fill(tmp_path / "destination", {"old": b"1", "x": b"9"})
    options: dict[str, Any] = {"force_update": True, "delete_dst": True, **_BOTH}
    ended = run(f"{source}/", f"{destination}/", existing=True, **options)
    assert ended.code == 0, ended
    assert contents(destination) == {"old": b"1"}
    assert contents(source) == {"new": b"2"}
    fill(source, {"old": b"3"})
    ended = run(f"{source}/", f"{destination}/", ignore_existing=True, **options)
    assert ended.code == 0, ended
    assert contents(destination) == {"old": b"1", "new": b"2"}
    assert contents(source) == {"old": b"3"}
