"""The inside of the sandbox. Started as a script by an isolated interpreter; knows nothing of agentrft.

    pool --stdin--> launcher: enters namespaces, then only waits for the pool's end of stdin to close
                      +- zygote: loads the grader once, then for each request
                           +- call: a fork that runs grade(sample, item) and is gone

A fork per call costs about a millisecond and keeps one attempt's leftovers away from the next. Messages are frames of
four bytes of length and JSON.
"""

import json
import math
import numbers
import os
import select
import signal
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import confinement  # type: ignore[import-not-found]  # found through the line above

sys.path.pop(0)

MAX_REPLY_BYTES = 65536
MAX_DETAIL_CHARS = 2000
GRADER_FILE = "<grader>"


Settings = Mapping[str, Any]
Grade = Callable[[Any, Any], Any]


def main() -> None:
    requests, replies = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    settings = json.loads(read_frame(requests) or b"{}")
    confinement.adopt_orphans()
    holds = confinement.leave_namespaces()
    zygote = os.fork()
    if zygote == 0:
        confinement.die_with_parent()
        run_zygote(requests, replies, settings=settings, holds=holds)
        os._exit(0)
    os.close(replies)
    guard(zygote, requests)


def guard(zygote: int, requests: int) -> None:
    """Wait until the zygote ends or the pool closes stdin, then leave nothing alive."""
    watched = select.poll()
    watched.register(requests, 0)  # a hang-up is reported without being asked for
    exited = os.pidfd_open(zygote)
    watched.register(exited, select.POLLIN)
    watched.poll()
    os.kill(zygote, signal.SIGKILL)
    kill_children()


def kill_children() -> None:
    """Kill all children, and theirs as they become ours, until there are none."""
    while True:
        for child in list_children():
            os.kill(child, signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def list_children() -> list[int]:
    try:
        with open("/proc/thread-self/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def run_zygote(requests: int, replies: int, *, settings: Settings, holds: Sequence[str]) -> None:
    if "processes" in holds and confinement.hide_processes():
        holds = [*holds, "proc"]
    confinement.adopt_orphans()
    if confinement.drop_privileges():
        holds = [*holds, "capabilities"]
    confinement.limit("RLIMIT_AS", settings["memory_bytes"])
    confinement.limit("RLIMIT_FSIZE", settings["file_bytes"])
    confinement.limit("RLIMIT_NOFILE", 256)
    confinement.limit("RLIMIT_CORE", 0)
    write_frame(replies, {"holds": holds})
    grade, error = load(settings)
    write_frame(replies, {"error": error})
    while grade is not None:
        request = read_frame(requests)
        if request is None:
            return
        reply = serve(grade, request, settings=settings, ours=(requests, replies))
        sweep(alone="processes" in holds)
        write_raw(replies, reply)


def load(settings: Settings) -> tuple[Grade | None, str | None]:
    """The grader's function, or what its source raised."""
    sys.path.extend(settings["paths"])
    sys.modules["agentrft"] = None  # type: ignore[assignment]  # an import of it fails
    try:
        scope: dict[str, Any] = {"__name__": "grader", "__file__": GRADER_FILE}
        exec(compile(settings["source"], GRADER_FILE, "exec", dont_inherit=True), scope)
        return scope["grade"], None
    except BaseException as error:  # noqa: BLE001  # the border to the user's code
        return None, describe(error)


def serve(grade: Grade, request: bytes, *, settings: Settings, ours: Sequence[int]) -> bytes:
    """Run one request in a fork and return its reply frame's content."""
    reading, writing = os.pipe()
    call = os.fork()
    if call == 0:
        for descriptor in (reading, *ours):
            os.close(descriptor)
        run_call(grade, request, writing=writing, settings=settings)
        os._exit(0)
    os.close(writing)
    reply = read_frame(reading, limit=MAX_REPLY_BYTES)
    os.close(reading)
    if reply is not None:
        os.kill(call, signal.SIGKILL)
    _, status = os.waitpid(call, 0)
    return reply or json.dumps({"error": describe_death(status, settings)}).encode()


def sweep(alone: bool) -> None:
    """End whatever the call left running."""
    if not alone:
        kill_children()
        return
    try:
        os.kill(-1, signal.SIGKILL)  # as the first process of its namespace: all others in it
    except ProcessLookupError:
        return
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def run_call(grade: Grade, request: bytes, *, writing: int, settings: Settings) -> None:
    confinement.die_with_parent()
    confinement.limit("RLIMIT_CPU", settings["cpu_s"])
    confinement.limit("RLIMIT_NPROC", settings["processes"])
    try:
        arguments = json.loads(request)
        reply = check(grade(arguments["sample"], arguments["item"]))
    except BaseException as error:  # noqa: BLE001  # the border to the user's code
        reply = {"error": describe(error)}
    write_frame(writing, reply)


def check(value: object) -> dict[str, Any]:
    """A finite real number that is no boolean; numpy's scalars count."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return {"error": f"grade returned {type(value).__name__}, expected a float"}
    reward = float(value)
    return (
        {"reward": reward} if math.isfinite(reward) else {"error": f"grade returned {reward}, expected a finite float"}
    )


def describe(error: BaseException) -> str:
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == GRADER_FILE:
            line = step.tb_lineno
        step = step.tb_next
    where = "" if line is None else f" (line {line})"
    try:
        said = str(error)
    except BaseException:  # noqa: BLE001  # the user may have written __str__ too
        said = ""
    return f"{type(error).__name__}: {said[:MAX_DETAIL_CHARS]}{where}"


def describe_death(status: int, settings: Settings) -> str:
    if os.WIFEXITED(status):
        return f"grade ended its process with exit code {os.WEXITSTATUS(status)}"
    number = os.WTERMSIG(status)
    if number in (signal.SIGXCPU, signal.SIGKILL):
        return (
            f"grade was killed ({signal.Signals(number).name}): more than {settings['cpu_s']} s of CPU time, or memory"
        )
    return f"grade was killed by signal {number}"


def read_frame(source: int, limit: int | None = None) -> bytes | None:
    """A frame's content, or None at the end of the stream or over the limit."""
    head = read_exactly(source, 4)
    if head is None:
        return None
    (length,) = struct.unpack("!I", head)
    return None if limit is not None and length > limit else read_exactly(source, length)


def read_exactly(source: int, length: int) -> bytes | None:
    content = bytearray()
    while len(content) < length:
        chunk = os.read(source, min(length - len(content), 1 << 20))
        if not chunk:
            return None
        content += chunk
    return bytes(content)


def write_frame(target: int, message: object) -> None:
    write_raw(target, json.dumps(message).encode())


def write_raw(target: int, content: bytes) -> None:
    rest = memoryview(struct.pack("!I", len(content)) + content)
    while rest:
        rest = rest[os.write(target, rest) :]


if __name__ == "__main__":
    main()
