"""Every case of ``filter_cases.json`` through the command line, against what the binary did and the specification."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.model.filter_table import CASES, DECIDED
from tests.model.programs import fsync
from tests.model.trees import files, read, tree_of, write


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_filter_case(tmp_path: Path, case: dict[str, Any]) -> None:
    arguments = case["args"]
    source = write(tmp_path / "s", tree_of(case["tree"], case.get("sizes")))
    destination = write(tmp_path / "d", tree_of(case.get("dst_tree", [])))
    before = read(destination)
    ended = fsync(
        "sync", "--json", *arguments, f"{source}{case.get('src', '/')}", f"{destination}{case.get('dst', '/')}"
    )
    wanted = DECIDED.get(case["id"], sorted(case["expect"]))
    if isinstance(wanted, str):
        assert ended.code == 2, ended
        assert wanted in ended.text
        assert read(destination) == before
        return
    assert ended.code == 0, ended
    left = read(destination)
    assert sorted(left if "--dirs" in arguments else files(left)) == wanted
    if case["id"] not in DECIDED:
        summary, counts = json.loads(ended.text.splitlines()[-1]), case["counts"]
        # the binary's root is an entry of its own with --dirs, where no rule excludes the empty key
        root = "--dirs" in arguments and counts["copied"] > summary["copied"]
        assert summary["copied"] == counts["copied"] - root
        assert summary["deleted"] == counts.get("deleted", 0)
        if "sizes" not in case:
            # what is outside the limits of size is skipped here, and excluded there
            assert summary["copied"] + summary["deleted"] + summary["skipped"] == counts["found"] - root
        # the binary counts directories, and what lies in excluded ones; fsync does not look at it
        assert (summary["excluded"] > 0) <= (counts["excluded"] > 0)
        assert summary["excluded"] <= counts["excluded"]
