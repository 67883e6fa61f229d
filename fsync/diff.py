"""The decision, without input or output: a window of both sides in, actions with reasons out.

Unchanged entries never become Python objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from fsync.comparison import Comparison, Times
from fsync.criteria import EVERYTHING, Criteria
from fsync.join import Window
from fsync.schema import PLAN, Action, Kind, Reason, having


@dataclass(frozen=True, slots=True)
class Decisions:
    """What is to be done in one window: a PLAN batch over all source rows, and the destination rows nothing matches."""

    rows: pa.RecordBatch
    extras: pa.RecordBatch

    def planned(self) -> pa.RecordBatch:
        """Return the rows that are not skipped, suspects included."""
        return self.rows.filter(pc.invert(having(self.rows.column("action"), Action.SKIP)))


def decide(window: Window, comparison: Comparison, criteria: Criteria = EVERYTHING) -> Decisions:
    """Compare one window; rows of the decision stand in the order of the source's keys.

    Rows whose reason is SUSPECT or UNKNOWN have the action UPDATE and may still be settled as the same. Source rows
    that the criteria do not want are skipped; their keys match nonetheless.
    """
    source, destination = window.source, window.destination
    present, other, extras = _matched(source.column("key"), destination)
    rows = _plan_rows(source, other)
    reason = _compare(rows, present, comparison)
    if criteria:
        reason = _if(pc.invert(criteria.wanted(rows)), Reason.UNSELECTED, reason)
    action = _actions(reason)
    rows = rows.set_column(1, PLAN.field("action"), action).set_column(2, PLAN.field("reason"), reason)
    return Decisions(rows, extras)


def _matched(
    keys: pa.BinaryArray, destination: pa.RecordBatch
) -> tuple[pa.BooleanArray, pa.RecordBatch, pa.RecordBatch]:
    """Return whether the destination has each key, its rows in the keys' order, and those that match none."""
    there = destination.column("key")
    if keys.equals(there):
        return pa.repeat(pa.scalar(True, pa.bool_()), len(keys)), destination, destination.slice(0, 0)
    matches = pc.index_in(keys, there)
    unmatched = pc.invert(pc.is_in(there, keys))
    return matches.is_valid(), destination.take(matches), destination.filter(unmatched)


#: what tells one link or directory from another, and permissions
_FACTS = ("link", "mode", "owner", "group")


def _plan_rows(source: pa.RecordBatch, other: pa.RecordBatch) -> pa.RecordBatch:
    blank = pa.repeat(_word(Action.SKIP), source.num_rows)
    columns = [source.column("key"), blank, blank]
    columns += [source.column(name) for name in ("kind", "size", "mtime", "changed", "etag", "digest", *_FACTS)]
    columns += [other.column(name) for name in ("kind", "size", "mtime", "etag", "digest", *_FACTS)]
    return pa.RecordBatch.from_arrays(columns, schema=PLAN)


