"""What users of other programs type, and how it is said here."""

from __future__ import annotations

import re
from collections.abc import Collection

from fsync.errors import printable
from fsync.options import TABLE

_FLAG = re.compile(r"(?<![A-Za-z0-9-])--[a-z][a-z-]*")

_ENDPOINT = "client_kwargs.endpoint_url=URL"
_REGION = "client_kwargs.region_name=NAME"


def _each(ours: str) -> str:
    return f"it is --src-option {ours} for the source, --dst-option {ours} for the destination"


_ALWAYS_LAST = "it is --delete-dst, and deletions always come last"
_SHOWN = "nothing is needed: progress is shown by itself, and --json gives it to programs"
_WHOLE = "nothing is needed: trees are copied whole"
_TIMES = "nothing is needed: modification times are kept where the storage can keep them"
_ARCHIVE = "it is --dirs --links --perms; trees are copied whole and with their times anyway"
_OWNER = "it is --perms, for mode, owner and group together"
_FOLLOWED = "nothing is needed: links are followed"
_WHOLE_FILES = "nothing is needed: files are copied whole"
_NO_COMPRESSION = "nothing stands for it: bytes travel as they are"
_NO_ATTRIBUTES = "nothing stands for it: of a file's attributes --perms keeps mode, owner and group"
_HOLES = "nothing is needed: holes of local files stay holes"

