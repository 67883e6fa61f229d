"""Synchronise trees of files and objects between any two storages that fsspec reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AddressError",
    "BucketNotFound",
    "FsyncError",
    "Interrupted",
    "ListingError",
    "OptionError",
    "OrderError",
    "RuleError",
    "SafetyStop",
    "SourceNotFound",
    "SyncError",
    "SyncResult",
    "TooManyFailures",
    "UsageError",
    "async_check",
    "async_ls",
    "async_plan",
    "async_sync",
    "check",
    "ls",
    "plan",
    "resolve",
    "sync",
]

if TYPE_CHECKING:
    from fsync.api import async_check, async_ls, async_plan, async_sync, check, ls, plan, resolve, sync
    from fsync.errors import (
        AccessDenied,
        AddressError,
        BucketNotFound,
        FsyncError,
        Interrupted,
        ListingError,
        OptionError,
        OrderError,
        RuleError,
        SafetyStop,
        SourceNotFound,
        SyncError,
        TooManyFailures,
        UsageError,
    )
    from fsync.report import SyncResult


def __getattr__(name: str) -> Any:
    # Loaded at first use: pyarrow and fsspec together take longer to import than a small sync takes to run.
    if name not in __all__:
        raise AttributeError(f"module 'fsync' has no attribute {name!r}")
    import importlib

    home = "api" if name.islower() else "report" if name == "SyncResult" else "errors"
    value = getattr(importlib.import_module(f"fsync.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
