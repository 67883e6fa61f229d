"""``fsync storages``: the table tells what is true of the storages and their packages, and loads none of them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest

from fsync.cli.storages import storages
from fsync.schemes import DISTRIBUTIONS, PACKAGES, SCHEMES
from fsync.storage import _FAMILIES, has_module, traits_of
from tests.cli.conftest import Ended, Run


def test_every_family_has_a_line(run: Run) -> None:
    ended = run("storages")
    assert (ended.code, ended.err) == (0, "")
    head, *lines = ended.out.splitlines()
    assert head.split()[:3] == ["STORAGE", "PACKAGE", "MTIME"]
    table = {line.split()[0]: line for line in lines[: lines.index("")]}
    assert table.keys() == {facts.family for facts in SCHEMES.values()} == PACKAGES.keys()
    assert f"s3fs {version('s3fs')}" in table["s3"]
    assert "kept, 1 ns" in table["local"]
    assert "atomic rename" in table["local"]
    assert "atomic PUT" in table["s3"]
    assert "IN PLACE" in table["sftp"]
    assert "source only" in table["http"]
    assert max(len(line) for line in table.values()) <= 120
    for scheme in SCHEMES:
        assert f" {scheme}://" in ended.out


def test_json(run: Run) -> None:
    ended = run("storages", "--json")
    told = {storage["storage"]: storage for storage in map(json.loads, ended.out.splitlines())}
    assert told["local"] == {
        "storage": "local", "schemes": ["file", "local"], "package": None, "installed": None, "install": None,
        "plain": False, "mtime": "settable", "mtime_precision_ns": 1, "digest": None, "permissions": True,
        "links": True, "empty_directories": "directories", "written": "rename", "server_side_copy": False,
    }  # fmt: skip
    assert (told["s3"]["digest"], told["s3"]["server_side_copy"], told["s3"]["written"]) == ("md5", True, "put")
    assert (told["ftp"]["plain"], told["ftp"]["written"], told["http"]["written"]) == (True, "in place", None)


def test_a_missing_package_has_the_line_that_installs_it() -> None:
    # a process whose path holds fsync and the standard library alone: nothing is installed there
    script = "import sys; sys.path.insert(0, sys.argv[1]); from fsync.cli import main; sys.exit(main(['storages']))"
    home = import_module("fsync").__file__.rpartition("/fsync/")[0]
    command = [sys.executable, "-I", "-S", "-c", script, home]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    for package in DISTRIBUTIONS.values():
        assert f"pip install {package} " in ended.stdout


@pytest.mark.parametrize("family", _FAMILIES)
def test_what_is_told_is_what_the_module_promises(family: str) -> None:
    module, name = _FAMILIES[family]
    assert traits_of(family) == getattr(import_module(module), name).traits
    assert traits_of(family).family == family
    assert has_module(family)


def test_every_family_names_its_package() -> None:
    assert PACKAGES.keys() - DISTRIBUTIONS.keys() == {"local", "memory"}
    for storage in storages():
        assert (storage["package"] is None) is (storage["storage"] in ("local", "memory"))
        assert not (storage["installed"] and storage["install"])


def test_it_loads_no_package() -> None:
    script = (
        "import sys\nfrom fsync.cli import main\nmain(['storages'])\n"
        "print([name for name in ('pyarrow', 'fsspec', 's3fs', 'rich', 'asyncio') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_addresses_are_not_taken(run: Run) -> None:
    refused = "fsync: ERROR: fsync storages takes no address: leave out what follows it\n"
    assert run("storages", "s3://b/") == Ended(2, "", refused)
    assert run("storages", "--threads", "5").code == 2
    assert run("storages", "--help").out.startswith("usage: fsync storages [OPTIONS]\n")