#: an option of another program -> whose it is, and what to do instead; every flag of ours named here exists
ANSWERS: dict[str, tuple[str, str]] = {
    "-a": ("rsync", _ARCHIVE),
    "--archive": ("rsync", _ARCHIVE),
    "-r": ("rsync", _WHOLE),
    "--recursive": ("rsync and aws", _WHOLE),
    "-t": ("rsync", _TIMES),
    "--times": ("rsync", _TIMES),
    "--exact-timestamps": ("aws", "nothing is needed: any difference of time counts where the storage keeps times"),
    "--modify-window": ("rsync and rclone", "nothing is needed: times are compared at the coarser of both precisions"),
    "-o": ("rsync", _OWNER),
    "-g": ("rsync", _OWNER),
    "--owner": ("rsync", _OWNER),
    "--group": ("rsync", _OWNER),
    "--create-empty-src-dirs": ("rclone", "it is --dirs"),
    "-L": ("rsync and rclone", _FOLLOWED),
    "--copy-links": ("rsync and rclone", _FOLLOWED),
    "--follow-symlinks": ("aws", _FOLLOWED),
    "--partial": ("rsync", "nothing is needed: running the same command again copies what is missing"),
    "--fast-list": ("rclone", "nothing is needed: listings take as few requests as the storage allows"),
    # deletions
    "--del": ("rsync", _ALWAYS_LAST),
    "--delete": ("rsync, aws and s5cmd", _ALWAYS_LAST),
    "--delete-before": ("rsync and rclone", _ALWAYS_LAST),
    "--delete-during": ("rsync and rclone", _ALWAYS_LAST),
    "--delete-delay": ("rsync", _ALWAYS_LAST),
    "--delete-after": ("rsync and rclone", _ALWAYS_LAST),
    "--remove-source-files": (
        "rsync",
        "it is --delete-src-after for what a run copies, and --delete-src for what is there already",
    ),
    "-b": ("rsync", "it is --backup-dir ADDRESS"),
    "--backup": ("rsync", "it is --backup-dir ADDRESS"),
    "--delete-removed": ("s3cmd", _ALWAYS_LAST),
    "--delete-unmatched-destination-objects": ("gcloud storage", _ALWAYS_LAST),
    "-d": ("rsync and gsutil", "it is --dirs for rsync's -d; for gsutil's it is --delete-dst"),
    "--prune-empty-dirs": ("rsync", "nothing is needed: empty directories are copied with --dirs only"),
    # what is copied
    "-c": ("rsync and rclone", "it is --checksum"),
    "--check-first": ("rclone", "nothing is needed: deletions wait until everything is listed and copied"),
    "--download": ("rclone check", "it is --check-all"),
    "--immutable": ("rclone", "it is --ignore-existing"),
    "--no-update-modtime": ("rclone", _TIMES),
    "--skip-if-dest-has-newer-mtime": ("gcloud storage", "it is --update"),
    "-W": ("rsync", _WHOLE_FILES),
    "--whole-file": ("rsync", _WHOLE_FILES),
    "-z": ("rsync", _NO_COMPRESSION),
    "--compress": ("rsync", _NO_COMPRESSION),
    "-D": ("rsync", "nothing stands for it: devices and sockets are not copied"),
    "-H": ("rsync", "nothing stands for it: hard links become files of their own"),
    "--hard-links": ("rsync", "nothing stands for it: hard links become files of their own"),
    "-A": ("rsync", _NO_ATTRIBUTES),
    "--acls": ("rsync", _NO_ATTRIBUTES),
    "-X": ("rsync", _NO_ATTRIBUTES),
    "--xattrs": ("rsync", _NO_ATTRIBUTES),
    "-S": ("rsync", _HOLES),
    "--sparse": ("rsync", _HOLES),
    "-I": ("rsync and rclone", "it is --force-update"),
    "--ignore-times": ("rsync and rclone", "it is --force-update"),
    "--if-size-differ": ("s5cmd", "it is --size-only"),
    "--if-source-newer": ("s5cmd", "it is --update"),
    "--no-clobber": ("s5cmd", "it is --ignore-existing"),
    "-0": ("rsync", "nothing is needed: --files-from sees by itself that names are separated by NUL bytes"),
    "--from0": ("rsync", "nothing is needed: --files-from sees by itself that names are separated by NUL bytes"),
    "--files-from-raw": ("rclone", "it is --files-from"),
    "--ignore-missing-args": ("rsync", "it is --ignore-missing"),
    "--exclude-from": ("rsync and rclone", "give each pattern with --exclude"),
    "--include-from": ("rsync and rclone", "give each pattern with --include"),
    "--filter": ("rsync and rclone", "rules are given with --include and --exclude, the first that matches decides"),
    "--filter-from": ("rclone", "rules are given with --include and --exclude, the first that matches decides"),
    # how it runs
    "-m": ("gsutil", "it is --threads; copies run at once anyway"),
    "-j": ("many programs", "it is --threads"),
    "--jobs": ("many programs", "it is --threads"),
    "--parallel": ("many programs", "it is --threads"),
    "--workers": ("many programs", "it is --threads"),
    "--bandwidth-limit": ("many programs", "it is --bwlimit, in Mbit/s"),
    "--max-errors": ("many programs", "it is --max-failure"),
    "--tpslimit": ("rclone", "it is --threads, for everything that is under way"),
    "--transfers": ("rclone", "it is --threads"),
    "--checkers": ("rclone", "it is --threads, for everything that is under way"),
    "--multi-thread-streams": ("rclone", "it is --threads, for everything that is under way"),
    "--numworkers": ("s5cmd", "it is --threads"),
    "--concurrency": ("s5cmd", "it is --threads, for everything that is under way"),
    "--low-level-retries": ("rclone", "it is --retries"),
    "--retry-count": ("s5cmd", "it is --retries"),
    "--contimeout": ("rsync and rclone", "it is --timeout"),
    "--cli-read-timeout": ("aws", "it is --timeout"),
    "--cli-connect-timeout": ("aws", "it is --timeout"),
    "--buffer-size": ("rclone", "it is --memory, for all buffers together"),
    # what people see
    "--dryrun": ("aws", "it is --dry"),
    "-i": ("rsync", "it is --dry before a run, --verbose during one"),
    "--itemize-changes": ("rsync", "it is --dry before a run, --verbose during one"),
    "--out-format": ("rsync", "it is --json"),
    "--combined": ("rclone", "it is --report FILE"),
    "--use-json-log": ("rclone", "it is --json"),
    "--output": ("aws", "it is --json"),
    "-P": ("rsync and rclone", _SHOWN),
    "--progress": ("rsync and rclone", _SHOWN),
    "--show-progress": ("s5cmd", _SHOWN),
    "--no-progress": ("aws", "it is --quiet"),
    "--only-show-errors": ("aws", "it is --quiet"),
    "--log-level": ("rclone", "it is --verbose or --quiet"),
    "--log": ("s5cmd", "it is --verbose or --quiet"),
    "--stats": ("rsync and rclone", "nothing is needed: a summary ends every run"),
    "--stat": ("s5cmd", "nothing is needed: a summary ends every run"),
    # addresses
    "--endpoint-url": ("aws and s5cmd", _each(_ENDPOINT)),
    "--s3-endpoint": ("rclone", _each(_ENDPOINT)),
    "--s3-storage-class": ("rclone", "it is --storage-class NAME"),
    "--region": ("aws", _each(_REGION)),
    "--s3-region": ("rclone", _each(_REGION)),
    "--source-region": ("aws and s5cmd", f"it is --src-option {_REGION}"),
    "--destination-region": ("s5cmd", f"it is --dst-option {_REGION}"),
    "--profile": ("aws and s5cmd", _each("profile=NAME")),
    "--no-sign-request": ("aws and s5cmd", _each("anon=true")),
    "--no-verify-ssl": ("aws and s5cmd", _each("client_kwargs.verify=false")),
    "--s3-access-key-id": ("rclone", _each("key=KEY")),
    "--s3-secret-access-key": ("rclone", _each("secret=SECRET")),
    "--rsh": ("rsync", "nothing is needed: hosts, ports and keys are read from ~/.ssh/config"),
}

