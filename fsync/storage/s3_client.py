"""botocore's own client for a bucket, made from the options of s3fs as s3fs makes it, and asked on threads.

It comes without the second HTTP stack that s3fs loads, which takes as long as a small sync, and reads large bodies with
less work than obstore.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from fsync.address import Address
from fsync.errors import OptionError, ShortRead
from fsync.pacing import describe
from fsync.storage.object_engine import ServiceError
from fsync.storage.running import Running
from fsync.storage.s3_session import open_session
from fsync.storage.upload import FLOW

#: obstore asks for keys again when they have less than five minutes left, so this asks botocore once a minute
_ASKED_AGAIN = timedelta(minutes=6)

#: botocore's words for the keys
_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")

#: options that have another name too, and those that may also stand in client_kwargs, with their name there
_ALIASES = {"key": "username", "secret": "password"}
_OWN = {"endpoint_url": "endpoint_url", "key": _KEYS[0], "secret": _KEYS[1], "token": _KEYS[2]}


def configuration(given: Mapping[str, Any], running: Running) -> dict[str, Any]:
    """Return the ``config_kwargs`` of a client: given ones, and this run's timeouts; fsync alone counts attempts."""
    config = {
        "connect_timeout": min(running.timeout, 20),
        "read_timeout": running.timeout,
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "max_pool_connections": running.threads + running.list_threads + 16,
        **given,
    }
    # the CRC that every upload carries is signed and checked; a SHA-256 of the bytes too would cost more than both
    config["s3"] = {"payload_signing_enabled": False, **config.get("s3", {})}
    return config


def options_of(address: Address) -> dict[str, Any]:
    """Return the options of an address's filesystem, with what fsspec's own configuration adds to them.

    What is None in ``client_kwargs`` is left out where it would hide an option. Raises OptionError if one is given by
    two names.
    """
    from fsspec.config import conf

    options = {**conf.get("s3", {}), **conf.get("s3a", {}), **address.storage_options}
    if isinstance(options.get("client_kwargs"), Mapping):
        client = options["client_kwargs"].items()
        options["client_kwargs"] = {
            name: value for name, value in client if value is not None or name not in _OWN.values()
        }
    _check_once(address, options)
    return options


def _check_once(address: Address, options: Mapping[str, Any]) -> None:
    for name, other in _ALIASES.items():
        if options.get(name) and options.get(other):
            raise OptionError(f"{address.given}: the storage options {name} and {other} mean the same: give one")
    client = options.get("client_kwargs") or {}
    for name, inner in _OWN.items():
        value = _given(options, name)
        if options.get("anon") and inner in _KEYS:
            continue
        if value is not None and client.get(inner, value) != value:
            raise OptionError(
                f"{address.given}: the storage options {name} and client_kwargs.{inner} mean the same: give one"
            )


def _given(options: Mapping[str, Any], name: str) -> Any:
    return options.get(_ALIASES.get(name, "")) or options.get(name)


class Opened(ABC):
    """A client of botocore's, and what else there is to know of how it makes its requests."""

    #: botocore's
    client: Any
    #: what s3fs adds to every request that takes it
    added: Mapping[str, Any]
    requester_pays: bool
    #: whose certificates are trusted, as botocore's ``verify``
    verify: Any

    @property
    def signs(self) -> bool:
        """Tell whether requests are signed."""
        from botocore import UNSIGNED

        return self.client.meta.config.signature_version is not UNSIGNED

    def keys(self) -> dict[str, Any]:
        """Return the keys to sign with as obstore wants them: given ones, else what botocore's chain says now.

        A blocking call, not for the thread of the loop that the client belongs to.
        """
        key, secret, token = self._keys()
        return {
            "access_key_id": key,
            "secret_access_key": secret,
            "token": token,
            "expires_at": datetime.now(UTC) + _ASKED_AGAIN,
        }

    @abstractmethod
    def _keys(self) -> tuple[str, str, str | None]:
        """Return key, secret and token."""


class GivenClient(Opened):
    """The client of an S3FileSystem that a user has handed in, whatever has been done to it since it was made."""

    def __init__(self, fs: Any, client: Any) -> None:
        self.client, self.added, self.requester_pays = client, fs.s3_additional_kwargs, bool(fs.requester_pays)
        self.verify = fs.client_kwargs.get("verify")
        if self.verify is None:
            self.verify = fs.session.get_config_variable("ca_bundle")
        inner = fs.client_kwargs
        self._own = tuple(
            inner.get(name) if own is None else own
            for name, own in zip(_KEYS, (fs.key, fs.secret, fs.token), strict=True)
        )
        self._session, self._loop = fs.session, asyncio.get_running_loop()

    def _keys(self) -> tuple[str, str, str | None]:
        key, secret, token = self._own
        if key is not None:
            return key, secret, token
        return asyncio.run_coroutine_threadsafe(self._asked(), self._loop).result()

    async def _asked(self) -> tuple[str, str, str | None]:
        found = await self._session.get_credentials()
        if found is None:
            raise PermissionError("no credentials found")
        frozen = await found.get_frozen_credentials()
        return frozen.access_key, frozen.secret_key, frozen.token


