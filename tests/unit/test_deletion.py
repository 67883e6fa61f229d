"""What may be deleted: protections, planned names, limits, and the last question to the source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.address import parse
from fsync.deletion import Extras, check_limits, release, strange_name, top_name, top_names
from fsync.errors import SafetyStop
from fsync.filters import Rules
from fsync.options import options_from
from fsync.schema import PLAN, Action, Kind, Reason
from fsync.spool import Spool
from fsync.storage.entry import Entry
from fsync.storage.local import LocalStorage
from fsync.traits import KeyOrder
from fsync.transfer import Outcome, Status
from tests.faults.scripted import FAULTS, Held, Losing, Script, ScriptedStorage
from tests.strategies import folded
from tests.unit.pages import gathered, keys_of, page, rows_of, running


def planned(*keys: bytes) -> Spool:
    spool = Spool(pa.schema([PLAN.field("key")]))
    spool.append(page(*keys).select(["key"]))
    return spool


def doomed(extras: Sequence[bytes], *, protected: Sequence[bytes] = (), written: Sequence[bytes] = ()) -> list[bytes]:
    """Return which extras may go."""
    judged = Extras(spill_dir=None)
    judged.add(page(*extras))
    judged.protect(list(protected))
    judged.judge(planned(*written))
    kept = judged.withheld.protected + judged.withheld.planned
    assert judged.doomed.rows + kept == len(extras)
    return keys_of(judged.doomed)


# protections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "protected", "goes"),
    [
        (b"a", [], True),
        (b"a", [b"a"], False),
        (b"a", [b"b"], True),
        # everything below a protected key, at any depth
        (b"a/b", [b"a"], False),
        (b"a/b/c", [b"a"], False),
        (b"a/b/c", [b"a/b"], False),
        (b"a/b/c", [b"a/b/"], False),
        (b"a/b/c", [b"a/b/c/"], False),
        # not beside it, not above it, not what merely begins with its name
        (b"ab", [b"a"], True),
        (b"a.b/c", [b"a"], True),
        (b"a/c", [b"a/b"], True),
        (b"a", [b"a/b"], True),
        (b"a/bc", [b"a/b"], True),
        (b"\xff/x", [b"\xff"], False),
        (b"/x", [b""], False),
    ],
)
def test_protected_keys_keep_what_lies_below(extra: bytes, protected: list[bytes], goes: bool) -> None:
    assert doomed([extra], protected=protected) == ([extra] if goes else [])


_key = st.lists(st.sampled_from([b"a", b"b", b"ab"]), min_size=1, max_size=3).map(b"/".join)


@given(st.lists(_key, unique=True), st.lists(_key))
def test_protection_is_about_whole_components(extras: list[bytes], protected: list[bytes]) -> None:
    wanted = [key for key in extras if not any((key + b"/").startswith(other + b"/") for other in protected)]
    assert doomed(extras, protected=protected) == wanted


def test_special_files_are_never_removed() -> None:
    extras = Extras(spill_dir=None)
    extras.add(page(*({"key": b"%d" % kind, "kind": kind} for kind in Kind)))
    assert extras.count == 3
    extras.judge(planned())
    assert [row["dst_kind"] for row in rows_of(extras.doomed)] == [Kind.FILE, Kind.DIRECTORY, Kind.LINK]
    assert [row["dst_kind"] for row in rows_of(extras.rows())] == [Kind.FILE, Kind.DIRECTORY, Kind.LINK]


def test_a_restart_forgets_extras_and_keeps_protections() -> None:
    extras = Extras(spill_dir=None)
    extras.protect([b"a"])
    extras.add(page(b"a/x", b"b"))
    extras.judge(planned())
    extras.clear()
    assert (extras.count, extras.doomed.rows, extras.withheld.protected) == (0, 0, 0)
    extras.add(page(b"a/y", b"c"))
    extras.judge(planned())
    assert keys_of(extras.doomed) == [b"c"]


# names that the run writes itself --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "written", "goes"),
    [
        ("a", ["a"], False),
        ("A", ["a"], False),
        ("a/B", ["A/b"], False),
        ("caf\u00e9", ["cafe\u0301"], False),
        ("cafe\u0301", ["caf\u00e9"], False),
        ("CAFE\u0301", ["caf\u00e9"], False),
        ("\u212a", ["k"], False),
        ("\u00c4/x", ["a\u0308/X"], False),
        ("a", ["b", "c"], True),
        ("a", ["a/b"], True),
        ("a/b", ["a"], True),
        ("e", ["\u00e9"], True),
        ("ss", ["\u00df"], True),
        ("fi", ["\ufb01"], True),
    ],
)
def test_names_are_compared_as_file_systems_fold_them(extra: str, written: list[str], goes: bool) -> None:
    names = [name.encode() for name in written]
    assert doomed([extra.encode()], written=names) == ([extra.encode()] if goes else [])


def test_names_that_are_not_utf8() -> None:
    assert doomed([b"\xe9", b"A\xff", b"b", b"C"], written=[b"a\xff", b"c"]) == [b"\xe9", b"b"]
    # one undecodable name among the written ones does not keep the others from being folded
    assert doomed(["\u00c9".encode()], written=[b"\xff", "e\u0301".encode()]) == []


_name = st.lists(
    st.sampled_from(["a", "A", "\u00e9", "e\u0301", "E\u0301", "k", "\u212a", "b"]), min_size=1, max_size=2
).map(lambda parts: "".join(parts).encode())  # fmt: skip


@given(st.lists(_name, unique=True), st.lists(_name))
def test_what_folds_to_a_written_name_stays(extras: list[bytes], written: list[bytes]) -> None:
    names = {folded(key) for key in written}
    assert doomed(extras, written=written) == [key for key in extras if folded(key) not in names]


def test_what_goes_is_a_plan_of_deletions() -> None:
    extras = Extras(spill_dir=None)
    extras.add(page({"key": b"k", "size": 7, "mtime": 5, "etag": "e", "digest": "d"}))
    extras.judge(planned())
    (row,) = rows_of(extras.doomed)
    assert (row["key"], row["action"], row["reason"]) == (b"k", Action.DELETE, Reason.EXTRA)
    assert (row["dst_kind"], row["dst_size"], row["dst_mtime"], row["dst_etag"], row["dst_digest"]) == (
        0,
        7,
        5,
        "e",
        "d",
    )
    assert row["size"] is row["mtime"] is row["kind"] is None


def test_many_extras_against_many_planned_keys() -> None:
    count = 120_000
    extras = Extras(spill_dir=None)
    for start in range(0, count, 40_000):
        extras.add(page(*(b"%08d" % number for number in range(start, start + 40_000))))
    written = [b"%08d" % number for number in range(0, count, 3)]
    extras.judge(planned(*written))
    assert extras.withheld.planned == len(written)
    assert extras.doomed.rows == count - len(written)
    assert not set(keys_of(extras.doomed)) & set(written)


# limits ----------------------------------------------------------------------------------------------------------


def limits(deletions: int, rows: int, considered: int, strange: bytes | None = None, **given: Any) -> None:
    check_limits(
        deletions,
        destination_rows=rows,
        considered=considered,
        options=options_from({"delete_dst": True, **given}, verb="sync"),
        strange=strange,
    )


@pytest.mark.parametrize(
    ("deletions", "rows", "limit", "allowed"),
    [
        (0, 0, 0, True),
        (0, 10, 0, True),
        (1, 10, 0, False),
        (5, 10, 5, True),
        (6, 10, 5, False),
        (5, 10, "50%", True),
        (6, 10, "50%", False),
        (1, 3, "33%", False),
        (1, 3, "34%", True),
        (3, 3, "100%", True),
        (1, 10**9, "0%", False),
        (0, 0, "0%", True),
        (999, 1000, None, True),
    ],
)
def test_max_delete(deletions: int, rows: int, limit: int | str | None, allowed: bool) -> None:
    if allowed:
        limits(deletions, rows, 1, max_delete=limit)
    else:
        with pytest.raises(SafetyStop, match=f"{deletions} of {rows} .*--max-delete {limit}") as caught:
            limits(deletions, rows, 1, max_delete=limit)
        assert caught.value.exit_code == 4


@pytest.mark.parametrize("deletions", [0, 5])
def test_nothing_left_of_the_source(deletions: int) -> None:
    with pytest.raises(SafetyStop, match="--allow-empty-source"):
        limits(deletions, 10, 0)
    limits(deletions, 10, 0, allow_empty_source=True)
    with pytest.raises(SafetyStop, match="--max-delete"):
        limits(5, 10, 0, allow_empty_source=True, max_delete=4)


def test_a_name_that_only_the_destination_has() -> None:
    with pytest.raises(SafetyStop, match=r"a\\x0ab matches only at the destination.*--delete-prefix"):
        limits(1, 10, 1, b"a\nb")
    limits(1, 10, 1, b"a", delete_prefix=True)
    with pytest.raises(SafetyStop, match="--max-delete"):
        limits(2, 10, 1, b"a", delete_prefix=True, max_delete=1)


@pytest.mark.parametrize(
    ("keys", "names", "strange"),
    [
        ([], set(), None),
        ([b"a"], {b"a"}, None),
        ([b"a/x", b"a/y"], {b"a"}, None),
        ([b"a", b"b/x"], {b"a"}, b"b"),
        ([b"ab"], {b"a"}, b"ab"),
        ([b"/x"], {b""}, None),
        ([b"/x"], {b"a"}, b""),
    ],
)
def test_the_first_strange_name(keys: list[bytes], names: set[bytes], strange: bytes | None) -> None:
    extras = Extras(spill_dir=None)
    extras.add(page(*keys))
    extras.judge(planned())
    assert strange_name(extras.doomed, planned(*sorted(names))) == strange


def test_the_top_level_names_of_a_page_come_once_each() -> None:
    assert top_names(page(b"a", b"a-b/c", b"a-b/d", b"a/x")).column("key").to_pylist() == [b"a", b"a-b"]


def test_top_names() -> None:
    assert [top_name(key) for key in (b"a", b"a/b/c", b"/a", b"")] == [b"a", b"a", b"", b""]


# the release -----------------------------------------------------------------------------------------------------


def released(
    source: Script, destination: Script, keys: Sequence[str], *, backup: Script | None = None, gone: Sequence[str] = ()
) -> dict[bytes, Outcome]:
    """Release extras of these keys and return their outcomes."""
    extras = Extras(spill_dir=None)
    facts = [(key, destination.held.get(key, Held(b"?", 1))) for key in keys]
    extras.add(page(*({"key": key.encode(), "size": len(held.data), "mtime": held.mtime} for key, held in facts)))
    extras.judge(planned())
    with running(timeout=10) as shared:
        ends = [
            ScriptedStorage(script, shared, name=name, order=KeyOrder.BYTES)
            for script, name in ((source, "s"), (destination, "d"), *([(backup, "b")] if backup else []))
        ]
        batches = gathered(
            release(
                ends[0], ends[1], ends[2] if backup else None, Rules(), extras.doomed, {key.encode() for key in gone}
            )
        )
    outcomes = {}
    for batch, results in batches:
        assert [outcome.key for outcome in results] == keys_of([batch])
        outcomes.update({outcome.key: outcome for outcome in results})
    return outcomes


def store(*keys: str) -> Script:
    return Script({key: Held(key.encode(), 1) for key in keys})


def test_what_the_source_lacks_goes() -> None:
    destination = store("a", "b", "c")
    outcomes = released(store("c"), destination, ["a", "b"])
    assert {outcome.status for outcome in outcomes.values()} == {Status.DONE}
    assert sorted(destination.held) == ["c"]


def test_what_the_source_has_after_all_keeps_everything() -> None:
    # its listing was not the whole truth: nothing that it seems to lack may go
    destination = store("a", "b", "c")
    outcomes = released(store("b"), destination, ["a", "b", "c"])
    assert list(outcomes) == [b"b"]
    assert outcomes[b"b"].status is Status.FAILED
    assert "the source has it" in outcomes[b"b"].error
    assert sorted(destination.held) == ["a", "b", "c"]


def test_one_answer_among_many_keeps_everything() -> None:
    keys = [f"{number:05}" for number in range(2500)]
    destination = store(*keys)
    outcomes = released(store(keys[-1]), destination, keys)
    assert list(outcomes) == [keys[-1].encode()]
    assert len(destination.held) == 2500
    assert destination.removed == []


def test_a_source_that_cannot_be_asked_keeps_everything() -> None:
    class Silent(Script):
        """A store whose keys nobody can ask for."""

        @property
        def held(self) -> dict[str, Held]:  # type: ignore[override]
            raise PermissionError(13, "Permission denied")

        @held.setter
        def held(self, value: dict[str, Held]) -> None:
            """Take and forget the truth."""

    destination = store("a", "b")
    outcomes = released(Silent({}), destination, ["a", "b"])
    assert {outcome.status for outcome in outcomes.values()} == {Status.FAILED}
    assert all("could not be asked: Permission denied" in outcome.error for outcome in outcomes.values())
    assert sorted(destination.held) == ["a", "b"]


def test_a_backup_is_made_first() -> None:
    destination, backup = store("a", "b"), Script({})
    backup.writes["b"] = FAULTS["denied"]
    outcomes = released(Script({}), destination, ["a", "b"], backup=backup)
    assert outcomes[b"a"].status is Status.DONE
    assert outcomes[b"b"].status is Status.FAILED
    assert "no backup of it could be made: Permission denied" in outcomes[b"b"].error
    assert backup.data() == {"a": b"a"}
    assert sorted(destination.held) == ["b"]


def test_what_is_gone_already_is_not_released_again() -> None:
    destination = store("a", "b")
    outcomes = released(Script({}), destination, ["a", "b"], gone=["a"])
    assert list(outcomes) == [b"b"]
    assert destination.removed == ["b"]


def test_directories_go_last_and_only_empty_ones(tmp_path: Path) -> None:
    source, destination = tmp_path / "s", tmp_path / "d"
    source.mkdir()
    for name in ("a/b/c", "full/sub", "link"):
        (destination / name).mkdir(parents=True)
    (destination / "a" / "f").write_bytes(b"x")
    (destination / "full" / "sub" / "new").write_bytes(b"x")
    (destination / "link").rmdir()
    (destination / "link").symlink_to("full")
    file = (destination / "a" / "f").stat()
    link = (destination / "link").lstat()
    extras = Extras(spill_dir=None)
    extras.add(
        page(
            *({"key": key, "kind": Kind.DIRECTORY} for key in (b"a/", b"a/b/", b"a/b/c/")),
            {"key": b"a/f", "size": 1, "mtime": file.st_mtime_ns},
            *({"key": key, "kind": Kind.DIRECTORY} for key in (b"full/", b"full/sub/", b"gone/")),
            {"key": b"link", "kind": Kind.LINK, "size": link.st_size, "mtime": link.st_mtime_ns, "link": b"full"},
        )
    )
    extras.judge(planned())
    with running() as shared:
        ends = [LocalStorage(parse(f"{root}/"), shared) for root in (source, destination)]
        results = gathered(release(ends[0], ends[1], None, Rules(), extras.doomed, set()))
    done = [outcome.key for _, outcomes in results for outcome in outcomes if outcome.status is Status.DONE]
    assert done == [b"a/f", b"link", b"gone/", b"a/b/c/", b"a/b/", b"a/"]
    assert [path.name for path in destination.rglob("*")] == ["full", "sub", "new"]


def test_many_are_released_in_batches() -> None:
    keys = [f"{number:05}" for number in range(2500)]
    destination = store(*keys, "z")
    outcomes = released(store("z"), destination, keys)
    assert len(outcomes) == 2500
    assert {outcome.status for outcome in outcomes.values()} == {Status.DONE}
    assert sorted(destination.held) == ["z"]


def test_an_entry_is_what_its_listing_said() -> None:
    extras = Extras(spill_dir=None)
    extras.add(page({"key": b"k", "size": 7, "mtime": 5, "etag": "e", "digest": "d"}))
    extras.judge(planned())
    from fsync.transfer.batch import entries_of

    assert entries_of(next(iter(extras.doomed)), "dst_") == [Entry(b"k", 7, 5, "e", "d")]


def test_keys_below_one_another_are_not_kept_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Losing, "at_once", [])
    keys = sorted(key for number in range(20) for key in (f"{number}", f"{number}/b", f"{number}/b/c"))
    kept, extras = store(), Extras(spill_dir=None)
    extras.add(page(*({"key": key.encode(), "size": 1, "mtime": 1} for key in keys)))
    extras.judge(planned())
    with running(timeout=10) as shared:
        source = ScriptedStorage(store("z"), shared, name="s", order=KeyOrder.BYTES)
        destination = Losing(store(*keys), shared, name="d", order=KeyOrder.BYTES)
        backup = Losing(kept, shared, name="b", order=KeyOrder.BYTES)
        gathered(release(source, destination, backup, Rules(), extras.doomed, set()))
    assert sorted(kept.held) == keys
    assert not Losing.at_once
