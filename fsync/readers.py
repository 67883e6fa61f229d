"""Read the part of an address after its scheme: one reader a family, text -> fsspec protocol, root, storage options.

Option names are those of the constructors of s3fs, ossfs, cosfs, gcsfs, adlfs, sshfs, webdav4 and of fsspec's own hdfs,
ftp, smb and http. A reader raises ValueError saying what is wrong, without repeating any of the text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fsync.credentials import decoded
from fsync.endpoints import checked_bucket, is_loopback, read_place, split_port
from fsync.schemes import IDENTITY, KEY_OPTIONS, Place, Scheme

#: fsspec protocol, root, storage options
Read = tuple[str, str, dict[str, Any]]

SFTP_REST = re.compile(
    r"(?P<host>\[[^\]/]+\]|[^:/\[\]]+)(?::(?P<port>[0-9]{1,5})(?=[:/]|\Z))?(?P<colon>:)?(?P<path>.*)", re.DOTALL
)
_AZURE_HOST = re.compile(
    r"(?P<name>[^.]+)\.(?:(?:blob|dfs)\.)?(?P<domain>core\.[a-z0-9.-]+|[a-z0-9.-]*storage\.azure\.net)"
)
_SIGNED = re.compile(
    r"[?&](?:[a-z0-9]+[-_])*(?:signature|sig|token|credential|key|secret|password|(?:aws)?accesskeyid)=", re.IGNORECASE
)
_TLS = re.compile(r"\?tls=(?P<on>true|false|1|0)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Text:
    """An address text on its way: ``rest`` is what follows scheme and credentials."""

    name: str
    scheme: Scheme
    userinfo: str | None
    rest: str
    options: Mapping[str, Any]
    environ: Mapping[str, str]
    no_https: bool

    def plain(self, host: str) -> bool:
        """Tell whether to speak http: asked for, the scheme's own word, or a host without certificates."""
        if self.scheme.secure is not None:
            return not self.scheme.secure
        return self.no_https or is_loopback(host)


def read_sftp(text: Text) -> Read:
    found = _login(text.userinfo)
    match = SFTP_REST.fullmatch(text.rest)
    if match is None:
        if not text.rest.startswith("/"):
            raise ValueError("has no valid HOST[:PORT]: give sftp://[USER@]HOST[:PORT]/PATH")
        if not text.options.get("host"):
            raise ValueError("names no host: give sftp://[USER@]HOST[:PORT]/PATH")
        path = text.rest
    else:
        host, port = split_port(match["host"] + (f":{match['port']}" if match["port"] else ""))
        found.update(_host_options(host, port))
        path = match["path"]
    # asyncssh checks host keys against ~/.ssh/known_hosts with (), and sshfs would choose not to check them at all
    found["known_hosts"] = text.environ.get("SSH_KNOWN_HOSTS") or ()
    if text.environ.get("SSH_PRIVATE_KEY_PATH") and "password" not in found:
        found["client_keys"] = [text.environ["SSH_PRIVATE_KEY_PATH"]]
    return "sftp", _login_path(path), found


def _login_path(path: str) -> str:
    """Return an SFTP path; ``~/x``, ``/~/x``, ``./x`` and ``x`` are relative to the login directory."""
    relative = path.removeprefix("/") if path == "/~" or path.startswith("/~/") else path
    if not relative.startswith("/"):
        relative = re.sub(r"\A~(?:/+|\Z)", "", relative)
        relative = re.sub(r"\A(?:\./+)+", "", relative)
        relative = "" if relative == "." else relative
    return relative + "/" if relative and not relative.endswith("/") and names_directory(relative) else relative


def names_directory(path: str) -> bool:
    """Tell whether a path text can only mean a directory: its last component is empty, ``.`` or ``..``."""
    return path.rpartition("/")[2] in ("", ".", "..")


# object stores


def _object_place(text: Text) -> Place:
    return read_place(text.name, text.scheme, text.rest, credentials=text.userinfo is not None)


