"""--no-https, for both addresses or one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import fsync
from fsync.ends import parse_pair
from fsync.errors import OptionError
from fsync.notices import speaks_http
from fsync.options import options_from
from tests.safety.conftest import Maker
from tests.safety.places import S3Place, fill, run

_S3 = "s3://AK:SK@bucket.s3.example.com/p/"
_OSS = "oss://AK:SK@bucket.oss-cn-hangzhou.aliyuncs.com/p/"
_COS = "cos://AK:SK@bucket-125000.cos.ap-beijing.myqcloud.com/p/"
_DAV = "webdav://host.example.com/p/"


@pytest.mark.parametrize("address", [_S3, _OSS, _COS, _DAV, "s3://bucket/p/"])
@pytest.mark.parametrize(
    ("option", "sides"),
    [(None, ()), ("no_https", ("source", "destination")), ("src_no_https", ("source",)),
     ("dst_no_https", ("destination",))],
)  # fmt: skip
def test_each_side_by_itself(address: str, option: str | None, sides: tuple[str, ...]) -> None:
    options = options_from({option: True} if option else {}, verb="sync")
    ends = parse_pair(address, address.replace("/p/", "/q/"), options, {}, {})
    plain = [name for name, end in zip(("source", "destination"), ends, strict=True) if speaks_http(end)]
    assert plain == list(sides)


def test_a_server_without_certificates_is_reached_by_its_name(place: Maker, tmp_path: Path) -> None:
    bucket = place("moto", "bucket")
    assert isinstance(bucket, S3Place)
    source = fill(tmp_path / "source", {"a": b"1"})
    server = bucket.server
    address = f"s3://{server.key}:{server.secret}@{server.host}/{bucket.bucket}/some/prefix/"
    ended = run(f"{source}/", address, no_https=True)
    assert ended.code == 0, ended
    assert "has no effect" not in ended.text
    assert bucket.data() == {"a": b"1"}


def test_where_it_changes_nothing_it_is_said(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"a": b"1"})
    ended = run(f"{source}/", f"{tmp_path}/destination/", no_https=True)
    assert ended.code == 0, ended
    assert ended.text.count("--no-https has no effect") == 1
    with pytest.raises(OptionError, match="--no-https has no effect"):
        fsync.ls(f"{source}/", no_https=True)
