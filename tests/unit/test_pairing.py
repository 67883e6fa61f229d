"""Two addresses together: one spelling, and never one inside the other."""

from __future__ import annotations

from typing import Any

import fsspec
import pytest

from fsync.address import Address, parse
from fsync.errors import AddressError
from fsync.pairing import check_pair, reconcile, store


def read(text: Any, options: dict[str, Any] | None = None) -> Address:
    return parse(text, options=options, environ={}, exists=lambda _: False)


@pytest.mark.parametrize(
    ("src", "dst", "facts", "roots"),
    [
        ("/a/", "/b/", {}, ("/a/", "/b/")),
        ("/a", "/b", {}, ("/a", "/b")),
        ("/a", "/b", {"src_is_directory": True, "dst_is_directory": True}, ("/a", "/b")),
        ("/a/", "s3://b", {}, ("/a/", "b/")),
        ("s3://b", "/a/", {}, ("b/", "/a/")),
        ("/a/", "/b", {"dst_is_directory": True}, ("/a/", "/b/")),
        ("/a", "/b/", {"src_is_directory": True}, ("/a/", "/b/")),
        ("/d/name", "/b/", {"src_is_file": True}, ("/d/name", "/b/name")),
        ("/d/name", "s3://b", {"src_is_file": True}, ("/d/name", "b/name")),
        ("s3://b/d/name", "h:", {"src_is_file": True}, ("b/d/name", "name")),
        (".", "/b/", {}, None),
    ],
)
def test_reconciled(src: str, dst: str, facts: dict[str, bool], roots: tuple[str, str] | None) -> None:
    source, target = reconcile(read(src), read(dst), **facts)
    assert roots is None or (source.root, target.root) == roots
    assert source.is_directory == target.is_directory


@pytest.mark.parametrize(
    ("src", "dst", "facts"),
    [
        ("/a/", "/new", {"dst_is_directory": False}),
        ("/a/", "/new", {}),
        ("/a", "/b/", {"src_is_directory": False, "src_is_file": False}),
        ("s3://b/a", "/b/", {"src_is_directory": True, "src_is_file": True}),
        ("/a", "s3://AK:very-secret@b", {}),
    ],
)
def test_where_two_readings_remain_both_spellings_are_named(src: str, dst: str, facts: dict[str, bool]) -> None:
    source, target = read(src), read(dst)
    with pytest.raises(AddressError) as caught:
        reconcile(source, target, **facts)
    message = str(caught.value)
    assert message.count("fsync sync ") == 2
    assert source.as_directory().given in message
    assert "very-secret" not in message
    assert caught.value.exit_code == 2


def test_both_spellings_are_lines_for_a_shell() -> None:
    with pytest.raises(AddressError, match=r"fsync sync '/a b/' /new/ for .*, or fsync sync '/a b' /new for"):
        reconcile(read("/a b/"), read("/new"))


APART = [
    ("/a/", "/b/"),
    ("/data/", "/data-backup/"),
    ("/a/te", "/b/te"),
    ("/a/te", "/a/ab"),
    ("s3://a/", "s3://b/"),
    ("s3://b/x/", "s3://b/y/"),
    ("s3://b/x/", "s3://b//x/"),
    ("s3://b/", "oss://b/"),
    ("minio://h:1/b/", "minio://h:2/b/"),
    ("minio://h/b/", "s3://b/"),
    ("space://b.nyc3.digitaloceanspaces.com/", "space://b.sgp1.digitaloceanspaces.com/"),
    ("s3://b.s3.cn-north-1.amazonaws.com.cn/", "s3://b.s3.us-east-1.amazonaws.com/"),
    ("wasb://one:KEY@c/", "wasb://two:KEY@c/"),
    ("h:/p/", "g:/p/"),
    ("h:22:/p/", "h:23:/p/"),
    ("u@h:p/", "v@h:p/"),
    ("h:/p/", "/p/"),
    ("webdav://h/a/", "webdav://h/b/"),
    ("http://h/a/", "http://g/a/"),
    ("memory://a/", "memory://b/"),
]

