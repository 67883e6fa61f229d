"""The rows of the race, as data: what is copied, from where to where, how much at once, and the target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from tests.bench.datasets import Dataset


class Where(Enum):
    """Where a tree stands."""

    LOCAL = "local"
    S3 = "S3"
    #: a bucket at another endpoint, with a server of its own
    OTHER = "S3 at another endpoint"


@dataclass(frozen=True)
class Row:
    """One job that all programs do in turn.

    In ``words`` the tree is written ``{tree}``. ``target`` is the most that fsync may take against the best peer's
    time, ``seconds`` the most that it may take itself, ``megabytes`` the most memory. With ``again`` the destination
    has everything but one file, which proves that a program has looked. ``delay`` is what the line to the server adds
    to each way, in seconds.
    """

    name: str
    words: str
    dataset: Dataset
    source: Where
    destination: Where
    in_flight: int = 10
    target: float | None = None
    seconds: float | None = None
    megabytes: int | None = None
    again: bool = False
    delay: float = 0.0

    @property
    def title(self) -> str:
        """Return the job in words."""
        return self.words.format(tree=self.dataset.words)

    def scaled(self, factor: float) -> Row:
        """Return the row with a smaller tree."""
        return replace(self, dataset=self.dataset.scaled(factor))


_KIB, _MIB = 1 << 10, 1 << 20
_SMALL = Dataset(10_000, 4 * _KIB)
_FEW = Dataset(4, 256 * _MIB)
_ONE = Dataset(1, 2048 * _MIB)
_FAR = Dataset(2_000, 4 * _KIB)
_TEN = Dataset(10, _KIB)
_STORED = Dataset(100_000, 64)
_WALKED = Dataset(200_000, 64)
_TINY = Dataset(100_000, _KIB)
_HALF = Dataset(4, 512 * _MIB)
_HOLES = Dataset(1, 10_240 * _MIB, 128 * _MIB)

_L, _S, _O = Where.LOCAL, Where.S3, Where.OTHER

ROWS: tuple[Row, ...] = (
    Row("up-10", "local → S3, {tree}, 10 in flight", _SMALL, _L, _S, 10, target=0.8),
    Row("up-50", "local → S3, {tree}, 50 in flight", _SMALL, _L, _S, 50, target=0.8),
    Row("down-10", "S3 → local, {tree}, 10 in flight", _SMALL, _S, _L, 10, target=0.8),
    Row("down-50", "S3 → local, {tree}, 50 in flight", _SMALL, _S, _L, 50, target=0.8),
    Row("within", "S3 → S3, one endpoint, {tree}", _SMALL, _S, _S, target=0.5),
    Row("across", "S3 → S3, two endpoints, {tree}", _SMALL, _S, _O, target=0.9),
    Row("large-up", "local → S3, {tree}", _FEW, _L, _S, target=1.0, megabytes=250),
    Row("large-down", "S3 → local, {tree}", _FEW, _S, _L, target=1.0, megabytes=250),
    Row("one-up", "local → S3, {tree}", _ONE, _L, _S, target=1.0, megabytes=250),
    Row("one-down", "S3 → local, {tree}", _ONE, _S, _L, target=1.0, megabytes=250),
    Row("again-s3", "S3 → S3 again, {tree} unchanged", _STORED, _S, _S, target=0.8, again=True),
    Row("again-local", "local → local again, {tree} unchanged", _WALKED, _L, _L, target=1.0, again=True),
    Row("local-small", "local → local, {tree}", _TINY, _L, _L, target=1.0),
    Row("local-large", "local → local, {tree}", _HALF, _L, _L, target=1.0),
    Row("local-sparse", "local → local, {tree} with holes", _HOLES, _L, _L, target=1.0),
    Row("far-up", "local → S3 behind 30 ms each way, {tree}", _FAR, _L, _S, target=1.0, delay=0.03),
    Row("far-down", "S3 behind 30 ms each way → local, {tree}", _FAR, _S, _L, target=1.0, delay=0.03),
    Row("start-local", "start to end, {tree}, local → local", _TEN, _L, _L, seconds=0.4),
    Row("start-s3", "start to end, {tree}, local → S3", _TEN, _L, _S, seconds=0.4),
)  # fmt: skip
