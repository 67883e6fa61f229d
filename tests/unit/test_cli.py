"""Reading the command line, and the words it answers with."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import fsync
from fsync.cli import main
from fsync.cli.arguments import VERBS, Command, flags_of, parse
from fsync.cli.faults import explain, hider
from fsync.cli.foreign import ANSWERS, NOT_YET, REFUSED, flags_in, unknown_option
from fsync.cli.text import difference_line, plan_line, summary_lines, total_line
from fsync.display import FAILURES_SHOWN, Display, amount, duration, exactly, moved
from fsync.errors import OptionError, SafetyStop, UsageError
from fsync.options import TABLE, options_from

ROOT = Path(__file__).resolve().parents[2]


def read(*words: str) -> Command:
    command = parse(words)
    assert isinstance(command, Command)
    return command


def options(*words: str) -> dict[str, Any]:
    return read("sync", *words, "a/", "b/").options


# reading


@pytest.mark.parametrize(
    "words",
    [
        ("sync", "a/", "b/", "--threads", "5", "--dry"),
        ("sync", "--threads=5", "a/", "--dry", "b/"),
        ("sync", "-p5", "-n", "a/", "b/"),
        ("sync", "-np5", "a/", "b/"),
        ("sync", "-np", "5", "a/", "b/"),
        ("sync", "-p=5", "a/", "--dry-run", "b/"),
        ("sync", "-threads", "5", "-dry", "a/", "b/"),
        ("sync", "-thread=5", "a/", "b/", "-n"),
        ("sync", "--threads", "9", "--dry", "--thread", "5", "a/", "--", "b/"),
    ],
)
def test_spellings_of_one_line(words: tuple[str, ...]) -> None:
    assert read(*words) == Command("sync", ["a/", "b/"], {"threads": "5", "dry": True})


def test_every_spelling_in_the_table_is_read_and_checked() -> None:
    values = {"N": "7", "SIZE": "64M", "SECONDS": "7", "N|N%": "7%", "K=V": "a=b", "ADDRESS": "c/", "DIR": ".",
              "MBPS": "7.5", "FILE": "r.csv", "KEY": "k", "BYTES": "7", "AGE": "7d", "TIME": "2026-01-01",
              "ENGINE": "fsspec", "PATTERN": "x", "NAME": "X"}  # fmt: skip
    for verb, facts in VERBS.items():
        for flag, row in flags_of(verb).items():
            if row.name == "rules":
                continue
            words = [flag] if row.metavar is None else [flag, values[row.metavar]]
            command = read(verb, *words, *facts.addresses)
            needed: dict[str, Any] = {name: True for name in ("dry", "delete_dst") if verb == "sync"}
            if row.name == "ignore_missing":
                needed["files_from"] = "l"
            checked = options_from({**needed, **command.options}, verb=verb, from_cli=True)
            assert getattr(checked, row.name) != row.default, flag


def test_rules_keep_the_order_given_over_both() -> None:
    given = options("--exclude", "-old", "--include=a=b", "--exclude=", "-include", "--x", "--exclude", "*")
    assert given == {
        "rules": [("exclude", "-old"), ("include", "a=b"), ("exclude", ""), ("include", "--x"), ("exclude", "*")]
    }


def test_a_value_may_begin_with_a_dash_or_be_empty() -> None:
    assert options("--limit", "-1", "--src-option", "-k=v", "--src-option", "a=")["limit"] == "-1"


def test_repeated_options_are_collected() -> None:
    assert options("--src-option", "a=1", "--src-option=b.c=2") == {"src_option": ["a=1", "b.c=2"]}


def test_switches_of_output_may_stand_before_the_verb() -> None:
    assert read("-q", "sync", "a/", "b/").options == {"quiet": True}
    assert read("--debug", "ls", "a/").options == {"verbose": True}


def test_addresses_of_any_kind() -> None:
    odd = ["-a\udcff", "--", "--dry", "", "-"]
    for first in odd:
        for second in odd:
            assert read("sync", "--", first, second) == Command("sync", [first, second], {})
    assert read("sync", "-", "b").addresses == ["-", "b"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no command was given"),
        (("synch", "a", "b"), "did you mean fsync sync?"),
        (("a/", "b/"), "the first word must be a command"),
        (("sync",), "SRC and DST are missing"),
        (("sync", "a"), "DST is missing"),
        (("ls",), "ADDRESS is missing"),
        (("check", "a"), "DST is missing"),
        (("storages", "a"), "takes no address"),
        (("storages", "--dry"), "--dry is an option of fsync sync, not of fsync storages"),
        (("check", "--bwlimit", "5", "a", "b"), "--bwlimit is an option of fsync sync, not of fsync check"),
        (("sync", "a", "b", "--bwlimit"), "--bwlimit needs a value: --bwlimit MBPS"),
        (("sync", "a", "b", "--report"), "--report needs a value: --report FILE"),
        (("sync", "a", "b", "c"), "3 addresses were given"),
        (("sync", "--thr", "5", "a", "b"), "--thr is no option of fsync sync"),
        (("sync", "--treads=5", "a", "b"), "did you mean --threads?"),
        (("sync", "-nx", "a", "b"), "-nx is no option"),
        (("sync", "a", "b", "--threads"), "--threads needs a value: --threads N"),
        (("sync", "a", "b", "-p"), "-p needs a value: -p N"),
        (("sync", "a", "b", "--exclude"), "--exclude needs a value: --exclude PATTERN"),
        (("sync", "--dry=yes", "a", "b"), "--dry is a switch and takes no value"),
        (("sync", "-q", "-v", "a", "b"), "contradict each other"),
        (("ls", "--delete-dst", "a"), "--delete-dst is an option of fsync sync, not of fsync ls"),
        (("--dry", "sync", "a", "b"), "--dry"),
        (("sync", "--nothing-like-it=geheim", "a", "b"), "fsync sync --help lists the options"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(words)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "geheim" not in str(refused.value)


# help


@pytest.mark.parametrize("verb", VERBS)
def test_help_tells_every_option_with_its_default(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = parse([verb, "--help"])
    assert isinstance(shown, str)
    lines = shown.splitlines()
    for flag in flags_of(verb):
        assert any(re.search(rf"^  .*(?<!\S){re.escape(flag)}(,| |$)", line) for line in lines), flag
    assert ("requests and copies in flight (default: 10)" in shown) is (verb != "storages")
    assert ("(default: 256M)" in shown) is (verb != "storages")
    assert "exit codes:" in shown
    assert parse([verb, "-h", "whatever"]) == shown


def test_a_help_word_after_the_dashes_is_an_address() -> None:
    assert read("ls", "--", "--help").addresses == ["--help"]


def test_version_and_general_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"fsync \d+\.\d+\.\d+\n", capsys.readouterr().out)
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb:<9} {facts.summary}" in shown for verb, facts in VERBS.items())


def test_nothing_at_all_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("usage: fsync COMMAND")


def test_help_loads_the_standard_library_only() -> None:
    script = (
        "import sys\nfrom fsync.cli import main\nmain(['sync', '--help'])\n"
        "print([name for name in ('pyarrow', 'fsspec', 'rich', 'asyncio') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1] == "[]"


# other programs' options


def test_options_of_juicefs_that_exist_are_read() -> None:
    switches = ("--dirs", "--perms", "-l", "--check-new", "--exact")
    given = (*switches, "--processes=0", "--bwlimit", "1.5G", "-report", "r.csv")
    checked = options_from(options(*given), verb="sync", from_cli=True)
    assert (checked.dirs, checked.perms, checked.links, checked.check_new, checked.exact) == (True,) * 5
    assert (checked.processes, checked.bwlimit, checked.report) == (0, 1500.0, "r.csv")


def test_the_archive_of_rsync_is_spelled_out() -> None:
    answer = unknown_option("-a", "sync", flags_of("sync"))
    assert "it is --dirs --links --perms" in answer
    assert "--perms" not in unknown_option("-a", "ls", flags_of("ls"))


@pytest.mark.parametrize("bundle", ["-avz", "-rlptgoD", "-zv", "-aHAX"])
def test_a_bundle_of_letters_is_answered_letter_by_letter(bundle: str) -> None:
    with pytest.raises(OptionError) as told:
        parse(["sync", bundle, "a/", "b/"])
    text = str(told.value)
    assert text.startswith(f"{bundle} is a bundle of rsync's options; with fsync for -")
    for letter, answer in {"a": "it is --dirs --links --perms", "p": "it is --perms", "z": "nothing stands"}.items():
        assert (f"for -{letter} {answer}" in text) == (letter in bundle)


@pytest.mark.parametrize("word", ["-xyz", "-Q"])
def test_letters_that_nobody_knows_are_no_bundle(word: str) -> None:
    with pytest.raises(OptionError, match=f"{word} is no option of fsync sync; "):
        parse(["sync", word, "a/", "b/"])


@pytest.mark.parametrize("name", ["json", "quiet", "verbose"])
def test_what_the_command_line_shows_is_no_option_of_a_function(name: str, tmp_path: Path) -> None:
    for call in (fsync.sync, fsync.check, fsync.plan):
        with pytest.raises(OptionError, match=f"^{name} is for the command line: from Python, progress="):
            call(tmp_path / "a", tmp_path / "b", **{name: True})
    with pytest.raises(OptionError, match=f"^{name} is for the command line"):
        fsync.ls(tmp_path, **{name: False})


def test_every_answer_names_options_that_exist() -> None:
    known = set(flags_of("sync"))
    for flag, (program, answer) in ANSWERS.items():
        assert flags_in(answer) <= known, flag
        assert flag not in known, flag
        assert unknown_option(flag, "sync", known) == f"{flag} is an option of {program}; with fsync {answer}"


def test_refused_and_missing_options_of_juicefs_are_in_no_table() -> None:
    ours = {flag for row in TABLE for flag in row.flags}
    assert ours.isdisjoint(REFUSED)
    assert ours.isdisjoint(NOT_YET)
    assert ANSWERS.keys().isdisjoint(NOT_YET | REFUSED.keys())


@pytest.mark.parametrize("flag", sorted(REFUSED))
def test_options_refused_for_good(flag: str) -> None:
    for words in ([flag], [f"{flag}=value"], [flag[1:]]):
        with pytest.raises(OptionError, match=f"{flag} is refused: .*"):
            parse(["sync", *words, "a/", "b/"])


def test_an_answer_that_the_verb_cannot_follow_is_not_given() -> None:
    assert "--delete-dst" not in unknown_option("--delete", "ls", flags_of("ls"))
    assert "--threads" in unknown_option("--transfers", "ls", flags_of("ls"))


@pytest.mark.parametrize("flag", ["-delete", "--delete"])
def test_one_dash_or_two(flag: str) -> None:
    with pytest.raises(
        OptionError, match="--delete is an option of rsync, aws and s5cmd; with fsync it is --delete-dst"
    ):
        parse(["sync", flag, "a/", "b/"])


# errors


def test_an_error_is_one_line_without_secrets() -> None:
    hide = hider(["sync", "s3://AK:geheim@b.s3.us-east-1.amazonaws.com/x/", "--dst-option", "secret=verborgen", "y/"])
    lines, code = explain(SafetyStop("at s3://AK:geheim@b:\nsecret verborgen"), hide, verbose=False)
    assert lines == ["fsync: ERROR: at s3://AK:****@b: secret ****"]
    assert code == 4


@pytest.mark.parametrize(
    "word", ["s3://AK:geheim@", "foo://u:geheim@h/p", "u:geheim@h", "--threads=s3://AK:geheim@b/x", "secret=geheim"]
)
def test_words_that_are_no_address_are_hidden_too(word: str) -> None:
    text = hider(["sync", word])(f"is a whole number, not {word!r}")
    assert "geheim" not in text
    assert "****" in text


def test_a_bug_tells_where_and_how_to_go_on() -> None:
    try:
        amount("x")  # type: ignore[arg-type]
    except TypeError as error:
        lines, code = explain(error, str, verbose=False)
        told, _ = explain(error, str, verbose=True)
    assert code == 1
    assert len(lines) == 1
    assert re.search(r"^fsync: BUG: TypeError: .* \(at fsync/display.py:\d+, fsync .*\); please report", lines[0])
    assert any("Traceback" in line for line in told)


def test_a_huge_message_of_a_package_is_cut() -> None:
    (line,), _ = explain(OSError("x" * 9000), str, verbose=False)
    assert len(line) < 500


# words


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB (1024 bytes)"),
        (12_000_000, "11.4 MiB (12000000 bytes)"),
        (1 << 50, "1.0 PiB (1125899906842624 bytes)"),
        ((1 << 20) - 1, "1.0 MiB (1048575 bytes)"),
    ],
)
def test_bytes(size: int, shown: str) -> None:
    assert exactly(size) == shown


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0, 7.4, 61, 3723, 273_600)] == [
        *("0:00", "0:07", "1:01", "1:02:03", "3 d 04:00:00"),
    ]


def summary(**values: Any) -> dict[str, Any]:
    counts = dict.fromkeys(
        (
            *("copied", "updated", "deleted", "skipped", "excluded", "failed", "vanished", "protected", "extra"),
            *("metadata", "deleted_src", "bytes"),
        ),
        0,
    )
    rest = {"verified_by": {}, "reasons": {}, "complete": True, "dry": False, "seconds": 2.0, "exit_code": 0}
    return {**counts, **rest, **values}


def test_the_summary_tells_what_happened_and_nothing_else() -> None:
    told = summary_lines(
        summary(copied=1200, failed=3, bytes=12_000_000, reasons={"missing": 1203}, verified_by={"md5": 1200})
    )
    assert told == [
        "Done with failures in 2.0 s:",
        "  copied           1,200",
        "  failed               3",
        "  moved        11.4 MiB (12000000 bytes), 5.7 MiB/s",
        "  reasons      missing 1,203",
        "  verified by  md5 1,200",
    ]


def test_the_summary_of_a_dry_run_promises_only() -> None:
    told = summary_lines(summary(copied=1, deleted=2, extra=2, bytes=5, dry=True, reasons={"missing": 1, "extra": 2}))
    assert told[0] == "Dry run, nothing was touched, 2.0 s:"
    assert "  would copy           1" in told
    assert "  would delete         2" in told
    assert "  would move   5 bytes" in told


def test_the_summary_of_a_check_tells_what_was_found() -> None:
    told = summary_lines(
        summary(copied=1, updated=12, extra=3, deleted=3, skipped=5, metadata=2, bytes=9, dry=True, exit_code=5,
                reasons={"mtime": 12, "extra": 3, "mode": 2, "missing": 1}),
        "check",
    )  # fmt: skip
    hint = "12 of 13 differences are of time alone, sizes being equal: "
    assert told == [
        "Differences found, 2.0 s:",
        "  missing              1",
        "  different           12",
        "  permissions          2  other mode or owner, the content is the same",
        "  extra                3",
        "  the same             5",
        "  reasons      mtime 12, extra 3, mode 2, missing 1",
        hint + "--size-only leaves them out, --checksum compares the content",
    ]
    assert summary_lines(summary(dry=True), "check")[0] == "Equal, 2.0 s:"


def test_an_incomplete_run_says_so_first() -> None:
    assert summary_lines(summary(complete=False))[0].startswith("Stopped before the end")


@pytest.mark.parametrize(
    ("reasons", "hinted"),
    [
        ({"mtime": 10}, True),
        ({"mtime": 9}, False),
        ({"mtime": 10, "size": 10}, False),
        ({"mtime": 11, "size": 10, "extra": 90}, True),
        ({"missing": 100}, False),
    ],
)
def test_size_only_is_named_where_times_decide(reasons: dict[str, int], hinted: bool) -> None:
    assert any("--size-only" in line for line in summary_lines(summary(updated=10, reasons=reasons))) is hinted


def test_lines_of_a_dry_run() -> None:
    event = {"action": "copy", "key": "k", "bytes": 2048, "reason": "missing", "kind": "file"}
    assert plan_line(event, "k") == "copy    k  (2,048 bytes, missing)"
    assert plan_line({**event, "action": "delete", "bytes": None}, "k") == "delete  k  (size unknown, missing)"
    assert (
        total_line(summary(copied=1, updated=1, deleted=3, bytes=9), server_side=False)
        == "total   2 objects to copy, 9 bytes, 3 to delete"
    )
    assert plan_line({**event, "kind": "link"}, "k") == "copy    k  (link, missing)"
    assert plan_line({**event, "action": "metadata", "reason": "mode"}, "k") == "metadata  k  (mode)"
    assert total_line(summary(copied=1, metadata=2, bytes=9), server_side=True) == (
        "total   1 object to copy, 9 bytes, copied inside the store (server-side), permissions of 2 to set"
    )
    assert total_line(summary(), server_side=True) == "total   0 objects to copy, 0 bytes"


def test_lines_of_a_check() -> None:
    event = {"action": "update", "key": "k", "bytes": 3, "dst_bytes": 5, "reason": "size", "kind": "file"}
    assert difference_line(event, "k") == "differs  k  (size 3 -> 5)"
    assert difference_line({**event, "reason": "digest"}, "k") == "differs  k  (digest)"
    assert difference_line({**event, "action": "metadata", "reason": "mode"}, "k") == "differs  k  (mode)"
    assert difference_line({**event, "action": "copy", "reason": "missing"}, "k") == "missing  k"
    assert difference_line({**event, "action": "delete", "reason": "extra"}, "k") == "extra    k"


# the display


def figures(**values: Any) -> dict[str, Any]:
    names = ("listed", "planned", "planned_bytes", "done", "bytes", "skipped", "failed", "deleted", "deleted_src")
    known = dict.fromkeys(names, 0)
    rest = {"moved": values.get("bytes", 0), "large": []}
    return {"v": 1, "event": "progress", "listing": True, "seconds": 1.0, **known, **rest, **values}


START = {"v": 1, "event": "start", "source": "a/", "destination": "b/", "rule": "by size", "verb": "sync"}


def shown(*events: dict[str, Any], **settings: Any) -> list[str]:
    stream = io.StringIO()
    with Display(stream=stream, **settings) as display:
        for event in events:
            display.listen(event)
    return stream.getvalue().splitlines()


def failed(number: int) -> dict[str, Any]:
    return {"v": 1, "event": "failed", "key": f"k{number}\n", "action": "copy", "error": "no\nroom"}


def test_lines_without_a_terminal() -> None:
    notice = {"v": 1, "event": "notice", "text": "two\nlines"}
    assert shown(START, notice, figures(), failed(1)) == [
        "Syncing a/ -> b/, by size",
        r"fsync: NOTE: two\x0alines",
        r"fsync: ERROR: cannot copy k1\x0a: no\x0aroom",
    ]


def test_quiet_leaves_failures() -> None:
    assert len(shown(START, {"v": 1, "event": "notice", "text": "x"}, failed(1), quiet=True)) == 1


def test_verbose_tells_each_action() -> None:
    done = {"v": 1, "event": "done", "key": "k", "action": "update", "bytes": 1}
    assert shown(START, done, verbose=True)[1:] == ["updated k  (1 byte)"]
    assert shown(START, done)[1:] == []
    permitted = {**done, "action": "metadata", "bytes": 0}
    assert shown(START, permitted, verbose=True)[1:] == ["permissions of k  (0 bytes)"]


def test_a_check_says_so() -> None:
    assert shown({**START, "verb": "check"}) == ["Comparing a/ -> b/, by size"]


@pytest.mark.parametrize(
    ("figure", "told"),
    [({"moved": 50}, 50), ({"moved": 0, "bytes": 70}, 70), ({"moved": 300, "bytes": 70}, 100), ({"bytes": 0}, 0)],
)
def test_bytes_moved_are_never_more_than_planned_nor_less_than_done(figure: dict[str, int], told: int) -> None:
    assert moved(figures(planned_bytes=100, **figure)) == told


def test_only_the_first_failures_are_told_in_full() -> None:
    told = shown(*(failed(number) for number in range(50)))
    assert len(told) == FAILURES_SHOWN + 1
    assert told[-1] == f"fsync: ERROR: more than {FAILURES_SHOWN} entries failed; further ones are counted"


def test_a_single_object_goes_by_its_own_name() -> None:
    start = {**START, "source": "a/one", "destination": "b/two"}
    event = {"v": 1, "event": "done", "key": "", "bytes": 1}
    lines = shown(start, {**event, "action": "copy"}, {**event, "action": "delete"}, verbose=True)
    assert [line.split()[1] for line in lines[1:]] == ["one", "two"]


def test_a_progress_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("fsync.display.time.monotonic", lambda: now)
    stream = io.StringIO()
    with Display(stream=stream) as display:
        for tick in range(150):
            now = 100.0 + tick * 0.2
            seconds = tick * 0.2
            display.listen(
                figures(
                    seconds=seconds, listed=5000, planned=2000, planned_bytes=200 << 20, listing=tick < 75,
                    done=tick * 10, bytes=tick << 20, skipped=3,
                )
            )  # fmt: skip
    assert stream.getvalue().splitlines() == [
        "listed 5,000 so far (still listing), skipped 3, 500 of 2,000 objects, 50.0 MiB of 200.0 MiB, 5.0 MiB/s",
        "listed 5,000, skipped 3, 1,000 of 2,000 objects, 100.0 MiB of 200.0 MiB, 5.0 MiB/s, ETA 0:20",
    ]


def test_bars_on_a_terminal_never_break_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    stream = io.StringIO()

    def wait_for(text: str) -> None:
        deadline = time.monotonic() + 10
        while text not in stream.getvalue():
            assert time.monotonic() < deadline, stream.getvalue()
            time.sleep(0.02)

    with Display(stream=stream, bars=True) as display:
        display.listen(START)
        display.listen(figures(listed=7, planned=4, planned_bytes=100))
        wait_for("listed 7 so far (still listing)")
        display.listen(failed(1))
        now = figures(listing=False, seconds=2.0, listed=7, planned=4, planned_bytes=100, done=2, bytes=50, failed=1)
        display.listen(now)
        wait_for("2 of 4 objects, 50 B of 100 B, 50 B/s, 1 failed, ETA 0:01")
        display.listen(failed(2))
    plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", line) for line in stream.getvalue().splitlines()]
    for number in (1, 2):
        assert rf"fsync: ERROR: cannot copy k{number}\x0a: no\x0aroom" in plain
    assert any("50%" in line for line in plain)
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1
