"""Start a server process for tests on free loopback ports, be sure that it is this one that answers, and stop it."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

#: Ports below every system's ephemeral range: no outgoing connection of another test can take one meanwhile.
_PORTS = range(15000, 32000)
#: Hypothesis seeds the shared generator, which would give two test workers the same ports.
_random = random.SystemRandom()


class StartError(Exception):
    """A server did not start; the message ends with the last lines of its log."""


def program(name: str) -> str:
    """Return the path of an executable: the one beside this interpreter (a wheel's) or the one on PATH.

    Raises FileNotFoundError naming it.
    """
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"the program {name} is neither beside {sys.executable} nor on PATH")
    return found


def free_ports(count: int) -> list[int]:
    """Return ``count`` different loopback ports that nobody listens on now."""
    ports: list[int] = []
    for port in _random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise StartError(f"no {count} free ports from {_PORTS.start} to {_PORTS.stop - 1}")


def answers(path: str, status: int = 200) -> Callable[[int], bool]:
    """Return a readiness question: does ``GET path`` on a loopback port give this status?"""

    def ask(port: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask


class Process:
    """A server process in a process group of its own, its output in a log file that outlives it.

    On Linux the kernel ends it with the thread that started it, so that a killed test run leaves nothing behind:
    start it in a thread that lives as long as the server is needed.
    """

    def __init__(
        self, command: Sequence[str], *, log: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        setpriv = shutil.which("setpriv")
        prefix = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                [*prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=None if env is None else {**os.environ, **env},
                start_new_session=True,
            )
        self.name = Path(command[0]).name
        self.pid = self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._child.poll() is None

    def listens_on(self, port: int) -> bool:
        """Tell whether this process or a child of it is the one that listens on a loopback port."""
        try:
            own = psutil.Process(self.pid)
            members = [own, *own.children(recursive=True)]
            return any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
                for member in members
                for connection in member.net_connections("tcp")
            )
        except psutil.NoSuchProcess:
            return False

    def unix_sockets(self) -> set[Path]:
        """Return the absolute paths of the Unix sockets that this process has open."""
        paths = (connection.laddr for connection in psutil.Process(self.pid).net_connections("unix"))
        return {Path(path) for path in paths if path.startswith("/")}

    def tail(self, lines: int = 30) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_ready(self, port: int, ready: Callable[[int], bool], timeout: float = 30) -> None:
        """Wait until this very process listens on ``port`` and ``ready(port)`` holds.

        Raises StartError when the process ends or ``timeout`` seconds pass.
        """
        deadline = time.monotonic() + timeout
        while self.alive:
            if self.listens_on(port) and ready(port) and self.alive:
                return
            if time.monotonic() > deadline:
                raise StartError(
                    f"{self.name} is not ready on port {port} after {timeout:g} s; its log:\n{self.tail()}"
                )
            time.sleep(0.05)
        raise StartError(f"{self.name} ended with status {self._child.returncode}:\n{self.tail()}")

    def stop(self, grace: float = 0.5) -> None:
        """End the process and its group: SIGTERM, after ``grace`` seconds SIGKILL. Stopping twice is harmless."""
        if self._child.returncode is not None and not self._group_alive():
            return
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(grace)
        self._signal(signal.SIGKILL)
        self._child.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _group_alive(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True


@contextlib.contextmanager
def running(
    command: Callable[[list[int]], Sequence[str]],
    *,
    ports: int,
    ready: Callable[[int], bool],
    directory: Path,
    name: str,
    env: Mapping[str, str] | None = None,
    timeout: float = 30,
    grace: float = 0.5,
) -> Iterator[tuple[Process, list[int]]]:
    """Run a server as long as the block lasts; give the process and its ports, the first one the one that answers.

    ``command(ports)`` makes the command line; the process runs in ``directory`` and logs into ``NAME.log`` there.
    A process that ends before it answers may have lost the race for a port and gets two more tries on other ports.
    At the end it has ``grace`` seconds between SIGTERM and SIGKILL. Raises StartError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for attempt in (1, 2, 3):
        chosen = free_ports(ports)
        process = Process(command(chosen), log=directory / f"{name}.log", cwd=directory, env=env)
        try:
            process.wait_ready(chosen[0], ready, timeout)
        except StartError:
            ended = not process.alive
            process.stop()
            if ended and attempt < 3:
                continue
            raise
        except BaseException:
            process.stop()
            raise
        break
    try:
        yield process, chosen
    finally:
        process.stop(grace)