def _compare(rows: pa.RecordBatch, present: pa.BooleanArray, rule: Comparison) -> pa.Array:
    size, dst_size = rows.column("size"), rows.column("dst_size")
    typed = pc.fill_null(pc.not_equal(rows.column("kind"), rows.column("dst_kind")), False)
    sized = pc.not_equal(size, dst_size)
    unknown = pc.is_null(sized)
    sized = pc.fill_null(sized, False)
    later = _later(rows, rule)
    if rule.force:
        judged = _constant(rows, Reason.FORCED)
    elif rule.size_only:
        judged = _choose([(unknown, Reason.UNKNOWN), (sized, Reason.SIZE)], Reason.SAME, rows)
    elif rule.check_all:
        judged = _choose([(unknown, Reason.UNKNOWN), (sized, Reason.SIZE)], Reason.SUSPECT, rows)
    elif rule.checksum:
        judged = _choose(
            [(unknown, Reason.UNKNOWN), (sized, Reason.SIZE), (_same_digest(rows, rule), Reason.SAME)],
            Reason.SUSPECT, rows,
        )  # fmt: skip
    elif rule.times is Times.NONE:
        judged = _choose([(unknown, Reason.UNKNOWN), (sized, Reason.SIZE)], Reason.SAME, rows)
    elif rule.times is Times.EQUAL:
        apart = pc.greater_equal(pc.abs(pc.subtract(_ns(rows, "mtime"), _ns(rows, "dst_mtime"))), _int64(rule.tick))
        judged = _choose(
            [(pc.or_(unknown, pc.is_null(apart)), Reason.UNKNOWN), (sized, Reason.SIZE), (apart, Reason.MTIME)],
            Reason.SAME, rows,
        )  # fmt: skip
    else:
        judged = _choose(
            [
                (pc.or_(unknown, pc.is_null(later)), Reason.UNKNOWN),
                (sized, Reason.SIZE),
                (pc.invert(later), Reason.SAME),
                (_same_digest(rows, rule), Reason.SAME),
            ],
            Reason.SUSPECT, rows,
        )  # fmt: skip
    reason = _other_kinds(rows, judged)
    reason = _if(typed, Reason.TYPE, reason)
    if rule.update:
        newer = pc.fill_null(_newer_there(rows, rule, later), False)
        reason = _if(pc.and_(newer, pc.not_equal(reason, _word(Reason.SAME))), Reason.NEWER, reason)
    if rule.ignore_existing:
        reason = _constant(rows, Reason.IGNORED)
    reason = pc.if_else(
        present, reason, pa.scalar(int(Reason.EXISTING if rule.existing else Reason.MISSING), pa.int8())
    )
    if rule.perms:
        reason = _if(pc.and_(having(reason, Reason.SAME), _other_permissions(rows, rule)), Reason.MODE, reason)
    return reason


def _actions(reason: pa.Array) -> pa.Array:
    """Return what each reason leads to."""
    action = pc.if_else(having(reason, *_SKIPPED), _word(Action.SKIP), _word(Action.UPDATE))
    action = pc.if_else(having(reason, Reason.MISSING), _word(Action.COPY), action)
    return pc.if_else(having(reason, Reason.MODE), _word(Action.METADATA), action)


def _other_kinds(rows: pa.RecordBatch, judged: pa.Array) -> pa.Array:
    """Return the reasons of links (the same if their texts are) and directories (always the same) among files'."""
    link = having(rows.column("kind"), Kind.LINK)
    if pc.any(link).as_py():
        same = pc.fill_null(pc.equal(rows.column("link"), rows.column("dst_link")), False)
        judged = pc.if_else(link, pc.if_else(same, _word(Reason.SAME), _word(Reason.LINK)), judged)
    return _if(having(rows.column("kind"), Kind.DIRECTORY), Reason.SAME, judged)


def _other_permissions(rows: pa.RecordBatch, rule: Comparison) -> pa.BooleanArray:
    """Tell where mode, owner or group differ; links have none of their own.

    Where owners cannot be set, they do not count, nor do the bits that would lend a foreign owner's rights.
    """
    foreign = pa.repeat(pa.scalar(False, pa.bool_()), rows.num_rows)
    for name in ("owner", "group"):
        foreign = pc.or_(foreign, pc.fill_null(pc.not_equal(rows.column(name), rows.column("dst_" + name)), False))
    lent = pc.and_(foreign, pa.scalar(not rule.owners, pa.bool_()))
    bits = pc.if_else(lent, pa.scalar(0o1777, pa.int32()), pa.scalar(0o7777, pa.int32()))
    mine, theirs = (pc.bit_wise_and(rows.column(side + "mode"), bits) for side in ("", "dst_"))
    apart = pc.fill_null(pc.not_equal(mine, theirs), False)
    if rule.owners:
        apart = pc.or_(apart, foreign)
    return pc.and_(apart, pc.invert(having(rows.column("kind"), Kind.LINK)))


_SKIPPED = (Reason.SAME, Reason.EXISTING, Reason.IGNORED, Reason.NEWER, Reason.UNSELECTED)


def _word(word: Action | Reason | Kind) -> pa.Int8Scalar:
    return pa.scalar(int(word), pa.int8())