def _s3(text: Text) -> Read:
    tls = _TLS.search(text.rest) if text.name == "minio" else None
    if tls:
        text = replace(text, rest=text.rest[: tls.start()])
    place = _object_place(text)
    found = _keys(text)
    client: dict[str, Any] = {}
    named = text.options.get("endpoint_url") or _nested(text.options, "client_kwargs", "endpoint_url")
    if place.endpoint:
        plain = tls["on"].lower() in ("false", "0") if tls else place.plain or text.plain(split_port(place.endpoint)[0])
        if not named:
            client["endpoint_url"] = f"{'http' if plain else 'https'}://{place.endpoint}"
        style = "virtual" if place.provider is None and _wants_virtual_hosts(text) else place.style
        found["config_kwargs"] = {"s3": {"addressing_style": style}}
    elif text.scheme.providers and not text.name.startswith("s3") and not named:
        raise ValueError(f"needs the endpoint: give {text.name}://[AK:SK@]{text.scheme.providers[0].form}/PREFIX/")
    elif text.no_https and not named:
        found["use_ssl"] = False
    region = place.region or (text.environ.get("MINIO_REGION") or "us-east-1" if text.name == "minio" else "")
    if region:
        client["region_name"] = region
    if client:
        found["client_kwargs"] = client
    return "s3", f"{place.bucket}/{place.key}", found


def _wants_virtual_hosts(text: Text) -> bool:
    return text.name != "minio" and text.environ.get("JFS_S3_VHOST_STYLE", "").lower() in ("1", "true")


def _oss(text: Text) -> Read:
    place, found = _object_place(text), _keys(text)
    endpoint = place.endpoint
    if not endpoint and not text.options.get("endpoint") and text.environ.get(text.scheme.region_variable):
        endpoint = f"oss-{text.environ[text.scheme.region_variable]}.aliyuncs.com"
    if endpoint:
        plain = place.plain or text.plain(split_port(endpoint)[0])
        found["endpoint"] = f"{'http' if plain else 'https'}://{endpoint}"
    return "oss", f"{place.bucket}/{place.key}", found


def _cos(text: Text) -> Read:
    place, found = _object_place(text), _keys(text)
    if place.region:
        found["region"] = place.region
    if place.endpoint:
        found["endpoint"] = place.endpoint
    if place.plain or text.no_https or (place.endpoint and is_loopback(split_port(place.endpoint)[0])):
        found["scheme"] = "http"
    return "cos", f"{place.bucket}/{place.key}", found


def _keys(text: Text) -> dict[str, Any]:
    """Return the options of AK:SK[:TOKEN], from the address or from the scheme's environment variables."""
    names = KEY_OPTIONS[text.scheme.family]
    if text.userinfo is not None:
        parts = [decoded(part) for part in text.userinfo.split(":", 2)]
        if parts[0] == "anonymous" and not any(parts[1:]):
            return {} if text.scheme.family == "oss" else {"anon" if text.scheme.family == "s3" else "anonymous": True}
        if len(parts) < 2 or not parts[0] or not parts[1]:
            raise ValueError("what stands before @ is no ACCESS_KEY:SECRET_KEY (or anonymous: for no credentials)")
        return {name: part for name, part in zip(names, parts, strict=False) if part}
    if any(name in text.options for name in (*names, *IDENTITY[text.scheme.family])):
        return {}
    values = [text.environ.get(variable, "") for variable in text.scheme.variables]
    if not values or not all(values[:2]):
        return {}
    return {name: value for name, value in zip(names, values, strict=False) if value}


def _gcs(text: Text) -> Read:
    if text.userinfo is not None:
        raise ValueError("gs:// takes no key: give the storage option token=/PATH/TO/KEY.json, or use gcloud's login")
    place = _object_place(text)
    bucket = place.bucket.removesuffix(".storage.googleapis.com")
    project = text.environ.get("GOOGLE_CLOUD_PROJECT")
    found = {"project": project} if project else {}
    if place.endpoint:
        found["endpoint_url"] = f"{'http' if place.plain or text.no_https else 'https'}://{place.endpoint}"
    return "gs", f"{bucket}/{place.key}", found


def _azure(text: Text) -> Read:
    found: dict[str, Any] = {}
    userinfo, (host, _, path) = text.userinfo, text.rest.partition("/")
    match = _AZURE_HOST.fullmatch(host.lower())
    account = ""
    if userinfo is not None and ":" not in userinfo:
        if match is None:
            raise ValueError(
                "give abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH/ or wasb://ACCOUNT:KEY@CONTAINER/"
            )
        container, account = userinfo, match["name"]
    elif userinfo is not None or text.name.startswith("wasb"):
        container = match["name"] if match else host
        if userinfo is not None:
            account, _, key = (decoded(part) for part in userinfo.partition(":"))
            found["account_key"] = key
            if not account or not key:
                raise ValueError("what stands before @ is no ACCOUNT:KEY")
    elif match:
        account, (container, _, path) = match["name"], path.partition("/")
    else:
        container = host
    if account:
        found["account_name"] = account
        if match and match["domain"] != "core.windows.net":
            found["account_host"] = f"{account}.blob.{match['domain']}"
    elif not any(name in text.options for name in ("connection_string", "account_name")):
        connection = text.environ.get("AZURE_STORAGE_CONNECTION_STRING")
        found.update({"connection_string": connection} if connection else {})
    return "abfs", f"{checked_bucket(container)}/{path}", found


