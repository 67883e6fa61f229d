"""A sync run by a user who owns nothing: in a process that loads all code first and then gives up being root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

#: the user and group "nobody"
NOBODY = 65534

# The interpreter may stand where nobody can read it, so whatever the run needs is loaded by a first one.
_SCRIPT = """
import json, os, pathlib, sys
import fsync
from fsync.errors import FsyncError

job = json.loads(sys.argv[1])
source, target = pathlib.Path(job["first"], "s"), pathlib.Path(job["first"], "d")
(source / "sub").mkdir(parents=True)
(source / "file").write_bytes(b"1")
(source / "link").symlink_to("file")
target.mkdir()
(target / "extra").write_bytes(b"2")
options = {"perms": True, "dirs": True, "links": True, "delete_dst": True}
fsync.sync(f"{source}/", f"{target}/", **options)
os.umask(0o022)
os.setgroups([])
os.setgid(job["user"])
os.setuid(job["user"])
try:
    result = fsync.sync(job["src"], job["dst"], raise_on_error=False, **job["options"])
    told = result.to_dict()
except FsyncError as error:
    told = {"exit_code": error.exit_code, "error": str(error)}
print(json.dumps(told))
"""


def sync(src: str, dst: str, **options: Any) -> dict[str, Any]:
    """Sync as nobody, with umask 022; return the result as a dict. An error that is no FsyncError fails the test."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with tempfile.TemporaryDirectory(prefix="fsync-first-") as first:
        job = {"src": src, "dst": dst, "options": options, "first": first, "user": NOBODY}
        ended = subprocess.run(
            [sys.executable, "-c", _SCRIPT, json.dumps(job)],
            capture_output=True, text=True, env=environment, timeout=60, check=False,
        )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return told
