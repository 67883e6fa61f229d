"""Whatever the two storages: after a sync the destination equals the source, and a second run has nothing to do."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from tests.matrix.pair import Pair
from tests.matrix.sides import PAIRS, SIDES, Places, Side, holdable
from tests.strategies import Edit, Tree, apply, edits, trees

_FUZZ = int(os.environ.get("FSYNC_FUZZ", "0"))
pytestmark = pytest.mark.timeout(240 + 60 * _FUZZ)


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
    # where a name is refused nothing is deleted, so nothing gives way either
    kinds_change = within and destination.resolves_clashes
    same_time_is_seen = not (source.own_times and destination.sets_mtime)
    for _ in range(draw(st.integers(1, 2))):
        made = draw(edits(now, **shape, beside=before, rewrites=same_time_is_seen, kinds_change=kinds_change))
        for edit in made:
            apply(now, edit)
        rounds.append(made)
    return Scenario(before, tree, rounds)


@pytest.mark.parametrize(("source", "destination"), PAIRS, ids=map("-".join, PAIRS))
def test_a_sync_makes_both_ends_equal_and_a_second_one_does_nothing(
    source: str, destination: str, places: Places
) -> None:
    check_pair(source, destination, places)


@pytest.mark.parametrize(("source", "destination"), [("local", "moto"), ("moto", "local"), ("moto", "seaweed")])
def test_the_same_with_all_bytes_carried_by_s3fs(source: str, destination: str, places: Places) -> None:
    check_pair(source, destination, places, engine="fsspec")


def check_pair(source: str, destination: str, places: Places, **options: Any) -> None:
    """Sync generated trees through rounds of edits, each time looking at both ends."""
    # a sync waits for a clock that ticks once a second, so few examples there, with many keys and edits each
    slow = max(SIDES[source].tick, SIDES[destination].tick) >= 1_000_000_000

    @settings(
        max_examples=_FUZZ or (2 if slow else 25),
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
        pair.options |= options
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
