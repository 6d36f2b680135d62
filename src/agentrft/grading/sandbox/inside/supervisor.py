"""The launcher while the zygote works: consents to new processes, watches memory and disk, reads the answer."""

import errno
import fcntl
import os
import select
import struct
import time
from collections.abc import Mapping
from typing import Any

from . import scratch, tree
from .frames import parse_frame
from .seccomp import STARTS
from .syscalls import number_of

MAX_ANSWER_BYTES = 65536
MAX_REPORT_BYTES = 16384
_TICK_S = 0.1
_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
_NOTICE = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif
_VERDICT = struct.Struct("=QqiI")  # struct seccomp_notif_resp
_CONTINUE = 1


class PoolGone(Exception):
    """The pool has closed its end."""


class ZygoteGone(Exception):
    """The zygote ended, which only the user's code can have brought about."""


class Supervisor:
    """Watches one zygote.

    Args:
        pool: descriptor that hangs up when the pool wants the end.
        reports, answers: read ends of the zygote's pipes.
        listener: where starts of processes are asked for, if the kernel can.
        folder: the scratch folder, as seen from here.
        watch_folder: its size is limited by nothing but us.
    """

    def __init__(
        self,
        *,
        zygote: int,
        pool: int,
        reports: int,
        answers: int,
        listener: int | None,
        folder: str,
        watch_folder: bool,
        limits: Mapping[str, Any],
    ) -> None:
        self._zygote, self._pool, self._reports, self._answers = zygote, pool, reports, answers
        self._listener, self._folder, self._watch_folder, self._limits = listener, folder, watch_folder, limits
        self._report = bytearray()
        self._next_watch = 0.0
        self._starts = 0
        self._starting = {number_of(name) for name in STARTS}
        self.excess: str | None = None
        os.set_blocking(answers, False)
        self._events = select.poll()
        self._events.register(pool, 0)  # a hang-up is reported without being asked for
        for descriptor in (reports, answers) if listener is None else (reports, answers, listener):
            self._events.register(descriptor, select.POLLIN)

    def attend(self) -> tuple[bytes, bytes | None]:
        """Until the zygote reports; then nothing of the call is left, but for what it wrote to the scratch folder.

        Returns:
            The report, and the call's answer, None if there was no whole one.

        Raises:
            PoolGone, ZygoteGone: the launcher must end.
        """
        self._starts, self.excess = 0, None
        self._next_watch = time.monotonic() + _TICK_S
        received, ended = bytearray(), False
        while True:
            ready = dict(self._events.poll(1000 * _TICK_S))
            if self._pool in ready:
                raise PoolGone
            if time.monotonic() >= self._next_watch:  # also while the call keeps us busy
                self._watch()
            if self._listener in ready:
                self._decide(refuse=ended)
            if self._answers in ready:
                received += self._read_answers()
                if not ended and parse_frame(received) is not None:
                    ended = True
                    self._kill()
                elif not ended and len(received) > MAX_ANSWER_BYTES:
                    ended, self.excess = True, f"it wrote more than {MAX_ANSWER_BYTES} bytes as its answer"
                    self._kill()
            if self._reports in ready and (report := self._read_report()) is not None:
                self._kill()
                received += self._read_answers()
                self._discard_answers()
                return report, parse_frame(received)

    def wait_for_request(self) -> None:
        """Until the pool writes; meanwhile nothing may start.

        Raises:
            PoolGone, ZygoteGone: the launcher must end.
        """
        self._events.modify(self._pool, select.POLLIN)
        try:
            while True:
                ready = dict(self._events.poll())
                if self._reports in ready:
                    raise ZygoteGone
                if self._listener in ready:
                    self._decide(refuse=True)
                if self._answers in ready:
                    self._read_answers()
                if ready.get(self._pool, 0) & select.POLLIN:
                    return
                if self._pool in ready:
                    raise PoolGone
        finally:
            self._events.modify(self._pool, 0)

    def _kill(self) -> None:
        tree.kill(os.getpid(), spare=self._zygote)

    def _read_report(self) -> bytes | None:
        """A whole report, or None while there is none. The user's code in the zygote may have written anything."""
        chunk = os.read(self._reports, MAX_REPORT_BYTES)
        self._report += chunk
        announced = int.from_bytes(self._report[:4], "big") if len(self._report) >= 4 else 0
        if not chunk or max(announced, len(self._report)) > MAX_REPORT_BYTES:
            raise ZygoteGone
        report = parse_frame(self._report)
        if report is not None:
            self._report.clear()
        return report

    def _read_answers(self) -> bytes:
        """What is there, none if nothing is."""
        try:
            chunk = os.read(self._answers, MAX_ANSWER_BYTES)
        except BlockingIOError:
            return b""
        if not chunk:  # the zygote itself no longer holds the other end open
            raise ZygoteGone
        return chunk

    def _discard_answers(self) -> None:
        """What leftovers wrote; they are dead."""
        while self._read_answers():
            pass

    def _watch(self) -> None:
        self._next_watch = time.monotonic() + _TICK_S
        memory, disk = self._limits["memory_bytes"], self._limits["scratch_bytes"]
        if tree.measure(tree.below(os.getpid()), memory) > memory:
            self.excess = f"its processes held more than {memory >> 20} MiB of memory together"
        elif self._watch_folder and scratch.measure(self._folder, disk) > disk:
            self.excess = f"it wrote more than {disk >> 20} MiB of files"
        if self.excess is not None:
            self._kill()

    def _decide(self, *, refuse: bool) -> None:
        """Answer one request to start or to signal a process."""
        notice = bytearray(_NOTICE.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, notice)  # type: ignore[arg-type]
            cookie, _, _, number, _, _, target, *_ = _NOTICE.unpack(notice)
            if number in self._starting:
                error = errno.EAGAIN if refuse or not self._may_start() else 0
            else:
                error = errno.EPERM if refuse or not self._may_signal(target & 0xFFFFFFFF) else 0
            verdict = _VERDICT.pack(cookie, 0, -error, 0 if error else _CONTINUE)
            fcntl.ioctl(self._listener, _SEND, verdict)  # type: ignore[arg-type]
        except OSError:  # whoever asked is dead
            return

    def _may_start(self) -> bool:
        """Counts starts, and once there were too many, who is alive. Each of those may be starting one more at most."""
        self._starts += 1
        if self._starts > self._limits["processes"]:
            self._starts = tree.count_tasks(tree.below(self._zygote))
        return self._starts < int(self._limits["processes"])

    def _may_signal(self, target: int) -> bool:
        return target in tree.below(self._zygote)
