"""``fsync sync`` and ``fsync check``: run them, and show them as people or programs asked for it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fsync.cli import output
from fsync.cli.arguments import Command
from fsync.cli.faults import Hide, explain
from fsync.cli.logfile import LogFile
from fsync.cli.logs import logging_to
from fsync.cli.output import complain
from fsync.cli.repeating import repeat_line
from fsync.cli.text import difference_line, failed_line, one_line, plan_line, summary_lines, total_line
from fsync.display import Display
from fsync.errors import FsyncError

if TYPE_CHECKING:
    from fsync.options import Options
    from fsync.report import Listener


def sync_command(command: Command, hide: Hide) -> int:
    """Run ``fsync sync`` or ``fsync check`` and return its exit code; raises FsyncError for what ended it early."""
    from fsync.api import Call
    from fsync.ends import check_outside
    from fsync.loops import run

    src, dst = command.addresses
    call = Call(src, dst, None, None, None, command.options, verb=command.verb, from_cli=True)
    options = call.options
    told = Told(command.verb)
    listener: Listener
    with contextlib.ExitStack() as stack:
        if options.json:
            listener = told.as_json
            write = complain
        else:
            display = stack.enter_context(_display(command.verb, options))
            told.display = display
            listener = told.as_text
            write = display.line
        stack.enter_context(logging_to(lambda text: write(hide(text)), verbose=options.verbose))
        log = None
        if options.log_file is not None:
            check_outside("--log-file", options.log_file, call.src, call.dst)
            log = stack.enter_context(LogFile(options.log_file, hide))
            stack.enter_context(logging_to(log.display.line, verbose=True))
            listener = _told_to(listener, log.display.listen)
        details = options.json or options.verbose or log is not None
        try:
            if command.verb == "check":
                work = call.check(listener, keep_rows=False)
            else:
                work = call.sync(listener, keep_rows=False, details=details)
            result = run(work, alone=call.alone)
        except Exception as error:
            if log is not None:
                log.lines([*_summary(told, command.verb), *explain(error, hide, verbose=True)[0]])
            if isinstance(error, FsyncError):
                stack.close()
                told.end(error, hide, json=options.json, quiet=options.quiet)
            raise
        if log is not None:
            log.lines(_summary(told, command.verb))
            log.lines([f"fsync: ERROR: {failed_line(result.failed)}"] if result.failed else [])
    told.end(None, hide, json=options.json, quiet=options.quiet)
    if result.failed:
        if not (options.quiet or options.json):
            given = command.addresses, command.options
            line = repeat_line(command.verb, *given, result.failures, result.failed, hide)
            if line:
                complain(line)
        complain(f"fsync: ERROR: {failed_line(result.failed)}")
    return result.exit_code


def _told_to(*listeners: Listener) -> Listener:
    """Return a listener that passes every event on to several."""

    def listen(event: dict[str, Any]) -> None:
        for listener in listeners:
            listener(event)

    return listen


def _summary(told: Told, verb: str) -> list[str]:
    """Return the lines that end a run, none if it had not begun."""
    return [] if told.summary is None else summary_lines(told.summary, verb)


def _display(verb: str, options: Options) -> Display:
    itemised = verb == "check" or options.dry
    # lines of the product on the same terminal are progress enough, and bars would mix with them
    bars = False if itemised and sys.stdout is not None and sys.stdout.isatty() else None
    return Display(quiet=options.quiet, verbose=options.verbose, bars=bars)


#: how a planned action is shown: by a dry run, by a check
_LINES: Mapping[str, Callable[[Mapping[str, Any], str], str]] = {"sync": plan_line, "check": difference_line}


class Told:
    """What a run's events lead to on stdout, and the summary kept for the end."""

    def __init__(self, verb: str) -> None:
        self._verb, self._line = verb, _LINES[verb]
        self._server_side = False
        self.summary: dict[str, Any] | None = None
        self.display: Display | None = None

    def as_json(self, event: dict[str, Any]) -> None:
        """Write an event; the summary waits, because it comes last."""
        if event["event"] == "summary":
            self.summary = event
        else:
            output.write_json(event)

    def as_text(self, event: dict[str, Any]) -> None:
        """Show an event to a person; differences and the actions of a dry run are the product."""
        assert self.display is not None
        if event["event"] == "start":
            self._server_side = event["server_side"]
        elif event["event"] == "summary":
            self.summary = event
        elif event["event"] == "plan":
            output.write(self._line(event, self.display.name_of(event)) + "\n")
        self.display.listen(event)

    def end(self, error: FsyncError | None, hide: Hide, *, json: bool, quiet: bool) -> None:
        """Tell the end of a run: the error for programs, then the summary."""
        if isinstance(error, output.OutputError):
            return
        summary = self.summary
        if summary is not None and error is not None:
            # the run itself does not know by which signal it was ended
            summary["exit_code"] = error.exit_code
        if json:
            if error is not None:
                text = one_line(hide(str(error)))
                output.write_json({"v": 1, "event": "error", "text": text, "exit_code": error.exit_code})
            if summary is not None:
                output.write_json(summary)
        elif summary is not None:
            if self._verb == "sync" and summary["dry"] and summary["complete"]:
                output.write(total_line(summary, server_side=self._server_side) + "\n")
            output.finish()
            if not quiet:
                for line in summary_lines(summary, self._verb):
                    complain(line)
