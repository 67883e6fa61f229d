"""Names that one of two storages cannot hold, one by one: each fails or is replaced for itself, and loudly."""

from __future__ import annotations

import os

import pytest

from tests.matrix.pair import Pair
from tests.matrix.sides import SIDES, Local, Places


@pytest.mark.parametrize("destination", [name for name, side in SIDES.items() if side.file_like])
def test_of_a_key_and_one_below_it_only_one_can_be_there(destination: str, places: Places) -> None:
    src, dst = places("moto", destination)
    src.fill({b"a": b"1", b"a/b": b"22", b"c": b"333"})
    pair = Pair(src, dst)
    for _ in range(2):
        result = pair.sync()
        assert (result.failed, result.exit_code) == (1, 1)
        assert result.failures[0].key in (b"a", b"a/b")
        there = {key: data for key, data in src.read_all().items() if key != result.failures[0].key}
        assert dst.read_all() == there


@pytest.mark.parametrize("destination", list(SIDES))
def test_a_file_becomes_a_directory_and_back(destination: str, places: Places) -> None:
    src, dst = places("local", destination)
    pair = Pair(src, dst)
    file, directory = {b"k": b"1", b"a": b"file"}, {b"k": b"1", b"a/b/c": b"below"}
    for old, new in ((file, directory), (directory, file)):
        for key in dst.read_all():
            dst.remove(key)
        for key in src.read_all():
            src.remove(key)
        src.fill(old)
        pair.check_sync(old)
        (gone,), (added,) = set(old) - set(new), set(new) - set(old)
        src.remove(gone)
        src.write(added, new[added])
        result = pair.sync()
        if result.failed:
            # said, with everything as it was
            assert not dst.resolves_clashes
            assert ([failure.key for failure in result.failures], result.exit_code) == ([added], 1)
            assert dst.read_all() == old
        else:
            pair.check_sync(new)


@pytest.mark.parametrize("source", ["memory", "moto"])
def test_no_key_leads_out_of_the_destination(source: str, places: Places) -> None:
    src, dst = places(source, "local")
    evil = [b"../canary/x", b"a/../../canary/x", b"..", b"./a", b"a//b", b"/etc/x", b"d/../../../x", b"n\0l"]
    src.fill({**dict.fromkeys(evil, b"evil"), b"good": b"g"})
    Pair(src, dst).check_sync(src.read_all())
    assert dst.read_all() == {b"good": b"g"}


@pytest.mark.parametrize("destination", ["memory", "moto"])
@pytest.mark.parametrize("name", [b"50%/n\0l", b"x" * 256, b"a//b", b"../beside", b"a/../a/b"])
def test_an_extra_that_the_source_could_never_hold_is_removed(name: bytes, destination: str, places: Places) -> None:
    src, dst = places("local", destination)
    assert isinstance(src, Local)
    src.fill({b"a/b": b"1"})
    with open(os.path.join(os.path.dirname(src.root), b"beside"), "wb"):
        pass
    dst.fill({name: b"extra"})
    result = Pair(src, dst).sync()
    assert (result.deleted, result.failed) == (1, 0), result.failures
    assert dst.read_all() == {b"a/b": b"1"}


@pytest.mark.parametrize("key", [b"a/", b"d/b//", b".uploads/f", b"d/.uploads/f", b"v.versions/f"])
def test_what_seaweedfs_would_keep_wrongly_or_hidden_fails(key: bytes, places: Places) -> None:
    src, dst = places("moto", "seaweed")
    src.fill({key: b"content", b"good": b"g"})
    Pair(src, dst).check_sync(src.read_all())


def test_a_path_too_long_to_be_listed_fails_alone(places: Places) -> None:
    src, dst = places("memory", "local")
    key = b"/".join([b"n" * 200] * 25)
    src.fill({key: b"deep", b"good": b"g"})
    pair = Pair(src, dst)
    for _ in range(2):
        result = pair.sync()
        assert [failure.key for failure in result.failures] == [key]
        assert dst.read_all() == {b"good": b"g"}