# file servers


def _login(userinfo: str | None) -> dict[str, Any]:
    if not userinfo:
        return {}
    user, colon, password = userinfo.partition(":")
    found = {"username": decoded(user)} if user else {}
    return {**found, "password": decoded(password)} if colon and password else found


def _host_options(host: str, port: str) -> dict[str, Any]:
    return {"host": host.strip("[]"), **({"port": int(port)} if port else {})}


def _host_and_path(text: Text) -> tuple[str, str, str]:
    authority, slash, path = text.rest.partition("/")
    host, port = split_port(authority)
    if (not host or host == "[]") and not text.options.get("host"):
        raise ValueError(f"names no host: give {text.name}://[USER@]HOST[:PORT]/PATH/")
    return host, port, slash + path or "/"


def _hdfs(text: Text) -> Read:
    authority, slash, path = text.rest.partition("/")
    if "," in authority:
        raise ValueError("names several namenodes: give the nameservice (hdfs://NAME/PATH/) and set HADOOP_CONF_DIR")
    host, port = split_port(authority)
    found = _host_options(host or text.options.get("host") or "default", port)
    login = _login(text.userinfo)
    if "password" in login:
        raise ValueError("HDFS takes a user and no password: give hdfs://[USER@]NAMENODE[:PORT]/PATH/")
    if login:
        found["user"] = login["username"]
    return "hdfs", slash + path or "/", found


def _ftp(text: Text) -> Read:
    host, port, path = _host_and_path(text)
    return "ftp", path, {**(_host_options(host, port) if host else {}), **_login(text.userinfo)}


def _smb(text: Text) -> Read:
    host, port, path = _host_and_path(text)
    if not path.strip("/"):
        raise ValueError("names no share: give smb://[USER[:PASSWORD]@]HOST/SHARE/PATH/")
    login = _login(text.userinfo)
    domain, semicolon, user = login.get("username", "").partition(";")
    if semicolon:
        login["username"] = f"{domain}\\{user}"
    path = path if path.count("/") > 1 else path + "/"
    return "smb", path, {**(_host_options(host, port) if host else {}), **login}


def _webdav(text: Text) -> Read:
    login = _login(text.userinfo)
    found: dict[str, Any] = {"auth": (login.get("username", ""), login.get("password", ""))} if login else {}
    if text.options.get("base_url"):
        return "webdav", text.rest.lstrip("/"), found
    authority, _, path = text.rest.partition("/")
    host, _ = split_port(authority)
    if not host:
        raise ValueError("names no host: give webdav://[USER:PASSWORD@]HOST[:PORT]/PATH/")
    found["base_url"] = f"{'http' if text.plain(host) else 'https'}://{authority}"
    return "webdav", path.lstrip("/"), found


def _http(text: Text) -> Read:
    authority, slash, path = text.rest.partition("/")
    if _SIGNED.search(text.rest):
        raise ValueError("a signed URL holds a secret and names one object: give the address of the storage behind it")
    if not split_port(authority)[0]:
        raise ValueError(f"names no host: give {text.name}://HOST[:PORT]/PATH/")
    login, found = _login(text.userinfo), {}
    if login:
        pair = f"{login.get('username', '')}:{login.get('password', '')}".encode("utf-8", "surrogateescape")
        header = "Basic " + base64.b64encode(pair).decode("ascii")
        found = {"client_kwargs": {"headers": {"Authorization": header}}}
    return text.name, f"{text.name}://{authority}{slash + path or '/'}", found


def _memory(text: Text) -> Read:
    return "memory", "/" + text.rest.lstrip("/"), {}


READERS: Mapping[str, Callable[[Text], Read]] = {
    "memory": _memory, "s3": _s3, "oss": _oss, "cos": _cos, "gcs": _gcs, "azure": _azure, "sftp": read_sftp,
    "webdav": _webdav, "hdfs": _hdfs, "ftp": _ftp, "smb": _smb, "http": _http,
}  # fmt: skip


def _nested(options: Mapping[str, Any], *names: str) -> Any:
    value: Any = options
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
