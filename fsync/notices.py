"""What a pair of storages cannot honour of the options given: told once when a run begins, counted when it ends."""

from __future__ import annotations

from fsync.address import Address
from fsync.options import Options
from fsync.removal import Departures
from fsync.report import Report
from fsync.schemes import OBJECT_FAMILIES
from fsync.storage.base import Storage
from fsync.traits import Rename


def tell_unkept(options: Options, report: Report, source: Storage, destination: Storage) -> None:
    """Say once which options this pair of storages cannot honour."""
    src, dst = source.address, destination.address
    for storage in (source, destination):
        if options.perms and not storage.traits.permissions:
            report.notice(f"--perms has no effect: {storage.address.given} keeps no permissions")
            break
    single = [storage for storage in (source, destination) if not storage.sharded]
    if options.list_threads > 1 and single:
        report.notice(f"--list-threads: {single[0].address.given} is listed by one thread all the same")
    if options.links and source.traits.links and not destination.traits.links:
        report.notice(f"--links: {dst.given} holds no links, so links are left out")
    if options.storage_class is not None and not destination.traits.storage_classes:
        report.notice(f"--storage-class has no effect: {dst.given} has no storage classes that fsync can choose")
    if options.inplace and destination.traits.final_put and destination.traits.rename is Rename.NONE:
        report.notice(f"--inplace changes nothing: {dst.given} replaces what it holds whole")
    both = src.family in OBJECT_FAMILIES and dst.family in OBJECT_FAMILIES
    if both and not options.no_metadata and not (source.traits.metadata and destination.traits.metadata):
        report.notice(
            f"Content-Type and other metadata are not carried from {src.given} to {dst.given}: "
            "fsync can do that between storages that speak S3"
        )
    for name, ends in (
        ("--no-https", (src, dst) if options.no_https else ()),
        ("--src-no-https", (src,) if options.src_no_https else ()),
        ("--dst-no-https", (dst,) if options.dst_no_https else ()),
    ):
        if ends and not any(speaks_http(end) for end in ends):
            told = " and ".join(end.given for end in ends)
            report.notice(f"{name} has no effect: {told}: no endpoint there is reached over http")


def tell_counts(
    options: Options, report: Report, destination: Storage, departures: Departures, *, permitted: bool
) -> None:
    """Count at the end of a run what could not be kept, and what was left; ``permitted``: permissions were set."""
    copied = report.counts["copied"] + report.counts["updated"]
    if options.perms and copied and not permitted:
        report.notice(f"--perms: {copied} entries were copied without mode, owner and group")
    if options.storage_class is not None and copied and not destination.traits.storage_classes:
        report.notice(f"--storage-class: {copied} entries were copied without a class")
    if departures.fresh:
        report.notice(
            f"{departures.fresh} entries were left at the source: they changed so shortly before they were "
            "compared that another change would not show; the next run removes them"
        )
    if departures.linked:
        report.notice(
            f"{departures.linked} entries were left at the source: only a link leads to them, so removing them "
            "could reach outside of it"
        )
    if report.counts["archived"]:
        report.notice(
            f"{report.counts['archived']} objects are archived and were not copied: restore them, then run again"
        )
    if report.counts["owners_left"]:
        report.notice(
            f"--perms: {report.counts['owners_left']} entries have another owner or group at the destination, because "
            "it does not know the name or this user may not set it"
        )


def speaks_http(address: Address) -> bool:
    """Tell whether an address is reached over plain http."""
    options = address.storage_options
    named = [options.get(name) for name in ("endpoint_url", "endpoint", "base_url")]
    client = options.get("client_kwargs")
    named.append(client.get("endpoint_url") if isinstance(client, dict) else None)
    plain = options.get("use_ssl") is False or options.get("scheme") == "http"
    return plain or any(str(text).startswith("http://") for text in (*named, address.root) if text)
