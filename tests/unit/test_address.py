"""Addresses: every form, what it becomes, what it never shows."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import fsspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fsync.address import Address, parse
from fsync.errors import AddressError, Redactor
from fsync.schemes import NEAREST, SCHEMES


def nothing(_: str) -> bool:
    return False


def read(text: Any, options: Mapping[str, Any] | None = None, **environ: str) -> Address:
    return parse(text, options=options, environ=environ, exists=nothing)


def s3(endpoint: str = "", region: str = "", style: str = "path", **more: Any) -> dict[str, Any]:
    client = {"endpoint_url": endpoint, "region_name": region}
    options: dict[str, Any] = {"config_kwargs": {"s3": {"addressing_style": style}}} if endpoint else {}
    found = {name: value for name, value in client.items() if value}
    return {**options, **({"client_kwargs": found} if found else {}), **more}


AKSK = {"key": "AK", "secret": "SK"}

OBJECTS: list[tuple[str, str, dict[str, Any]]] = [
    # the plain fsspec form
    ("s3://b", "b/", {}),
    ("s3://b/", "b/", {}),
    ("s3://b/p", "b/p", {}),
    ("s3://b/p/", "b/p/", {}),
    ("S3://b/P/", "b/P/", {}),
    ("s3a://b/p/", "b/p/", {}),
    ("s3://b//p//", "b//p//", {}),
    ("s3://b/a%20b?c#d+e::f/", "b/a%20b?c#d+e::f/", {}),
    ("s3://my.dotted.bucket/p/", "my.dotted.bucket/p/", {}),
    ("s3://b/u@example.com/", "b/u@example.com/", {}),
    ("s3://b/a:b@c/", "b/a:b@c/", {}),
    # credentials
    ("s3://AK:SK@b/p/", "b/p/", AKSK),
    ("s3://AK:SK:TO%2FK@b/p/", "b/p/", {**AKSK, "token": "TO/K"}),
    ("s3://AK:S/K@b/p/", "b/p/", {"key": "AK", "secret": "S/K"}),
    ("s3://AK:/S+K/@b/p@q/", "b/p@q/", {"key": "AK", "secret": "/S+K/"}),
    ("s3://AK:S@K@b/p@q/", "b/p@q/", {"key": "AK", "secret": "S@K"}),
    ("s3://AK:S%2BK@b/", "b/", {"key": "AK", "secret": "S+K"}),
    ("s3://AK:S%2BK%@b/", "b/", {"key": "AK", "secret": "S%2BK%"}),
    ("s3://AK:S+K@b/", "b/", {"key": "AK", "secret": "S+K"}),
    ("s3://AK:S?K#@b/", "b/", {"key": "AK", "secret": "S?K#"}),
    ("s3://anonymous:@b/p/", "b/p/", {"anon": True}),
    ("oss://anonymous:@b/p/", "b/p/", {}),
    ("cos://anonymous:@b/p/", "b/p/", {"anonymous": True}),
    # Amazon's endpoints
    ("s3://b.s3.us-west-1.amazonaws.com/p/", "b/p/", s3(region="us-west-1")),
    ("s3://b.s3-eu-west-1.amazonaws.com/p/", "b/p/", s3(region="eu-west-1")),
    ("s3://b.s3.amazonaws.com/p/", "b/p/", {}),
    ("s3://b.S3.US-WEST-1.amazonaws.com/p/", "b/p/", s3(region="us-west-1")),
    ("s3://b.s3.cn-north-1.amazonaws.com.cn/p/", "b/p/", s3(region="cn-north-1")),
    ("s3://b.s3.us-gov-east-1.amazonaws.com/p/", "b/p/", s3(region="us-gov-east-1")),
    ("s3://my.s3.b.s3.us-east-2.amazonaws.com/p/", "my.s3.b/p/", s3(region="us-east-2")),
    ("s3://s3.us-west-1.amazonaws.com/b/p/", "b/p/", s3(region="us-west-1")),
    (
        "s3://b.s3.dualstack.us-west-1.amazonaws.com/p/",
        "b/p/",
        s3("https://s3.dualstack.us-west-1.amazonaws.com", "us-west-1", "virtual"),
    ),
    ("s3://b.s3-accelerate.amazonaws.com/p/", "b/p/", s3("https://s3-accelerate.amazonaws.com", "", "virtual")),
    (
        "s3://b.bucket.vpce-1a2b-3c.s3.us-east-1.vpce.amazonaws.com/p/",
        "b/p/",
        s3("https://bucket.vpce-1a2b-3c.s3.us-east-1.vpce.amazonaws.com", "us-east-1", "virtual"),
    ),
    (
        "s3://arn:aws:s3:us-west-2:123456789012:accesspoint/ap/k@x/",
        "arn:aws:s3:us-west-2:123456789012:accesspoint/ap/k@x/",
        {},
    ),
    # localhost and IPs
    ("s3://AK:SK@127.0.0.1:38333/bkt/p/", "bkt/p/", s3("http://127.0.0.1:38333", **AKSK)),
    ("s3://localhost:9000/bkt/u@x/", "bkt/u@x/", s3("http://localhost:9000")),
    ("s3://AK:SK@[::1]:9000/bkt/p/", "bkt/p/", s3("http://[::1]:9000", **AKSK)),
    ("s3://AK:SK@10.0.0.5/bkt/p/", "bkt/p/", s3("https://10.0.0.5", **AKSK)),
    ("s3://bkt.10.0.0.5:9000/p/", "bkt/p/", s3("http://10.0.0.5:9000")),
    ("s3://my.bkt.localhost:9000/p/", "my.bkt/p/", s3("http://localhost:9000")),
    # endpoints nobody knows
    ("s3://AK:SK@bkt.store.corp:9000/p/", "bkt/p/", s3("https://store.corp:9000", **AKSK)),
    ("s3://AK:SK@store:9000/bkt/p/", "bkt/p/", s3("https://store:9000", **AKSK)),
    ("s3://store:9000/bkt/p/", "bkt/p/", s3("https://store:9000")),
    # MinIO
    ("minio://AK:SK@h:9000/b/p/", "b/p/", s3("http://h:9000", "us-east-1", **AKSK)),
    ("minio://AK:S/K@h:9000/b/p@q/", "b/p@q/", s3("http://h:9000", "us-east-1", key="AK", secret="S/K")),
    ("minio://h.corp/b", "b/", s3("http://h.corp", "us-east-1")),
    ("minio://h:9000/b/u@x", "b/u@x", s3("http://h:9000", "us-east-1")),
    ("minio://[2001:db8::1]:9000/b/p/", "b/p/", s3("http://[2001:db8::1]:9000", "us-east-1")),
    ("minio://h:9000/b/p/?tls=true", "b/p/", s3("https://h:9000", "us-east-1")),
    ("minio://h:9000/b/p/?tls=false", "b/p/", s3("http://h:9000", "us-east-1")),
    ("minio://h:9000/b/p?x=1/", "b/p?x=1/", s3("http://h:9000", "us-east-1")),
    # other services that speak S3
    *(
        (f"{name}://AK:SK@{host}/p/", "b/p/", s3(f"https://{endpoint}", region, style, **AKSK))
        for name, host, endpoint, region, style in [
            ("b2", "b.s3.us-west-004.backblazeb2.com", "s3.us-west-004.backblazeb2.com", "us-west-004", "virtual"),
            ("wasabi", "b.s3.us-east-1.wasabisys.com", "s3.us-east-1.wasabisys.com", "us-east-1", "virtual"),
            ("wasabi", "b.s3.wasabisys.com", "s3.wasabisys.com", "", "virtual"),
            ("space", "b.nyc3.digitaloceanspaces.com", "nyc3.digitaloceanspaces.com", "nyc3", "virtual"),
            ("scw", "b.s3.nl-ams.scw.cloud", "s3.nl-ams.scw.cloud", "nl-ams", "virtual"),
            (
                "ibmcos",
                "b.s3.us-east.cloud-object-storage.appdomain.cloud",
                "s3.us-east.cloud-object-storage.appdomain.cloud",
                "us-east",
                "path",
            ),
            ("oos", "b.oos-hz.ctyunapi.cn", "oos-hz.ctyunapi.cn", "hz", "path"),
            ("eos", "b.eos-beijing-1.cmecloud.cn", "eos-beijing-1.cmecloud.cn", "beijing-1", "path"),
            ("ks3", "b.ks3-cn-beijing.ksyuncs.com", "ks3-cn-beijing.ksyuncs.com", "cn-beijing", "virtual"),
            ("storj", "gateway.eu1.storjshare.io/b", "gateway.eu1.storjshare.io", "", "path"),
            ("storj", "b.gateway.storjshare.io", "gateway.storjshare.io", "", "path"),
            ("r2", "0a1b.r2.cloudflarestorage.com/b", "0a1b.r2.cloudflarestorage.com", "auto", "path"),
            ("r2", "b.0a1b.eu.r2.cloudflarestorage.com", "0a1b.eu.r2.cloudflarestorage.com", "auto", "path"),
            ("obs", "b.obs.cn-north-1.myhuaweicloud.com", "obs.cn-north-1.myhuaweicloud.com", "cn-north-1", "virtual"),
            ("tos", "b.tos-cn-beijing.volces.com", "tos-s3-cn-beijing.volces.com", "cn-beijing", "virtual"),
            ("tos", "b.tos-s3-cn-beijing.volces.com", "tos-s3-cn-beijing.volces.com", "cn-beijing", "virtual"),
            ("bos", "b.bj.bcebos.com", "s3.bj.bcebos.com", "bj", "virtual"),
            ("bos", "b.s3.bj.bcebos.com", "s3.bj.bcebos.com", "bj", "virtual"),
            ("qiniu", "b.s3-cn-east-1.qiniucs.com", "s3-cn-east-1.qiniucs.com", "cn-east-1", "path"),
            ("qingstor", "b.pek3a.qingstor.com", "s3.pek3a.qingstor.com", "pek3a", "path"),
            ("s3", "b.nyc3.digitaloceanspaces.com", "nyc3.digitaloceanspaces.com", "nyc3", "virtual"),
            ("s3", "b.oss-cn-beijing.aliyuncs.com", "oss-cn-beijing.aliyuncs.com", "cn-beijing", "virtual"),
            ("s3", "b.fr-par-1.linodeobjects.com", "fr-par-1.linodeobjects.com", "fr-par-1", "virtual"),
            (
                "s3",
                "b.ns1.compat.objectstorage.us-ashburn-1.oraclecloud.com",
                "ns1.compat.objectstorage.us-ashburn-1.oraclecloud.com",
                "us-ashburn-1",
                "path",
            ),
            ("obs", "b.obs.corp.example", "obs.corp.example", "", "path"),
        ]
    ),
    ("wasabi://b.s3.eu-west-2.wasabisys.com", "b/", s3("https://s3.eu-west-2.wasabisys.com", "eu-west-2", "virtual")),
    # OSS, COS
    ("oss://b/p", "b/p", {}),
    ("oss://b.oss-cn-hangzhou.aliyuncs.com/p/", "b/p/", {"endpoint": "https://oss-cn-hangzhou.aliyuncs.com"}),
    (
        "oss://AK:SK:T@b.oss-cn-hangzhou-internal.aliyuncs.com",
        "b/",
        {**AKSK, "token": "T", "endpoint": "https://oss-cn-hangzhou-internal.aliyuncs.com"},
    ),
    ("oss://AK:SK@127.0.0.1:6540/b/p/", "b/p/", {**AKSK, "endpoint": "http://127.0.0.1:6540"}),
    (
        "cos://AK:SK:T@b-1.cos.ap-beijing.myqcloud.com/p/",
        "b-1/p/",
        {"secret_id": "AK", "secret_key": "SK", "token": "T", "region": "ap-beijing"},
    ),
    ("cosn://b-1/p/", "b-1/p/", {}),
    ("cos://b-1.cos.accelerate.myqcloud.com/p/", "b-1/p/", {"endpoint": "cos.accelerate.myqcloud.com"}),
    (
        "cos://b-1.cos-internal.ap-beijing.tencentcos.cn/p/",
        "b-1/p/",
        {"endpoint": "cos-internal.ap-beijing.tencentcos.cn", "region": "ap-beijing"},
    ),
    ("cos://AK:SK@b.cos.test/p/", "b/p/", {"secret_id": "AK", "secret_key": "SK", "endpoint": "cos.test"}),
    # Google, Azure
    ("gs://b.example.com/p/", "b.example.com/p/", {}),
    ("gcs://b", "b/", {}),
    ("gs://127.0.0.1:4443/b/p/", "b/p/", {"endpoint_url": "http://127.0.0.1:4443"}),
    ("abfs://c/p/", "c/p/", {}),
    ("az://c", "c/", {}),
    ("abfss://c@acct.dfs.core.windows.net/p/", "c/p/", {"account_name": "acct"}),
    ("wasbs://c@acct.blob.core.windows.net", "c/", {"account_name": "acct"}),
    ("az://acct.blob.core.windows.net/c/p/", "c/p/", {"account_name": "acct"}),
    ("wasb://acct:K/E+Y==@c/p/", "c/p/", {"account_name": "acct", "account_key": "K/E+Y=="}),
    ("wasb://acct:K%3D@c.blob.core.windows.net/p/", "c/p/", {"account_name": "acct", "account_key": "K="}),
    (
        "wasb://acct:KEY@c.core.chinacloudapi.cn/p/",
        "c/p/",
        {"account_name": "acct", "account_key": "KEY", "account_host": "acct.blob.core.chinacloudapi.cn"},
    ),
]

SSH = {"known_hosts": ()}

SERVERS: list[tuple[str, str, str, str, dict[str, Any]]] = [
    ("h:/p/", "sftp", "/p/", "sftp://h/p/", {"host": "h", **SSH}),
    ("u@h:p/", "sftp", "p/", "sftp://h/~/p/", {"host": "h", "username": "u", **SSH}),
    ("u@h:./p/", "sftp", "p/", "sftp://h/~/p/", {"host": "h", "username": "u", **SSH}),
    ("u@h:~/p", "sftp", "p", "sftp://h/~/p", {"host": "h", "username": "u", **SSH}),
    ("u:p%3Aw@h:/p", "sftp", "/p", "sftp://h/p", {"host": "h", "username": "u", "password": "p:w", **SSH}),
    ("h:", "sftp", "", "sftp://h/~/", {"host": "h", **SSH}),
    ("h:.", "sftp", "", "sftp://h/~/", {"host": "h", **SSH}),
    ("h:..", "sftp", "../", "sftp://h/~/../", {"host": "h", **SSH}),
    ("h:2222:/p/", "sftp", "/p/", "sftp://h:2222/p/", {"host": "h", "port": 2222, **SSH}),
    ("h:2222:p/", "sftp", "p/", "sftp://h:2222/~/p/", {"host": "h", "port": 2222, **SSH}),
    ("h:./2222/p", "sftp", "2222/p", "sftp://h/~/2222/p", {"host": "h", **SSH}),
    ("[fe80::1]:p/", "sftp", "p/", "sftp:///~/p/", {"host": "fe80::1", **SSH}),
    ("[::1]:2222:/p/", "sftp", "/p/", "sftp:///p/", {"host": "::1", "port": 2222, **SSH}),
    (
        "h:Maildir/me@example.com/",
        "sftp",
        "Maildir/me@example.com/",
        "sftp://h/~/Maildir/me@example.com/",
        {"host": "h", **SSH},
    ),
    ("u@h:/a:b@c/", "sftp", "/a:b@c/", "sftp://h/a:b@c/", {"host": "h", "username": "u", **SSH}),
    ("sftp://h/p/", "sftp", "/p/", "sftp://h/p/", {"host": "h", **SSH}),
    ("sftp://h", "sftp", "", "sftp://h/~/", {"host": "h", **SSH}),
    ("sftp://h/", "sftp", "/", "sftp://h/", {"host": "h", **SSH}),
    ("sftp://h/~/p", "sftp", "p", "sftp://h/~/p", {"host": "h", **SSH}),
    ("ssh://u@h:2222/p/", "sftp", "/p/", "sftp://h:2222/p/", {"host": "h", "port": 2222, "username": "u", **SSH}),
    (
        "sftp://root@h:2222:/path/",
        "sftp",
        "/path/",
        "sftp://h:2222/path/",
        {"host": "h", "port": 2222, "username": "root", **SSH},
    ),
    ("sftp://h:2222:/a@b/", "sftp", "/a@b/", "sftp://h:2222/a@b/", {"host": "h", "port": 2222, **SSH}),
    ("sftp://u@h:p/", "sftp", "p/", "sftp://h/~/p/", {"host": "h", "username": "u", **SSH}),
    (
        "sftp://u:a/b:c@h:22/p%20q/",
        "sftp",
        "/p%20q/",
        "sftp://h:22/p%20q/",
        {"host": "h", "port": 22, "username": "u", "password": "a/b:c", **SSH},
    ),
    ("webdav://h/d/", "webdav", "d/", "webdav://d/", {"base_url": "https://h"}),
    ("webdav://h", "webdav", "", "webdav://", {"base_url": "https://h"}),
    ("webdav://127.0.0.1:80/d/", "webdav", "d/", "webdav://d/", {"base_url": "http://127.0.0.1:80"}),
    ("webdavs://127.0.0.1:80/d/", "webdav", "d/", "webdav://d/", {"base_url": "https://127.0.0.1:80"}),
    ("dav://u:p:w@h:81/d", "webdav", "d", "webdav://d", {"base_url": "https://h:81", "auth": ("u", "p:w")}),
    ("hdfs://nn/p/", "hdfs", "/p/", "hdfs://nn/p/", {"host": "nn"}),
    ("hdfs://u@nn:8020/p/", "hdfs", "/p/", "hdfs://nn:8020/p/", {"host": "nn", "port": 8020, "user": "u"}),
    ("hdfs:///p/", "hdfs", "/p/", "hdfs:///p/", {"host": "default"}),
    ("hdfs://nn", "hdfs", "/", "hdfs://nn/", {"host": "nn"}),
    (
        "ftp://u:p@h:2121/d/",
        "ftp",
        "/d/",
        "ftp://h:2121/d/",
        {"host": "h", "port": 2121, "username": "u", "password": "p"},
    ),
    ("ftp://[::1]/d", "ftp", "/d", "ftp:///d", {"host": "::1"}),
    ("smb://h/share", "smb", "/share/", "smb://h/share/", {"host": "h"}),
    (
        "smb://DOM;u:p@h:445/share/d/",
        "smb",
        "/share/d/",
        "smb://h:445/share/d/",
        {"host": "h", "port": 445, "username": "DOM\\u", "password": "p"},
    ),
    ("cifs://h/share/d", "smb", "/share/d", "smb://h/share/d", {"host": "h"}),
    ("http://h/d/", "http", "http://h/d/", "http://h/d/", {}),
    ("https://h:8443", "http", "https://h:8443/", "https://h:8443/", {}),
    (
        "https://u:p@h/d%20e/",
        "http",
        "https://h/d%20e/",
        "https://h/d%20e/",
        {"client_kwargs": {"headers": {"Authorization": "Basic dTpw"}}},
    ),
    ("memory://", "memory", "/", "memory://", {}),
    ("memory://a/b@c:d/", "memory", "/a/b@c:d/", "memory://a/b@c:d/", {}),
    ("memory:///a", "memory", "/a", "memory://a", {}),
]


@pytest.mark.parametrize(("text", "root", "options"), OBJECTS)
def test_object_addresses(text: str, root: str, options: dict[str, Any]) -> None:
    address = read(text)
    assert (address.root, address.storage_options) == (root, options)
    assert address.url == f"{address.protocol}://{root}"
    assert address.root.startswith(address.bucket + "/")
    assert address.is_directory == root.endswith("/")


@pytest.mark.parametrize(("text", "family", "root", "url", "options"), SERVERS)
def test_server_addresses(text: str, family: str, root: str, url: str, options: dict[str, Any]) -> None:
    address = read(text)
    assert (address.family, address.root, address.url) == (family, root, url)
    assert address.storage_options == options
    assert address.bucket == ""


HERE = os.getcwd()
HOME = os.path.expanduser("~")
LOCAL = [
    ("/a/b", "/a/b"),
    ("/a/b/", "/a/b/"),
    ("a", f"{HERE}/a"),
    ("./a/", f"{HERE}/a/"),
    (".", f"{HERE}/"),
    ("..", f"{os.path.dirname(HERE)}/".replace("//", "/")),
    ("/", "/"),
    ("//", "/"),
    ("//a//b//", "/a/b/"),
    ("/a/../b/", "/b/"),
    ("/a/b/..", "/a/"),
    ("/a/.", "/a/"),
    ("/a/..", "/"),
    ("/h#x/", "/h#x/"),
    ("/q?m/", "/q?m/"),
    ("/pct%41/", "/pct%41/"),
    ("/a b\nc/", "/a b\nc/"),
    ("./c:d/", f"{HERE}/c:d/"),
    ("/a::b/", "/a::b/"),
    ("./s3://b/", f"{HERE}/s3:/b/"),
    ("a@b/", f"{HERE}/a@b/"),
    ("~", HOME),
    ("~/d/", f"{HOME}/d/"),
    ("/a/~/", "/a/~/"),
    ("./~/", f"{HERE}/~/"),
    ("file:///a%20b#c?d/", "/a%20b#c?d/"),
    ("FILE:///a", "/a"),
    ("file:///~/a", "/~/a"),
    ("file://localhost/a/", "/a/"),
    ("file:/a/", "/a/"),
    ("local:///a/", "/a/"),
    (b"/\xff/".decode("utf-8", "surrogateescape"), "/\udcff/"),
    (Path("/a:b"), "/a:b"),
    (Path("c:d"), f"{HERE}/c:d"),
    (PurePosixPath("/a#b"), "/a#b"),
]


@pytest.mark.parametrize(("text", "root"), LOCAL, ids=[ascii(text) for text, _ in LOCAL])
def test_local_addresses_are_literal(text: Any, root: str) -> None:
    address = read(text)
    assert (address.family, address.protocol, address.root) == ("local", "file", root)
    assert (address.url, address.storage_options) == (root, {})


def test_a_local_name_with_a_colon_is_local_only_if_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c:d").mkdir()
    assert parse("c:d/").root == f"{tmp_path}/c:d/"
    assert parse("c:e/").family == "sftp"
    os.symlink("nowhere", "x:y")
    assert parse("x:y").family == "local"


def test_any_local_bytes_survive_a_join() -> None:
    address = read(b"/d\xfe/".decode("utf-8", "surrogateescape"))
    assert os.fsencode(address.join(b"k\xff/x")) == b"/d\xfe/k\xff/x"
    assert address.given == "/d\\xfe/"


REFUSED = [
    ("", "empty"),
    ("s3://", "names no bucket"),
    ("s3:///k", "names no bucket"),
    ("minio://h:9000", "names no bucket"),
    ("minio:///b", "names no host"),
    ("s3://a b/", "no possible bucket"),
    ("s3://AK@b/", "ACCESS_KEY:SECRET_KEY"),
    ("s3://:SK@b/", "ACCESS_KEY:SECRET_KEY"),
    ("s3://bkt.store.corp:9000/p", "cannot tell the bucket from the endpoint"),
    ("s3://h:99999/b", "HOST[:PORT]"),
    ("wasabi://AK:SK@b/p", "BUCKET.s3.REGION.wasabisys.com"),
    ("gs://AK:SK@b", "takes no key"),
    ("abfs://c@acct/p", "CONTAINER@ACCOUNT"),
    ("wasb://acct:@c/p", "ACCOUNT:KEY"),
    ("h:2222/p", "HOST:PORT:/PATH"),
    ("h:x@y", "./PATH"),
    ("u:p/w@h:/p", "may be a password or a path"),
    ("a b:c", "./PATH"),
    ("s3:/b/p", "s3://"),
    ("sftp:///p", "names no host"),
    ("ftp:///p", "names no host"),
    ("hdfs://a:1,b:2/p", "HADOOP_CONF_DIR"),
    ("hdfs://u:p@nn/p", "no password"),
    ("smb://h/", "names no share"),
    ("webdav:///p", "names no host"),
    ("https:///p", "names no host"),
    ("https://h/f?X-Amz-Signature=abc", "signed URL"),
    ("https://h/f?se=1&sig=abc", "signed URL"),
    ("file://host/p", "absolute path"),
    ("/a\0b", "NUL"),
    ("jfs://vol/p", "juicefs webdav"),
    ("nfs://h/p", "mount"),
    ("redis://h/1", "mount"),
    ("foo://x/y", "no storage is known as foo://"),
    ("simplecache::s3://AK:SK@b/p", "storage options"),
    ("simplecache::minio://h/b", "no storage is known as minio://"),
    (b"/a", "bytes"),
    (7, "int"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[ascii(text) for text, _ in REFUSED])
def test_refused(text: Any, why: str) -> None:
    with pytest.raises(AddressError) as caught:
        read(text)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", sorted(NEAREST))
def test_a_scheme_that_fsync_does_not_speak_names_the_nearest_way(name: str) -> None:
    with pytest.raises(AddressError, match="fsync does not speak"):
        read(f"{name}://u:secretsecret@h/p")


# --no-https


@pytest.mark.parametrize(
    ("text", "where", "value"),
    [
        ("s3://AK:SK@10.0.0.5/b/", ("client_kwargs", "endpoint_url"), "http://10.0.0.5"),
        ("s3://b/", ("use_ssl",), False),
        ("oss://b.oss-cn-beijing.aliyuncs.com/", ("endpoint",), "http://oss-cn-beijing.aliyuncs.com"),
        ("cos://b.cos.ap-beijing.myqcloud.com/", ("scheme",), "http"),
        ("webdav://h/", ("base_url",), "http://h"),
        ("webdavs://h/", ("base_url",), "https://h"),
        ("minio://h/b/?tls=true", ("client_kwargs", "endpoint_url"), "https://h"),
    ],
)
def test_no_https(text: str, where: tuple[str, ...], value: Any) -> None:
    found: Any = parse(text, environ={}, no_https=True).storage_options
    for name in where:
        found = found[name]
    assert found == value


# environment and explicit options


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("minio://h/b", {"MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "s"}, {"key": "a", "secret": "s"}),
        ("minio://AK:SK@h/b", {"MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "s"}, AKSK),
        ("minio://h/b", {"MINIO_ACCESS_KEY": "a"}, {}),
        ("s3://b", {"MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "s", "AWS_ACCESS_KEY_ID": "x"}, {}),
        (
            "oss://b",
            {"ALICLOUD_ACCESS_KEY_ID": "a", "ALICLOUD_ACCESS_KEY_SECRET": "s", "SECURITY_TOKEN": "t"},
            {"key": "a", "secret": "s", "token": "t"},
        ),
        ("oss://b", {"ALICLOUD_REGION_ID": "cn-beijing"}, {"endpoint": "https://oss-cn-beijing.aliyuncs.com"}),
        ("cos://b", {"COS_SECRETID": "a", "COS_SECRETKEY": "s"}, {"secret_id": "a", "secret_key": "s"}),
        (
            "obs://b.obs.cn-north-1.myhuaweicloud.com",
            {"HWCLOUD_ACCESS_KEY": "a", "HWCLOUD_SECRET_KEY": "s"},
            {"key": "a", "secret": "s"},
        ),
        ("wasb://c/p", {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=x"}, {"connection_string": "AccountName=x"}),
        ("wasb://acct:KEY@c/p", {"AZURE_STORAGE_CONNECTION_STRING": "x"}, {"account_name": "acct"}),
        ("gs://b", {"GOOGLE_CLOUD_PROJECT": "p"}, {"project": "p"}),
        ("h:/p", {"SSH_PRIVATE_KEY_PATH": "/k"}, {"client_keys": ["/k"]}),
        ("h:/p", {"SSH_KNOWN_HOSTS": "/known"}, {"known_hosts": "/known"}),
    ],
)
def test_environment(text: str, environ: dict[str, str], expected: dict[str, Any]) -> None:
    bare, found = read(text).storage_options, read(text, None, **environ).storage_options
    assert expected.items() <= found.items()
    assert found.keys() - bare.keys() <= expected.keys()


def test_the_region_of_minio_and_virtual_hosts_come_from_the_environment() -> None:
    region = read("minio://h/b", MINIO_REGION="eu").storage_options["client_kwargs"]["region_name"]
    hosts = read("s3://AK:SK@b.store.corp/", JFS_S3_VHOST_STYLE="1").storage_options["config_kwargs"]
    assert (region, hosts) == ("eu", {"s3": {"addressing_style": "virtual"}})


def test_explicit_options_win_deeply() -> None:
    options = {"client_kwargs": {"region_name": "x", "verify": False}, "config_kwargs": {"s3": {"payload": 1}}}
    found = read("s3://AK:SK@127.0.0.1:9000/b/", options).storage_options
    assert found == {
        **AKSK,
        "client_kwargs": {"endpoint_url": "http://127.0.0.1:9000", "region_name": "x", "verify": False},
        "config_kwargs": {"s3": {"addressing_style": "path", "payload": 1}},
    }
    assert options["config_kwargs"] == {"s3": {"payload": 1}}


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("s3://AK:SK:TOK@b", {"key": "other", "secret": "s"}, {"key": "other", "secret": "s"}),
        ("s3://AK:SK@b", {"token": "t"}, {**AKSK, "token": "t"}),
        ("s3://AK:SK@b", {"anon": True}, {"anon": True}),
        ("s3://AK:SK@b", {"profile": "p"}, {"profile": "p"}),
        ("wasb://acct:KEY@c", {"connection_string": "x"}, {"connection_string": "x"}),
        ("ftp://u:p@h/", {"username": "v"}, {"host": "h", "username": "v"}),
        ("h:/p", {"known_hosts": None}, {"host": "h", "known_hosts": None}),
        ("wasabi://b", {"endpoint_url": "https://e"}, {"endpoint_url": "https://e"}),
        ("webdav://d/e", {"base_url": "https://h/dav"}, {"base_url": "https://h/dav"}),
    ],
)
def test_explicit_options_replace_the_whole_credential(
    text: str, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert read(text, options).storage_options == expected


def test_environment_keys_do_not_join_explicit_ones() -> None:
    environ = {"MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "s"}
    assert "secret" not in read("minio://h/b", {"anon": True}, **environ).storage_options
    assert read("minio://h/b", {"key": "k", "secret": "z"}, **environ).storage_options["secret"] == "z"


# what fsspec makes of the result


@pytest.mark.parametrize(
    "text",
    [
        "/a/b#c?d%41/",
        "memory://a/b/",
        "s3://AK:SK@bkt.s3.us-west-1.amazonaws.com/p/",
        "minio://AK:SK@127.0.0.1:9000/b/p%20q/",
        "oss://AK:SK@b.oss-cn-hangzhou.aliyuncs.com/p/",
        "cos://AK:SK@b-1.cos.ap-beijing.myqcloud.com/p/",
        "webdav://u:p@h/d/",
        "https://h/d/",
        "simplecache::memory://a/b/",
    ],
)
def test_fsspec_reads_url_and_options_as_the_root(text: str) -> None:
    address = read(text)
    _, path = fsspec.core.url_to_fs(address.url, **address.storage_options)
    assert path.strip("/") == address.root.strip("/")


@pytest.mark.parametrize("row", [*OBJECTS, *SERVERS], ids=lambda row: row[0])
def test_url_and_options_read_again_give_the_same_place(row: tuple[Any, ...]) -> None:
    address = read(row[0])
    again = read(address.url, address.storage_options)
    assert (again.family, again.root, again.storage_options) == (address.family, address.root, address.storage_options)


def test_chains_open_as_fsspec_opens_them() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/chain/d/x", b"1")
    try:
        address = read("simplecache::memory://chain/d/")
        fs = fsspec.filesystem(address.protocol, **address.storage_options)
        assert (address.family, address.root, fs.cat_file(address.join("x"))) == ("generic", "/chain/d/", b"1")
    finally:
        memory.rm("/chain", recursive=True)


def test_a_chains_options_go_to_their_link(tmp_path: Path) -> None:
    address = read(f"zip://in/::{tmp_path}/x.zip", {"mode": "r", "file": {"auto_mkdir": True}})
    assert (address.protocol, address.root, address.url) == ("zip", "in/", "zip://in/")
    assert address.storage_options == {
        "mode": "r",
        "target_protocol": "file",
        "target_options": {"auto_mkdir": True},
        "fo": f"{tmp_path}/x.zip",
    }


def test_other_protocols_are_fsspecs() -> None:
    address = read("github://org:repo@main/docs/", {"timeout": 3})
    assert (address.family, address.protocol, address.root) == ("generic", "github", "docs/")
    assert address.storage_options == {"org": "org", "repo": "repo", "sha": "main", "timeout": 3}


# path objects and pairs


class UPathLike:
    """The attributes that UPath (universal-pathlib) and ObjectStoragePath (Airflow) share."""

    def __init__(self, protocol: str, path: str, **options: Any) -> None:
        self.protocol, self.path, self.storage_options = protocol, path, options


class WithConnection(UPathLike):
    """An ObjectStoragePath: only its ``fs`` knows what the connection says."""

    conn_id = "aws_default"

    @property
    def fs(self) -> Any:
        return fsspec.filesystem(self.protocol, key="AK", secret="SK", skip_instance_cache=True)


@pytest.mark.parametrize(
    ("protocol", "path", "family", "root"),
    [
        ("s3", "b/p#/", "s3", "b/p#/"),
        ("s3a", "b", "s3", "b/"),
        ("", "/a/../b/", "local", "/b/"),
        ("file", "/a:b", "local", "/a:b"),
        ("memory", "/m/", "memory", "/m/"),
        ("sftp", "/p", "sftp", "/p"),
        ("https", "https://h/d/", "http", "https://h/d/"),
        ("github", "d/", "generic", "d/"),
    ],
)
def test_upaths(protocol: str, path: str, family: str, root: str) -> None:
    address = parse(UPathLike(protocol, path, token="secret-token"), options={"a": 1})
    assert (address.family, address.root) == (family, root)
    assert address.storage_options == {"token": "secret-token", "a": 1}
    assert "secret-token" not in repr(address)


def test_an_object_storage_path_brings_its_connections_filesystem() -> None:
    address = parse(WithConnection("s3", "b/p/", conn_id="aws_default"))
    assert (address.family, address.root, address.storage_options) == ("s3", "b/p/", AKSK)
    assert address.filesystem is not None


def test_a_real_upath() -> None:
    upath = pytest.importorskip("upath", reason="universal-pathlib is no dependency of fsync")
    address = parse(upath.UPath("memory://a/b/"))
    assert (address.family, address.root) == ("memory", "/a/b/")


def test_pairs_keep_the_filesystem() -> None:
    fs = fsspec.filesystem("s3", key="AK", secret="SK", skip_instance_cache=True)
    address = parse((fs, "b/p"), options={"token": "T"})
    assert (address.family, address.protocol, address.root) == ("s3", "s3", "b/p")
    assert address.storage_options == {"key": "AK", "secret": "SK", "token": "T"}
    assert address.filesystem is fs
    assert parse((fs, "s3://b")).root == "b/"
    with pytest.raises(AddressError, match="names no bucket"):
        parse((fs, ""))


def test_pairs_of_local_and_memory_and_foreign_filesystems() -> None:
    local, memory = fsspec.filesystem("file"), fsspec.filesystem("memory")
    assert parse((local, "/a#b/")).root == "/a#b/"
    assert parse((local, Path("/a"))).family == "local"
    assert parse((local, "file:///a/")).root == "/a/"
    assert parse((memory, "m/")).root == "/m/"
    assert parse((memory, "memory://m/")).root == "/m/"
    inside = fsspec.filesystem("dir", path="/m", fs=memory)
    address = parse((inside, "d/"))
    assert (address.family, address.protocol, address.root) == ("generic", "dir", "d/")


def test_a_foreign_class_of_a_known_protocol_is_generic() -> None:
    class Other(fsspec.AbstractFileSystem):  # type: ignore[misc]
        protocol = "s3"

    assert parse((Other(), "b/p/")).family == "generic"


# the type


def test_as_directory_and_join() -> None:
    address = read("s3://AK:SK@b/te")
    assert address.as_directory().root == "b/te/"
    assert address.as_directory().given == "s3://****@b/te/"
    assert address.as_directory().as_directory() == address.as_directory()
    assert (address.join("st/x"), address.join(b"\xff")) == ("b/test/x", "b/te\udcff")


def test_an_address_travels_and_hashes() -> None:
    address = read("s3://AK:SK@b/te")
    assert pickle.loads(pickle.dumps(address)) == address
    assert len({address, read("s3://AK:SK@b/te")}) == 1


def test_secrets_are_found_at_any_depth_and_other_values_are_not() -> None:
    address = read(
        "sftp://user:pass-word@host/p",
        {
            "client_keys": ["/path/to/key"],
            "target_options": {"secret": "deep-secret", "region": "eu-west-1"},
            "connection_string": "AccountName=acct;AccountKey=azure-key==;EndpointSuffix=x",
            "auth": ("login", "dav-password"),
            "client_kwargs": {"headers": {"Authorization": "Bearer bear"}},
            "sas_token": "?sv=1",
            "links": [{"password": "listed"}],
            "passphrase": b"bytes-phrase",
        },
    )
    expected = {"pass-word", "deep-secret", "azure-key==", "dav-password", "bear", "?sv=1", "listed", "bytes-phrase"}
    assert expected <= set(address.secrets)
    shown = json.dumps(address.secrets)
    assert all(word not in shown for word in ("/path/to/key", "eu-west-1", "login", '"user"', '"host"'))
    assert "google_default" not in read("gs://b", {"token": "google_default"}).secrets


def test_a_bare_user_name_is_shown() -> None:
    assert read("sftp://root@h:2222:/p/").given == "sftp://root@h:2222:/p/"
    assert read("u:secret@h:/p").given == "****@h:/p"
    assert read("https://ghp_token@h/p/").given == "https://****@h/p/"


# secrets, whatever they look like

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=4, max_size=24)
# raw: what a person pastes without escaping; a colon would start the token, an @ after a slash ends the credentials
RAW = st.text("abcXYZ019/+=?#&%!*.,;~ -_é", min_size=4, max_size=24).filter(
    lambda text: "%" not in text or _broken(text)
)
KEYED = [name for name, scheme in SCHEMES.items() if scheme.family == "s3" and name != "minio"]
LOGINS = [name for name, scheme in SCHEMES.items() if scheme.family in ("sftp", "webdav", "ftp", "smb", "http")]


def _broken(text: str) -> bool:
    hexadecimal = set("0123456789abcdefABCDEF")
    return any(len(part) < 2 or not set(part[:2]) <= hexadecimal for part in text.split("%")[1:])


def unseen(secret: str, *texts: str) -> None:
    for text in texts:
        assert secret not in text
        assert quote(secret, safe="") not in text


@given(key=NAMES, secret=NAMES, token=NAMES)
def test_escaped_secrets_round_trip(key: str, secret: str, token: str) -> None:
    # gcsfs's words for ways to log in are no secrets
    assume(key != "anonymous" and token not in ("anon", "cloud", "cache", "browser", "google_default"))
    text = f"s3://{quote(key, safe='')}:{quote(secret, safe='')}:{quote(token, safe='')}@bucket/p@q/"
    address = read(text)
    assert address.storage_options == {"key": key, "secret": secret, "token": token}
    assert (address.root, address.given) == ("bucket/p@q/", "s3://****@bucket/p@q/")
    assert repr(address) == "Address(family='s3', protocol='s3', given='s3://****@bucket/p@q/')"
    assert {key, secret, token} <= set(address.secrets)


@given(secret=RAW)
def test_raw_secrets_round_trip(secret: str) -> None:
    head = secret.partition("/")
    # KEY:123/... is a host and its port
    assume(not (head[1] and head[0].isdecimal()))
    address = read(f"s3://KEY:{secret}@bucket/p@q/")
    assert (address.storage_options, address.root) == ({"key": "KEY", "secret": secret}, "bucket/p@q/")
    assert address.given == "s3://****@bucket/p@q/"


@given(secret=st.text("abc019@+=?#.", min_size=4))
def test_raw_at_signs_round_trip_where_no_slash_precedes_them(secret: str) -> None:
    address = read(f"s3://KEY:{secret}@bucket/p@q/")
    assert (address.storage_options, address.root) == ({"key": "KEY", "secret": secret}, "bucket/p@q/")


@given(name=st.sampled_from(LOGINS), password=NAMES)
def test_escaped_passwords_round_trip(name: str, password: str) -> None:
    address = read(f"{name}://user:{quote(password, safe='')}@host/share/p/")
    assert any(password in secret for secret in address.secrets) or SCHEMES[name].family == "http"
    unseen("user:" + quote(password, safe=""), address.given, address.url, repr(address))


SECRETS = st.text("Zqx/@:?#%+= é\n[]", min_size=4, max_size=16).map(lambda text: f"sEcReT{text}sEcReT")
TAILS = [
    "",
    "/",
    "@",
    "@/",
    "@host",
    "@bucket",
    "@bad bucket/x",
    "@h:99999/x",
    "@[::/x",
    "@b.s3.eu-west-1.amazonaws.com/x",
]


@given(name=st.sampled_from([*SCHEMES, *NEAREST, "foo", "github"]), secret=SECRETS, tail=st.sampled_from(TAILS))
def test_no_secret_is_shown_however_malformed_the_address(name: str, secret: str, tail: str) -> None:
    scheme = SCHEMES.get(name)
    assume(scheme is None or scheme.family not in ("memory", "local"))
    # host:path is how SFTP addresses look, and an @ after a slash ends the credentials: what follows is a place
    assume("@" in tail or (scheme and scheme.family != "sftp"))
    assume("@" not in secret)
    hidden: list[bool] = []
    try:
        address = read(f"{name}://KEY:{secret}{tail}")
    except AddressError as error:
        # a traceback must not show the cause, which may repeat the text
        unseen("sEcReT", str(error), "".join(traceback.format_exception_only(error)), repr(error.__cause__))
        hidden.append(error.__suppress_context__)
    else:
        unseen("sEcReT", repr(address), address.given, address.url)
    assert all(hidden)


@given(secret=st.text("Zqx/:?#%+= é", min_size=4, max_size=16).map(lambda text: f"sEcReT{text}sEcReT"))
def test_no_secret_is_shown_of_a_host_that_lacks_its_scheme(secret: str) -> None:
    texts = [f"user:{secret}@host:/p", f"s3:KEY:{secret}@b/p", f"s3:/KEY:{secret}@b"]
    # host:dir/mail@example.com/ is a path, so a password with a slash is seen by the colon after its host only
    texts += [] if "/" in secret else [f"user:{secret}@host/p"]
    for text in texts:
        try:
            address = read(text)
        except AddressError as error:
            unseen("sEcReT", str(error))
        else:
            unseen("sEcReT", repr(address), address.given)


def test_the_redactor_takes_an_addresss_secrets_out_of_any_text() -> None:
    address = read("s3://ACCESS:se%2Fcret:to%40ken@b/p")
    clean = Redactor(address.secrets)("ACCESS se/cret se%2Fcret to@ken b/p")
    assert clean == "**** **** **** **** b/p"


def test_reading_addresses_loads_no_package() -> None:
    code = (
        "import sys; from fsync.address import parse; import fsync.pairing; parse('s3://AK:SK@b/p/'); parse('h:/p');"
        "print([name for name in ('fsspec', 'pyarrow', 's3fs', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
