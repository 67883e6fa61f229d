"""botocore's own client for a bucket, made from the options of s3fs as s3fs makes it, and asked on threads.

It comes without the second HTTP stack that s3fs loads, which takes as long as a small sync: what most runs ask of a
bucket, its listing, needs no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from fsync.address import Address
from fsync.errors import OptionError
from fsync.storage.object_engine import ServiceError
from fsync.storage.running import Running
from fsync.storage.s3_session import open_session

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
        "max_pool_connections": running.threads + 16,
        **given,
    }
    # the CRC that every upload carries is signed and checked; a SHA-256 of the bytes too would cost more than both
    config["s3"] = {"payload_signing_enabled": False, **config.get("s3", {})}
    return config


def options_of(address: Address) -> dict[str, Any]:
    """Return the options of an address's filesystem, with what fsspec's own configuration adds to them."""
    from fsspec.config import conf

    return {**conf.get("s3", {}), **conf.get("s3a", {}), **address.storage_options}


def check_once(address: Address, options: Mapping[str, Any]) -> None:
    """Raise OptionError if an option of s3fs is given by two names."""
    client = options.get("client_kwargs") or {}
    for name, other in _ALIASES.items():
        if options.get(name) and options.get(other):
            raise OptionError(f"{address.given}: the storage options {name} and {other} mean the same: give one")
    for name, inner in _OWN.items():
        value = options.get(name) or options.get(_ALIASES.get(name, ""))
        if value and client.get(inner) not in (None, value):
            raise OptionError(
                f"{address.given}: the storage options {name} and client_kwargs.{inner} mean the same: give one"
            )


class S3Client:
    """A client made from options of s3fs; blocks while it is made, and raises what botocore says of them."""

    def __init__(self, options: Mapping[str, Any], running: Running) -> None:
        from botocore import UNSIGNED
        from botocore.config import Config
        from urllib3 import disable_warnings
        from urllib3.exceptions import InsecureRequestWarning

        self._running = running
        self._said = {"RequestPayer": "requester"} if options.get("requester_pays") else {}
        client = dict(options.get("client_kwargs") or {})
        config = configuration(options.get("config_kwargs") or {}, running)
        own = (
            options.get("key") or options.get("username"),
            options.get("secret") or options.get("password"),
            options.get("token"),
        )
        made = dict(zip(_KEYS, own, strict=True)) | {"endpoint_url": options.get("endpoint_url")}
        made = {name: value for name, value in made.items() if value is not None} | client
        if options.get("anon"):
            config["signature_version"] = UNSIGNED
            made = {name: value for name, value in made.items() if name not in _KEYS}
        made.setdefault("use_ssl", options.get("use_ssl", True))
        self.session = open_session(options.get("profile"))
        #: botocore's
        self.client = self.session.create_client("s3", config=Config(**config), **made)
        self._given = tuple(made.get(name) for name in _KEYS)
        #: whose certificates are trusted, as botocore's ``verify``
        self.verify = client.get("verify")
        if self.verify is False:
            # it was asked for: a warning at every request says nothing new
            disable_warnings(InsecureRequestWarning)
        if self.verify is None:
            self.verify = self.session.get_config_variable("ca_bundle")
        #: what s3fs adds to every request that takes it
        self.added: Mapping[str, Any] = options.get("s3_additional_kwargs") or {}
        self.requester_pays = bool(options.get("requester_pays"))

    @property
    def signs(self) -> bool:
        """Tell whether requests are signed."""
        from botocore import UNSIGNED

        return self.client.meta.config.signature_version is not UNSIGNED

    def keys(self) -> dict[str, Any]:
        """Return the keys to sign with as obstore wants them: given ones, else what botocore's chain says now."""
        key, secret, token = self._given
        if not key:
            found = self.session.get_credentials()
            if found is None:
                raise PermissionError("no credentials found")
            frozen = found.get_frozen_credentials()
            key, secret, token = frozen.access_key, frozen.secret_key, frozen.token
        return {
            "access_key_id": key,
            "secret_access_key": secret,
            "token": token,
            "expires_at": datetime.now(UTC) + _ASKED_AGAIN,
        }

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Make one request whose answer has no body; its errors are ServiceError, or botocore's of the connection."""
        return await self._running.asking(self._call, getattr(self.client, method), {**arguments, **self._said})

    def _call(self, method: Callable[..., dict[str, Any]], arguments: Mapping[str, Any]) -> dict[str, Any]:
        from botocore.exceptions import ClientError

        try:
            return method(**arguments)
        except ClientError as error:
            answer = error.response
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            told = answer.get("Error", {})
            raise ServiceError(status, told.get("Code", ""), told.get("Message", "")) from error

    def close(self) -> None:
        """Close the connections that nobody is waiting at."""
        self.client.close()
