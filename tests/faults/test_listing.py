"""A listing that repeats, reorders, drops or fails never leads to a wrong deletion."""

from __future__ import annotations

from typing import Any

import pytest

import fsync
from fsync.report import SyncResult
from fsync.traits import KeyOrder
from tests.faults.scripted import (
    FAULTS,
    MUTATIONS,
    SECOND,
    Fault,
    Held,
    Script,
    ScriptedFileSystem,
    dropped,
    sync_scripts,
)

_PAGES = 6
_ROWS = 8
_T = 1_600_000_000 * SECOND
_ORDERS = [KeyOrder.BYTES, KeyOrder.CHECKED, KeyOrder.NONE]


def _source_truth() -> dict[str, Held]:
    """48 keys, some in directories, in six pages."""
    keys = [f"d{number // 12}/k{number:03}" if number % 2 else f"k{number:03}" for number in range(_PAGES * _ROWS)]
    return {key: Held(f"source {key}".encode(), _T) for key in keys}


def _destination_truth() -> dict[str, Held]:
    """What the source has (every seventh key stale, every ninth missing), and an extra beside every third key."""
    truth: dict[str, Held] = {}
    for number, (key, held) in enumerate(sorted(_source_truth().items())):
        if number % 9 != 4:
            truth[key] = Held(b"stale", _T - SECOND) if number % 7 == 3 else held
        if number % 3 == 1:
            truth[key + "~extra"] = Held(b"extra", _T)
    return truth


def _stores() -> tuple[Script, Script]:
    return Script.of(_source_truth(), rows=_ROWS), Script.of(_destination_truth(), rows=_ROWS)


def _check(source: Script, destination: Script, result: SyncResult, told: set[str]) -> None:
    """Hold a run to what it may do: ``told`` are the keys that the source's listing told."""
    before = _destination_truth()
    assert not set(destination.removed) & set(source.held), "a key of the source was deleted"
    assert set(destination.removed) <= {key for key in before if key.endswith("~extra")}
    for key, held in destination.held.items():
        allowed = [now.data for now in (source.held.get(key), before.get(key)) if now is not None]
        assert held.data in allowed, f"{key} holds what neither side had"
    if result.exit_code:
        if result.exit_code != 1:
            assert destination.removed == []
        return
    for key, held in source.held.items():
        if key in told or key in before:
            assert destination.held[key].data == held.data, f"exit 0, but {key} is not what the source has"


@pytest.mark.parametrize("number", range(_PAGES))
@pytest.mark.parametrize("order", _ORDERS, ids=lambda order: str(order.value))
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_source_listing_that_is_not_the_truth_deletes_nothing_of_the_source(
    mutation: str, order: KeyOrder, number: int
) -> None:
    source, destination = _stores()
    source.pages = MUTATIONS[mutation](source.pages, number)
    told = {row.key for page in source.pages for row in page}
    result = sync_scripts(source, destination, source_order=order, delete_dst=True)
    _check(source, destination, result, told)
    if mutation == "dropped":
        # only the last look at the source, key by key, can know: what it finds there is a failure
        assert result.exit_code == 1
        assert {failure.key.decode() for failure in result.failures} == (set(source.held) - told) & set(
            _destination_truth()
        )
    elif order is not KeyOrder.BYTES and mutation != "repeated_twice":
        # a listing that may be sorted ends well whatever its order was
        assert result.exit_code == 0
        assert destination.data() == source.data()


