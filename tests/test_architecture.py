"""The building's rules: floors, forbidden calls, names, declared packages, a light import, protocols in one place."""

from __future__ import annotations

import ast
import functools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "fsync"

#: The floor of every module or package folder directly in fsync/; a new one is placed here by whoever adds it.
FLOORS = {
    # 0: words
    "errors": 0,
    "keyrange": 0,
    "options": 0,
    "schema": 0,
    "traits": 0,
    "values": 0,
    # 1: decisions, no I/O
    "address": 1,
    "chained": 1,
    "comparison": 1,
    "credentials": 1,
    "criteria": 1,
    "diff": 1,
    "endpoints": 1,
    "filters": 1,
    "join": 1,
    "nesting": 1,
    "pacing": 1,
    "pairing": 1,
    "readers": 1,
    "schemes": 1,
    # 2: storages
    "storage": 2,
    # 3: steps with I/O
    "deletion": 3,
    "folding": 3,
    "listing": 3,
    "namelist": 3,
    "removal": 3,
    "sorting": 3,
    "spool": 3,
    "transfer": 3,
    # 4: running
    "checkpoint": 4,
    "cluster": 4,
    "display": 4,
    "executor": 4,
    "loops": 4,
    "notices": 4,
    "report": 4,
    "tables": 4,
    # 5: flow
    "api": 5,
    "clash": 5,
    "ending": 5,
    "ends": 5,
    "named": 5,
    "pipeline": 5,
    "selection": 5,
    # 6: doors
    "__init__": 6,
    "__main__": 6,
    "airflow": 6,
    "cli": 6,
}

#: A function of this name is exported by fsync; a module of the same name would take its place on import.
EXPORTED_FUNCTIONS = {"sync", "plan", "check", "ls", "resolve"}
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "tools"}

#: Methods of fsspec's base class that swallow errors, expand globs, copy instead of renaming or list into memory.
FORBIDDEN_METHODS = {
    f"{prefix}{name}"
    for prefix in ("", "_")
    for name in ("find", "walk", "get", "put", "copy", "mv", "move", "rm", "expand_path", "glob", "du")
}
FILESYSTEM_NAME = re.compile(r"(?:.*_)?(?:fs|filesystem)")
FORBIDDEN_FUNCTIONS = {
    "fsspec.generic": "it swallows copy errors and reports the file as copied",
    "fsspec.fsmap": "it reads whole objects and hides errors as missing keys",
    "os.walk": "it drops directories that it cannot list",
    "os.removedirs": "it removes parents outside the destination",
    "shutil.copytree": "it follows links inside the destination",
    "shutil.move": "it copies where it cannot rename",
    "shutil.rmtree": "it removes more than the listing saw",
}

#: Modules that come with a declared package: the SDK a storage package is made of, in the version it chose.
COMES_WITH = {
    "aiobotocore": "s3fs",
    "aiohttp": "s3fs",
    "asyncssh": "sshfs",
    "azure": "adlfs",
    "botocore": "s3fs",
    "dask": "distributed",
    "airflow": "apache-airflow",
    "google": "gcsfs",
    "httpx": "webdav4",
    "oss2": "ossfs",
    "qcloud_cos": "cosfs",
    "smbclient": "smbprotocol",
    "urllib3": "s3fs",
}
STORAGE_PACKAGES = {
    *("adlfs", "aiobotocore", "aiohttp", "asyncssh", "azure", "boto3", "botocore", "cosfs", "gcsfs", "google"),
    *("hdfs_native", "httpx", "obstore", "oss2", "ossfs", "paramiko", "qcloud_cos", "s3fs", "smbclient"),
    *("smbprotocol", "sshfs", "webdav4"),
}
#: Not here: ``file``, ``local`` and ``memory``, which are words of ours too, and ``http``, which a metrics page speaks.
PROTOCOLS = {
    *("abfs", "abfss", "adl", "az", "azure", "b2", "cos", "cosn", "eos", "ftp", "gcs", "gs", "hdfs", "jfs", "ks3"),
    *("minio", "obs", "obstore", "oos", "oss", "r2", "s3", "s3a", "scw", "sftp", "smb", "ssh", "storj", "tos"),
    *("wasabi", "wasb", "wasbs", "webdav", "webdavs", "webhdfs"),
}
PROTOCOL_URL = re.compile(rf"(?:{'|'.join(sorted(PROTOCOLS))})://")

