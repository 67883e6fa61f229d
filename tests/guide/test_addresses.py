"""Every address of the user's guide, resolved to an fsspec URL and storage options."""

from __future__ import annotations

import os
from typing import Any

import pytest

from fsync.address import Address, parse
from fsync.pairing import check_pair, reconcile

HOME = os.path.expanduser("~")
HERE = os.getcwd()
KEYS = {"key": "ABCDEFG", "secret": "HIJKLMN"}
A = {**KEYS, "client_kwargs": {"region_name": "us-west-1"}}
B = {**KEYS, "endpoint": "https://oss-cn-hangzhou.aliyuncs.com"}
C = {"secret_id": "ABCDEFG", "secret_key": "HIJKLMN", "region": "ap-beijing"}
BUCKET_A = "s3://ABCDEFG:HIJKLMN@aaa.s3.us-west-1.amazonaws.com"
BUCKET_B = "oss://ABCDEFG:HIJKLMN@bbb.oss-cn-hangzhou.aliyuncs.com"
BUCKET_C = "cos://ABCDEFG:HIJKLMN@ccc-125000.cos.ap-beijing.myqcloud.com"

GOLDEN: list[tuple[str, str, dict[str, Any]]] = [
    ("s3://ABCDEFG:HIJKLMN@myjfs.s3.us-west-1.amazonaws.com", "s3://myjfs/", A),
    ("./te", f"{HERE}/te", {}),
    ("~/mnt/te", f"{HOME}/mnt/te", {}),
    ("~/mnt/ab", f"{HOME}/mnt/ab", {}),
    ("movie/", f"{HERE}/movie/", {}),
    (BUCKET_A, "s3://aaa/", A),
    (f"{BUCKET_A}/", "s3://aaa/", A),
    (f"{BUCKET_A}/movies/", "s3://aaa/movies/", A),
    (f"{BUCKET_A}/images/", "s3://aaa/images/", A),
    (BUCKET_B, "oss://bbb/", B),
    (BUCKET_C, "cos://ccc-125000/", C),
    ("/mnt/jfs/", "/mnt/jfs/", {}),
    ("/mnt/jfs/movies/", "/mnt/jfs/movies/", {}),
    ("/mnt/jfs/images/", "/mnt/jfs/images/", {}),
    (
        "minio://ACCESS_KEY:SECRET_KEY@ENDPOINT/BUCKET/PREFIX",
        "s3://BUCKET/PREFIX",
        {
            "key": "ACCESS_KEY",
            "secret": "SECRET_KEY",
            "client_kwargs": {"endpoint_url": "http://ENDPOINT", "region_name": "us-east-1"},
            "config_kwargs": {"s3": {"addressing_style": "path"}},
        },
    ),
]

#: SRC and DST of every command in the guide
COMMANDS = [
    ("./te", "~/mnt/te"),
    ("./te", "~/mnt/ab"),
    (f"{BUCKET_A}/movies/", "/mnt/jfs/movies/"),
    ("/mnt/jfs/images/", f"{BUCKET_A}/images/"),
    (BUCKET_A, BUCKET_B),
    ("/mnt/jfs/", f"{BUCKET_A}/"),
    ("/mnt/jfs/", BUCKET_A),
    (BUCKET_C, BUCKET_B),
]


def read(text: str) -> Address:
    return parse(text, environ={})


@pytest.mark.parametrize(("text", "url", "options"), GOLDEN, ids=[row[0].partition("@")[2] or row[0] for row in GOLDEN])
def test_the_guides_addresses_resolve(text: str, url: str, options: dict[str, Any]) -> None:
    address = read(text)
    assert (address.url, address.storage_options) == (url, options)
    assert "HIJKLMN" not in address.url + address.given + repr(address)


@pytest.mark.parametrize(("src", "dst"), COMMANDS)
def test_the_guides_commands_have_two_ends_that_fit(src: str, dst: str) -> None:
    source, target = reconcile(read(src), read(dst))
    check_pair(source, target)
    assert source.is_directory == target.is_directory


def test_the_guides_prefix_is_exchanged() -> None:
    source, target = reconcile(read("./te"), read("~/mnt/ab"))
    assert source.join("st/a") == f"{HERE}/test/a"
    assert target.join("st/a") == f"{HOME}/mnt/abst/a"


def test_a_slash_in_a_secret_may_be_escaped_as_the_guide_asks_or_raw() -> None:
    escaped = read("s3://ABCDEFG:HIJ%2FKLMN@aaa.s3.us-west-1.amazonaws.com/movies/")
    raw = read("s3://ABCDEFG:HIJ/KLMN@aaa.s3.us-west-1.amazonaws.com/movies/")
    assert escaped.storage_options == raw.storage_options == {**A, "secret": "HIJ/KLMN"}
    assert escaped.root == raw.root == "aaa/movies/"