@pytest.mark.parametrize("number", range(-(-len(_destination_truth()) // _ROWS)))
@pytest.mark.parametrize("order", _ORDERS, ids=lambda order: str(order.value))
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_destination_listing_that_is_not_the_truth_deletes_nothing_of_the_source(
    mutation: str, order: KeyOrder, number: int
) -> None:
    source, destination = _stores()
    destination.pages = MUTATIONS[mutation](destination.pages, number)
    result = sync_scripts(source, destination, destination_order=order, delete_dst=True)
    _check(source, destination, result, set(source.held))
    if mutation == "dropped":
        left = {key for key in destination.held if key.endswith("~extra")}
        assert result.exit_code == 0
        assert {key: destination.held[key].data for key in source.held} == source.data()
        assert left <= {key for page in Script.of(_destination_truth(), rows=_ROWS).pages[number:][:1] for key in
                        (row.key for row in page)}  # fmt: skip
    elif order is not KeyOrder.BYTES and mutation != "repeated_twice":
        assert result.exit_code == 0
        assert destination.data() == source.data()


@pytest.mark.parametrize("mutation", [name for name in MUTATIONS if name != "dropped"])
def test_a_listing_that_breaks_a_proven_order_ends_the_run(mutation: str) -> None:
    # a page repeated row for row, or one row told twice, is harmless only where each row comes right after itself
    source, destination = _stores()
    source.pages = MUTATIONS[mutation](source.pages, 2)
    result = sync_scripts(source, destination, delete_dst=True)
    if mutation == "overlapping":
        assert (result.exit_code, result.complete) == (0, True)
    else:
        assert (result.exit_code, result.complete) == (3, False)
        assert destination.removed == []


# failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "not found"])
@pytest.mark.parametrize("number", range(_PAGES))
@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_listing_that_fails_at_a_page_ends_the_run(side: str, number: int, fault: str) -> None:
    stores = dict(zip(("source", "destination"), _stores(), strict=True))
    stores[side].fails_at, stores[side].fault = number, FAULTS[fault]
    result = sync_scripts(stores["source"], stores["destination"], delete_dst=True)
    assert (result.exit_code, result.complete, result.deleted) == (3, False, 0)
    assert stores["destination"].removed == []
    _check(stores["source"], stores["destination"], result, set())


def _sync_filesystems(source: Script, destination: Script, *, marker: str = "/", **options: Any) -> SyncResult:
    return fsync.sync(
        (ScriptedFileSystem.of("one", source, marker=marker), "/"),
        (ScriptedFileSystem.of("two", destination, marker=marker), "/"),
        raise_on_error=False,
        **options,
    )


def _directories(script: Script) -> int:
    """Return how many ``ls`` calls a listing takes."""
    return len({key.rpartition("/")[0] for key in script.held} | {""})


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", range(5))
@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize("marker", ["/", ""], ids=["slash", "bare"])
def test_a_directory_that_cannot_be_listed_ends_the_run(marker: str, side: str, call: int, fault: str) -> None:
    stores = dict(zip(("source", "destination"), _stores(), strict=True))
    assert _directories(stores[side]) == 5
    stores[side].fails_at, stores[side].fault = call, FAULTS[fault]
    result = _sync_filesystems(stores["source"], stores["destination"], marker=marker, delete_dst=True, retries=0)
    assert (result.exit_code, result.complete, result.deleted) == (3, False, 0)
    assert stores["destination"].removed == []


@pytest.mark.parametrize("fault", ["input/output error", "timeout", "connection reset"])
@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_passing_fault_of_a_listing_is_tried_again(side: str, fault: str) -> None:
    stores = dict(zip(("source", "destination"), _stores(), strict=True))
    stores[side].fails_at, stores[side].fault, stores[side].times = 0, FAULTS[fault], 1
    # the call's number goes up with each attempt: fail the first, not the second
    result = _sync_filesystems(stores["source"], stores["destination"], delete_dst=True)
    assert result.exit_code == 0, result.failures
    assert stores["destination"].data() == stores["source"].data()
    assert stores[side].times == 0


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("what", ["reads", "writes"])
def test_an_object_that_cannot_be_copied_fails_alone_and_withholds_deletions(what: str, fault: str) -> None:
    source, destination = _stores()
    missing = [key for key in sorted(source.held) if key not in destination.held]
    faults: dict[str, Fault] = {missing[0]: FAULTS[fault], missing[-1]: FAULTS[fault]}
    if what == "reads":
        source.reads = faults
    else:
        destination.writes = faults
    result = _sync_filesystems(source, destination, delete_dst=True, retries=0)
    assert (result.exit_code, result.failed, result.deleted) == (1, 2, 0)
    assert {failure.key.decode() for failure in result.failures} == set(faults)
    assert destination.removed == []
    assert {key for key in source.held if destination.held.get(key, Held(b"", 0)).data != source.held[key].data} == set(
        faults
    )


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "not found"])
def test_nothing_is_removed_if_the_source_cannot_be_asked_about_every_extra(fault: str) -> None:
    source, destination = _stores()
    extras = [key for key in sorted(destination.held) if key.endswith("~extra")]
    source.questions = {extras[0]: FAULTS[fault], extras[-1]: FAULTS[fault]}
    result = _sync_filesystems(source, destination, delete_dst=True, retries=0)
    assert (result.exit_code, result.failed, result.deleted) == (1, 2, 0)
    assert destination.removed == []


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "not found"])
def test_an_extra_that_cannot_be_removed_fails_alone(fault: str) -> None:
    source, destination = _stores()
    extras = [key for key in sorted(destination.held) if key.endswith("~extra")]
    destination.removals = {extras[0]: FAULTS[fault]}
    result = _sync_filesystems(source, destination, delete_dst=True, retries=0)
    assert (result.exit_code, result.failed, result.deleted) == (1, 1, len(extras) - 1)
    assert sorted(destination.removed) == extras[1:]
    assert {failure.key.decode() for failure in result.failures} == {extras[0]}


