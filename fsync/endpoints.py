"""Read the host of an object address: a bare bucket, BUCKET.ENDPOINT, or ENDPOINT/BUCKET."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from fsync.schemes import Place, Provider, Scheme

_PORT = re.compile(r"(?P<host>\[[^\]/]*\]|[^:/]*)(?::(?P<port>[0-9]{1,5}))?")
_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._$-]*")
_ARN = re.compile(
    r"(?P<bucket>arn:(?:aws[a-z-]*):(?:s3|s3-outposts|s3-object-lambda):[a-z0-9-]*:[0-9]{12}:"
    r"(?:accesspoint[/:][A-Za-z0-9.-]+|outpost[/:][A-Za-z0-9-]+[/:](?:accesspoint|bucket)[/:][A-Za-z0-9.-]+))"
    r"(?:/(?P<key>.*))?",
    re.DOTALL,
)


def read_place(name: str, scheme: Scheme, text: str, *, credentials: bool) -> Place:
    """Read ``HOST[:PORT][/PATH]``, what an address of scheme ``name`` says after its credentials.

    A host is BUCKET.ENDPOINT where what follows the bucket is a known endpoint of the scheme's services, localhost or
    an IP, or where the address carries credentials; it is ENDPOINT alone, the bucket being the first of the path,
    where the whole host is such an endpoint or has a port and no dot. Else it is a bucket, dots and all.
    Raises ValueError saying what is wrong, without the text.
    """
    arn = _ARN.fullmatch(text)
    if arn:
        return Place(arn["bucket"], arn["key"] or "")
    authority, _, path = text.partition("/")
    host, port = split_port(authority)
    tail = f":{port}" if port else ""
    if name == "minio":
        return _path_form(host + tail, path, plain=True)
    if is_local_or_ip(host):
        return _path_form(host + tail, path, plain=is_loopback(host))
    for provider in scheme.providers:
        place = _known(provider, host, tail, path)
        if place:
            return place
    bucket, dot, endpoint = _bucket_before_ip(host)
    if dot:
        return Place(checked_bucket(bucket), path, endpoint + tail, style="path", plain=True)
    if credentials and "." in host:
        bucket, _, endpoint = host.partition(".")
        return Place(checked_bucket(bucket), path, endpoint + tail, style="path")
    if port and "." not in host:
        return _path_form(host + tail, path)
    if port:
        raise ValueError(
            f"cannot tell the bucket from the endpoint: give {name}://BUCKET/PREFIX/ with the storage option "
            "client_kwargs.endpoint_url, or minio://HOST:PORT/BUCKET/PREFIX/"
        )
    return Place(checked_bucket(host), path)


def _known(provider: Provider, host: str, tail: str, path: str) -> Place | None:
    match = _pattern(provider.host).fullmatch(host)
    bucket = ""
    if match is None:
        match = _pattern(rf"(?P<bucket>.+?)\.(?:{provider.host})").fullmatch(host)
        if match is None:
            return None
        bucket, endpoint = match["bucket"], host[match.end("bucket") + 1 :]
    else:
        endpoint = host
        bucket, _, path = path.partition("/")
    region = (match.groupdict().get("region") or "").lower()
    if provider.endpoint:
        endpoint = provider.endpoint.format(region=region)
    known = provider.sdk and not tail and (bool(region) or endpoint.endswith("s3.amazonaws.com"))
    return Place(
        checked_bucket(bucket), path, "" if known else endpoint.lower() + tail, region or provider.region,
        provider.style, provider=provider,
    )  # fmt: skip


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def _path_form(endpoint: str, path: str, *, plain: bool = False) -> Place:
    if not endpoint or endpoint.startswith(":"):
        raise ValueError("names no host")
    bucket, _, key = path.partition("/")
    return Place(checked_bucket(bucket), key, endpoint, style="path", plain=plain)


def _bucket_before_ip(host: str) -> tuple[str, str, str]:
    """Split ``BUCKET.127.0.0.1`` and ``BUCKET.localhost``; the middle is empty if the host is neither."""
    labels = host.split(".")
    for size in (1, 4):
        tail = ".".join(labels[-size:])
        if len(labels) > size and is_local_or_ip(tail):
            return ".".join(labels[:-size]), ".", tail
    return host, "", ""


def checked_bucket(bucket: str) -> str:
    """Return ``bucket`` if a store can have one of that name; raises ValueError otherwise."""
    if not bucket:
        raise ValueError("names no bucket")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(
            "names no possible bucket (letters, digits, dots, - and _); special characters in a key or secret are "
            "percent-escaped: %2F for /, %40 for @, %3A for :"
        )
    return bucket


def split_port(authority: str) -> tuple[str, str]:
    """Split ``HOST[:PORT]``; raises ValueError for anything else."""
    match = _PORT.fullmatch(authority)
    if match is None or (match["port"] and not 0 < int(match["port"]) < 65536):
        raise ValueError("has no valid HOST[:PORT]; special characters in credentials are percent-escaped")
    return match["host"], match["port"] or ""


def is_local_or_ip(host: str) -> bool:
    """Tell whether a host is ``localhost`` or an IP address (v6 in brackets)."""
    if host.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(host[1:-1] if host.startswith("[") else host)
    except ValueError:
        return False
    return host.startswith("[") or ":" not in host


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, where nobody has certificates."""
    if host.lower() == "localhost":
        return True
    return is_local_or_ip(host) and ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
