"""--engine: who carries the bytes of S3 objects, seen on the wire, and what obstore makes of each option of s3fs."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import ipaddress
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec
import pytest
import s3fs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import fsync
from fsync.address import Address, parse
from fsync.api import run
from fsync.errors import FatalError, FsyncError, ListingError, ObjectError, OptionError, ShortRead
from fsync.pacing import Pacing, Verdict, classify, describe, http_status, service_code
from fsync.storage.entry import Entry
from fsync.storage.multipart import MIB
from fsync.storage.object_engine import ServiceError
from fsync.storage.running import Running
from fsync.storage.s3 import S3Storage
from fsync.storage.s3_client import S3Client
from tests.safety.places import fill
from tests.servers.recorder import Asked, Recorder, record
from tests.servers.s3 import REGION, S3Server

FILES = {"a": b"1", "d/b c%41+é": b"22"}
KEY, SECRET = "AKIDEXAMPLE", "secretexample"


@pytest.fixture
def door(moto_s3: S3Server) -> Iterator[Recorder]:
    """A door in front of moto, which takes any key."""
    with record(moto_s3.endpoint) as recorder:
        yield recorder


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A local tree."""
    return f"{fill(tmp_path / 'source', FILES)}/"


def there(server: S3Server, bucket: str) -> dict[str, bytes]:
    """Return what a bucket holds, read without fsync."""
    client = server.client()
    found = client.list_objects_v2(Bucket=bucket).get("Contents", ())
    return {item["Key"]: client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found}


def options_for(door: Recorder, **more: Any) -> dict[str, Any]:
    client = {"endpoint_url": door.endpoint, "region_name": REGION, **more.pop("client_kwargs", {})}
    return {"key": KEY, "secret": SECRET, "client_kwargs": client, **more}


def put(source: str, bucket: str, door: Recorder, options: dict[str, Any], **more: Any) -> list[Asked]:
    """Sync to a bucket and return the requests that wrote it."""
    result = fsync.sync(source, f"s3://{bucket}/", dst_storage_options=options, **more)
    assert (result.copied, result.exit_code) == (len(FILES), 0)
    return [one for one in door.bodies() if one.method == "PUT"]