def test_a_source_object_that_vanished_is_counted_and_protects_its_name() -> None:
    source, destination = _stores()
    gone = next(key for key in sorted(source.held) if key not in destination.held)
    del source.held[gone]
    result = _sync_filesystems(source, destination, delete_dst=True)
    assert (result.exit_code, result.vanished, result.failed) == (0, 1, 0)
    assert not set(destination.removed) & set(_source_truth())
    assert destination.data() == source.data()


def test_a_subdirectory_dropped_from_the_source_listing_is_not_deleted_at_the_destination() -> None:
    source, destination = _stores()
    source.pages = [[row for row in page if not row.key.startswith("d2/")] for page in source.pages]
    result = _sync_filesystems(source, destination, delete_dst=True)
    kept = {key for key in _destination_truth() if key in source.held and key.startswith("d2/")}
    assert result.exit_code == 1
    assert {failure.key.decode() for failure in result.failures} == kept
    assert kept <= set(destination.held)


@pytest.mark.parametrize("marker", ["/", ""], ids=["slash", "bare"])
def test_a_source_directory_that_vanished_protects_what_the_destination_has_below_it(marker: str) -> None:
    source, destination = _stores()

    def remove() -> None:
        source.held = {key: held for key, held in source.held.items() if not key.startswith("d2/")}
        source.pages = [[row for row in page if not row.key.startswith("d2/")] for page in source.pages]

    before = {key for key in destination.held if key.startswith("d2/")}
    source.before[1] = remove
    result = _sync_filesystems(source, destination, marker=marker, delete_dst=True)
    assert (result.exit_code, result.protected) == (0, 1)
    assert {key for key in destination.held if key.startswith("d2/")} == before
    assert {key: data for key, data in destination.data().items() if not key.startswith("d2/")} == source.data()


# the external sort -------------------------------------------------------------------------------------------------


def _directory_order(keys: list[str]) -> list[str]:
    """Order keys as SeaweedFS lists them: component by component, so that ``a/x`` comes before ``a.txt``."""
    return sorted(keys, key=lambda key: [part.encode() for part in key.split("/")])


def _awkward_truth() -> dict[str, Held]:
    """600 keys among which the two orders agree for a long time: copies are under way when they part."""
    keys = [f"a{number:04}" for number in range(500)]
    keys += [f"b{number:02}{rest}" for number in range(25) for rest in ("/x", "/y", ".txt", "-1")]
    return {key: Held(f"content of {key}".encode(), _T) for key in keys}