CLASHING = [
    ("/a/", "/a/", "same place"),
    ("/a/b/../", "/a/", "same place"),
    ("/a", "/a", "same place"),
    ("/a/", "/a/b/", "DST lies inside SRC"),
    ("/a/b/", "/a/", "SRC lies inside DST"),
    ("/", "/a/", "DST lies inside SRC"),
    ("/data", "/data-backup", "fsync sync /data/ /data-backup/"),
    ("/data-backup", "/data", "fsync sync /data-backup/ /data/"),
    ("/a/te", "/a/te/x", "fsync sync /a/te/ /a/te/x/"),
    ("s3://b", "s3://b/backup/", "DST lies inside SRC"),
    ("s3://AK:one-key@b/x/", "s3://BK:two-key@b/x/", "same place"),
    ("s3://b.s3.us-west-1.amazonaws.com/x/", "s3://b/x/", "same place"),
    ("s3://b/x", "s3://b/x-old", "fsync sync s3://b/x/ s3://b/x-old/"),
    ("minio://localhost:9000/b/", "s3://127.0.0.1:9000/b/", "same place"),
    ("minio://h/b/", "s3://AK:secret@b.h/x/", "DST lies inside SRC"),
    ("oss://b.oss-cn-x.aliyuncs.com/", "oss://b.oss-cn-x-internal.aliyuncs.com/", "same place"),
    ("cos://b.cos.ap-x.myqcloud.com/", "cosn://b.cos.accelerate.myqcloud.com/", "same place"),
    ("gs://b/", "gcs://b/", "same place"),
    ("abfs://c@acct.dfs.core.windows.net/p/", "wasb://acct:KEY@c/p/", "same place"),
    ("u@h:/p/", "sftp://v@h:22/p//", "same place"),
    ("u@h:p/", "u@h:./p/q/", "DST lies inside SRC"),
    ("h:", "h:p/", "DST lies inside SRC"),
    ("webdav://u:pass@h/a/", "davs://h:443/a/b/", "DST lies inside SRC"),
    ("ftp://h/a/", "ftp://u:pass@h:21/a/", "same place"),
    ("smb://h/s/", "cifs://H/s/", "same place"),
    ("hdfs://nn/p/", "hdfs://u@nn:8020/p/", "same place"),
    ("memory://a/", "memory:///a/b/", "DST lies inside SRC"),
    ("http://h/a/", "http://h:80/a/", "same place"),
]


@pytest.mark.parametrize(("src", "dst"), APART)
def test_apart(src: str, dst: str) -> None:
    check_pair(read(src), read(dst))


@pytest.mark.parametrize(("src", "dst", "why"), CLASHING)
def test_clashing(src: str, dst: str, why: str) -> None:
    with pytest.raises(AddressError) as caught:
        check_pair(read(src), read(dst))
    assert why in str(caught.value)


def test_real_paths_are_compared_too() -> None:
    src, dst = read("/a/"), read("/link/")
    check_pair(src, dst, src_real="/a/", dst_real="/b/")
    with pytest.raises(AddressError, match="DST lies inside SRC"):
        check_pair(src, dst, src_real="/a/", dst_real="/a/b/")
    with pytest.raises(AddressError, match="same place"):
        check_pair(src, dst, dst_real="/a/")


def test_exactly_one_object_may_lie_beside_its_copy() -> None:
    src, dst = read("/a/f"), read("/a/f.bak")
    check_pair(src, dst, exact=True)
    with pytest.raises(AddressError, match="without a slash"):
        check_pair(src, dst)
    with pytest.raises(AddressError, match="same place"):
        check_pair(src, src, exact=True)


def test_pairs_of_one_filesystem_are_one_store() -> None:
    memory = fsspec.filesystem("memory")
    inside = fsspec.filesystem("dir", path="/m", fs=memory)
    with pytest.raises(AddressError, match="same place"):
        check_pair(read((inside, "d/")), read((inside, "d/")))
    assert store(read((memory, "/a"))) == store(read("memory://b"))
    assert store(read((inside, "a"))) != store(read((fsspec.filesystem("dir", path="/n", fs=memory), "a")))
