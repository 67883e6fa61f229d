"""The join and the decision: every rule against every state that a pair of entries can be in."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.comparison import Comparison, Times, comparison_for
from fsync.diff import Decisions, decide, settled, split_late
from fsync.errors import OptionError
from fsync.join import Window, windows
from fsync.options import options_from
from fsync.schema import PLAN, Action, Kind, Reason, empty_page
from fsync.traits import KeyOrder, MtimeKind, Traits
from tests.unit.pages import gathered, keys_of, page, rows_of, stream

S = 1_000_000_000
#: the time that both sides have unless a case says otherwise
T = 1_700_000_000 * S

# windows ---------------------------------------------------------------------------------------------------------


def cut(keys: set[bytes], sizes: list[int]) -> list[pa.RecordBatch]:
    """Return sorted keys as pages of these sizes, the last one with what is left."""
    ordered, pages = sorted(keys), []
    for size in sizes:
        pages.append(page(*ordered[:size]))
        ordered = ordered[size:]
    return [batch for batch in [*pages, page(*ordered)] if batch.num_rows]


_keys = st.sets(st.binary(max_size=2), max_size=20)
_sizes = st.lists(st.integers(1, 5), max_size=6)


@given(_keys, _sizes, _keys, _sizes)
def test_windows_join_like_two_dicts(
    source: set[bytes], source_sizes: list[int], destination: set[bytes], destination_sizes: list[int]
) -> None:
    result: list[Window] = gathered(
        windows(stream(cut(source, source_sizes)), stream(cut(destination, destination_sizes)))
    )
    assert keys_of(window.source for window in result) == sorted(source)
    assert keys_of(window.destination for window in result) == sorted(destination)
    for earlier, later in itertools.pairwise(result):
        assert max(keys_of([earlier.source, earlier.destination])) < min(keys_of([later.source, later.destination]))
    decided = [decide(window, Comparison(Times.NONE)) for window in result]
    reasons = {row["key"]: row["reason"] for row in rows_of(found.rows for found in decided)}
    assert reasons == {key: Reason.SAME if key in destination else Reason.MISSING for key in source}
    assert keys_of(found.extras for found in decided) == sorted(destination - source)


def test_windows_of_nothing() -> None:
    assert gathered(windows(stream([]), stream([]))) == []
    one: list[Window] = gathered(windows(stream([page(b"a")]), stream([])))
    assert [(keys_of([window.source]), window.destination.num_rows) for window in one] == [([b"a"], 0)]


def test_windows_do_not_wait_for_a_whole_side() -> None:
    fetched = []

    async def counted() -> Any:
        for number in range(100):
            fetched.append(number)
            yield page(b"%04d" % number)

    async def first() -> Window:
        return await anext(windows(counted(), stream([page(b"0000", b"zzzz")])))

    from fsync.api import run

    assert keys_of([run(first()).source])[0] == b"0000"
    assert len(fetched) < 10


def test_empty_pages_end_no_side() -> None:
    pages = [*[empty_page()] * 4, page(b"a")]
    result: list[Window] = gathered(windows(stream(pages), stream([page(b"a")])))
    assert keys_of(window.source for window in result) == [b"a"]


# the decision ----------------------------------------------------------------------------------------------------

#: the rules by name
EQUAL = Comparison(Times.EQUAL, tick=S)
UPLOAD = Comparison(Times.UPLOAD, tick=S)
NONE = Comparison(Times.NONE)


def but(rule: Comparison, **changes: Any) -> Comparison:
    return dataclasses.replace(rule, **changes)


RULES: dict[str, Comparison] = {
    "equal": EQUAL,
    "upload": UPLOAD,
    "none": NONE,
    "size": but(EQUAL, size_only=True),
    "checksum": but(EQUAL, checksum=True),
    "checksum kind": but(EQUAL, checksum=True, same_kind=True),
    "force": but(EQUAL, force=True),
    "upload kind": but(UPLOAD, same_kind=True),
    "equal perms": but(EQUAL, perms=True),
    "upload perms": but(UPLOAD, perms=True),
    "perms update": but(EQUAL, perms=True, update=True),
    "perms force": but(EQUAL, perms=True, force=True),
    "perms ignore": but(EQUAL, perms=True, ignore_existing=True),
    "equal update": but(EQUAL, update=True),
    "upload update": but(UPLOAD, update=True),
    "size update": but(EQUAL, size_only=True, update=True),
    "checksum update": but(EQUAL, checksum=True, update=True),
    "force update": but(EQUAL, force=True, update=True),
    "force existing": but(EQUAL, force=True, existing=True),
    "force ignore": but(EQUAL, force=True, ignore_existing=True),
    "equal existing": but(EQUAL, existing=True),
    "equal ignore": but(EQUAL, ignore_existing=True),
    "upload existing ignore": but(UPLOAD, existing=True, ignore_existing=True),
    "update existing ignore": but(EQUAL, update=True, existing=True, ignore_existing=True),
}

Side = dict[str, Any] | None

_LINK: dict[str, Any] = {"kind": Kind.LINK, "mtime": T, "size": 2}
_DIRECTORY: dict[str, Any] = {"kind": Kind.DIRECTORY, "mtime": T, "size": 0}

#: the states of a pair by name: what the source has, what the destination has
STATES: dict[str, tuple[dict[str, Any], Side]] = {
    "missing": ({"mtime": T}, None),
    "same": ({"mtime": T}, {"mtime": T}),
    "size": ({"size": 2, "mtime": T}, {"mtime": T}),
    "newer here": ({"mtime": T + 5 * S}, {"mtime": T}),
    "newer there": ({"mtime": T}, {"mtime": T + 5 * S}),
    "size, newer there": ({"size": 2, "mtime": T}, {"mtime": T + 5 * S}),
    "size, newer here": ({"size": 2, "mtime": T + 5 * S}, {"mtime": T}),
    "digest": ({"mtime": T, "digest": "d"}, {"mtime": T, "digest": "d"}),
    "digests apart": ({"mtime": T, "digest": "d"}, {"mtime": T, "digest": "e"}),
    "etag": ({"mtime": T, "etag": "d"}, {"mtime": T, "etag": "d"}),
    "etags apart": ({"mtime": T, "etag": "d"}, {"mtime": T, "etag": "e"}),
    "link": ({"mtime": T}, {"mtime": T, "kind": Kind.LINK}),
    "link, newer": ({"mtime": T}, {"mtime": T + 5 * S, "kind": Kind.LINK}),
    "no size here": ({"size": None, "mtime": T}, {"mtime": T}),
    "no size there": ({"mtime": T}, {"size": None, "mtime": T}),
    "no time here": ({"mtime": None}, {"mtime": T}),
    "no time there": ({"mtime": T}, {"mtime": None}),
    "no times": ({"mtime": None}, {"mtime": None}),
    "no time, size": ({"size": 2, "mtime": None}, {"mtime": T}),
    "nothing known": ({"size": None, "mtime": None}, {"size": None, "mtime": None}),
    "links": ({**_LINK, "link": b"to"}, {**_LINK, "link": b"to", "mtime": T - 9 * S}),
    "links apart": ({**_LINK, "link": b"to"}, {**_LINK, "link": b"from"}),
    "links apart, newer": ({**_LINK, "link": b"to"}, {**_LINK, "link": b"from", "mtime": T + 5 * S}),
    "directories": ({**_DIRECTORY, "mode": 0o755}, {**_DIRECTORY, "mtime": T - 9 * S, "mode": 0o755}),
    "directory modes": ({**_DIRECTORY, "mode": 0o755}, {**_DIRECTORY, "mode": 0o700}),
    "modes": ({"mtime": T, "mode": 0o100644}, {"mtime": T, "mode": 0o100600}),
    "kinds of modes": ({"mtime": T, "mode": 0o100644}, {"mtime": T, "mode": 0o644}),
    "sizes and modes": ({"mtime": T, "size": 2, "mode": 0o644}, {"mtime": T, "mode": 0o600}),
    "mode here": ({"mtime": T, "mode": 0o644}, {"mtime": T}),
    "owners": ({"mtime": T, "mode": 0, "owner": "a"}, {"mtime": T, "mode": 0, "owner": "b"}),
    "groups": ({"mtime": T, "mode": 0, "group": "a"}, {"mtime": T, "mode": 0, "group": "b"}),
    "link modes": ({**_LINK, "link": b"t", "mode": 1}, {**_LINK, "link": b"t", "mode": 2}),
}

#: the reasons in one letter
LETTERS = {
    "m": Reason.MISSING, "=": Reason.SAME, "z": Reason.SIZE, "t": Reason.MTIME, "k": Reason.TYPE, "u": Reason.UNKNOWN,
    "?": Reason.SUSPECT, "f": Reason.FORCED, "n": Reason.NEWER, "e": Reason.EXISTING, "i": Reason.IGNORED,
    "l": Reason.LINK, "M": Reason.MODE,
}  # fmt: skip

#: rule -> the reasons of the states, in the order of STATES
VERDICTS: dict[str, str] = {
    # missing, same, size, newer here, there; size and newer there, here; digests equal, apart; etags equal, apart;
    # a link, a newer link; no size here, there; no time here, there, anywhere; no time but another size; nothing known;
    # links alike, apart, apart and newer; directories, with other modes; files with other modes, with the same bits,
    # with other sizes too; a mode here alone; other owners, groups; links with other modes
    "equal":                  "m = z t t z z = = = = k k u u u u u u u = l l = = = = z = = = =",
    "upload":                 "m ? z ? = z z = ? ? ? k k u u u u u u u = l l = = ? ? z ? ? ? =",
    "none":                   "m = z = = z z = = = = k k u u = = = z u = l l = = = = z = = = =",
    "size":                   "m = z = = z z = = = = k k u u = = = z u = l l = = = = z = = = =",
    "checksum":               "m ? z ? ? z z = ? ? ? k k u u ? ? ? z u = l l = = ? ? z ? ? ? =",
    "checksum kind":          "m ? z ? ? z z = ? = ? k k u u ? ? ? z u = l l = = ? ? z ? ? ? =",
    "force":                  "m f f f f f f f f f f k k f f f f f f f = l l = = f f f f f f =",
    "upload kind":            "m ? z ? = z z = ? = ? k k u u u u u u u = l l = = ? ? z ? ? ? =",
    "equal update":           "m = z t n n z = = = = k n u u u u u u u = l n = = = = z = = = =",
    "upload update":          "m ? z ? = n z = ? ? ? k n u u u u u u u = l n = = ? ? z ? ? ? =",
    "size update":            "m = z = = n z = = = = k n u u = = = z u = l n = = = = z = = = =",
    "checksum update":        "m ? z ? n n z = ? ? ? k n u u ? ? ? z u = l n = = ? ? z ? ? ? =",
    "force update":           "m f f f n n f f f f f k n f f f f f f f = l n = = f f f f f f =",
    "force existing":         "e f f f f f f f f f f k k f f f f f f f = l l = = f f f f f f =",
    "force ignore":           "m i i i i i i i i i i i i i i i i i i i i i i i i i i i i i i i",
    "equal existing":         "e = z t t z z = = = = k k u u u u u u u = l l = = = = z = = = =",
    "equal ignore":           "m i i i i i i i i i i i i i i i i i i i i i i i i i i i i i i i",
    "upload existing ignore": "e i i i i i i i i i i i i i i i i i i i i i i i i i i i i i i i",
    "update existing ignore": "e i i i i i i i i i i i i i i i i i i i i i i i i i i i i i i i",
    "equal perms":            "m = z t t z z = = = = k k u u u u u u u = l l = M M = z = M M =",
    "upload perms":           "m ? z ? = z z = ? ? ? k k u u u u u u u = l l = M ? ? z ? ? ? =",
    "perms update":           "m = z t n n z = = = = k n u u u u u u u = l n = M M = z = M M =",
    "perms force":            "m f f f f f f f f f f k k f f f f f f f = l l = M f f f f f f =",
    "perms ignore":           "m i i i i i i i i i i i i i i i i i i i i i i i i i i i i i i i",
}  # fmt: skip

#: what is done for a reason
ACTIONS = {
    **dict.fromkeys((Reason.SAME, Reason.EXISTING, Reason.IGNORED, Reason.NEWER), Action.SKIP),
    Reason.MISSING: Action.COPY,
    Reason.MODE: Action.METADATA,
    **dict.fromkeys(
        (Reason.SIZE, Reason.MTIME, Reason.FORCED, Reason.TYPE, Reason.SUSPECT, Reason.UNKNOWN, Reason.LINK),
        Action.UPDATE,
    ),
}

CASES = [
    (rule, state, LETTERS[letter])
    for rule, letters in VERDICTS.items()
    for state, letter in zip(STATES, letters.split(), strict=True)
]


def decided(rule: Comparison, source: Side, destination: Side) -> Decisions:
    sides = [page(*([] if side is None else [{"key": b"k", **side}])) for side in (source, destination)]
    return decide(Window(*sides), rule)


def verdict(rule: Comparison, source: Side, destination: Side) -> tuple[Action, Reason]:
    (row,) = rows_of([decided(rule, source, destination).rows])
    return Action(row["action"]), Reason(row["reason"])


def test_the_table_has_every_rule() -> None:
    assert VERDICTS.keys() == RULES.keys()


@pytest.mark.parametrize(("rule", "state", "reason"), CASES)
def test_a_rule_and_a_state(rule: str, state: str, reason: Reason) -> None:
    assert verdict(RULES[rule], *STATES[state]) == (ACTIONS[reason], reason)


@pytest.mark.parametrize("rule", RULES)
def test_all_states_in_one_window(rule: str) -> None:
    # the same verdicts next to each other as one by one, and every fact of both sides is in the plan
    sides: list[list[dict[str, Any]]] = [[], []]
    for number, state in enumerate(STATES.values()):
        for side, facts in zip(sides, state, strict=True):
            if facts is not None:
                side.append({"key": b"%02d" % number, "etag": f"x{number}", **facts})
    result = decide(Window(page(*sides[0]), page(*sides[1])), but(RULES[rule], same_kind=False))
    rows = rows_of([result.rows])
    wanted = {b"%02d" % number: verdict(but(RULES[rule], same_kind=False), *state)[1]
              for number, state in enumerate(STATES.values())}  # fmt: skip
    assert {row["key"]: row["reason"] for row in rows} == wanted
    assert result.rows.schema.equals(PLAN)
    assert result.extras.num_rows == 0
    for number, (row, (mine, theirs)) in enumerate(zip(rows, STATES.values(), strict=True)):
        assert (row["size"], row["mtime"]) == (mine.get("size", 1), mine.get("mtime"))
        assert row["etag"] == mine.get("etag", f"x{number}")
        if theirs is None:
            assert {row[name] for name in PLAN.names if name.startswith("dst_")} == {None}
        else:
            assert (row["dst_size"], row["dst_mtime"]) == (theirs.get("size", 1), theirs.get("mtime"))
            assert row["dst_kind"] == theirs.get("kind", Kind.FILE)


@pytest.mark.parametrize("rule", RULES)
def test_destination_rows_without_a_source_row_are_extras(rule: str) -> None:
    result = decide(Window(page(b"b"), page(b"a", b"b", b"c")), RULES[rule])
    assert keys_of([result.extras]) == [b"a", b"c"]
    assert keys_of([result.rows]) == [b"b"]


def test_what_is_planned_is_what_is_not_skipped() -> None:
    result = decide(Window(page({"key": b"a", "mtime": T}, b"b"), page({"key": b"a", "mtime": T})), EQUAL)
    assert keys_of([result.planned()]) == [b"b"]


@given(
    st.sampled_from(sorted(RULES)),
    st.fixed_dictionaries({"size": st.none() | st.integers(0, 2), "mtime": st.none() | st.integers(T, T + 3 * S)}),
    st.fixed_dictionaries({"size": st.none() | st.integers(0, 2), "mtime": st.none() | st.integers(T, T + 3 * S)}),
)
def test_no_rule_skips_what_differs_in_size_unless_it_says_so(rule: str, source: Side, destination: Side) -> None:
    action, reason = verdict(RULES[rule], source, destination)
    assert source is not None
    assert destination is not None
    if source["size"] != destination["size"] and action is Action.SKIP:
        assert reason in (Reason.IGNORED, Reason.NEWER)
        assert RULES[rule].update or RULES[rule].ignore_existing


# boundaries of clocks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("tick", "apart", "reason"),
    [
        (1, 0, Reason.SAME),
        (1, 1, Reason.MTIME),
        (1000, 999, Reason.SAME),
        (1000, 1000, Reason.MTIME),
        (S, S - 1, Reason.SAME),
        (S, S, Reason.MTIME),
        (2 * S, 2 * S - 1, Reason.SAME),
        (2 * S, 2 * S, Reason.MTIME),
    ],
)
def test_times_are_equal_within_a_tick(tick: int, apart: int, sign: int, reason: Reason) -> None:
    rule = but(EQUAL, tick=tick)
    assert verdict(rule, {"mtime": T + sign * apart}, {"mtime": T})[1] is reason
    # before 1970 too
    assert verdict(rule, {"mtime": sign * apart - 5}, {"mtime": -5})[1] is reason


@pytest.mark.parametrize(
    ("tick", "apart", "reason"),
    [(1, 0, Reason.MTIME), (1, 1, Reason.NEWER), (S, S - 1, Reason.SAME), (S, S, Reason.NEWER)],
)
def test_newer_there_begins_with_a_whole_tick(tick: int, apart: int, reason: Reason) -> None:
    rule = but(EQUAL, tick=tick, update=True)
    found = verdict(rule, {"mtime": T}, {"mtime": T + apart})[1]
    assert found is (Reason.SAME if reason is Reason.MTIME else reason)


@pytest.mark.parametrize(
    ("tick", "allowance", "changed", "written", "suspect"),
    [
        # written in the tick that the source changed in, or before: a suspect
        (S, 0, T, T, True),
        (S, 0, T + S - 1, T, True),
        (S, 0, T - 1, T, False),
        # a listing that tells whole seconds may mean any moment of them
        (S, 0, T, T + S - 1, True),
        (S, 0, T - 1, T + S - 1, False),
        (1000, 0, T, T, True),
        (1000, 0, T - 1, T, False),
        (1000, 0, T, T + 999, True),
        (1000, 0, T, T + 1000, False),
        # the change can have been later in the destination's clock than it was listed
        (S, 1, T - 1, T, True),
        (S, 5 * S, T - 5 * S, T, True),
        (S, 5 * S, T - 5 * S - 1, T, False),
        (1, 10_000_000, T - 10_000_000, T, True),
        (1, 10_000_000, T - 10_000_001, T, False),
    ],
)
def test_suspects_of_upload_times(tick: int, allowance: int, changed: int, written: int, suspect: bool) -> None:
    rule = but(UPLOAD, tick=tick, allowance=allowance)
    wanted = Reason.SUSPECT if suspect else Reason.SAME
    assert verdict(rule, {"mtime": changed}, {"mtime": written})[1] is wanted
    # "changed" counts where there is one, whatever the mtime says
    assert verdict(rule, {"mtime": T - 10**6 * S, "changed": changed}, {"mtime": written})[1] is wanted
    assert verdict(rule, {"mtime": T + 10**6 * S, "changed": changed}, {"mtime": written})[1] is wanted
    # under --update the destination is newer exactly where there is no suspicion
    newer = verdict(but(rule, update=True), {"size": 2, "mtime": changed}, {"mtime": written})[1]
    assert newer is (Reason.SIZE if suspect else Reason.NEWER)


def test_the_change_time_is_nothing_to_a_storage_that_keeps_times() -> None:
    assert verdict(EQUAL, {"mtime": T, "changed": T + 99 * S}, {"mtime": T})[1] is Reason.SAME


# settling --------------------------------------------------------------------------------------------------------


def test_settled_suspects() -> None:
    rows = decide(
        Window(page(*({"key": key, "mtime": T} for key in (b"a", b"b"))),
               page(*({"key": key, "mtime": T} for key in (b"a", b"b")))), UPLOAD,
    ).rows  # fmt: skip
    found = rows_of([settled(rows, pa.array([True, False]), Reason.DIGEST, UPLOAD)])
    assert [(row["action"], row["reason"]) for row in found] == [
        (Action.SKIP, Reason.SAME), (Action.UPDATE, Reason.DIGEST),
    ]  # fmt: skip
    assert found[0]["size"] == 1


def test_settled_suspects_may_need_their_permissions() -> None:
    keys = (b"a", b"b", b"c")
    rows = decide(
        Window(page(*({"key": key, "mtime": T, "mode": 0o644} for key in keys)),
               page(*({"key": key, "mtime": T, "mode": 0o600 if key != b"a" else 0o644} for key in keys))), UPLOAD,
    ).rows  # fmt: skip
    found = rows_of([settled(rows, pa.array([True, True, False]), Reason.MTIME, but(UPLOAD, perms=True))])
    assert [(row["action"], row["reason"]) for row in found] == [
        (Action.SKIP, Reason.SAME), (Action.METADATA, Reason.MODE), (Action.UPDATE, Reason.MTIME),
    ]  # fmt: skip


# what changed just now -------------------------------------------------------------------------------------------


def late(rule: Comparison, now: int, **facts: Any) -> bool:
    """Tell whether an entry has to wait."""
    rows = decided(NONE, facts, None).rows
    ready, waiting = split_late(rows, rule, now)
    assert ready.num_rows + waiting.num_rows == 1
    assert ready.schema.equals(PLAN)
    assert waiting.schema.equals(PLAN)
    return bool(waiting.num_rows)


@pytest.mark.parametrize("times", [Times.EQUAL, Times.UPLOAD])
@pytest.mark.parametrize(
    ("tick", "allowance", "lead", "changed", "waits"),
    [
        # now is T: the tick of the change must be over
        (S, 0, 0, T, True),
        (S, 0, 0, T - 1, False),
        (S, 0, 0, T - S, False),
        (1, 0, 0, T, True),
        (1, 0, 0, T - 1, False),
        (1, 10, 0, T - 10, True),
        (1, 10, 0, T - 11, False),
        (1000, 0, 0, T - 1, False),
        # the clock is ahead of ours by at least so much
        (S, 0, S, T, False),
        (S, 0, S, T + S, True),
        (S, 0, -S, T - S, True),
        (S, 0, -S, T - S - 1, False),
        # further ahead than five seconds and the tick it is no recent change
        (S, 0, 0, T + 4 * S, True),
        (S, 0, 0, T + 5 * S - 1, True),
        (S, 0, 0, T + 5 * S, False),
        (S, 0, 0, T + 100 * S, False),
    ],
)
def test_what_must_wait(times: Times, tick: int, allowance: int, lead: int, changed: int, waits: bool) -> None:
    rule = Comparison(times, late_tick=tick, late_allowance=allowance, late_lead=lead)
    assert late(rule, T, mtime=changed) is waits
    assert late(rule, T, mtime=T - 99 * S, changed=changed) is waits


def test_without_a_time_nothing_waits() -> None:
    assert not late(Comparison(Times.UPLOAD, late_tick=S), T, mtime=None)
    assert not late(Comparison(Times.NONE, late_tick=S), T, mtime=T)


@given(st.integers(T - 3 * S, T + 3 * S), st.sampled_from([1, 1000, S]), st.integers(0, S))
def test_waiting_ends_with_the_tick(changed: int, tick: int, allowance: int) -> None:
    rule = Comparison(Times.UPLOAD, late_tick=tick, late_allowance=allowance)
    over = ((changed + allowance) // tick + 1) * tick
    assert late(rule, over - 1, mtime=changed)
    assert not late(rule, over, mtime=changed)


def test_rows_are_split_and_not_lost() -> None:
    rows = decide(Window(page(*({"key": b"%d" % n, "mtime": T - n * S} for n in range(5))), page()), NONE).rows
    ready, waiting = split_late(rows, Comparison(Times.UPLOAD, late_tick=2 * S), T)
    assert keys_of([waiting]) == [b"0"]
    assert keys_of([ready]) == [b"1", b"2", b"3", b"4"]


# the choice of a rule --------------------------------------------------------------------------------------------


def traits(mtime: MtimeKind, tick: int = 1, **more: Any) -> Traits:
    return Traits(more.pop("family", "f"), True, KeyOrder.BYTES, mtime, tick, **more)


_SET, _UP, _NO = MtimeKind.SETTABLE, MtimeKind.UPLOAD, MtimeKind.NONE


@pytest.mark.parametrize(
    ("source", "destination", "times"),
    [
        (_SET, _SET, Times.EQUAL),
        (_UP, _SET, Times.EQUAL),
        (_SET, _UP, Times.UPLOAD),
        (_UP, _UP, Times.UPLOAD),
        (_NO, _SET, Times.NONE),
        (_NO, _UP, Times.NONE),
        (_SET, _NO, Times.NONE),
        (_NO, _NO, Times.NONE),
    ],
)
def test_what_times_can_say(source: MtimeKind, destination: MtimeKind, times: Times) -> None:
    assert comparison_for(traits(source), traits(destination), options_from({}, verb="sync")).times is times
    if times is Times.NONE:
        with pytest.raises(OptionError, match="--update"):
            comparison_for(traits(source), traits(destination), options_from({"update": True}, verb="sync"))


def test_the_precision_of_a_rule() -> None:
    options = options_from({}, verb="sync")
    equal = comparison_for(traits(_UP, 1000), traits(_SET, 1), options)
    assert (equal.tick, equal.late_tick) == (1000, 1000)
    equal = comparison_for(traits(_SET, 1, clock_error=7), traits(_SET, S), options)
    assert (equal.tick, equal.late_tick, equal.late_allowance) == (S, 1, 7)
    # clocks that may agree: every run allows for the same, whatever it happened to measure
    for clock in ((-0.4, 0.7), (-1.25, 0.0), (0.0, 1.25)):
        upload = comparison_for(traits(_SET, 1, clock_error=7), traits(_UP, S), options, (0.0, 0.0), clock)
        assert (upload.tick, upload.allowance) == (S, 5 * S // 4 + 7)
        assert (upload.late_tick, upload.late_allowance) == (S, 5 * S // 4 + 7)
        assert upload.late_lead == round(clock[0] * S)
    # clocks that differ: as far as was measured, and a later run may measure a little more
    upload = comparison_for(traits(_SET, 1, clock_error=7), traits(_UP, S), options, (0.0, 0.0), (-1.5, 2.0))
    assert (upload.allowance, upload.late_allowance, upload.late_lead) == (2 * S + 7, 13 * S // 4 + 7, -3 * S // 2)
    # what a source tells in whole seconds can have been any moment of them
    behind = comparison_for(traits(_UP, S), traits(_UP, S), options, (-3.0, -2.0), (0.0, 1.0))
    assert behind.allowance == 4 * S + S - 1
    # a destination clock that is behind makes no negative allowance; clocks that nobody measured none at all
    assert comparison_for(traits(_SET), traits(_UP, S), options, (0.0, 0.0), (-9.0, -8.0)).allowance == 0
    assert comparison_for(traits(_SET), traits(_UP, S), options).late_allowance == 0


_clock = st.tuples(st.floats(-3, 3), st.floats(0, 1.3)).map(lambda drawn: (drawn[0], drawn[0] + drawn[1]))


@given(_clock, _clock, st.floats(0, 1), st.floats(0, 1))
def test_an_allowance_covers_what_the_clocks_can_differ(
    source: tuple[float, float], destination: tuple[float, float], one: float, other: float
) -> None:
    rule = comparison_for(traits(_SET), traits(_UP, S), options_from({}, verb="sync"), source, destination)
    source_ahead = source[0] + one * (source[1] - source[0])
    destination_ahead = destination[0] + other * (destination[1] - destination[0])
    # a source change at T in our time, written right before it
    changed, written = T + round(source_ahead * S), T + round(destination_ahead * S)
    assert verdict(rule, {"mtime": changed}, {"mtime": written})[1] is Reason.SUSPECT
    assert rule.late_allowance >= rule.allowance


def test_an_etag_of_zeros_tells_nothing() -> None:
    rule = but(UPLOAD, same_kind=True)
    for etag, reason in (("0" * 32, Reason.SUSPECT), (f"{'0' * 32}-1", Reason.SUSPECT), ("0a" * 16, Reason.SAME)):
        sides = [page({"key": b"k", "mtime": moment, "etag": etag}) for moment in (T, T - S)]
        assert rows_of([decide(Window(*sides), rule).rows])[0]["reason"] == reason


@pytest.mark.parametrize(
    ("source", "destination", "same"),
    [
        ({"family": "a", "digest": "md5"}, {"family": "a", "digest": "md5"}, True),
        ({"family": "a", "digest": "md5"}, {"family": "b", "digest": "md5"}, False),
        ({"family": "a"}, {"family": "a"}, False),
    ],
)
def test_etags_are_compared_within_one_family(source: Any, destination: Any, same: bool) -> None:
    rule = comparison_for(traits(_UP, **source), traits(_UP, **destination), options_from({}, verb="sync"))
    assert rule.same_kind is same


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "by size and modification time, to 1 s"),
        ({"size_only": True}, "by size alone (--size-only)"),
        ({"checksum": True}, "by size and digest (--checksum)"),
        ({"force_update": True}, "every entry is copied (--force-update)"),
        ({"update": True}, "by size and modification time, to 1 s, never overwriting what is newer (--update)"),
    ],
)
def test_the_rule_in_words(given: dict[str, Any], words: str) -> None:
    rule = comparison_for(traits(_SET, S), traits(_SET, 1), options_from(given, verb="sync"))
    assert rule.words() == words
    assert {name: getattr(rule, name) for name in ("size_only", "checksum", "update")} == {
        name: name in given for name in ("size_only", "checksum", "update")
    }
    assert rule.force == ("force_update" in given)


@pytest.mark.parametrize(("tick", "words"), [(1, "1 ns"), (1000, "1 us"), (10**6, "1 ms"), (2 * S, "2 s")])
def test_the_precision_in_words(tick: int, words: str) -> None:
    assert but(EQUAL, tick=tick).words().endswith(f", to {words}")