#: The frame of the repository (docs, tests and the package hold everything else).
TOP_LEVEL = {
    *(".ci", ".gitattributes", ".gitignore", "CHANGELOG.md", "LICENSE", "README.md", "conftest.py", "docs", "fsync"),
    *("pyproject.toml", "tests", "tox.ini"),
}


@dataclass(frozen=True)
class Import:
    """One import of a module: what is imported (dotted), where, and whether only for the type checker."""

    target: str
    path: Path
    line: int
    typing_only: bool

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    @property
    def root(self) -> str:
        return self.target.partition(".")[0]


def unit_of(path: Path) -> str:
    """Return the name in FLOORS that a file of fsync/ belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def imports_of(path: Path) -> Iterator[Import]:
    """Yield every import of a file, also inside functions and as ``import_module("constant")``."""
    tree = parsed(path)
    for_typing = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and is_type_checking(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.relative_to(ROOT)}:{node.lineno}: relative import"
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and called_name(node.func) in ("import_module", "__import__") and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                targets = [first.value]
        for target in targets:
            yield Import(target, path, getattr(node, "lineno", 0), id(node) in for_typing)


def called_name(function: ast.expr) -> str:
    """Return the last name of what is called: ``a.b.c()`` and ``c()`` give ``c``."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def imported_unit(target: str) -> str | None:
    """Return the unit of fsync/ that a dotted target names, None for another package's."""
    parts = target.split(".")
    if parts[0] != "fsync":
        return None
    if len(parts) == 1:
        return "__init__"
    name = parts[1]
    if name in FLOORS or (PACKAGE / name).exists() or (PACKAGE / f"{name}.py").exists():
        return name
    # The version is a constant of the package, no step of the flow.
    return None if name == "__version__" else "__init__"


@functools.cache
def package_imports() -> list[Import]:
    return [entry for path in sources(PACKAGE) for entry in imports_of(path)]


def test_every_module_has_its_floor() -> None:
    units = {unit_of(path) for path in sources(PACKAGE)}
    assert units
    assert units - FLOORS.keys() == set(), "place the new module in FLOORS"


def test_imports_go_down() -> None:
    wrong = []
    for entry in package_imports():
        source, target = unit_of(entry.path), imported_unit(entry.target)
        if target is None or entry.typing_only or not {source, target} <= FLOORS.keys():
            continue
        if FLOORS[target] > FLOORS[source]:
            wrong.append(f"{entry.place}: {source} (floor {FLOORS[source]}) imports {target} (floor {FLOORS[target]})")
    assert wrong == []


def test_no_circle_of_imports_between_modules() -> None:
    graph: dict[str, set[str]] = {}
    for entry in package_imports():
        source, target = unit_of(entry.path), imported_unit(entry.target)
        if target is not None and target != source and not entry.typing_only:
            graph.setdefault(source, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_nothing_imports_a_door() -> None:
    doors = {"__main__", "airflow", "cli"}
    wrong = [
        f"{entry.place}: {entry.target}"
        for entry in package_imports()
        if imported_unit(entry.target) in doors and unit_of(entry.path) not in {imported_unit(entry.target), "__main__"}
    ]
    assert wrong == []


def test_module_names_say_what_they_hold() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.name != "__pycache__" and path.name.removesuffix(".py").strip("_") in EMPTY_NAMES
    ]
    wrong += [name for name in EXPORTED_FUNCTIONS if (PACKAGE / name).exists() or (PACKAGE / f"{name}.py").exists()]
    assert wrong == []


def forbidden_calls(path: Path) -> Iterator[str]:
    """Yield what a file calls or imports although it loses, hides or removes too much."""
    for entry in imports_of(path):
        for name, why in FORBIDDEN_FUNCTIONS.items():
            if f"{entry.target}.".startswith(f"{name}."):
                yield f"{entry.place}: {name}: {why}"
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.Attribute):
            continue
        place = f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}:{node.lineno}"
        dotted = ast.unparse(node)
        if dotted in FORBIDDEN_FUNCTIONS:
            yield f"{place}: {dotted}: {FORBIDDEN_FUNCTIONS[dotted]}"
        # a name, an attribute (self.fs, storage._fs) or super() of a repaired filesystem
        receiver = called_name(node.value.func if isinstance(node.value, ast.Call) else node.value)
        if node.attr in FORBIDDEN_METHODS and (FILESYSTEM_NAME.fullmatch(receiver) or receiver == "super"):
            yield f"{place}: {dotted}: a method of fsspec's base class that must not be relied on"