@pytest.mark.parametrize(("engine", "by"), [("auto", "obstore"), ("obstore", "obstore"), ("fsspec", "botocore")])
def test_who_carries_the_bytes(
    engine: str, by: str, source: str, tmp_path: Path, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    name, options = bucket(moto_s3), options_for(door)
    puts = put(source, name, door, options, engine=engine)
    assert {one.by for one in puts} == {by}
    assert there(moto_s3, name) == FILES
    door.asked.clear()
    result = fsync.sync(f"s3://{name}/", f"{tmp_path}/back/", src_storage_options=options, engine=engine)
    assert (result.copied, result.exit_code) == (len(FILES), 0)
    assert {one.by for one in door.bodies() if one.method == "GET"} == {by}
    assert {key: (tmp_path / "back" / key).read_bytes() for key in FILES} == FILES


@pytest.mark.parametrize("key", ["a//b", "/lead", "./z", "x/../y", "d/"])
def test_keys_that_obstore_would_change_go_through_s3fs(
    key: str, tmp_path: Path, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    first, second = bucket(moto_s3), bucket(moto_s3)
    # beside each key the one that a path would make of it
    beside = {"a/b": b"beside", "lead": b"beside", "z": b"beside", "y": b"beside", "d": b"beside"}
    for name, data in {**beside, key: b"content"}.items():
        moto_s3.client().put_object(Bucket=first, Key=name, Body=data)
    other = moto_s3.options_for("another", "identity")
    result = fsync.sync(
        f"s3://{first}/", f"s3://{second}/", src_storage_options=options_for(door), dst_storage_options=other
    )
    assert (result.copied, result.failed) == (len(beside) + 1, 0)
    assert there(moto_s3, second) == {**beside, key: b"content"}
    gets = [one for one in door.bodies() if one.method == "GET"]
    assert sorted(one.by for one in gets) == ["botocore"] + ["obstore"] * len(beside)


# options, and what a request of obstore says then
_TRANSLATED: dict[str, tuple[dict[str, Any], dict[str, str | None]]] = {
    "token": ({"token": "session-token"}, {"x-amz-security-token": "session-token"}),
    "user name": ({"key": None, "secret": None, "username": "NAMEEXAMPLE", "password": "pw"}, {"key": "NAMEEXAMPLE"}),
    "keys of the client": (
        {"key": None, "secret": None, "client_kwargs": {
            "aws_access_key_id": "CLIENTKEY", "aws_secret_access_key": "cs", "aws_session_token": "ct"}},
        {"key": "CLIENTKEY", "x-amz-security-token": "ct"},
    ),
    "region": ({"client_kwargs": {"region_name": "eu-west-3"}}, {"region": "eu-west-3"}),
    "encryption": (
        {"s3_additional_kwargs": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-id",
                                  "BucketKeyEnabled": True}},
        {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "key-id",
         "x-amz-server-side-encryption-bucket-key-enabled": "true"},
    ),
    "encryption by the store": (
        {"s3_additional_kwargs": {"ServerSideEncryption": "AES256"}}, {"x-amz-server-side-encryption": "AES256"}
    ),
    "requester pays": ({"requester_pays": True}, {"x-amz-request-payer": "requester"}),
    "storage class": (
        {"s3_additional_kwargs": {"StorageClass": "STANDARD_IA"}}, {"x-amz-storage-class": "STANDARD_IA"}
    ),
    "nobody": ({"key": None, "secret": None, "anon": True}, {"authorization": None}),
    "bodies not signed": (
        {"config_kwargs": {"s3": {"payload_signing_enabled": False}}}, {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    ),
    "settings of the connection": (
        {"config_kwargs": {"connect_timeout": 3, "read_timeout": 7, "max_pool_connections": 4,
                           "request_checksum_calculation": "when_required"}},
        {"key": KEY},
    ),
}  # fmt: skip


@pytest.mark.parametrize("option", _TRANSLATED)
def test_an_option_says_the_same_to_obstore(
    option: str, source: str, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    given, expected = _TRANSLATED[option]
    puts = put(source, bucket(moto_s3), door, options_for(door, **given), engine="obstore")
    assert puts
    for one in puts:
        assert one.by == "obstore"
        said = {**one.headers, "key": one.key.partition("/")[0], "region": one.key.split("/")[2] if one.key else ""}
        assert {name: said.get(name) for name in expected} == expected


#: what differs from one request to the next, or from one program to the other
_VARYING = {"authorization", "x-amz-date", "amz-sdk-invocation-id", "amz-sdk-request", "user-agent", "accept",
            "accept-encoding", "connection"}  # fmt: skip
_FURTHER: dict[str, dict[str, Any]] = {
    "nothing more": {},
    "a region of the settings": {
        "client_kwargs": {"region_name": None},
        "config_kwargs": {"region_name": "eu-south-2"},
    },
    "the same key in both places": {"client_kwargs": {"aws_access_key_id": KEY}},
}


@pytest.mark.parametrize("option", [*_TRANSLATED, *_FURTHER])
def test_questions_are_asked_as_s3fs_asks_them(
    option: str, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    given = dict(_TRANSLATED[option][0] if option in _TRANSLATED else _FURTHER[option])
    address = parse(f"s3://{bucket(moto_s3)}/some/", options=options_for(door, **given))

    async def questions(storage: S3Storage) -> None:
        assert await storage.entry(b"missing") is None
        assert [page async for page in storage.pages()] == []

    said = [requests(address, engine, questions, door) for engine in ("auto", "fsspec")]
    assert said[0] == said[1]
    assert len(said[0]) == 3


@pytest.mark.parametrize("option", [*_TRANSLATED, *_FURTHER])
def test_changes_are_made_as_s3fs_makes_them(
    option: str, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    given = dict(_TRANSLATED[option][0] if option in _TRANSLATED else _FURTHER[option])
    name = bucket(moto_s3)
    address = parse(f"s3://{name}/some/", options=options_for(door, **given))
    entry = Entry(b"large %+\xc3\xa9", 9 * MIB, 0)

    async def changes(storage: S3Storage) -> None:
        upload = await storage.begin(entry)
        await upload.write(0, b"x" * 8 * MIB)
        await upload.write(1, b"x" * MIB)
        await upload.commit()
        await (await storage.begin(entry)).abort()
        other = storage.at(replace(address, root=f"{name}/other/"))
        # moto lets nobody copy who has not signed
        await asyncio.gather(other.server_copy(storage, entry), return_exceptions=option == "nobody")
        await storage.delete([entry])
        await other.remove_directory(entry.key)

    said = [requests(address, engine, changes, door) for engine in ("auto", "fsspec")]
    assert said[0] == said[1]
    assert len(said[0]) == 1 + 4 + 2 + 1 + 1 + 1


def requests(
    address: Address, engine: str, work: Callable[[S3Storage], Awaitable[Any]], door: Recorder
) -> list[tuple[str, str, str, dict[str, str]]]:
    """Return what is asked when something is done with a bucket: method, target, who signed, and headers."""
    door.asked.clear()
    outcomes(address, engine, work)
    return [
        (
            one.method,
            re.sub(r"uploadId=[^&]*", "uploadId", one.target),
            one.key,
            {name: one.headers[name] for name in one.headers.keys() - _VARYING},
        )
        for one in door.asked
    ]


def test_s3fs_is_loaded_where_it_is_needed(
    tmp_path: Path, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    program = (
        "import sys, json, fsync\n"
        "options, name, tree = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]\n"
        "for source, target in ((f'{tree}/few/', f's3://{name}/'), (f's3://{name}/', f'{tree}/back/')):\n"
        "    assert fsync.sync(source, target, **{('dst' if target[0] == 's' else 'src') + '_storage_options': options}"
        ").copied == 3\n"
        "print([module for module in ('s3fs', 'aiobotocore', 'aiohttp') if module in sys.modules])\n"
        "fsync.sync(f'{tree}/odd/', f's3://{name}//', dst_storage_options=options)\n"
        "print('s3fs' in sys.modules)\n"
    )
    large = {"large": b"x" * (9 << 20)}
    fill(tmp_path / "few", FILES | large)
    fill(tmp_path / "odd", {"odd": b"1"})
    name = bucket(moto_s3)
    words = [sys.executable, "-c", program, json.dumps(options_for(door)), name, str(tmp_path)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")[:2] == ["[]", "True"]
    assert there(moto_s3, name) == {**FILES, **large, "/odd": b"1"}
    assert (tmp_path / "back/large").read_bytes() == large["large"]


_CORES = """
import json, os, sys, threading, time
import fsync
fsync.sync(sys.argv[1], sys.argv[2], src_storage_options=json.loads(sys.argv[3]), threads=1)
while any(thread.name.startswith("fsync-crew") for thread in threading.enumerate()):
    time.sleep(0.01)
time.sleep(0.1)
for number in os.listdir("/proc/self/task"):
    name = open(f"/proc/self/task/{number}/comm").read().strip()
    print(name, sorted(os.sched_getaffinity(int(number))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux are threads kept on a core")
def test_only_the_threads_that_carry_are_kept_on_a_core(
    tmp_path: Path, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    """The process, and obstore's own threads, which encrypt and decrypt, run where they like."""
    name = bucket(moto_s3)
    for number in range(100):
        moto_s3.client().put_object(Bucket=name, Key=f"{number}", Body=b"small")
    words = [sys.executable, "-c", _CORES, f"s3://{name}/", f"{tmp_path}/", json.dumps(moto_s3.options_for("k", "s"))]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(list(tmp_path.iterdir())) == 100
    assert any("tokio" in line for line in told)
    assert {line.partition(" ")[2] for line in told} == {str(sorted(os.sched_getaffinity(0)))}


@pytest.mark.parametrize("engine", ["auto", "fsspec"])
def test_fsspecs_own_configuration_counts(
    engine: str, source: str, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    name = bucket(moto_s3)
    monkeypatch.setitem(fsspec.config.conf, "s3", options_for(door, key="CONFKEY"))
    assert fsync.sync(source, f"s3://{name}/", engine=engine).copied == len(FILES)
    assert {one.key.partition("/")[0] for one in door.asked} == {"CONFKEY"}
    assert there(moto_s3, name) == FILES
    # what an option of the configuration means to obstore is asked too
    monkeypatch.setitem(fsspec.config.conf["s3"], "s3_additional_kwargs", {"ACL": "private"})
    with pytest.raises(OptionError, match=r"s3_additional_kwargs\.ACL has no translation"):
        fsync.sync(source, f"s3://{name}/", engine="obstore")


class _Own(s3fs.S3FileSystem):  # type: ignore[misc]
    """A class of a user's, which may sign, name or ask otherwise."""


@pytest.mark.parametrize("way", ["registered", "handed in", "without names"])
def test_a_filesystem_that_may_do_more_is_asked_everything(
    way: str, source: str, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    name, options = bucket(moto_s3), options_for(door)
    if way == "registered":
        fsspec.register_implementation("s3", _Own, clobber=True)
        try:
            assert fsync.sync(source, f"s3://{name}/", dst_storage_options=options).copied == len(FILES)
        finally:
            fsspec.register_implementation("s3", s3fs.S3FileSystem, clobber=True)
    else:
        own = _Own(**options) if way == "handed in" else s3fs.S3FileSystem(False, **options)
        assert fsync.sync(source, (own, f"{name}/")).copied == len(FILES)
    assert {"aiobotocore" in one.headers["user-agent"] for one in door.asked} == {True}
    assert there(moto_s3, name) == FILES


_TWICE: dict[str, dict[str, Any]] = {
    "username": {"username": "OTHER"},
    "password": {"password": "other"},
    "client_kwargs.aws_access_key_id": {"client_kwargs": {"aws_access_key_id": "OTHER"}},
    "client_kwargs.aws_secret_access_key": {"client_kwargs": {"aws_secret_access_key": "other"}},
    "client_kwargs.aws_session_token": {"token": "one", "client_kwargs": {"aws_session_token": "other"}},
    "client_kwargs.endpoint_url": {"endpoint_url": "http://127.0.0.1:9"},
}


@pytest.mark.parametrize("engine", ["auto", "fsspec"])
@pytest.mark.parametrize("option", _TWICE)
def test_options_that_are_given_twice_are_refused(option: str, engine: str, source: str, door: Recorder) -> None:
    with pytest.raises(OptionError, match=rf"and {option.replace('.', '[.]')} mean the same") as refused:
        fsync.sync(source, "s3://bucket/", dst_storage_options=options_for(door, **_TWICE[option]), engine=engine)
    assert refused.value.exit_code == 2
    assert SECRET not in str(refused.value)
    assert door.asked == []


@pytest.mark.parametrize("how", ["connected elsewhere", "other options beside it"])
def test_a_filesystem_that_was_handed_in_knows_where_it_belongs(
    how: str, tmp_path: Path, moto_s3: S3Server, seaweed: S3Server, bucket: Callable[..., str]
) -> None:
    name = bucket(moto_s3)
    seaweed.client().create_bucket(Bucket=name)
    moto_s3.client().put_object(Bucket=name, Key="doc", Body=b"the only copy")
    seaweed.client().put_object(Bucket=name, Key="doc", Body=b"another")
    elsewhere: dict[str, Any] = {}
    if how == "connected elsewhere":
        own = s3fs.S3FileSystem(**seaweed.storage_options, skip_instance_cache=True)
        for attribute, value in moto_s3.storage_options.items():
            setattr(own, attribute, value)
        own.connect(refresh=True)
    else:
        own = s3fs.S3FileSystem(**moto_s3.storage_options, skip_instance_cache=True)
        elsewhere = {"src_storage_options": seaweed.storage_options}
    result = fsync.sync((own, f"{name}/"), f"{tmp_path}/back/", delete_src_after=True, **elsewhere)
    assert (result.copied, result.exit_code) == (1, 0)
    assert (tmp_path / "back/doc").read_bytes() == b"the only copy"
    assert (there(moto_s3, name), there(seaweed, name)) == ({}, {"doc": b"another"})


def test_a_filesystem_that_was_handed_in_has_its_bodies_carried_by_obstore(
    source: str, tmp_path: Path, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    name = bucket(moto_s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVKEYEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    options = options_for(door)
    del options["key"], options["secret"]
    large = b"0123456789abcdef" * (600 << 10)
    moto_s3.client().put_object(Bucket=name, Key="large/object", Body=large)
    for given in (options, options_for(door, key="GIVENKEY")):
        door.asked.clear()
        own = s3fs.S3FileSystem(**given, skip_instance_cache=True)
        assert fsync.sync(source, (own, f"{name}/{len(given)}/")).copied == len(FILES)
        assert fsync.sync((own, f"{name}/large/"), f"{tmp_path}/{len(given)}/").copied == 1
        assert (tmp_path / f"{len(given)}/object").read_bytes() == large
        assert {(one.by, one.key.partition("/")[0]) for one in door.bodies()} == {
            ("obstore", given.get("key", "ENVKEYEXAMPLE"))
        }


def test_a_variable_that_changes_in_the_middle_of_a_run_leads_nowhere_else(
    moto_s3: S3Server, seaweed: S3Server, bucket: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bucket(moto_s3)
    seaweed.client().create_bucket(Bucket=name)
    for server in (moto_s3, seaweed):
        server.client().put_object(Bucket=name, Key="doc", Body=b"content")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_s3.endpoint)

    async def mark(storage: S3Storage) -> list[BaseException | None]:
        assert await storage.entry(b"doc") is not None
        monkeypatch.setenv("AWS_ENDPOINT_URL", seaweed.endpoint)
        return await asyncio.gather(*map(storage.put_directory, (b"a/", b"b/")), return_exceptions=True)

    # markers are for s3fs, which is opened after the change
    errors = outcomes(parse(f"s3://{name}/", options={"key": KEY, "secret": SECRET}), "auto", mark)
    assert [type(error) for error in errors] == [FatalError] * 2
    assert there(moto_s3, name) == there(seaweed, name) == {"doc": b"content"}


def test_what_is_none_in_client_kwargs_hides_no_option(
    source: str, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVKEYEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    nothing = {"endpoint_url": None, "aws_access_key_id": None, "aws_secret_access_key": None}
    options = {"key": KEY, "secret": SECRET, "endpoint_url": door.endpoint, "client_kwargs": nothing}
    name = bucket(moto_s3)
    for engine in ("auto", "fsspec"):
        assert fsync.sync(source, f"s3://{name}/{engine}/", dst_storage_options=options, engine=engine).copied == 2
    assert {one.key.partition("/")[0] for one in door.asked} == {KEY}


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ("another range", ShortRead, "does not send the range"),
        ("the whole object", ShortRead, "does not send the range"),
        ("of a longer object", ShortRead, "more than the 10 bytes of the listing"),
        ("an end before the end", ConnectionError, "connection was lost"),
        ("an error", ServiceError, "SlowDown"),
    ],
)
def test_a_range_that_is_not_what_was_asked_for_is_an_error(
    wrong: str, error: type[Exception], says: str, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    name = bucket(moto_s3)
    moto_s3.client().put_object(Bucket=name, Key="large", Body=b"0123456789")
    etag = moto_s3.client().head_object(Bucket=name, Key="large")["ETag"].strip('"')
    entry = Entry(b"large", 10, 0, etag)

    async def read(storage: S3Storage) -> None:
        pieces = storage.flow(entry, 2, 5)
        assert pieces is not None
        assert b"".join(pieces) == b"23456"
        if wrong == "another range":
            door.header = ("Content-Range", "bytes 3-7/10")
        elif wrong == "of a longer object":
            door.header = ("Content-Range", "bytes 2-6/11")
        elif wrong == "an end before the end":
            door.cut = lambda _: True
        elif wrong == "an error":
            door.answer = lambda _: (503, b"<Error><Code>SlowDown</Code><Message>later</Message></Error>")
        else:
            door.answer = lambda _: (200, b"0123456789")
        pieces = storage.flow(entry, 2, 5)
        assert pieces is not None
        with pytest.raises(error, match=says) as raised:
            next(pieces)
        assert classify(raised.value) in (Verdict.RETRY, Verdict.SLOW_DOWN)

    outcomes(parse(f"s3://{name}/", options=options_for(door)), "auto", read)
    assert {one.by for one in door.bodies() if one.method == "GET"} == {"botocore"}


def test_a_range_that_is_the_whole_may_come_as_such(
    door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    name = bucket(moto_s3)
    entry = Entry(b"large", 10, 0)

    async def read(storage: S3Storage) -> None:
        door.answer = lambda _: (200, b"0123456789")
        pieces = storage.flow(entry, 0, 10)
        assert pieces is not None
        assert b"".join(pieces) == b"0123456789"

    outcomes(parse(f"s3://{name}/", options=options_for(door)), "auto", read)


@pytest.mark.parametrize("engine", ["auto", "fsspec"])
@pytest.mark.parametrize("what", ["begin", "part", "completion", "copy", "nothing at all"])
def test_an_answer_that_was_cut_off_is_no_success(
    what: str, engine: str, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    name = bucket(moto_s3)
    moto_s3.client().put_object(Bucket=name, Key="there", Body=b"x")
    address = parse(f"s3://{name}/", options=options_for(door))
    entry = Entry(b"large", MIB, 0)

    async def change(storage: S3Storage) -> None:
        if what == "begin":
            door.cut = lambda _: True
            await storage.begin(entry)
        elif what in ("copy", "nothing at all"):
            if what == "copy":
                door.cut = lambda _: True
            else:
                # as where the connection ends within the headers
                door.answer = lambda _: (200, b"")
            await storage.at(replace(address, root=f"{name}/other/")).server_copy(storage, Entry(b"there", 1, 0))
        else:
            upload = await storage.begin(entry)
            if what == "part":
                door.answer = lambda _: (200, b"")
            await upload.write(0, b"x" * MIB)
            door.cut = lambda _: True
            await upload.commit()

    async def tried(storage: S3Storage) -> None:
        with pytest.raises(Exception, match=r"(?i)connection|payload") as raised:
            await change(storage)
        assert classify(raised.value) is Verdict.RETRY

    outcomes(address, engine, tried)


def test_an_answer_to_deletions_that_was_cut_off_is_no_success(
    door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    name = bucket(moto_s3)
    moto_s3.client().put_object(Bucket=name, Key="there", Body=b"x")

    async def delete(storage: S3Storage) -> None:
        door.cut = lambda asked: asked.method == "POST"
        assert await storage.delete([Entry(b"there", 1, 0)]) == [None]

    outcomes(parse(f"s3://{name}/", options=options_for(door)), "auto", delete)
    # it is not known what was removed: each is removed by itself, after a second attempt
    assert [asked.method for asked in door.asked][-3:] == ["POST", "POST", "DELETE"]


def test_a_connection_that_ends_while_it_is_opened_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        options = {"key": KEY, "secret": SECRET, "client_kwargs": {
            "endpoint_url": f"https://127.0.0.1:{server.getsockname()[1]}", "region_name": REGION}}  # fmt: skip

        async def asked() -> None:
            running = Running(timeout=5)
            try:
                with pytest.raises(Exception, match=r"SSL|reset|closed") as raised:
                    await S3Client(options, running).call("head_object", Bucket="b", Key="k")
            finally:
                running.shutdown()
            assert classify(raised.value) is Verdict.RETRY

        asyncio.run(asked())
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("engine", ["auto", "fsspec"])
def test_an_answer_that_was_cut_off_is_no_end_of_a_listing(
    engine: str, tmp_path: Path, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    name = bucket(moto_s3)
    held = {"a": b"1", "b": b"1", "c": b"1"}
    for key, data in held.items():
        moto_s3.client().put_object(Bucket=name, Key=key, Body=data)
    fill(tmp_path / "source", {"b": b"two", "d": b"2"})
    door.cut = lambda asked: "list-type" in asked.target and "max-keys=1&" not in asked.target
    with pytest.raises(ListingError, match="cannot list"):
        fsync.sync(
            f"{tmp_path}/source/", f"s3://{name}/", dst_storage_options=options_for(door), engine=engine,
            ignore_existing=True, delete_dst=True, retries=1,
        )  # fmt: skip
    assert there(moto_s3, name) == held
    door.cut = lambda asked: "continuation-token" in asked.target

    async def listed(storage: S3Storage) -> list[int]:
        storage.call_s3 = functools.partial(storage.call_s3, MaxKeys=2)  # type: ignore[method-assign]
        return [page.num_rows async for page in storage.pages()]

    with pytest.raises(ListingError, match="cannot list"):
        outcomes(parse(f"s3://{name}/", options=options_for(door)), engine, listed)
    assert [asked for asked in door.asked if door.cut(asked)]


@pytest.mark.parametrize("engine", ["auto", "fsspec"])
@pytest.mark.parametrize("where", ["http://127.0.0.1:9", "https://127.0.0.1:9"])
def test_a_server_that_is_not_there_is_told_as_that(where: str, engine: str, source: str) -> None:
    options = {"key": KEY, "secret": SECRET, "client_kwargs": {"endpoint_url": where, "region_name": REGION}}
    with pytest.raises(ListingError, match=r"cannot reach s3://bucket/: .*; check the endpoint") as told:
        fsync.sync(source, "s3://bucket/", dst_storage_options=options, engine=engine, retries=0)
    assert where in str(told.value)
    assert "list-type" not in str(told.value)


def test_headers_beyond_ascii_are_read_alike(moto_s3: S3Server, bucket: Callable[..., str]) -> None:
    name = bucket(moto_s3)
    moto_s3.client().put_object(Bucket=name, Key="k", Body=b"1", ContentDisposition='attachment; filename="plain"')
    read = []
    with record(moto_s3.endpoint) as door:
        door.header = ("Content-Disposition", 'attachment; filename="\u00c4rger \u20ac.txt"')
        address = parse(f"s3://{name}/", options=options_for(door))
        for engine in ("auto", "fsspec"):
            entry = outcomes(address, engine, lambda storage: storage.entry(b"k"))
            read.append(entry.metadata["ContentDisposition"])
    assert read == ['attachment; filename="\u00c4rger \u20ac.txt"'] * 2


@pytest.mark.parametrize("key", ["x/../y", "./z", "/lead", "a//b"])
def test_a_proxy_is_asked_for_exactly_the_key(key: str, moto_s3: S3Server, bucket: Callable[..., str]) -> None:
    name = bucket(moto_s3)
    moto_s3.client().put_object(Bucket=name, Key=key, Body=b"content")
    with record(moto_s3.endpoint) as proxy:
        options = options_for(
            proxy, client_kwargs={"endpoint_url": "http://s3.amazonaws.com"},
            config_kwargs={"proxies": {"http": proxy.endpoint}},
        )  # fmt: skip
        address = parse(f"s3://{name}/", options=options)
        assert outcomes(address, "auto", lambda storage: storage.exists(key.encode()))
        [head] = [one for one in proxy.asked if one.method == "HEAD"]
    assert unquote(head.target).endswith(f"/{key}")


def test_a_number_of_connections_that_s3fs_refuses_is_refused_at_once(source: str, door: Recorder) -> None:
    with pytest.raises(FsyncError, match="max_concurrency"):
        fsync.sync(source, "s3://bucket/", dst_storage_options=options_for(door, max_concurrency=0))
    assert door.asked == []


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_styles_and_proxies(
    style: str, source: str, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    name = bucket(moto_s3)
    options = options_for(
        door,
        client_kwargs={"endpoint_url": "http://s3.amazonaws.com"},
        config_kwargs={"proxies": {"http": door.endpoint}, "s3": {"addressing_style": style}},
    )
    puts = put(source, name, door, options, engine="obstore")
    host = f"{name}.s3.amazonaws.com" if style == "virtual" else "s3.amazonaws.com"
    assert {one.headers["host"] for one in puts} == {host}
    assert all(one.target.startswith(f"http://{host}/") for one in puts)
    assert there(moto_s3, name) == FILES


@pytest.mark.parametrize("bypassed", [False, True])
def test_proxies_of_the_environment(
    bypassed: bool, source: str, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    name = bucket(moto_s3)
    with record(moto_s3.endpoint) as proxy:
        monkeypatch.setenv("http_proxy", proxy.endpoint)
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "127.0.0.1" if bypassed else "example.com")
        through = door if bypassed else proxy
        puts = put(source, name, through, options_for(door), engine="obstore")
    assert {one.by for one in puts} == {"obstore"}
    assert there(moto_s3, name) == FILES
    assert not (proxy if bypassed else door).asked or not bypassed


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody else has signed, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fsync test")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.mark.parametrize("how", ["verify=False", "verify=FILE", "AWS_CA_BUNDLE"])
def test_tls(
    how: str, certificate: Path, source: str, moto_s3: S3Server, bucket: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    name = bucket(moto_s3)
    with record(moto_s3.endpoint, certificate) as door:
        verify: dict[str, Any] = {"verify=False": {"verify": False}, "verify=FILE": {"verify": str(certificate)}}.get(
            how, {}
        )
        if how == "AWS_CA_BUNDLE":
            monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        puts = put(source, name, door, options_for(door, client_kwargs=verify), engine="obstore")
    assert {one.by for one in puts} == {"obstore"}
    assert there(moto_s3, name) == FILES


def _environment(monkeypatch: pytest.MonkeyPatch, home: Path) -> str:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVKEYEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "envtoken")
    return "ENVKEYEXAMPLE"


def _file(monkeypatch: pytest.MonkeyPatch, home: Path) -> str:
    (home / "credentials").write_text("[default]\naws_access_key_id = FILEKEYEXAMPLE\naws_secret_access_key = x\n")
    return "FILEKEYEXAMPLE"


def _profile(monkeypatch: pytest.MonkeyPatch, home: Path) -> str:
    monkeypatch.setenv("AWS_PROFILE", "second")
    (home / "config").write_text("[profile second]\naws_access_key_id = SECONDKEY\naws_secret_access_key = x\n")
    return "SECONDKEY"


@pytest.mark.parametrize("chain", [_environment, _file, _profile])
def test_credentials_come_from_the_chain_of_botocore(
    chain: Callable[[pytest.MonkeyPatch, Path], str], source: str, tmp_path: Path, door: Recorder, moto_s3: S3Server,
    bucket: Callable[..., str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    key = chain(monkeypatch, tmp_path)
    puts = put(source, bucket(moto_s3), door, {"client_kwargs": {"endpoint_url": door.endpoint}}, engine="obstore")
    assert {(one.by, one.key.partition("/")[0]) for one in puts} == {("obstore", key)}
    token = "envtoken" if chain is _environment else None
    assert {one.headers.get("x-amz-security-token") for one in puts} == {token}


def test_given_keys_win_over_a_token_of_the_environment(
    source: str, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SESSION_TOKEN": "foreign", "ENDPOINT_URL_S3": "http://127.0.0.1:9", "REGION": "xx"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    puts = put(source, bucket(moto_s3), door, options_for(door), engine="obstore")
    assert {(one.by, one.headers.get("x-amz-security-token")) for one in puts} == {("obstore", None)}


def test_a_profile_option_and_keys_that_expire(
    source: str, tmp_path: Path, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # a program that gives other keys each time, good for five minutes: botocore asks it again at every use
    program = tmp_path / "keys.py"
    program.write_text(
        "import json, pathlib, datetime\n"
        "count = pathlib.Path(__file__).with_suffix('.count')\n"
        "with count.open('a') as file: file.write('x')\n"
        "soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'KEY{count.stat().st_size}', 'SecretAccessKey': 's',\n"
        "                  'SessionToken': 't', 'Expiration': soon.isoformat()}))\n"
    )
    (tmp_path / "config").write_text(f"[profile own]\ncredential_process = {sys.executable} {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    # obstore asks for keys again once a minute: here at every use too
    monkeypatch.setattr("fsync.storage.s3_client._ASKED_AGAIN", dt.timedelta(0))
    options = {"profile": "own", "client_kwargs": {"endpoint_url": door.endpoint}}
    puts = put(source, bucket(moto_s3), door, options, engine="obstore", threads=1, bwlimit="0.00008")
    keys = [one.key.partition("/")[0] for one in puts]
    assert {one.by for one in puts} == {"obstore"}
    assert len(set(keys)) == len(keys) == len(FILES)
    assert all(key.startswith("KEY") for key in keys)


_UNKNOWN: dict[str, dict[str, Any]] = {
    "version_aware": {"version_aware": True},
    "cache_regions": {"cache_regions": True},
    "client_kwargs.api_version": {"client_kwargs": {"api_version": "2006-03-01"}},
    "config_kwargs.user_agent_extra": {"config_kwargs": {"user_agent_extra": "x"}},
    "config_kwargs.s3.use_arn_region": {"config_kwargs": {"s3": {"use_arn_region": True}}},
    "s3_additional_kwargs.ACL": {"s3_additional_kwargs": {"ACL": "private"}},
    "s3_additional_kwargs.ServerSideEncryption": {"s3_additional_kwargs": {"ServerSideEncryption": "other"}},
    "signed by s3": {"config_kwargs": {"signature_version": "s3"}},
}


@pytest.mark.parametrize("option", _UNKNOWN)
def test_an_option_without_translation_means_s3fs_or_exit_2(
    option: str, source: str, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    name, options = bucket(moto_s3), options_for(door, **_UNKNOWN[option])
    with pytest.raises(OptionError, match=option.replace(".", r"\.")) as refused:
        fsync.sync(source, f"s3://{name}/", dst_storage_options=options, engine="obstore")
    assert refused.value.exit_code == 2
    assert SECRET not in str(refused.value)
    assert door.asked == []
    if option.endswith("ServerSideEncryption"):
        return
    with caplog.at_level("DEBUG", "fsync"):
        puts = put(source, name, door, options)
    assert {one.by for one in puts} == {"botocore"}
    assert [record.message for record in caplog.records if option in record.message]


def test_a_variable_that_only_obstore_would_heed(
    source: str, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SERVER_SIDE_ENCRYPTION", "aws:kms")
    puts = put(source, bucket(moto_s3), door, options_for(door))
    assert {(one.by, one.headers.get("x-amz-server-side-encryption")) for one in puts} == {("botocore", None)}


def test_obstore_without_a_storage_for_it_is_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--engine obstore"):
        fsync.sync(source, f"{tmp_path}/target/", engine="obstore")
    assert not (tmp_path / "target").exists()


_METADATA: dict[str, dict[str, Any]] = {
    "all": {"ContentType": "text/x-own; a=b", "CacheControl": "max-age=3", "ContentEncoding": "gzip",
            "ContentDisposition": 'attachment; filename="f"', "ContentLanguage": "de",
            "Metadata": {"own-key": "own value", "x_y": "2"}},
    "a name that is taken": {"ContentType": "text/plain", "Metadata": {"content-type": "other"}},
    "empty": {"ContentType": "text/plain", "Metadata": {"e": ""}},
}  # fmt: skip


@pytest.mark.parametrize("engine", ["auto", "fsspec"])
@pytest.mark.parametrize("case", _METADATA)
def test_metadata_goes_along(case: str, engine: str, moto_s3: S3Server, bucket: Callable[..., str]) -> None:
    first, second, client = bucket(moto_s3), bucket(moto_s3), moto_s3.client()
    # no gzip at all: content is carried as it is, whatever it says of itself
    client.put_object(Bucket=first, Key="k", Body=b"no gzip", **_METADATA[case])
    result = fsync.sync(
        f"s3://{first}/", f"s3://{second}/", src_storage_options=moto_s3.storage_options,
        dst_storage_options=moto_s3.options_for("another", "identity"), engine=engine,
    )  # fmt: skip
    assert (result.copied, result.verified_by) == (1, {"md5": 1})
    got = client.get_object(Bucket=second, Key="k")
    assert got["Body"].read() == b"no gzip"
    assert {name: got.get(name) for name in _METADATA[case]} == _METADATA[case]


# HTTP status, code of the service
_ANSWERS = [
    (400, "ExpiredToken"), (400, "RequestTimeout"), (400, "InvalidArgument"), (401, "Unauthorized"),
    (403, "AccessDenied"), (403, "InvalidObjectState"), (403, "RequestTimeTooSkewed"), (404, "NoSuchKey"),
    (404, "NoSuchBucket"), (409, "OperationAborted"), (412, "PreconditionFailed"), (429, "TooManyRequests"),
    (500, "InternalError"), (503, "SlowDown"), (503, "ServiceUnavailable"), (502, ""),
]  # fmt: skip


def outcomes(address: Address, engine: str, work: Callable[[S3Storage], Awaitable[Any]]) -> Any:
    """Open a bucket, let something be done with it, and close it."""

    async def whole() -> Any:
        running = Running(threads=2, timeout=10, engine=engine, pacing=Pacing(retries=1))
        storage = S3Storage(address, running)
        try:
            await storage.open()
            await storage.probe()
            return await work(storage)
        finally:
            await storage.close()
            running.shutdown()

    return run(whole())


def test_an_error_means_the_same_by_both(door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]) -> None:
    address = parse(f"s3://{bucket(moto_s3)}/", options=options_for(door))
    given: list[tuple[int, bytes]] = []
    door.answer = lambda asked: given[-1] if asked in door.bodies() else None

    async def errors(storage: S3Storage) -> list[tuple[type[Exception], Verdict, int | None, str | None]]:
        found = []
        for status, code in _ANSWERS:
            xml = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>why &amp;\n what</Message></Error>"
            given.append((status, xml.encode() if code else b""))
            # a key that looks like an answer
            entry = Entry(b"<Code>SlowDown</Code> status: 200,", 1, etag="e")
            for attempt in (storage.read(entry), storage.put(entry, b"1")):
                with pytest.raises(Exception, match=r".") as raised:
                    await attempt
                error = raised.value
                kind = type(error) if isinstance(error, ObjectError) else Exception
                found.append((kind, classify(error), http_status(error), service_code(error)))
                assert "Debug" not in describe(error)
        return found

    ours, theirs = (outcomes(address, engine, errors) for engine in ("obstore", "fsspec"))
    assert {one.by for one in door.bodies()} == {"obstore", "botocore"}
    named = [(status, code) for status, code in _ANSWERS for _ in range(2)]
    assert dict(zip(named, ours, strict=True)) == dict(zip(named, theirs, strict=True))


def test_a_server_that_does_not_answer_and_one_that_hangs_up(
    tmp_path: Path, door: Recorder, moto_s3: S3Server, bucket: Callable[..., str]
) -> None:
    name = bucket(moto_s3)
    fill(tmp_path / "source", {"a": b"1"})

    def late(asked: Asked) -> Any:
        if asked in door.bodies():
            import time

            time.sleep(3)

    door.answer = late
    result = fsync.sync(
        f"{tmp_path}/source/", f"s3://{name}/", dst_storage_options=options_for(door), engine="obstore", retries=0,
        timeout=1, raise_on_error=False,
    )  # fmt: skip
    assert [failure.error for failure in result.failures] == ["no answer in time"]
    assert json.dumps(result.to_dict())
