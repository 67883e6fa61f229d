"""What every test shares: an environment without the developer's own settings, servers on demand, Hypothesis."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.servers.dialect_proxy import DialectServer
    from tests.servers.s3 import S3Server

#: variables of SDKs and of fsync that would make a test depend on who runs it
_FOREIGN = (
    "ALIBABA_",
    "AWS_",
    "AZURE_",
    "COS_",
    "FSSPEC_",
    "GCSFS_",
    "GOOGLE_",
    "HADOOP_",
    "MINIO_",
    "OSS_",
    "STORAGE_EMULATOR_HOST",
    "XDG_",
)


def pytest_configure(config: pytest.Config) -> None:
    """Give the tests an empty home (no credentials, ssh keys, fsspec configuration, state) and pick the profile."""
    home = tempfile.TemporaryDirectory(prefix="fsync-home-")
    config.add_cleanup(home.cleanup)
    environment = pytest.MonkeyPatch()
    config.add_cleanup(environment.undo)
    for name in list(os.environ):
        if name.startswith(_FOREIGN):
            environment.delenv(name)
    environment.setenv("HOME", home.name)
    environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # The default profile tries the same examples on every run; FSYNC_FUZZ=N looks for new ones, N a test.
    settings.register_profile("default", derandomize=True, deadline=None, database=None)
    examples = os.environ.get("FSYNC_FUZZ")
    if examples:
        settings.register_profile("long", max_examples=int(examples), deadline=None, print_blob=True)
    settings.load_profile("long" if examples else "default")


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A SeaweedFS S3 server of this test process."""
    from tests.servers import seaweed

    with seaweed.serve(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def moto_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A moto S3 server of this test process."""
    from tests.servers import moto

    with moto.serve(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def oss(moto_s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DialectServer]:
    """Alibaba OSS's dialect in front of the moto server."""
    from tests.servers import dialect_proxy

    with dialect_proxy.serve("oss", moto_s3, tmp_path_factory.mktemp("oss")) as server:
        yield server


@pytest.fixture(scope="session")
def cos(moto_s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DialectServer]:
    """Tencent COS's dialect in front of the moto server; clients need ``http_proxy`` to be its endpoint."""
    from tests.servers import dialect_proxy

    with dialect_proxy.serve("cos", moto_s3, tmp_path_factory.mktemp("cos")) as server:
        yield server


@pytest.fixture(params=["seaweed", "moto_s3"])
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """Each S3 server in turn, started when the first test asks."""
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def bucket() -> Iterator[Callable[[S3Server], str]]:
    """A factory: ``bucket(server)`` makes a bucket with a name never used before; all go after the test."""
    made: list[tuple[S3Server, str]] = []

    def make(server: S3Server) -> str:
        name = f"t{uuid.uuid4().hex[:20]}"
        made.append((server, server.make_bucket(name)))
        return name

    yield make
    for server, name in made:
        server.remove_bucket(name)