@pytest.mark.parametrize("side", ["source", "destination", "both"])
@pytest.mark.parametrize("order", [KeyOrder.CHECKED, KeyOrder.NONE], ids=lambda order: str(order.value))
@pytest.mark.parametrize("options", [{}, {"force_update": True}, {"size_only": True}], ids=["", "force", "size"])
def test_a_listing_by_directory_is_sorted_and_each_key_is_copied_once(
    options: dict[str, Any], order: KeyOrder, side: str
) -> None:
    truth = _awkward_truth()
    by_directory = _directory_order(list(truth))
    assert by_directory != sorted(truth)
    there = {key: held for number, (key, held) in enumerate(sorted(truth.items())) if number % 2}
    there |= {f"{key}.extra": Held(b"extra", _T) for key in list(there)[::10]}
    there |= {key: Held(b"stale!", _T) for key in list(truth)[1::50]}
    sides = {"source": side in ("source", "both"), "destination": side in ("destination", "both")}
    source = Script.of(truth, rows=20, order=by_directory if sides["source"] else None)
    destination = Script.of(there, rows=20, order=_directory_order(list(there)) if sides["destination"] else None)
    stale = {key for key, held in there.items() if held.data == b"stale!"}
    missing = set(truth) - set(there)
    result = sync_scripts(
        source,
        destination,
        source_order=order if sides["source"] else KeyOrder.BYTES,
        destination_order=order if sides["destination"] else KeyOrder.BYTES,
        delete_dst=True,
        **options,
    )
    assert (result.exit_code, result.complete, result.failures) == (0, True, ())
    assert destination.data() == source.data()
    wanted = set(truth) if "force_update" in options else missing | stale
    assert set(destination.written) == wanted
    again = {key: count for key, count in destination.written.items() if count != 1}
    assert again == {}, "copied more than once"
    assert result.copied + result.updated == len(wanted)
    assert result.deleted == len([key for key in there if key.endswith(".extra")])
    assert sum(result.reasons.values()) == len(wanted)
    restarted = [notice for notice in result.notices if "listed again and sorted" in notice]
    assert len(restarted) == (sum(sides.values()) if order is KeyOrder.CHECKED else 0)
    if side != "destination" or order is KeyOrder.NONE:
        # with the destination's rows out of order a key may have been taken for missing before the restart
        assert (result.copied, result.skipped) == (len(missing), len(truth) - len(wanted))


def test_a_store_that_claims_byte_order_is_not_sorted_but_refused() -> None:
    truth = _awkward_truth()
    source = Script.of(truth, rows=20, order=_directory_order(list(truth)))
    destination = Script.of({"b01.txt": Held(b"old", _T), "zz": Held(b"extra", _T)}, rows=20)
    result = sync_scripts(source, destination, delete_dst=True)
    assert (result.exit_code, result.complete, destination.removed) == (3, False, [])
    assert not any("sorted" in notice for notice in result.notices)


def test_conflicting_rows_of_one_key_end_the_run() -> None:
    source, destination = _stores()
    key = source.pages[3][2].key
    source.pages[5].append(type(source.pages[3][2])(key, 1, _T))
    for order in _ORDERS:
        result = sync_scripts(source, destination, source_order=order, delete_dst=True)
        assert (result.exit_code, result.complete) == (3, False)
    assert destination.removed == []


def test_a_dropped_page_is_the_only_thing_that_hides_a_key() -> None:
    # the oracle itself: without any mutation the run is whole, so the tests above test something
    source, destination = _stores()
    result = sync_scripts(source, destination, delete_dst=True)
    extras = [key for key in _destination_truth() if key.endswith("~extra")]
    assert (result.exit_code, result.deleted) == (0, len(extras))
    assert destination.data() == source.data()
    assert len(dropped(source.pages, 0)) == _PAGES - 1