def test_no_forbidden_calls() -> None:
    assert [line for path in sources(PACKAGE) for line in forbidden_calls(path)] == []


@pytest.mark.parametrize(
    "code",
    [
        "fs.find('a')",
        "self.fs.walk('a')",
        "await self._fs._rm('a')",
        "storage.filesystem.get('a', 'b')",
        "dst_fs.put('a', 'b')",
        "super().mv('a', 'b')",
        "each(fs.expand_path)",
        "os.walk('a')",
        "import shutil\nshutil.rmtree('a')",
        "from shutil import rmtree",
        "def f():\n    from fsspec.generic import rsync",
        "import fsspec.generic",
    ],
)
def test_a_forbidden_call_is_seen(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "case.py"
    path.write_text(code)
    assert list(forbidden_calls(path))


def test_harmless_calls_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "case.py"
    path.write_text(
        "import os\noptions.get('a')\nfs.rm_file('a')\nfs.get_file('a', 'b')\nqueue.put(1)\ntext.find('a')\n"
    )
    assert list(forbidden_calls(path)) == []


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def normalised(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def declared(without: set[str]) -> set[str]:
    """Return the names of the distributions that the dependencies and the extras but ``without`` name."""
    table = project()
    lines = list(table["dependencies"])
    for extra, more in table["optional-dependencies"].items():
        if extra not in without:
            lines += more
    return {normalised(line) for line in lines}


def undeclared(entries: list[Import], names: set[str]) -> list[str]:
    ours = {"fsync", "tests", "conftest"}
    return [
        f"{entry.place}: {entry.root}"
        for entry in entries
        if entry.root not in sys.stdlib_module_names
        and entry.root not in ours
        and normalised(COMES_WITH.get(entry.root, entry.root)) not in names
    ]


def test_what_the_package_imports_is_declared() -> None:
    assert undeclared(package_imports(), declared(without={"test", "bench", "docs"})) == []


def test_what_the_tests_import_is_declared() -> None:
    entries = [entry for path in [*sources(ROOT / "tests"), ROOT / "conftest.py"] for entry in imports_of(path)]
    assert entries
    assert undeclared(entries, declared(without=set())) == []


def test_the_top_level_holds_the_frame_only() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: an unpacked source distribution does not tell what belongs to it")
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = {name.partition("/")[0] for name in listed.split("\0") if name}
    assert "fsync" in names
    assert names - TOP_LEVEL == set()


def roots_after(code: str) -> set[str]:
    """Return the top-level modules a fresh interpreter has loaded after ``code``."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_importing_fsync_loads_the_standard_library_only() -> None:
    loaded = roots_after("import fsync")
    assert "fsync" in loaded
    assert loaded - roots_after("pass") - set(sys.stdlib_module_names) - {"fsync"} == set()


def test_only_storages_know_storage_packages() -> None:
    wrong = []
    for entry in package_imports():
        unit = unit_of(entry.path)
        # A cluster starts its workers over SSH: there it is no storage.
        if entry.root in STORAGE_PACKAGES and unit != "storage" and (unit, entry.root) != ("cluster", "asyncssh"):
            wrong.append(f"{entry.place}: {entry.target}")
    assert wrong == []


def protocol_texts(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if text.lower() in PROTOCOLS or PROTOCOL_URL.match(text.lower()):
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {text!r}"


def test_no_protocol_is_named_above_the_storages() -> None:
    upper = [path for path in sources(PACKAGE) if 3 <= FLOORS.get(unit_of(path), 0) <= 5]
    assert [line for path in upper for line in protocol_texts(path)] == []


def test_a_named_protocol_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "case.py"
    path.write_text("if family == 's3': pass\nurl = f'sftp://{host}/a'\nword = 'source'\n")
    assert [line.partition(": ")[2] for line in protocol_texts(path)] == ["'s3'", "'sftp://'"]
