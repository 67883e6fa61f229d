"""How actions ended, one outcome a row of the plan; rows that went as planned cost no object each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import overload

import pyarrow as pa


class Status(Enum):
    """How an action ended."""

    DONE = "done"
    FAILED = "failed"
    #: failed, because the source object has to be restored before it can be read
    ARCHIVED = "archived"
    #: the source was listed but is gone: nothing to copy, nothing to delete either
    VANISHED = "vanished"
    #: another kind of entry has the name at the destination
    CLASH = "clash"
    #: the run was stopped before its turn came
    NOT_TRIED = "not tried"


@dataclass(slots=True)
class Outcome:
    """The result of one action; ``verified`` says by what, ``error`` is one line without the key."""

    key: bytes
    status: Status
    size: int = 0
    verified: str = ""
    error: str = ""
    fatal: bool = False


class Outcomes(Sequence[Outcome]):
    """The outcomes of a PLAN batch, in its order.

    ``odd`` holds, by position, those that are more than "done, the listed size, verified by ``usual``".
    """

    def __init__(self, plan: pa.RecordBatch, odd: Mapping[int, Outcome], usual: str = "") -> None:
        self._plan, self.odd, self.usual = plan, odd, usual

    def __len__(self) -> int:
        return int(self._plan.num_rows)

    @overload
    def __getitem__(self, position: int) -> Outcome: ...
    @overload
    def __getitem__(self, position: slice) -> list[Outcome]: ...
    def __getitem__(self, position: int | slice) -> Outcome | list[Outcome]:
        if isinstance(position, slice):
            return [self[number] for number in range(*position.indices(len(self)))]
        if position in self.odd:
            return self.odd[position]
        key, size = self._plan.column("key")[position].as_py(), self._plan.column("size")[position].as_py()
        return Outcome(key, Status.DONE, size or 0, self.usual)

    def __iter__(self) -> Iterator[Outcome]:
        rows = zip(self._plan.column("key").to_pylist(), self._plan.column("size").to_pylist(), strict=True)
        for position, (key, size) in enumerate(rows):
            odd = self.odd.get(position)
            yield Outcome(key, Status.DONE, size or 0, self.usual) if odd is None else odd


def odd_ones(outcomes: Sequence[Outcome]) -> tuple[Mapping[int, Outcome], str]:
    """Return, by position, the outcomes that need a look of their own, and what verified all others."""
    if isinstance(outcomes, Outcomes):
        return outcomes.odd, outcomes.usual
    return dict(enumerate(outcomes)), ""
