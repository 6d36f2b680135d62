"""Child processes that never outlive their parent's work: own process groups, logs in files, an end that is sure."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

LOG_LINES_SHOWN = 15
POLL_S = 0.2
INTERRUPTS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


class ProcessFailed(Exception):
    """A child ended, or did not get ready in time. The message holds its last log lines and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A running program and where it writes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_lines(self, count: int = LOG_LINES_SHOWN) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-count:]
        return "\n".join(f"  | {line}" for line in lines) or "  | (it wrote nothing)"


@dataclass(slots=True, kw_only=True)
class Processes:
    """Starts children and stops them all on leaving, in reverse order.

    Children get process groups of their own, so that Ctrl-C reaches the parent alone and they end in order.
    """

    log_folder: Path
    grace_s: float = 10.0
    _children: list[Child] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.log_folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        """Run `command` with `environment` added to ours; its output goes to `<log_folder>/<name>.log`."""
        log = self.log_folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        child = Child(name=name, process=process, log=log)
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raise `ProcessFailed` when any child has ended."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                raise ProcessFailed(
                    f"The {child.name} ended unexpectedly (exit status {code}). The last lines of {child.log}:\n"
                    f"{child.last_lines()}\nMend what they name and start again."
                )

    def wait_until(self, child: Child, ready: Callable[[], bool], *, deadline_s: float) -> None:
        """Block until `ready()`; `ProcessFailed` when a child ends before that or the time is over."""
        until = time.monotonic() + deadline_s
        while not ready():
            self.check()
            if time.monotonic() > until:
                raise ProcessFailed(
                    f"The {child.name} was not ready after {deadline_s:.0f} s. The last lines of {child.log}:\n"
                    f"{child.last_lines()}\nIf the machine is busy, try again when it is quieter."
                )
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End every child and whatever it started: SIGTERM to its group, SIGKILL to what is left after the grace."""
        children, self._children = self._children, []
        with _interrupts_held_back():
            for child in reversed(children):
                _signal_group(child, signal.SIGTERM)
            until = time.monotonic() + self.grace_s
            for child in reversed(children):
                with suppress(subprocess.TimeoutExpired):
                    child.process.wait(max(0.0, until - time.monotonic()))
            for child in children:
                _signal_group(child, signal.SIGKILL)
                child.process.wait()


@contextmanager
def terminations_interrupt() -> Iterator[None]:
    """Treat a request to terminate, or a closed terminal, as Ctrl-C, so that everything is cleaned up the same way."""
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let a second Ctrl-C wait until cleaning up is done; it then counts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _signal_group(child: Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)


def free_port() -> int:
    """A TCP port that was free on the loopback interface a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def port_near(wanted: int) -> int:
    """`wanted` when it is free, else any free port."""
    try:
        with socket.create_server(("127.0.0.1", wanted)):
            return wanted
    except OSError:
        return free_port()
