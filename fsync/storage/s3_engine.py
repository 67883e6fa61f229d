"""Options of s3fs in obstore's words: what a bucket's own botocore client does, done again by the compiled one.

Nothing is worked out twice. Options are read only to tell whether all of them are understood; where requests go, in
which style and for which region is taken from the first request that botocore has sent, and keys come from the chain
of credentials that it asks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from fsync.address import Address
from fsync.storage.object_engine import ObjectEngine, Target, is_clean
from fsync.storage.s3_client import Opened

#: options of s3fs that mean nothing to a single GET or PUT, or are read from the client they have led to
_FREE = frozenset(
    {
        *("anon", "endpoint_url", "key", "secret", "token", "username", "password", "profile", "use_ssl"),
        *("client_kwargs", "config_kwargs", "s3_additional_kwargs", "requester_pays"),
        *("default_block_size", "default_fill_cache", "default_cache_type", "max_concurrency", "fixed_upload_size"),
        *("skip_instance_cache", "use_listings_cache", "listings_expiry_time", "max_paths", "asynchronous", "loop"),
    }
)
_FREE_IN = {
    "client_kwargs": frozenset(
        {
            *("endpoint_url", "region_name", "use_ssl", "verify"),
            *("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
        }
    ),
    # responses are not validated beyond their length, requests always carry the digest of their body
    "config_kwargs": frozenset(
        {
            *("connect_timeout", "read_timeout", "retries", "max_pool_connections", "tcp_keepalive", "region_name"),
            *("signature_version", "proxies", "s3", "request_checksum_calculation", "response_checksum_validation"),
        }
    ),
    "config_kwargs.s3": frozenset(
        {
            *("addressing_style", "use_accelerate_endpoint", "use_dualstack_endpoint"),
            *("us_east_1_regional_endpoint", "payload_signing_enabled"),
        }
    ),
}
#: settings that may also be off
_FREE_IF_FALSE = frozenset({"cache_regions", "version_aware", "local_expiry_check"})

#: what s3fs adds to every request that takes it -> obstore's word; StorageClass is said object by object
_ADDED = {"ServerSideEncryption": "server_side_encryption", "SSEKMSKeyId": "sse_kms_key_id",
          "BucketKeyEnabled": "sse_bucket_key_enabled"}  # fmt: skip
_ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")

#: variables that obstore reads and botocore does not, and that no configuration of ours overrules
_ONLY_OBSTORE = re.compile(
    r"AWS_(?:SERVER_SIDE_ENCRYPTION|SSE_.*|CHECKSUM_ALGORITHM|CONDITIONAL_PUT|DEFAULT_CONTENT_TYPE|HTTP[12]_.*|PROXY_.*)",
    re.IGNORECASE,
)

#: ``Credential=KEY/DATE/REGION/s3/aws4_request`` of a signed request
_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,]*/\d{8}/([^/,]+)/s3/aws4_request,")

#: what botocore announces before it sends a listing request
_LISTINGS = "before-send.s3.ListObjectsV2"


def not_understood(address: Address, options: Mapping[str, Any]) -> str | None:
    """Return which option of s3fs keeps obstore from serving a bucket, None if all of them are understood."""
    bucket, other = address.bucket, _other_class(address)
    if other is not None:
        return f"the filesystem is a {other}, which may do more than S3FileSystem"
    if getattr(address.filesystem, "storage_args", ()):
        return "the filesystem was given options without their names"
    most = options.get("max_concurrency", 1)
    if not (isinstance(most, int) and most > 0):
        return "max_concurrency is no number of connections"
    if bucket.startswith("arn:") or bucket.endswith("--x-s3"):
        return "access points and directory buckets sign their requests in ways of their own"
    for name, value in options.items():
        if name not in _FREE and not (name in _FREE_IF_FALSE and not value):
            return f"the storage option {name} has no translation"
    for group, free in _FREE_IN.items():
        settings = options.get(group.partition(".")[0]) or {}
        if "." in group:
            settings = settings.get(group.partition(".")[2]) or {}
        for name in settings:
            if name not in free:
                return f"the storage option {group}.{name} has no translation"
    for name, value in (options.get("s3_additional_kwargs") or {}).items():
        known = name in _ADDED or name == "StorageClass"
        if not known or (name == "ServerSideEncryption" and value not in _ENCRYPTIONS):
            return f"the storage option s3_additional_kwargs.{name} has no translation"
    variable = next((name for name in os.environ if _ONLY_OBSTORE.fullmatch(name)), None)
    return variable and f"the environment variable {variable} would change what obstore sends"


def _other_class(address: Address) -> str | None:
    """Return what serves an address in place of s3fs's own class, None if nothing does."""
    given = address.filesystem
    if given is not None:
        import s3fs

        return None if type(given) is s3fs.S3FileSystem else type(given).__name__
    from fsspec.registry import known_implementations, registry

    loaded = registry.get(address.protocol)
    if loaded is not None:
        name = f"{loaded.__module__.partition('.')[0]}.{loaded.__name__}"
    else:
        name = known_implementations[address.protocol]["class"]
    return None if name == "s3fs.S3FileSystem" else name


def not_spoken(opened: Opened) -> str | None:
    """Return what a botocore client does that obstore does not, None if there is nothing."""
    config = opened.client.meta.config
    if config.signature_version not in ("s3v4", "v4") and opened.signs:
        return f"requests are signed by {config.signature_version}"
    if getattr(config, "client_cert", None) or getattr(config, "proxies_config", None):
        return "connections are opened with a certificate of the client or settings for a proxy"
    return None


