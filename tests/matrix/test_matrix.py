"""Whatever the two storages: after a sync the destination equals the source, and a second run has nothing to do."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

import fsync
from tests.matrix.sides import SIDES, Places, Side, holdable, is_marker
from tests.strategies import Edit, Tree, apply, edits, folded, trees

#: a sync may wait for the clock of a store to tick, so a few examples with many keys and edits
_FUZZ = int(os.environ.get("FSYNC_FUZZ", "0"))
_EXAMPLES = _FUZZ or 6
pytestmark = pytest.mark.timeout(60 + 30 * _EXAMPLES)

PAIRS = list(product(SIDES, SIDES))


@dataclass(frozen=True)
class Scenario:
    """What stands at the destination first, the source's tree, and rounds of edits, each followed by a sync."""

    before: Tree
    tree: Tree
    rounds: list[list[Edit]]


@st.composite
def scenarios(draw: st.DrawFn, source: type[Side], destination: type[Side]) -> Scenario:
    """Scenarios in the domain of both ends, or with keys that only the source can hold."""
    writable = holdable(source)
    within = draw(st.booleans())
    shape: dict[str, Any] = {
        "components": source.components,
        "domain": (lambda key: writable(key) and destination.holds(key)) if within else writable,
        "file_like": source.file_like or destination.file_like,
    }
    tree = draw(trees(**shape, least=1, most=14))
    before = {}
    if draw(st.booleans()):
        before = draw(
            trees(
                components=destination.components,
                domain=destination.holds,
                file_like=shape["file_like"],
                most=6,
                beside=tree,
            )
        )
        for key in draw(st.lists(st.sampled_from(sorted(tree)), max_size=4, unique=True)):
            if destination.holds(key):
                size = len(tree[key])
                before[key] = draw(st.sampled_from([tree[key], b"?" * size, b"?" * (size + 1)]))
    rounds = []
    now = dict(tree)
    same_time_is_seen = not (source.own_times and destination.sets_mtime)
    for _ in range(draw(st.integers(1, 2))):
        made = draw(
            edits(now, **shape, beside=before, rewrites=same_time_is_seen, kinds_change=destination.resolves_clashes)
        )
        for edit in made:
            apply(now, edit)
        rounds.append(made)
    return Scenario(before, tree, rounds)


class Pair:
    """Two ends and the sync between them, judged by what an independent reader finds."""

    def __init__(self, src: Side, dst: Side) -> None:
        self.src, self.dst = src, dst
        self.options = {
            "src_storage_options": src.storage_options,
            "dst_storage_options": dst.storage_options,
            "delete_dst": True,
        }

    def sync(self, **options: Any) -> fsync.SyncResult:
        """Sync; failures of single keys come back in the result."""
        return fsync.sync(self.src.address, self.dst.address, raise_on_error=False, **{**self.options, **options})

    def planned(self, **options: Any) -> dict[bytes, str]:
        """Return the planned actions by key."""
        table = fsync.plan(self.src.address, self.dst.address, **{**self.options, **options}).read_all()
        assert len(set(table["key"].to_pylist())) == table.num_rows
        return dict(zip(table["key"].to_pylist(), table["action"].to_pylist(), strict=True))

    def check_sync(self, tree: Tree) -> None:
        """Sync and compare everything with what the tree at the source demands; sync again: nothing happens."""
        src, dst = self.src, self.dst
        before, outside = dst.read_all(), dst.outside()
        wanted = {key: data for key, data in tree.items() if not is_marker(key, data)}
        fit = {key: data for key, data in wanted.items() if dst.holds(key)}
        refused = set(wanted) - set(fit)
        extras = {key: data for key, data in before.items() if key not in wanted}

        result = self.sync()
        after = dst.read_all()
        assert {failure.key: failure.error for failure in result.failures}.keys() == refused, result.failures
        assert (result.failed, result.exit_code, result.complete) == (len(refused), int(bool(refused)), True)
        kept = self._kept(result, extras, refused)
        assert after == {**fit, **kept}
        assert result.deleted == len(extras) - len(kept)
        assert set(result.changed_keys()) == _changed(before, after) | (set(result.changed_keys()) & set(fit))
        self._check_around(tree, outside)

        # names that a folding file system would take for one just written go with the next run
        late = {key for key in kept if not is_marker(key, kept[key])} if not refused else set()
        left = {key for key in kept if folded(key) not in {folded(other) for other in refused}} if refused else late
        assert self.planned() == {**dict.fromkeys(refused, "copy"), **dict.fromkeys(left, "delete")}
        again = self.sync()
        assert (again.copied, again.updated, again.deleted, again.failed) == (0, 0, len(late), len(refused))
        assert dst.read_all() == {key: data for key, data in after.items() if key not in late}
        if late:
            assert self.planned() == {}
        self._check_around(tree, outside)

    def _kept(self, result: fsync.SyncResult, extras: Tree, refused: set[bytes]) -> dict[bytes, bytes]:
        """Return the extras that a sync must leave alone."""
        if refused:
            return dict(extras)
        rows = result.table()
        written = {
            folded(key)
            for key, action in zip(rows["key"].to_pylist(), rows["action"].to_pylist(), strict=True)
            if action != "delete"
        }
        return {key: data for key, data in extras.items() if folded(key) in written or is_marker(key, data)}

    def _check_around(self, tree: Tree, outside: object) -> None:
        """Check what a sync must not touch, and the times it sets."""
        assert self.src.read_all() == tree
        assert self.dst.outside() == outside
        if self.dst.sets_mtime:
            theirs, mine = self.src.mtimes(), self.dst.mtimes()
            apart = {key: mine[key] - theirs[key] for key in mine if key in theirs and self.dst.holds(key)}
            assert all(abs(difference) < max(self.src.tick, self.dst.tick) for difference in apart.values()), apart


def _changed(before: Tree, after: Tree) -> set[bytes]:
    return {key for key in {*before, *after} if before.get(key) != after.get(key)}


@pytest.mark.parametrize(("source", "destination"), PAIRS, ids=map("-".join, PAIRS))
def test_a_sync_makes_both_ends_equal_and_a_second_one_does_nothing(
    source: str, destination: str, places: Places
) -> None:
    @settings(
        max_examples=_EXAMPLES,
        phases=tuple(Phase) if _FUZZ else (Phase.explicit, Phase.generate),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(scenarios(SIDES[source], SIDES[destination]))
    def converges(scenario: Scenario) -> None:
        src, dst = places(source, destination)
        # first, so that nothing at the source is older than it
        dst.fill(scenario.before)
        dst.age()
        src.fill(scenario.tree)
        pair, tree = Pair(src, dst), dict(scenario.tree)
        pair.check_sync(tree)
        for number, made in enumerate(scenario.rounds):
            note(f"round {number}")
            for edit in made:
                src.edit(edit)
                apply(tree, edit)
            pair.check_sync(tree)

    if not _FUZZ:
        # every pair has its own examples, the same on every run
        converges = seed(zlib.crc32(f"{source}-{destination}".encode()))(converges)
    converges()
