"""The decision, without input or output: two sorted streams of pages in, actions with reasons out.

A *window* is a pair of batches that hold all keys of both sides up to a common cut; a *comparison* says when two
entries of one key are the same. Unchanged entries never become Python objects.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum

import pyarrow as pa
import pyarrow.compute as pc

from fsync.errors import OptionError
from fsync.options import Options
from fsync.schema import PAGE, PLAN, Action, Kind, Reason, concatenate, empty_page, having, last_key, rows_up_to
from fsync.traits import MtimeKind, Traits

#: rows of one side that a window waits for, and pages at most: the first copies should not wait for many requests
_ROWS = 12_288
_PAGES = 4


class Times(Enum):
    """What the modification times of the two sides can say about each other."""

    #: the destination keeps the time that the source's listing gave
    EQUAL = "equal"
    #: the destination knows when it was written
    UPLOAD = "upload"
    #: nothing
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Comparison:
    """When an entry is the same on both sides: the rule in force and the precision of its clocks, in nanoseconds.

    ``tick`` is the coarser precision of both sides for EQUAL times, the destination's for UPLOAD times;
    ``allowance`` how much later than listed a source's change can have been in the destination's clock.
    The ``late_`` fields name the clock whose current tick must be over before an entry that changed in it is copied:
    the clock's precision, how much later than listed the change can have been in it, and how far it is at least
    ahead of ours. ``same_kind`` says that both ends belong to one family, whose ETags may be compared.
    """

    times: Times
    tick: int = 1
    allowance: int = 0
    late_tick: int = 1
    late_allowance: int = 0
    late_lead: int = 0
    same_kind: bool = False
    size_only: bool = False
    checksum: bool = False
    force: bool = False
    update: bool = False
    existing: bool = False
    ignore_existing: bool = False
    perms: bool = False
    owners: bool = True

    def words(self) -> str:
        """Return the rule as one line for people."""
        if self.force:
            rule = "every entry is copied (--force-update)"
        elif self.size_only:
            rule = "by size alone (--size-only)"
        elif self.checksum:
            rule = "by size and digest (--checksum)"
        elif self.times is Times.EQUAL:
            rule = f"by size and modification time, to {_duration(self.tick)}"
        elif self.times is Times.UPLOAD:
            rule = "by size, and by whether the source changed after the destination was written"
        else:
            rule = "by size alone: no modification times to compare here"
        return rule + (", never overwriting what is newer (--update)" if self.update else "")


def comparison_for(
    source: Traits,
    destination: Traits,
    options: Options,
    source_clock: tuple[float, float] = (0.0, 0.0),
    destination_clock: tuple[float, float] = (0.0, 0.0),
    *,
    owners: bool = True,
) -> Comparison:
    """Choose the comparison of two storages under the user's options.

    ``owners`` says that this user may set owners and groups.
    The clocks are bounds in seconds, (least, most), of how far each side's clock is ahead of ours.
    """
    if MtimeKind.NONE in (source.mtime, destination.mtime):
        times, tick = Times.NONE, 1
    elif destination.mtime is MtimeKind.SETTABLE:
        times, tick = Times.EQUAL, max(source.mtime_tick, destination.mtime_tick)
    else:
        times, tick = Times.UPLOAD, destination.mtime_tick
    if options.update and times is Times.NONE:
        raise OptionError("--update needs modification times, and one of the two storages tells none")
    skew, spread = _skew(source_clock, destination_clock)
    allowance = source.clock_error + source.mtime_tick - 1 + skew
    late = times is Times.UPLOAD
    return Comparison(
        times=times,
        tick=tick,
        allowance=allowance,
        late_tick=destination.mtime_tick if late else source.mtime_tick,
        late_allowance=allowance + spread if late else source.clock_error,
        late_lead=round((destination_clock if late else source_clock)[0] * 1e9),
        same_kind=source.family == destination.family and source.digest is not None,
        size_only=options.size_only,
        checksum=options.checksum,
        force=options.force_update,
        update=options.update,
        existing=options.existing,
        ignore_existing=options.ignore_existing,
        perms=options.perms and source.permissions and destination.permissions,
        owners=owners,
    )


#: a Date header, cut to seconds, leaves a second open, and the way of an answer takes up to a quarter more
_DATE_SPREAD = 1.25


def _skew(source: tuple[float, float], destination: tuple[float, float]) -> tuple[int, int]:
    """Return how far the destination's clock may be ahead of the source's, and how much more a later run may assume.

    The bounds that one run happens to see differ from the next's. Where they allow for clocks that agree, all runs
    assume the same: the most that can then be hidden.
    """
    sides = [clock for clock in (source, destination) if clock != (0.0, 0.0)]
    if all(-_DATE_SPREAD <= least <= 0 <= most <= _DATE_SPREAD for least, most in sides):
        return round(_DATE_SPREAD * len(sides) * 1e9), 0
    return max(0, round((destination[1] - source[0]) * 1e9)), round(_DATE_SPREAD * len(sides) * 1e9)


def _duration(nanoseconds: int) -> str:
    for unit, length in (("s", 10**9), ("ms", 10**6), ("us", 1000)):
        if nanoseconds >= length:
            return f"{nanoseconds // length} {unit}"
    return f"{nanoseconds} ns"


# the join ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """All entries of both sides from one cut to the next."""

    source: pa.RecordBatch
    destination: pa.RecordBatch


async def windows(
    source: AsyncIterator[pa.RecordBatch], destination: AsyncIterator[pa.RecordBatch]
) -> AsyncIterator[Window]:
    """Cut two streams of sorted pages into windows, at the smaller of the two last keys at hand."""
    left, right = _Side(source), _Side(destination)
    while True:
        await left.fill()
        await right.fill()
        ends = [last_key(side.held) for side in (left, right) if side.held.num_rows and not side.ended]
        if not ends:
            if left.held.num_rows or right.held.num_rows:
                yield Window(left.held, right.held)
            return
        cut = min(ends)
        yield Window(left.take(cut), right.take(cut))


class _Side:
    def __init__(self, pages: AsyncIterator[pa.RecordBatch]) -> None:
        self._pages = pages
        self.held = empty_page()
        self.ended = False

    async def fill(self) -> None:
        if self.held.num_rows or self.ended:
            return
        batches: list[pa.RecordBatch] = []
        while len(batches) < _PAGES and sum(page.num_rows for page in batches) < _ROWS:
            page = await anext(self._pages, None)
            if page is None:
                self.ended = True
                break
            if page.num_rows:
                batches.append(page)
        self.held = concatenate(batches, PAGE)

    def take(self, cut: bytes) -> pa.RecordBatch:
        rows = rows_up_to(self.held.column("key"), cut)
        taken, self.held = self.held.slice(0, rows), self.held.slice(rows)
        return taken


# the decision -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decisions:
    """What is to be done in one window: a PLAN batch over all source rows, and the destination rows nothing matches."""

    rows: pa.RecordBatch
    extras: pa.RecordBatch

    def planned(self) -> pa.RecordBatch:
        """Return the rows that are not skipped, suspects included."""
        return self.rows.filter(pc.invert(having(self.rows.column("action"), Action.SKIP)))


def decide(window: Window, comparison: Comparison) -> Decisions:
    """Compare one window; rows of the decision stand in the order of the source's keys.

    Rows whose reason is SUSPECT or UNKNOWN have the action UPDATE and may still be settled as the same.
    """
    source, destination = window.source, window.destination
    matches = pc.index_in(source.column("key"), destination.column("key"))
    other = destination.take(matches)
    rows = _plan_rows(source, other)
    action, reason = _compare(rows, matches.is_valid(), comparison)
    rows = rows.set_column(1, PLAN.field("action"), action).set_column(2, PLAN.field("reason"), reason)
    unmatched = pc.invert(pc.is_in(destination.column("key"), source.column("key")))
    return Decisions(rows, destination.filter(unmatched))


#: what tells one link or directory from another, and permissions
_FACTS = ("link", "mode", "owner", "group")


def _plan_rows(source: pa.RecordBatch, other: pa.RecordBatch) -> pa.RecordBatch:
    blank = pa.repeat(_word(Action.SKIP), source.num_rows)
    columns = [source.column("key"), blank, blank]
    columns += [source.column(name) for name in ("kind", "size", "mtime", "changed", "etag", "digest", *_FACTS)]
    columns += [other.column(name) for name in ("kind", "size", "mtime", "etag", "digest", *_FACTS)]
    return pa.RecordBatch.from_arrays(columns, schema=PLAN)


def _compare(rows: pa.RecordBatch, present: pa.BooleanArray, rule: Comparison) -> tuple[pa.Array, pa.Array]:
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
    return _actions(reason), reason


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
    foreign = pa.repeat(pa.scalar(False), rows.num_rows)
    for name in ("owner", "group"):
        foreign = pc.or_(foreign, pc.fill_null(pc.not_equal(rows.column(name), rows.column("dst_" + name)), False))
    lent = pc.and_(foreign, pa.scalar(not rule.owners))
    bits = pc.if_else(lent, pa.scalar(0o1777, pa.int32()), pa.scalar(0o7777, pa.int32()))
    mine, theirs = (pc.bit_wise_and(rows.column(side + "mode"), bits) for side in ("", "dst_"))
    apart = pc.fill_null(pc.not_equal(mine, theirs), False)
    if rule.owners:
        apart = pc.or_(apart, foreign)
    return pc.and_(apart, pc.invert(having(rows.column("kind"), Kind.LINK)))


_SKIPPED = (Reason.SAME, Reason.EXISTING, Reason.IGNORED, Reason.NEWER)


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
        same = pc.or_kleene(same, pc.equal(rows.column("etag"), rows.column("dst_etag")))
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