class Observer:
    """Looks at the listing requests of a bucket's botocore client until one shows how the bucket is reached.

    ``way`` is the URL of the bucket itself and the region that requests are signed for, None before the first; it
    follows where botocore is sent to by the storage.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        self._client, self._bucket = client, bucket
        self.way: tuple[str, str] | None = None
        client.meta.events.register_last(_LISTINGS, self._look)

    def close(self) -> None:
        """Look at no more requests."""
        self._client.meta.events.unregister(_LISTINGS, self._look)

    def _look(self, request: Any, **_: Any) -> None:
        parts = urlsplit(request.url)
        path = unquote(parts.path).strip("/")
        # the bucket is the path or begins the host; a client that a user has handed in may ask for other buckets too
        if path != self._bucket and (path or not parts.netloc.startswith(self._bucket + ".")):
            return
        signed = request.headers.get("Authorization", b"")
        scope = _SCOPE.match(signed.decode() if isinstance(signed, bytes) else signed)
        # at once: other threads read it
        self.way = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", scope[1] if scope else ""


class S3Bodies:
    """Who carries the bodies of a bucket's objects; there once the first listing request has shown the way."""

    def __init__(self, opened: Opened, address: Address, timeout: float) -> None:
        self._opened, self._bucket, self._timeout = opened, address.bucket, timeout
        settings = (address.storage_options.get("config_kwargs") or {}).get("s3") or {}
        self._signed = settings.get("payload_signing_enabled") is not False
        self._seen = Observer(opened.client, address.bucket)
        self._engines: dict[str, ObjectEngine] = {}
        self._opened_for: tuple[str, str] | None = None

    def close(self) -> None:
        """Look at the client no more."""
        self._seen.close()

    def engine(self, key: str) -> ObjectEngine | None:
        """Return the engine for a key, None where s3fs must carry it."""
        return self._engine_for(self._bucket) if self._seen.way and is_clean(key) else None

    def copier(self, source: str) -> ObjectEngine:
        """Return the engine that copies objects of another bucket of the same store into this one.

        A request of obstore's goes to its endpoint, which is this bucket, and names as its source what the store
        object takes for its own bucket. Only where :meth:`engine` has given one.
        """
        return self._engine_for(source)

    def _engine_for(self, bucket: str) -> ObjectEngine:
        way = self._seen.way
        assert way is not None
        if way != self._opened_for:
            # also when the storage has sent botocore to another region since
            self._engines, self._opened_for = {}, way
        engine = self._engines.get(bucket)
        if engine is None:
            engine = open_engine(self._opened, bucket, way, self._timeout, signed=self._signed)
            self._engines[bucket] = engine
        return engine


def open_engine(
    opened: Opened, bucket: str, way: tuple[str, str], timeout: float, *, signed: bool = True
) -> ObjectEngine:
    """Open a bucket through obstore the way that an observed request was sent; ``signed`` over the bytes of bodies."""
    config, (endpoint, region) = opened.client.meta.config, way
    added = {_ADDED[name]: value for name, value in opened.added.items() if name in _ADDED}
    client_options: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=config.connect_timeout),
        "pool_max_idle_per_host": str(config.max_pool_connections),
        "allow_http": endpoint.startswith("http://"),
        "allow_invalid_certificates": False,
        **_proxy(endpoint, config.proxies),
        **({} if endpoint.startswith("http://") else _trust(opened.verify)),
    }
    return ObjectEngine(
        Target(
            family="s3",
            bucket=bucket,
            timeout=min(config.read_timeout, timeout) if config.read_timeout else timeout,
            config={
                # the observed URL holds the bucket whatever the style, and obstore adds nothing to it in this one
                "virtual_hosted_style_request": True,
                "endpoint": endpoint,
                "aws_endpoint_url_s3": endpoint,
                "region": region or "us-east-1",
                "skip_signature": not opened.signs,
                # fsync's own client leaves it to the CRC of its requests, which obstore does not send
                "unsigned_payload": not signed,
                "request_payer": opened.requester_pays,
                "s3_express": False,
                **added,
            },
            client=client_options,
            credentials=opened.keys if opened.signs else None,
        )
    )


def _trust(verify: str | bool | None) -> dict[str, Any]:
    """Return whose certificates are trusted: the bundle that botocore takes; the system's are trusted beside it."""
    from botocore.httpsession import get_cert_path

    if verify is False:
        return {"allow_invalid_certificates": True}
    with open(get_cert_path(True) if verify in (None, True) else verify, "rb") as file:
        return {"root_certificate": file.read()}


def _proxy(endpoint: str, configured: Mapping[str, str] | None) -> dict[str, str]:
    """Return the proxy that botocore takes for an endpoint, or that no proxy of the environment is to be taken."""
    from botocore.utils import get_environ_proxies

    parts = urlsplit(endpoint)
    chosen = get_environ_proxies(endpoint) if configured is None else configured
    if parts.scheme in chosen:
        return {"proxy_url": _as_url(chosen[parts.scheme])}
    named = next((value for name, value in os.environ.items() if name.lower().endswith("_proxy") and value), None)
    if named is None:
        return {}
    # obstore would look into the environment itself; a proxy that is named and never used keeps it from that
    return {"proxy_url": "http://127.0.0.1:9", "proxy_excludes": parts.hostname or ""}


def _as_url(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"
