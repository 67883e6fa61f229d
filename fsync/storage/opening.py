"""Open the private fsspec filesystem of an address."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fsync.address import Address
from fsync.errors import AccessDenied, AddressError, FsyncError, ListingError, OptionError, Redactor
from fsync.pacing import Verdict, classify, describe

#: distribution that provides a protocol, where it is not the name fsspec's own error says
_DISTRIBUTIONS = {"hdfs": "hdfs-native", "smb": "smbprotocol"}


def open_filesystem(
    address: Address, changed: Mapping[str, Any] | None = None, *, without: Collection[str] = ()
) -> Any:
    """Return an fsspec filesystem of this run's own, without instance or listing cache.

    ``changed`` are constructor arguments that stand in for storage options of the same name, ``without`` options that
    the family has used up. A filesystem that the user
    handed in is used as it is, because its state (an in-memory store, a chained target) cannot be made again from its
    options; one that belongs to another event loop is opened anew. Raises AddressError for a protocol whose package
    is missing, OptionError for options that the package does not take, and ListingError or AccessDenied where the
    package already opens what it names: a chained archive, a connection.
    """
    given = address.filesystem
    if given is not None and not getattr(given, "asynchronous", False):
        given.invalidate_cache()
        return given
    kept = {name: value for name, value in address.storage_options.items() if name not in without}
    options = {**kept, **(changed or {})}
    caches = {"skip_instance_cache": True, "use_listings_cache": False}
    if address.family == "sftp":
        # sshfs hands what it does not know to asyncssh, which refuses it, and it keeps no listings
        del caches["use_listings_cache"]
    try:
        if given is not None:
            return type(given)(*given.storage_args, **{**given.storage_options, "asynchronous": False, **caches})
        return filesystem_class(address)(**options, **caches)
    except TypeError as error:
        hidden = Redactor(address.secrets)
        raise OptionError(
            f"{address.given}: the storage options do not fit {address.protocol}: {hidden(error)}"
        ) from None
    except FsyncError:
        raise
    except Exception as error:
        kind = AccessDenied if classify(error) is Verdict.DENIED else ListingError
        raise kind(f"cannot open {address.given}: {Redactor(address.secrets)(describe(error))}") from error


def filesystem_class(address: Address) -> Any:
    """Return the fsspec class of an address's protocol; raises AddressError with the line that installs it."""
    import fsspec

    try:
        return fsspec.get_filesystem_class(address.protocol)
    except ValueError:
        raise AddressError(f"{address.given}: no storage is known as {address.protocol}://") from None
    except ImportError as error:
        package = _DISTRIBUTIONS.get(address.protocol)
        wanted = f"pip install {package}" if package else str(error).strip()
        raise AddressError(f"{address.given}: the package for {address.protocol}:// is missing: {wanted}") from None