#: options of juicefs sync that fsync will not have -> why
REFUSED: dict[str, str] = {
    "--consul": "fsync registers with no service: leave it out",
    "--mountpoint": "fsync opens no JuiceFS volume itself: give the path below the mount as the address",
    "--no-agent": "fsync has no debug agent to switch off: leave it out",
    "--log-id": "fsync's lines carry no id: leave it out",
    "--pyroscope": "fsync sends no profiles anywhere: leave it out",
    "--trace": "fsync has no trace level: --verbose shows what is done",
}

#: options of juicefs sync that this version of fsync does not have
NOT_YET = frozenset(
    {
        *("--enable-checkpoint", "--checkpoint-force-reset", "--checkpoint-interval", "--traffic-control-url"),
        *("--encrypt-rsa-key", "--decrypt-rsa-key", "--encrypt-algo", "--decrypt-algo"),
        *("--worker", "--manager", "--manager-addr", "--metrics", "--no-color"),
    }
)


def unknown_option(flag: str, verb: str, known: Collection[str]) -> str:
    """Return the line that answers an option which the verb does not have; ``known`` are the flags it has."""
    name = flag if flag in ANSWERS or flag in REFUSED or flag.startswith("--") else "-" + flag
    for spelling in (flag, name):
        if spelling in REFUSED and flags_in(REFUSED[spelling]) <= set(known):
            return f"{spelling} is refused: {REFUSED[spelling]}"
        if spelling in ANSWERS:
            program, answer = ANSWERS[spelling]
            if flags_in(answer) <= set(known):
                return f"{spelling} is an option of {program}; with fsync {answer}"
    if name in NOT_YET or flag in NOT_YET:
        return f"{name if name in NOT_YET else flag} of juicefs sync is not in this version of fsync"
    bundle = _bundle(flag, known)
    if bundle:
        return f"{flag} is a bundle of rsync's options; with fsync {bundle}"
    elsewhere = [other for row in TABLE if flag in row.flags for other in row.verbs]
    if elsewhere:
        return f"{flag} is an option of fsync {elsewhere[0]}, not of fsync {verb}"
    import difflib

    close = difflib.get_close_matches(name, sorted(known), 1, 0.75)
    hint = f"did you mean {close[0]}?" if close else f"fsync {verb} --help lists the options"
    return f"{printable(flag)} is no option of fsync {verb}; {hint}"


def _bundle(flag: str, known: Collection[str]) -> str:
    """Return what each letter of a bundle such as ``-avz`` is here, empty where one of them means nothing to us."""
    letters = flag[1:] if flag[:1] == "-" != flag[1:2] else ""
    told = []
    for letter in dict.fromkeys(letters):
        _, answer = ("", "it is --perms") if letter == "p" else ANSWERS.get(f"-{letter}", ("", ""))
        if answer and flags_in(answer) <= set(known):
            told.append(f"for -{letter} {answer}")
        elif f"-{letter}" not in known:
            return ""
    return "; ".join(told) if len(letters) > 1 else ""


def is_foreign(flag: str) -> bool:
    """Tell whether a flag is known as an option that fsync does not have under this name."""
    return flag in ANSWERS or flag in REFUSED or flag in NOT_YET


def flags_in(text: str) -> set[str]:
    """Return the long flags that a text names."""
    return set(_FLAG.findall(text))
