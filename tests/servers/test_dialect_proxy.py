"""The OSS and COS proxies, reached by the SDKs of these services and seen from behind with botocore."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.servers.dialect_proxy import DialectServer
from tests.servers.s3 import S3Server

_ODD = "d/a b+c#%?é.bin"


def test_oss_sdk_round_trip(oss: DialectServer, bucket: Callable[[S3Server], str]) -> None:
    import oss2

    name = bucket(oss.upstream)
    client = oss2.Bucket(oss2.Auth("ABCDEFG", "HIJKLMN"), oss.endpoint, name)
    client.put_object(_ODD, b"odd", headers={"x-oss-meta-made": "by hand"})
    client.copy_object(name, _ODD, "copy")
    client.append_object("grown", 0, b"one")
    client.append_object("grown", 3, b"two")
    with pytest.raises(oss2.exceptions.PositionNotEqualToLength):
        client.append_object("grown", 3, b"again")

    behind = oss.upstream.client()
    assert behind.head_object(Bucket=name, Key=_ODD)["Metadata"] == {"made": "by hand"}
    assert behind.get_object(Bucket=name, Key="copy")["Body"].read() == b"odd"
    listed = [(entry.key, entry.size) for entry in oss2.ObjectIteratorV2(client)]
    assert listed == [("copy", 3), (_ODD, 3), ("grown", 6)]
    assert client.get_object("grown", byte_range=(2, 3)).read() == b"et"
    assert client.head_object("grown").content_length == 6
    client.batch_delete_objects(["copy", _ODD])
    assert [entry.key for entry in oss2.ObjectIteratorV2(client)] == ["grown"]
    with pytest.raises(oss2.exceptions.NoSuchKey):
        client.get_object("copy")


def test_cos_sdk_round_trip(
    cos: DialectServer, bucket: Callable[[S3Server], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import qcloud_cos

    monkeypatch.setenv("http_proxy", cos.endpoint)
    name = bucket(cos.upstream)
    config = qcloud_cos.CosConfig(Region="ap-beijing", SecretId="ABCDEFG", SecretKey="HIJKLMN", Scheme="http")
    client = qcloud_cos.CosS3Client(config, retry=0)
    client.put_object(Bucket=name, Key=_ODD, Body=b"odd", Metadata={"x-cos-meta-made": "by hand"})
    source = {"Bucket": name, "Key": _ODD, "Region": "ap-beijing"}
    client.copy_object(Bucket=name, Key="copy", CopySource=source)

    behind = cos.upstream.client()
    assert behind.head_object(Bucket=name, Key=_ODD)["Metadata"] == {"made": "by hand"}
    assert behind.get_object(Bucket=name, Key="copy")["Body"].read() == b"odd"
    listed = client.list_objects(Bucket=name)["Contents"]
    assert [(entry["Key"], entry["Size"]) for entry in listed] == [("copy", "3"), (_ODD, "3")]
    assert client.head_object(Bucket=name, Key="copy")["Content-Length"] == "3"
    client.delete_objects(Bucket=name, Delete={"Object": [{"Key": "copy"}]})
    assert [entry["Key"] for entry in client.list_objects(Bucket=name)["Contents"]] == [_ODD]
    with pytest.raises(qcloud_cos.CosServiceError, match="NoSuchKey"):
        client.get_object(Bucket=name, Key="copy")