def _int64(number: int) -> pa.Int64Scalar:
    # a scalar without a type makes pyarrow look for every kind of date it knows, and import their packages
    return pa.scalar(number, pa.int64())


def _constant(rows: pa.RecordBatch, word: Reason) -> pa.Array:
    return pa.repeat(_word(word), rows.num_rows)


def _if(condition: pa.BooleanArray, word: Reason, otherwise: pa.Array) -> pa.Array:
    return pc.if_else(condition, _word(word), otherwise)


def _choose(cases: list[tuple[pa.BooleanArray, Reason]], otherwise: Reason, rows: pa.RecordBatch) -> pa.Array:
    """Return the reason of the first case that holds, row by row; null counts as not holding."""
    result = _constant(rows, otherwise)
    for condition, word in reversed(cases):
        result = _if(pc.fill_null(condition, False), word, result)
    return result


def _ns(rows: pa.RecordBatch, name: str) -> pa.Int64Array:
    return rows.column(name).cast(pa.int64())


def _changed(rows: pa.RecordBatch) -> pa.Int64Array:
    return pc.coalesce(_ns(rows, "changed"), _ns(rows, "mtime"))


def _later(rows: pa.RecordBatch, rule: Comparison) -> pa.BooleanArray:
    """Tell where the source may have changed in the tick in which the destination was written, or after it."""
    written = _ns(rows, "dst_mtime")
    tick = _int64(rule.tick)
    floor = pc.multiply(pc.divide(written, tick), tick)
    return pc.greater_equal(pc.add(_changed(rows), _int64(rule.allowance)), floor)


def _newer_there(rows: pa.RecordBatch, rule: Comparison, later: pa.BooleanArray) -> pa.BooleanArray:
    if rule.times is Times.UPLOAD:
        return pc.invert(later)
    return pc.greater_equal(pc.subtract(_ns(rows, "dst_mtime"), _ns(rows, "mtime")), _int64(rule.tick))


def _same_digest(rows: pa.RecordBatch, rule: Comparison) -> pa.BooleanArray:
    same = pc.equal(rows.column("digest"), rows.column("dst_digest"))
    if rule.same_kind:
        etag = rows.column("etag")
        # some gateways give every object an ETag of zeros
        told = pc.invert(pc.match_substring_regex(etag, r"\A[0\W]*(?:-\d+)?\z"))
        same = pc.or_kleene(same, pc.and_kleene(told, pc.equal(etag, rows.column("dst_etag"))))
    return pc.fill_null(same, False)


def settled(rows: pa.RecordBatch, same: pa.BooleanArray, otherwise: Reason, rule: Comparison) -> pa.RecordBatch:
    """Return suspects with their verdict: SAME (or MODE) where ``same`` holds, UPDATE for ``otherwise`` elsewhere."""
    reason = pc.if_else(same, _word(Reason.SAME), _word(otherwise))
    if rule.perms:
        reason = _if(pc.and_(same, _other_permissions(rows, rule)), Reason.MODE, reason)
    action = _actions(reason)
    return rows.set_column(1, PLAN.field("action"), action).set_column(2, PLAN.field("reason"), reason)


#: a change dated further ahead of our clock than this is no recent change but a wrong date
_FUTURE = 5_000_000_000


def split_late(plan: pa.RecordBatch, rule: Comparison, now: int) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Split planned rows into those that may be copied at ``now`` (nanoseconds since 1970) and those that must wait.

    What changed within a tick of the clock that later runs compare by could change once more in the same tick,
    unseen: it is copied when the tick is over.
    """
    tick = _int64(rule.late_tick)
    changed = pc.add(_changed(plan), _int64(rule.late_allowance))
    over = pc.multiply(pc.add(pc.divide(changed, tick), _int64(1)), tick)
    then = now + rule.late_lead
    waits = pc.and_(pc.greater(over, _int64(then)), pc.less(over, _int64(then + rule.late_tick + _FUTURE)))
    waits = pc.fill_null(waits, False)
    if rule.times is Times.NONE or not pc.any(waits).as_py():
        return plan, plan.slice(0, 0)
    return plan.filter(pc.invert(waits)), plan.filter(waits)
