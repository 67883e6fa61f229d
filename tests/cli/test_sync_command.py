"""``fsync sync`` as a shell runs it: streams, exit codes, dry runs, JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.conftest import Ended, Run
from tests.servers.s3 import S3Server


def events(ended: Ended) -> list[dict[str, Any]]:
    """Return the events of a run: every line is one, in ASCII."""
    assert ended.out.isascii()
    assert ended.out.endswith("\n")
    return [json.loads(line) for line in ended.out.splitlines()]


def test_a_run_writes_to_stderr_only(run: Run, tree: Path, tmp_path: Path) -> None:
    ended = run("sync", "a/", "b/")
    assert (ended.code, ended.out) == (0, "")
    lines = ended.err.splitlines()
    assert lines[0] == "Syncing a/ -> b/, by size and modification time, to 1 ns"
    assert re.fullmatch(r"Done in \d+\.\d s:", lines[1])
    assert lines[2] == "  copied               2"
    assert lines[3].startswith("  moved        3 bytes, ")
    assert lines[4:] == ["  reasons      missing 2", "  verified by  size 2"]
    assert (tmp_path / "b" / "d" / "two").read_bytes() == b"22"
    again = run("sync", "a/", "b/")
    assert again.code == 0
    assert "  skipped              2" in again.err


def test_quiet_says_nothing(run: Run, tree: Path, tmp_path: Path) -> None:
    assert run("--quiet", "sync", "a/", "b/") == Ended(0, "", "")
    assert (tmp_path / "b" / "one").exists()


def test_verbose_tells_each_action(run: Run, tree: Path) -> None:
    lines = run("sync", "-v", "a/", "b/").err.splitlines()
    assert "copied  d/two  (2 bytes)" in lines
    assert "copied  one  (1 byte)" in lines


def test_dry_itemises_and_touches_nothing(run: Run, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one").write_bytes(b"older")
    (tmp_path / "b" / "extra").write_bytes(b"xyz")
    ended = run("sync", "--dry", "--delete-dst", "a/", "b/")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "copy    d/two  (2 bytes, missing)",
        "update  one  (1 byte, size)",
        "delete  extra  (3 bytes, extra)",
        "total   2 objects to copy, 3 bytes, 1 to delete",
    ]
    assert "Dry run, nothing was touched" in ended.err
    assert sorted(os.listdir(tmp_path / "b")) == ["extra", "one"]
    assert (tmp_path / "b" / "one").read_bytes() == b"older"


def test_exit_code_tells_what_a_dry_run_found(run: Run, tree: Path, tmp_path: Path) -> None:
    assert run("sync", "--dry", "--exit-code", "a/", "b/").code == 5
    assert not (tmp_path / "b").exists()
    assert run("sync", "a/", "b/").code == 0
    ended = run("sync", "--dry", "--exit-code", "a/", "b/")
    assert (ended.code, ended.out) == (0, "total   0 objects to copy, 0 bytes\n")


def test_json_is_all_there_is_on_stdout(run: Run, tree: Path) -> None:
    ended = run("sync", "--json", "a/", "b/")
    assert (ended.code, ended.err) == (0, "")
    told = events(ended)
    assert all(event["v"] == 1 for event in told)
    assert told[0] == {
        "v": 1, "event": "start", "source": "a/", "destination": "b/",
        "rule": "by size and modification time, to 1 ns", "verb": "sync", "server_side": False,
    }  # fmt: skip
    assert [event["key"] for event in told if event["event"] == "done"] == ["d/two", "one"]
    last = told[-1]
    assert (last["event"], last["copied"], last["bytes"], last["complete"], last["exit_code"]) == (
        *("summary", 2, 3, True, 0),
    )


def test_json_of_a_dry_run(run: Run, tree: Path) -> None:
    told = events(run("sync", "--json", "--dry", "--exit-code", "a/", "b/"))
    planned = [event for event in told if event["event"] == "plan"]
    assert planned[0] == {
        "v": 1, "event": "plan", "key": "d/two", "action": "copy", "reason": "missing", "bytes": 2, "kind": "file",
        "dst_bytes": None,
    }  # fmt: skip
    assert (told[-1]["event"], told[-1]["dry"], told[-1]["exit_code"]) == ("summary", True, 5)


def test_names_of_any_bytes(run: Run, tree: Path, tmp_path: Path) -> None:
    names = [b"new\nline", b"not-utf8-\xff", "ümläut \u202e".encode(), b"-dash", b"\x1b[31mred"]
    for name in names:
        Path(os.fsdecode(bytes(tree) + b"/" + name)).write_bytes(b"x")
    dry = run("sync", "--dry", "a/", "b/")
    assert len(dry.out.splitlines()) == 2 + len(names) + 1
    assert "\x1b" not in dry.out
    assert r"copy    new\x0aline  (1 byte, missing)" in dry.out.splitlines()
    assert r"copy    not-utf8-\xff  (1 byte, missing)" in dry.out.splitlines()
    told = events(run("sync", "--json", "a/", "b/"))
    done = [event for event in told if event["event"] == "done"]
    assert "new\nline" in [event["key"] for event in done]
    assert [event["key_base64"] for event in done if "key_base64" in event] == ["bm90LXV0Zjgt/w=="]
    assert sorted(os.listdir(bytes(tmp_path / "b"))) == sorted([b"d", b"one", *names])


def test_an_address_of_any_bytes(run: Run, tree: Path, tmp_path: Path) -> None:
    tree.rename(os.fsdecode(bytes(tmp_path) + b"/-odd \xff"))
    ended = run("sync", "--", b"-odd \xff/", "b/")
    assert ended.code == 0
    assert ended.err.startswith(r"Syncing -odd \xff/ -> b/")
    assert (tmp_path / "b" / "one").exists()


def test_rules_in_the_order_given(run: Run, tree: Path, tmp_path: Path) -> None:
    (tree / "-dash=x").write_bytes(b"x")
    run("sync", "--exclude", "-dash=x", "--include=one", "--exclude", "*", "a/", "b/")
    assert os.listdir(tmp_path / "b") == ["one"]


def test_failures_are_told_counted_and_end_with_1(run: Run, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "b" / "one").mkdir(parents=True)
    (tmp_path / "b" / "one" / "in-the-way").write_bytes(b"x")
    ended = run("sync", "a/", "b/")
    assert (ended.code, ended.out) == (1, "")
    lines = ended.err.splitlines()
    assert lines[1].startswith("fsync: ERROR: cannot copy one: ")
    assert "  failed               1" in lines
    assert lines[-1] == "fsync: ERROR: 1 entry failed; running the same command again tries them again"
    quiet = run("sync", "--quiet", "a/", "b/")
    assert quiet.code == 1
    assert [line[:13] for line in quiet.err.splitlines()] == ["fsync: ERROR:"] * 2
    as_json = run("sync", "--json", "a/", "b/")
    assert as_json.code == 1
    assert [event["key"] for event in events(as_json) if event["event"] == "failed"] == ["one"]
    assert events(as_json)[-1]["failures"][0]["key"] == "one"


def test_a_safety_stop_tells_what_was_done(run: Run, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for number in range(3):
        (tmp_path / "b" / f"x{number}").write_bytes(b"x")
    ended = run("sync", "--delete-dst", "--max-delete", "2", "a/", "b/")
    assert ended.code == 4
    lines = ended.err.splitlines()
    assert any(line.startswith("Stopped before the end") for line in lines)
    assert "  copied               2" in lines
    assert lines[-1].startswith("fsync: ERROR: ")
    told = events(run("sync", "--json", "--delete-dst", "--max-delete", "2", "a/", "b/"))
    assert [event["event"] for event in told[-2:]] == ["error", "summary"]
    assert [event["exit_code"] for event in told[-2:]] == [4, 4]
    assert len(list((tmp_path / "b").glob("x?"))) == 3


def test_the_hint_at_size_only(run: Run, tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        for number in range(12):
            (tmp_path / place / f"k{number}").write_bytes(b"x")
    for path in (tmp_path / "b").iterdir():
        os.utime(path, (1_000_000, 1_000_000))
    ended = run("sync", "--dry", "a/", "b/")
    assert "--size-only" in ended.err
    assert "  reasons      mtime 12" in ended.err.splitlines()


def test_permissions_alone(run: Run, tree: Path, tmp_path: Path) -> None:
    assert run("sync", "--perms", "a/", "b/").code == 0
    (tree / "one").chmod(0o640)
    dry = run("sync", "--dry", "--perms", "a/", "b/")
    assert dry.out.splitlines() == [
        "metadata  one  (mode)", "total   0 objects to copy, 0 bytes, permissions of 1 to set"
    ]  # fmt: skip
    ended = run("sync", "-v", "--perms", "a/", "b/")
    assert ended.code == 0
    lines = ended.err.splitlines()
    assert "permissions of one  (0 bytes)" in lines
    assert "  permissions          1  other mode or owner, the content is the same" in lines
    assert "  reasons      mode 1" in lines
    assert (tmp_path / "b" / "one").stat().st_mode & 0o777 == 0o640


def test_links_and_directories(run: Run, tree: Path, tmp_path: Path) -> None:
    (tree / "link").symlink_to("nowhere")
    dry = run("sync", "-n", "-l", "--dirs", "a/", "b/")
    assert dry.out.splitlines()[:4] == [
        "copy    d/  (directory, missing)", "copy    d/two  (2 bytes, missing)", "copy    link  (link, missing)",
        "copy    one  (1 byte, missing)",
    ]  # fmt: skip
    assert run("sync", "-l", "--dirs", "a/", "b/").code == 0
    (tmp_path / "b" / "link").unlink()
    (tmp_path / "b" / "link").symlink_to("elsewhere")
    assert "update  link  (link, link)" in run("sync", "-n", "-l", "a/", "b/").out.splitlines()


def test_what_the_destination_cannot_keep_is_told_first_and_counted_last(
    run: Run, tree: Path, moto_s3: S3Server, bucket: Callable[[S3Server], str]
) -> None:
    address = f"minio://{moto_s3.key}:{moto_s3.secret}@{moto_s3.host}/{bucket(moto_s3)}/p/"
    (tree / "link").symlink_to("one")
    ended = run("sync", "--perms", "--links", "a/", address)
    assert ended.code == 0
    notes = [line for line in ended.err.splitlines() if line.startswith("fsync: NOTE: ")]
    assert notes[0].startswith("fsync: NOTE: --perms has no effect: ")
    assert notes[1].startswith("fsync: NOTE: --links: ")
    assert notes[2:] == ["fsync: NOTE: --perms: 2 entries were copied without mode, owner and group"]
    assert "  not copied           1  links to nothing and special files" in ended.err.splitlines()


def test_a_dry_run_inside_one_store_says_so(
    run: Run, tree: Path, moto_s3: S3Server, bucket: Callable[[S3Server], str]
) -> None:
    root = f"minio://{moto_s3.key}:{moto_s3.secret}@{moto_s3.host}/{bucket(moto_s3)}"
    assert run("sync", "-q", "a/", f"{root}/p/").code == 0
    total = run("sync", "--dry", f"{root}/p/", f"{root}/q/").out.splitlines()[-1]
    assert total == "total   2 objects to copy, 3 bytes, copied inside the store (server-side)"
    assert run("sync", "--dry", "a/", f"{root}/q/").out.splitlines()[-1] == "total   2 objects to copy, 3 bytes"


def test_a_report_is_a_table_of_what_was_done(run: Run, tree: Path, tmp_path: Path) -> None:
    assert run("sync", "--quiet", "--report", "r.jsonl", "a/", "b/") == Ended(0, "", "")
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [(row["key"], row["action"], row["status"]) for row in rows] == [
        ("d/two", "copy", "done"), ("one", "copy", "done"),
    ]  # fmt: skip


def test_a_run_with_too_many_failures_says_why_it_stopped(run: Run, tmp_path: Path) -> None:
    # with the longer prefix of the destination these names do not fit
    (tmp_path / "source").mkdir()
    for number in range(5):
        (tmp_path / "source" / ("x" * 250 + str(number))).touch()
    ended = run("sync", "--max-failure", "2", "source/x", "target/longer")
    assert ended.code == 1
    assert "Stopped before the end" in ended.err
    assert "fsync: ERROR: stopped: 2 entries failed, and --max-failure is 2; 3 further ones" in ended.err
