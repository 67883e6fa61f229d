"""Packages that a process of the program's own does not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fsync.cli.unneeded import spare_imports


@pytest.mark.parametrize(
    ("words", "spared"),
    [
        (["sync", "a/", "s3://bucket/a/"], True),
        (["sync", "minio://host:1/b/", "S3A://bucket/", "--dst-option", "endpoint_url=https://host"], True),
        (["sync", "a/", "b/"], True),
        (["sync", "s3://bucket/", "webdav://host/a/"], False),
        (["sync", "a/", "s3://bucket/a/", "--backup-dir", "davs://host/kept/"], False),
        (["sync", "a/", "s3://bucket/a/", "--backup-dir=davs://host/kept/"], False),
        (["sync", "simplecache::webdav://host/a/", "b/"], False),
        (["sync", "gs://bucket/", "b/"], False),
        (["sync", "nonsense://bucket/", "b/"], False),
    ],
)
def test_httpx_is_spared_where_nothing_needs_it(
    monkeypatch: pytest.MonkeyPatch, words: list[str], spared: bool
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "httpx"]:
        monkeypatch.delitem(sys.modules, name)
    # noted, so that it is as it was afterwards
    monkeypatch.setitem(sys.modules, "httpx", sys)
    del sys.modules["httpx"]
    spare_imports(words)
    assert ("httpx" in sys.modules) is spared
    assert sys.modules.get("httpx") is None


def test_what_has_been_imported_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", sys)
    spare_imports(["sync", "a/", "s3://bucket/a/"])
    assert sys.modules["httpx"] is sys


def test_a_local_run_does_without_packages_for_dates(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_bytes(b"x")
    script = (
        "import sys; from fsync.cli import main; code = main(sys.argv[1:]); "
        "print(code, [name for name in ('dateutil', 'pandas', 'httpx') if sys.modules.get(name)])"
    )
    words = ["sync", "-q", f"{tmp_path}/a/", f"{tmp_path}/b/", "--delete-dst"]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    assert done.stdout == "0 []\n"
