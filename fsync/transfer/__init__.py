"""From a batch of planned actions to results: the same code in the loop, in a process and on another machine."""

from fsync.transfer.batch import copy_batch
from fsync.transfer.outcomes import Outcome, Status
from fsync.transfer.settle import settle_batch

__all__ = ["Outcome", "Status", "copy_batch", "settle_batch"]
