"""Loads the grader's source once, then forks for each call. From here on the user's code runs: nothing is trusted.

Whatever that code changes in this interpreter harms its own grades only: the launcher reads what comes out of here as
bytes that may be anything. A fork per call costs less than a millisecond and keeps one attempt's leftovers away from
the next.
"""

import contextlib
import fcntl
import json
import math
import numbers
import os
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .confinement import Settings, limit
from .frames import read_frame, write_frame

MAX_DETAIL_CHARS = 2000
GRADER_FILE = "<grader>"
REWARD, ERROR = b"r", b"e"  # the first byte of an answer
TROUBLE = b"t"  # the first byte of an error of loading that may be the machine's; of any other, ERROR
END_OF_CALL = struct.Struct("!id")  # how it ended (wait4), and the seconds on processors that it used

_decode = json.JSONDecoder().decode  # kept from before the user's code, which may replace json.loads
Grade = Callable[[Any, Any], Any]


def run(*, requests: int, reports: int, answers: int, settings: Settings) -> None:
    """Load, then serve until `requests` ends.

    Args:
        reports: gets the error of loading, empty if there was none, and then the END_OF_CALL of each call.
        answers: the calls' own; nothing is written to it here.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a first process of a namespace ignores what it does not handle
    grade, error = _load(settings)
    _close_writable(spare=(requests, reports, answers))
    write_frame(reports, error[: 4 * MAX_DETAIL_CHARS])
    if grade is None:
        read_frame(requests)  # until the launcher ends: to it, a process that is gone has said nothing
    while grade is not None and (request := read_frame(requests)) is not None:
        call = os.fork()
        if call == 0:
            _run_call(grade, request, answers=answers, ours=(requests, reports), settings=settings)
        _, status, used = os.wait4(call, 0)
        _end_group(call)
        write_frame(reports, END_OF_CALL.pack(status, used.ru_utime + used.ru_stime))


def _load(settings: Settings) -> tuple[Grade | None, bytes]:
    """The grader's function, or what its source raised."""
    sys.path.extend(settings["paths"])
    sys.modules["agentrft"] = None  # type: ignore[assignment]  # an import of it fails
    try:
        scope: dict[str, Any] = {"__name__": "grader", "__file__": GRADER_FILE}
        exec(compile(settings["source"], GRADER_FILE, "exec", dont_inherit=True), scope)
        return scope["grade"], b""
    except BaseException as error:  # noqa: BLE001  # the border to the user's code
        kind = TROUBLE if isinstance(error, OSError | MemoryError) else ERROR
        return None, kind + _describe(error).encode(errors="backslashreplace")


def _close_writable(spare: Sequence[int]) -> None:
    """Put /dev/null in place of every descriptor that calls could leave something to each other through.

    In place, as the user's objects still own the numbers and would close another's file in the end.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3, os.sysconf("SC_OPEN_MAX")):
        try:
            mode = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        except OSError:
            continue
        if descriptor not in (*spare, nowhere) and mode & os.O_ACCMODE != os.O_RDONLY:
            os.dup2(nowhere, descriptor, inheritable=False)


def _end_group(call: int) -> None:
    """What is left of the call's process group and of its orphans; the launcher finds the rest."""
    with contextlib.suppress(OSError):
        os.killpg(call, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _run_call(grade: Grade, request: bytes, *, answers: int, ours: Sequence[int], settings: Settings) -> None:
    try:
        os.setpgid(0, 0)
        for descriptor in ours:
            os.close(descriptor)
        limit("RLIMIT_CPU", settings["cpu_s"])
        me, leave, write = os.getpid(), os._exit, write_frame
        try:
            arguments = _decode(request.decode())
            answer = _check(grade(arguments["sample"], arguments["item"]))
        except BaseException as error:  # noqa: BLE001  # the border to the user's code
            answer = ERROR + _describe(error).encode(errors="backslashreplace")
        if os.getpid() == me:  # and no fork of it
            write(answers, answer)
        leave(0)
    finally:
        os._exit(1)


def _check(value: object) -> bytes:
    """A finite real number that is no boolean; numpy's scalars count."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return ERROR + f"grade returned {type(value).__name__}, expected a float".encode(errors="backslashreplace")
    reward = float(value)
    if not math.isfinite(reward):
        return ERROR + f"grade returned {reward}, expected a finite float".encode()
    return REWARD + struct.pack("!d", reward)


def _describe(error: BaseException) -> str:
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == GRADER_FILE:
            line = step.tb_lineno
        step = step.tb_next
    where = "" if line is None else f" (line {line})"
    try:
        said = str(error)[:MAX_DETAIL_CHARS]
    except BaseException:  # noqa: BLE001  # the user may have written __str__ too
        said = ""
    return f"{type(error).__name__[:MAX_DETAIL_CHARS]}: {said}{where}"