class S3Client(Opened):
    """A client made from options of s3fs; blocks while it is made, and raises what botocore says of them."""

    def __init__(self, options: Mapping[str, Any], running: Running) -> None:
        from botocore import UNSIGNED
        from botocore.config import Config
        from urllib3 import disable_warnings
        from urllib3.exceptions import InsecureRequestWarning

        self._running = running
        inner = dict(options.get("client_kwargs") or {})
        config = configuration(options.get("config_kwargs") or {}, running)
        # what belongs to a range is for the server to say, and not all say it right
        config.setdefault("response_checksum_validation", "when_required")
        made = {own: _given(options, name) for name, own in _OWN.items()}
        made = {name: value for name, value in made.items() if value is not None} | inner
        if options.get("anon"):
            config["signature_version"] = UNSIGNED
            made = {name: value for name, value in made.items() if name not in _KEYS}
        made.setdefault("use_ssl", options.get("use_ssl", True))
        self._session = open_session(options.get("profile"))
        self.client = self._session.create_client("s3", config=Config(**config), **made)
        self._own = tuple(made.get(name) for name in _KEYS)
        self.added = options.get("s3_additional_kwargs") or {}
        self.requester_pays = bool(options.get("requester_pays"))
        self.verify = inner.get("verify")
        if self.verify is False:
            # it was asked for: a warning at every request says nothing new
            disable_warnings(InsecureRequestWarning)
        if self.verify is None:
            self.verify = self._session.get_config_variable("ca_bundle")
        self._always = {**self.added, **({"RequestPayer": "requester"} if self.requester_pays else {})}
        #: as many requests at once, and as many ranges, as connections that are kept
        most = self.client.meta.config.max_pool_connections or 1
        self._room, self._reading = asyncio.Semaphore(most), threading.BoundedSemaphore(most)

    def _keys(self) -> tuple[str, str, str | None]:
        key, secret, token = self._own
        if key is None or secret is None:
            found = self._session.get_credentials()
            if found is None:
                raise PermissionError("no credentials found")
            frozen = found.get_frozen_credentials()
            key, secret, token = frozen.access_key, frozen.secret_key, frozen.token
        return key, secret, token

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Make one request whose answer has no body; its errors are ServiceError, or botocore's of the connection."""
        async with self._room:
            return await self._running.ask(self._call, method, arguments)

    def pieces(
        self, bucket: str, key: str, etag: str | None, size: int, span: tuple[int, int]
    ) -> Generator[memoryview]:
        """Yield the bytes of a range of one version as they come, by blocking calls, on any thread.

        Raises as :meth:`call` does, and ShortRead, before the first piece, for an object of more than ``size`` bytes.
        """
        from botocore.exceptions import IncompleteReadError
        from urllib3.exceptions import HTTPError

        pin = {"IfMatch": f'"{etag}"'} if etag else {}
        asked = {"Bucket": bucket, "Key": key, "Range": f"bytes={span[0]}-{span[1] - 1}", **pin}
        with self._reading:
            answer = self._call("get_object", asked)
            with closing(answer["Body"]) as body:
                _check_range(answer, size, span)
                try:
                    while piece := body.read(FLOW // 2):
                        yield memoryview(piece)
                except (HTTPError, IncompleteReadError) as error:
                    raise ConnectionError("the connection was lost before the end") from error

    def _call(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        from botocore.exceptions import ClientError, ProxyConnectionError, SSLError

        try:
            answer: dict[str, Any] = getattr(self.client, method)(**{**self._added(method), **arguments})
            return answer
        except ClientError as error:
            answer = error.response
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            told = answer.get("Error", {})
            raise ServiceError(status, told.get("Code", ""), told.get("Message", "")) from error
        except (SSLError, ProxyConnectionError) as error:
            # what ends a connection while it is opened or written to; a certificate does not become right
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise
            raise ConnectionError(describe(error)) from error

    def _added(self, method: str) -> dict[str, Any]:
        """Return what is added to every request that takes it."""
        if not self._always:
            return {}
        meta = self.client.meta
        taken = meta.service_model.operation_model(meta.method_to_api_mapping[method]).input_shape.members
        return {name: value for name, value in self._always.items() if name in taken}

    def close(self) -> None:
        """Close the connections that nobody is waiting at."""
        self.client.close()


def _check_range(answer: Mapping[str, Any], size: int, span: tuple[int, int]) -> None:
    """Raise ShortRead unless the answer to a GET is a range of an object of at most ``size`` bytes."""
    sent = answer.get("ContentRange", "")
    total = sent.rpartition("/")[2]
    if total.isdecimal() and int(total) > size:
        raise ShortRead(f"the server sends more than the {size} bytes of the listing")
    whole = not sent and span == (0, size) and answer.get("ContentLength") == size
    if not whole and not sent.startswith(f"bytes {span[0]}-{span[1] - 1}/"):
        raise ShortRead("the server does not send the range that it was asked for")


def reread(head: dict[str, Any]) -> dict[str, Any]:
    """Return a HEAD's answer with its headers read as UTF-8, as s3fs's client reads them; http.client takes latin-1."""
    return {
        name: {inner: _utf8(text) for inner, text in value.items()} if name == "Metadata" else _utf8(value)
        for name, value in head.items()
    }


def _utf8(value: Any) -> Any:
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value
