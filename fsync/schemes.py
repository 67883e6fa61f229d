"""The scheme table: which storage family a scheme names, and where the endpoints of object stores live.

Endpoint forms come from the providers' own documentation and from JuiceFS's "How to set up object storage". A provider
is one row; a scheme that speaks S3 is one row here and needs no code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: storage families whose names are BUCKET/KEY, without real directories
OBJECT_FAMILIES = frozenset({"s3", "oss", "cos", "gcs", "azure"})

#: packages whose filesystem classes a family's storage options fit; any other class is "generic"
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "local": ("fsspec.implementations.local",),
    "memory": ("fsspec.implementations.memory",),
    "s3": ("s3fs",),
    "oss": ("ossfs",),
    "cos": ("cosfs",),
    "gcs": ("gcsfs",),
    "azure": ("adlfs",),
    "sftp": ("sshfs",),
    "webdav": ("webdav4",),
    "hdfs": ("fsspec.implementations.arrow", "hdfs_native"),
    "ftp": ("fsspec.implementations.ftp",),
    "smb": ("fsspec.implementations.smb",),
    "http": ("fsspec.implementations.http",),
}

#: the distribution that must be installed for a family; local and memory need none
DISTRIBUTIONS: Mapping[str, str] = {
    "s3": "s3fs",
    "oss": "ossfs",
    "cos": "cosfs",
    "gcs": "gcsfs",
    "azure": "adlfs",
    "sftp": "sshfs",
    "webdav": "webdav4",
    "hdfs": "pyarrow",
    "ftp": "fsspec",
    "smb": "smbprotocol",
    "http": "aiohttp",
}


@dataclass(frozen=True, slots=True)
class Provider:
    """One service's endpoints.

    ``host`` is a regular expression for the whole endpoint (without bucket and port), its group ``region`` the region
    to sign for. ``endpoint`` is the host that speaks the protocol where it is another than the one matched, with
    ``{region}`` filled in. ``sdk`` marks endpoints that the SDK finds from the region alone.
    """

    form: str
    host: str
    style: str = "virtual"
    endpoint: str = ""
    region: str = ""
    sdk: bool = False


_R = r"(?P<region>[a-z0-9-]+)"
_AWS_REGION = r"(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]+)"

AWS = (
    Provider("BUCKET.s3.REGION.amazonaws.com", rf"s3(?:[.-]{_AWS_REGION})?\.amazonaws\.com(?:\.cn)?", "", sdk=True),
    Provider("BUCKET.s3.dualstack.REGION.amazonaws.com",
             rf"s3(?:-fips)?\.dualstack\.{_AWS_REGION}\.amazonaws\.com(?:\.cn)?"),
    Provider("BUCKET.s3-fips.REGION.amazonaws.com", rf"s3-fips[.-]{_AWS_REGION}\.amazonaws\.com"),
    Provider("BUCKET.s3-accelerate.amazonaws.com", r"s3-accelerate(?:\.dualstack)?\.amazonaws\.com"),
    Provider("BUCKET.bucket.vpce-ID.s3.REGION.vpce.amazonaws.com",
             rf"bucket\.vpce-[a-z0-9-]+\.s3\.{_AWS_REGION}\.vpce\.amazonaws\.com"),
)  # fmt: skip
B2 = Provider("BUCKET.s3.REGION.backblazeb2.com", rf"s3\.{_R}\.backblazeb2\.com")
WASABI = Provider("BUCKET.s3.REGION.wasabisys.com", rf"s3(?:\.{_R})?\.wasabisys\.com")
SPACE = Provider("BUCKET.REGION.digitaloceanspaces.com", rf"{_R}\.digitaloceanspaces\.com")
SCALEWAY = Provider("BUCKET.s3.REGION.scw.cloud", rf"s3\.{_R}\.scw\.cloud")
IBM = Provider("BUCKET.s3.REGION.cloud-object-storage.appdomain.cloud",
               rf"s3\.(?:(?:private|direct)\.)?{_R}\.cloud-object-storage\.appdomain\.cloud", "path")  # fmt: skip
OOS = Provider("BUCKET.oos-REGION.ctyunapi.cn", rf"oos(?:-{_R})?\.ctyunapi\.cn", "path")
EOS = Provider("BUCKET.eos-REGION.cmecloud.cn", rf"eos-{_R}\.cmecloud\.cn", "path")
KS3 = Provider("BUCKET.ks3-REGION.ksyuncs.com", rf"ks3-{_R}\.ksyun(?:cs)?\.com")
STORJ = Provider("gateway.REGION.storjshare.io/BUCKET", r"gateway(?:\.[a-z0-9-]+)?\.storjshare\.io", "path")
R2 = Provider("ACCOUNT.r2.cloudflarestorage.com/BUCKET",
              r"[0-9a-z]+\.(?:(?:eu|fedramp)\.)?r2\.cloudflarestorage\.com", "path", region="auto")  # fmt: skip
OBS = Provider("BUCKET.obs.REGION.myhuaweicloud.com", rf"obs\.{_R}\.myhuaweicloud\.(?:com|eu)")
TOS = Provider("BUCKET.tos-REGION.volces.com", r"tos-(?!s3-)(?P<region>[a-z0-9-]+)\.volces\.com",
               endpoint="tos-s3-{region}.volces.com")  # fmt: skip
TOS_S3 = Provider("BUCKET.tos-s3-REGION.volces.com", rf"tos-s3-{_R}\.i?volces\.com")
BOS = Provider("BUCKET.REGION.bcebos.com", rf"(?:s3\.)?{_R}\.bcebos\.com", endpoint="s3.{region}.bcebos.com")
QINIU = Provider("BUCKET.s3-REGION.qiniucs.com", rf"s3[.-]{_R}\.qiniucs\.com", "path")
QINGSTOR = Provider("BUCKET.REGION.qingstor.com", rf"(?:s3\.)?{_R}\.qingstor\.com", "path", "s3.{region}.qingstor.com")
OSS = Provider("BUCKET.oss-REGION.aliyuncs.com",
               r"(?:vpc100-)?oss-(?P<region>[a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com")  # fmt: skip
COS = Provider("BUCKET-APPID.cos.REGION.myqcloud.com", rf"cos\.{_R}\.myqcloud\.com", sdk=True)
COS_OTHER = Provider("BUCKET-APPID.cos-internal.REGION.tencentcos.cn",
                     rf"cos(?:-internal)?\.{_R}\.(?:tencentcos\.cn|myqcloud\.com)")  # fmt: skip
COS_ACCELERATE = Provider("BUCKET-APPID.cos.accelerate.myqcloud.com",
                          r"cos(?:-internal)?\.accelerate\.(?:myqcloud\.com|tencentcos\.cn)")  # fmt: skip

#: what ``s3://`` recognises without credentials in the address: every service with an S3 dialect, most exact first
S3_PROVIDERS = (
    *AWS, B2, WASABI, SPACE, SCALEWAY, IBM, OOS, EOS, KS3, STORJ, R2, OBS, TOS, TOS_S3, BOS, QINIU, QINGSTOR,
    Provider("BUCKET.s3.oss-REGION.aliyuncs.com", r"(?:s3\.)?oss-(?P<region>[a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com"),
    Provider("BUCKET.cos.REGION.myqcloud.com", rf"cos\.{_R}\.(?:myqcloud\.com|tencentcos\.cn)"),
    Provider("BUCKET.storage.googleapis.com", r"storage\.googleapis\.com", "path", region="auto"),
    Provider("BUCKET.NAMESPACE.compat.objectstorage.REGION.oraclecloud.com",
             rf"[a-z0-9]+\.compat\.objectstorage\.{_R}\.(?:oraclecloud\.com|oci\.customer-oci\.com)", "path"),
    Provider("BUCKET.REGION.linodeobjects.com", rf"{_R}\.linodeobjects\.com"),
    Provider("BUCKET.REGION.vultrobjects.com", rf"{_R}\.vultrobjects\.com", "path"),
    Provider("BUCKET.REGION.your-objectstorage.com", rf"{_R}\.your-objectstorage\.com"),
    Provider("BUCKET.s3.REGION.jdcloud-oss.com", rf"(?:s3\.)?{_R}\.jdcloud-oss\.com",
             endpoint="s3.{region}.jdcloud-oss.com"),
    Provider("BUCKET.s3.REGION.io.cloud.ovh.net", rf"s3\.{_R}\.(?:(?:io|perf)\.)?cloud\.ovh\.(?:net|us)"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scheme:
    """What one scheme means.

    ``protocol`` is fsspec's name. ``variables`` are the environment's names of key, secret and token, looked at only
    where address and options name no credentials; ``region_variable`` that of the region. ``secure`` is the scheme's
    own word on TLS: True or False where the scheme says so, None where https is the default.
    """

    family: str
    protocol: str
    providers: tuple[Provider, ...] = ()
    variables: tuple[str, ...] = ()
    region_variable: str = ""
    secure: bool | None = None


_WEBDAV, _AZURE, _SMB = Scheme("webdav", "webdav"), Scheme("azure", "abfs"), Scheme("smb", "smb")

SCHEMES: Mapping[str, Scheme] = {
    "file": Scheme("local", "file"),
    "local": Scheme("local", "file"),
    "memory": Scheme("memory", "memory"),
    "s3": Scheme("s3", "s3", S3_PROVIDERS),
    "s3a": Scheme("s3", "s3", S3_PROVIDERS),
    "s3n": Scheme("s3", "s3", S3_PROVIDERS),
    "minio": Scheme("s3", "s3", (), ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"), "MINIO_REGION", secure=False),
    "b2": Scheme("s3", "s3", (B2,)),
    "wasabi": Scheme("s3", "s3", (WASABI,)),
    "space": Scheme("s3", "s3", (SPACE,)),
    "scw": Scheme("s3", "s3", (SCALEWAY,), ("SCW_ACCESS_KEY", "SCW_SECRET_KEY")),
    "ibmcos": Scheme("s3", "s3", (IBM,)),
    "oos": Scheme("s3", "s3", (OOS,)),
    "eos": Scheme("s3", "s3", (EOS,), ("EOS_ACCESS_KEY", "EOS_SECRET_KEY", "EOS_TOKEN")),
    "ks3": Scheme("s3", "s3", (KS3,)),
    "storj": Scheme("s3", "s3", (STORJ,)),
    "r2": Scheme("s3", "s3", (R2,)),
    "obs": Scheme("s3", "s3", (OBS,), ("HWCLOUD_ACCESS_KEY", "HWCLOUD_SECRET_KEY")),
    "tos": Scheme("s3", "s3", (TOS, TOS_S3)),
    "bos": Scheme("s3", "s3", (BOS,), ("BDCLOUD_ACCESS_KEY", "BDCLOUD_SECRET_KEY")),
    "qiniu": Scheme("s3", "s3", (QINIU,)),
    "qingstor": Scheme("s3", "s3", (QINGSTOR,)),
    "oss": Scheme("oss", "oss", (OSS,), ("ALICLOUD_ACCESS_KEY_ID", "ALICLOUD_ACCESS_KEY_SECRET", "SECURITY_TOKEN"),
                  "ALICLOUD_REGION_ID"),
    "cos": Scheme("cos", "cos", (COS_ACCELERATE, COS, COS_OTHER), ("COS_SECRETID", "COS_SECRETKEY")),
    "cosn": Scheme("cos", "cos", (COS_ACCELERATE, COS, COS_OTHER), ("COS_SECRETID", "COS_SECRETKEY")),
    "gs": Scheme("gcs", "gs"),
    "gcs": Scheme("gcs", "gs"),
    "wasb": _AZURE, "wasbs": _AZURE, "abfs": _AZURE, "abfss": _AZURE, "az": _AZURE,
    "sftp": Scheme("sftp", "sftp"),
    "ssh": Scheme("sftp", "sftp"),
    "webdav": _WEBDAV,
    "dav": _WEBDAV,
    "webdavs": Scheme("webdav", "webdav", secure=True),
    "davs": Scheme("webdav", "webdav", secure=True),
    "hdfs": Scheme("hdfs", "hdfs"),
    "ftp": Scheme("ftp", "ftp"),
    "smb": _SMB, "cifs": _SMB,
    "http": Scheme("http", "http", secure=False),
    "https": Scheme("http", "https", secure=True),
}  # fmt: skip

_MOUNT = "mount it and give the path of the mount"
_DATABASE = "a database is no tree of files; mount the JuiceFS volume that lives in it and give the path of the mount"

#: the nearest way for schemes that juicefs sync (or habit) knows and fsync does not
NEAREST: Mapping[str, str] = {
    "jfs": "mount the volume (juicefs mount META /mnt/jfs) and give /mnt/jfs/PATH/, or reach it through "
    "juicefs gateway (minio://AK:SK@HOST:PORT/VOLUME/) or juicefs webdav (webdav://HOST:PORT/)",
    "nfs": _MOUNT,
    "gluster": _MOUNT,
    "ceph": "mount CephFS and give the path of the mount, or use its object gateway: s3://AK:SK@BUCKET.HOST/",
    "swift": "use the cluster's S3 gateway: s3://AK:SK@BUCKET.HOST/",
    "ufile": "use its S3 endpoint: s3://AK:SK@BUCKET.s3-REGION.ufileos.com/",
    "scs": "use its S3 endpoint: s3://AK:SK@BUCKET.HOST/",
    "bunny": "bunny.net speaks FTP: ftp://ZONE:PASSWORD@storage.bunnycdn.com/",
    "dragonfly": "give the address of the storage behind it",
    "ftps": "give ftp://... with the storage option tls=true",
    "rsync": "use SSH: [USER@]HOST:PATH",
    "scp": "give [USER@]HOST:PATH or sftp://[USER@]HOST/PATH",
    "mem": "give memory://PATH/",
    **dict.fromkeys(("redis", "rediss", "etcd", "tikv", "mysql", "postgres", "sqlite3", "badger"), _DATABASE),
}

#: option that says who, and the options of the same credential that go when an explicit option replaces it
IDENTITY: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "s3": {"key": ("secret", "token", "anon"), "profile": ("key", "secret", "token", "anon"),
           "anon": ("key", "secret", "token")},
    "oss": {"key": ("secret", "token")},
    "cos": {"secret_id": ("secret_key", "token", "anonymous")},
    "azure": {"connection_string": ("account_name", "account_key", "account_host"),
              "account_name": ("account_key", "account_host"), "sas_token": ("account_key",),
              "credential": ("account_key",)},
    "sftp": {"username": ("password",)},
    "ftp": {"username": ("password",)},
    "smb": {"username": ("password",)},
}  # fmt: skip

#: the options that carry key, secret and token of an AK:SK:TOKEN address
KEY_OPTIONS: Mapping[str, tuple[str, str, str]] = {
    "s3": ("key", "secret", "token"),
    "oss": ("key", "secret", "token"),
    "cos": ("secret_id", "secret_key", "token"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object address points: bucket, what follows it, and how the store is reached."""

    bucket: str
    key: str
    #: "host[:port]"; "" where the SDK finds it
    endpoint: str = ""
    region: str = ""
    #: "virtual", "path", or "" for the SDK's choice
    style: str = ""
    #: plain http unless the options say otherwise
    plain: bool = False
    provider: Provider | None = field(default=None, repr=False)
