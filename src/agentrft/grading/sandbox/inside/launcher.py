"""The sandbox's first process: prepares the place, starts the zygote, and brings requests and answers to and fro."""

import json
import math
import os
import signal
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

from . import confinement, scratch, tree, view, zygote
from .confinement import Facts, Settings
from .frames import Blame, read_frame, write_frame
from .supervisor import PoolGone, Supervisor, ZygoteGone

_OOM_SCORE = "1000"  # short of memory, the kernel ends graders first
_CPU_LIMIT_SHARE = 0.5  # a call that was killed after this much of its limit was killed by it: clocks differ
_LOOKS, _LOOK_S = 100, 0.001  # for how a process has ended, after its pipes have closed


def main() -> None:
    """Talk to the pool on the standard streams: settings in; facts and the error of loading out; then requests."""
    pool = _Pool(source=os.dup(0), target=os.dup(1))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    settings: Settings = {**json.loads(read_frame(pool.source) or b"{}"), "turn": os.getpid()}
    facts: Facts = {}
    root = _prepare(facts, settings)
    try:
        zygote_ = _start(pool, facts, settings, root=root)
        _Launcher(pool, zygote_, settings, root=root).serve()
    except (PoolGone, BrokenPipeError):
        pass
    finally:
        tree.kill(os.getpid(), spare=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    source: int
    target: int

    def send(self, message: object) -> None:
        write_frame(self.target, json.dumps(message).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Zygote:
    """The process, our ends of its pipes, and what it said holds."""

    pid: int
    requests: int
    reports: int
    answers: int
    listener: int | None
    facts: Facts


def _prepare(facts: Facts, settings: Settings) -> str | None:
    """Namespaces, and the folder with the view in them if the kernel allows it."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(_OOM_SCORE)
    except OSError:
        pass
    facts |= {"namespaces": "", "view": "needs namespaces"}
    if not confinement.attempt("namespaces", facts, settings, view.enter_namespaces):
        return None
    names = {name: settings[name] for name in ("readable", "hidden", "scratch_bytes")}
    built = confinement.attempt("view", facts, settings, lambda: view.build(settings["root"], **names))
    return settings["root"] if built else None


def _start(pool: _Pool, facts: Facts, settings: Settings, *, root: str | None) -> _Zygote:
    requests, reports, answers = os.pipe(), os.pipe(), os.pipe()
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        for descriptor in (pool.source, pool.target, requests[1], reports[0], answers[0]):
            os.close(descriptor)
        listener = confinement.confine(facts, settings, root=root)
        _hand_over(theirs, facts, listener)
        zygote.run(requests=requests[0], reports=reports[1], answers=answers[1], settings=settings)
        os._exit(0)
    theirs.close()
    for descriptor in (requests[0], reports[1], answers[1]):
        os.close(descriptor)
    facts, listener = _take_over(ours)
    return _Zygote(
        pid=pid, requests=requests[1], reports=reports[0], answers=answers[0], listener=listener, facts=facts
    )


def _hand_over(link: socket.socket, facts: Facts, listener: int | None) -> None:
    """Give the launcher what it must have before any of the user's code runs."""
    with link:
        socket.send_fds(link, [json.dumps(facts).encode()], [] if listener is None else [listener])
    if listener is not None:
        os.close(listener)


def _take_over(link: socket.socket) -> tuple[Facts, int | None]:
    with link:
        content, descriptors, _, _ = socket.recv_fds(link, 1 << 16, 1)
    return json.loads(content), descriptors[0] if descriptors else None


class _Launcher:
    def __init__(self, pool: _Pool, zygote: _Zygote, settings: Settings, *, root: str | None) -> None:
        moved = zygote.facts["view"] is None
        self._pool, self._zygote, self._settings = pool, zygote, settings
        self._folder = f"{root}{view.SCRATCH}" if moved else settings["scratch"]
        self._kept: str | None = None
        self._supervisor = Supervisor(
            zygote=zygote.pid,
            pool=pool.source,
            reports=zygote.reports,
            answers=zygote.answers,
            listener=zygote.listener,
            folder=self._folder,
            watch_folder=not moved,
            limits=settings,
        )

    def serve(self) -> None:
        """Until the pool hangs up, or the grader has destroyed its zygote."""
        self._pool.send({"facts": self._zygote.facts})
        failure = self._attend_to_loading()
        self._pool.send(failure or {})
        while failure is None:
            self._supervisor.wait_for_request()
            request = read_frame(self._pool.source)
            if request is None:
                return
            try:
                reply = self._answer(request)
            except (ZygoteGone, BrokenPipeError):
                end = self._explain_end("the grader ended the process that serves it", otherwise=Blame.GRADER)
                self._pool.send({**end, "last": True})
                return
            self._clear()
            self._pool.send(reply)

    def _attend_to_loading(self) -> dict[str, Any] | None:
        """What kept the source from being loaded."""
        try:
            report, _ = self._supervisor.attend()
        except ZygoteGone:
            return self._explain_end("loading the source ended the process", otherwise=Blame.UNSURE)
        try:
            self._kept = self._settings["kept"] if scratch.keep(self._folder, self._settings["kept"]) else None
            self._clear()
        except (OSError, RecursionError) as error:
            blame = Blame.UNSURE if isinstance(error, OSError) else Blame.GRADER
            return _failure(f"the files that loading left cannot be kept for the calls: {error}", blame)
        if not report:
            return None
        blame = Blame.UNSURE if report[:1] == zygote.TROUBLE else Blame.GRADER
        return _failure(report[1:].decode(errors="replace") or "the source cannot be loaded", blame)

    def _explain_end(self, said: str, *, otherwise: Blame) -> dict[str, Any]:
        """Of the zygote."""
        if self._supervisor.excess is not None:
            return _failure(self._supervisor.excess)
        if _find_signal(self._zygote.pid) == signal.SIGKILL:
            return _failure(f"{said}, or the machine is short of memory (SIGKILL)", Blame.MACHINE)
        return _failure(said, otherwise)

    def _answer(self, request: bytes) -> dict[str, Any]:
        write_frame(self._zygote.requests, request)
        report, answer = self._supervisor.attend()
        if self._supervisor.excess is not None:
            return _failure(f"grade was killed: {self._supervisor.excess}")
        if answer is None:
            return self._explain_death(report)
        if answer[:1] == zygote.REWARD and len(answer) == 9:
            (reward,) = struct.unpack("!d", answer[1:])
            return {"reward": reward} if math.isfinite(reward) else _failure(f"grade returned {reward}")
        if answer[:1] == zygote.ERROR:
            return _failure(answer[1:].decode(errors="replace")[: 2 * zygote.MAX_DETAIL_CHARS])
        return _failure("grade wrote an answer of its own, which is none")

    def _clear(self) -> None:
        scratch.empty(self._folder)
        if self._kept is not None:
            scratch.restore(self._folder, self._kept)

    def _explain_death(self, report: bytes) -> dict[str, Any]:
        """Of a call."""
        if len(report) != zygote.END_OF_CALL.size:
            return _failure("the grader disturbed the process that serves it")
        status, used_s = zygote.END_OF_CALL.unpack(report)
        if os.WIFEXITED(status):
            return _failure(f"grade ended its process with exit code {os.WEXITSTATUS(status)}")
        number, limit_s = os.WTERMSIG(status), self._settings["cpu_s"]
        if number == signal.SIGXCPU or (number == signal.SIGKILL and used_s >= _CPU_LIMIT_SHARE * limit_s):
            return _failure(f"grade was killed ({signal.Signals(number).name}): more than {limit_s} s of CPU time")
        if number == signal.SIGKILL:
            message = "grade was killed (SIGKILL) within all of its limits: the machine may be short of memory"
            return _failure(message, Blame.MACHINE)
        return _failure(f"grade was killed by signal {number}")


def _failure(error: str, blame: Blame = Blame.GRADER) -> dict[str, Any]:
    return {"error": error, "blame": blame}


def _find_signal(child: int) -> int:
    """That ended the child; 0 where none did."""
    for _ in range(_LOOKS):
        try:
            ended, status = os.waitpid(child, os.WNOHANG)
        except ChildProcessError:
            return 0
        if ended:
            return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        time.sleep(_LOOK_S)
    return 0
