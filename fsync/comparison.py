"""When an entry is the same on both sides: the rule in force, chosen from what both storages can tell."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fsync.errors import OptionError
from fsync.options import Options
from fsync.traits import MtimeKind, Traits


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
    check_all: bool = False
    force: bool = False
    update: bool = False
    existing: bool = False
    ignore_existing: bool = False
    perms: bool = False
    owners: bool = True

    @property
    def reads(self) -> bool:
        """Tell whether content decides where listings do not: suspects may be read whole on both sides."""
        return self.checksum or self.check_all

    def words(self) -> str:
        """Return the rule as one line for people."""
        if self.force:
            rule = "every entry is copied (--force-update)"
        elif self.size_only:
            rule = "by size alone (--size-only)"
        elif self.check_all:
            rule = "by content, everything read on both sides (--check-all)"
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
        check_all=options.check_all,
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
