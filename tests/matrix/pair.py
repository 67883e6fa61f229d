"""Two ends and the sync between them, judged by what an independent reader finds."""

from __future__ import annotations

from typing import Any

import fsync
from tests.matrix.sides import Side, is_marker
from tests.strategies import Tree, folded


class Pair:
    """A source and a destination."""

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
        dst = self.dst
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
        assert _changed(before, after) <= set(result.changed_keys()) <= {*fit, *extras}
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
