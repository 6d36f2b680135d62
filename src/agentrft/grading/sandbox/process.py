"""One sandbox process, seen from the worker: started, asked, ended."""

import asyncio
import contextlib
import json
import os
import struct
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from agentrft.grading.sandbox.inside import scratch, tree
from agentrft.grading.sandbox.inside.frames import Blame
from agentrft.grading.sandbox.readable import Readable, find_readable

_PYTHON_FLAGS = ("-I", "-S", "-X", "utf8")
_START = "import sys; sys.path.insert(0, sys.argv[1]); from inside import launcher; sys.path.pop(0); launcher.main()"
_SINGLE_THREADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_FOLDERS = ("root", "scratch")  # where a view is built; the scratch folder where there is none
_KEPT = "kept"  # what loading left in the scratch folder
_MAX_FRAME_BYTES = 1 << 17
_START_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 10.0


class SandboxBroken(Exception):
    """The sandbox itself failed, or the machine that it runs on, not the code inside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """Per call. OpenAI's limits (API reference, section 3.4), but for `processes`, which it does not document."""

    wall_s: float = 120.0
    cpu_s: int = 120  # of each process
    cpus: int = 2
    memory_bytes: int = 2 << 30  # of each process, and of all together
    scratch_bytes: int = 1 << 30
    processes: int = 64  # and threads, in all


class Facility(StrEnum):
    """What the sandbox asks of the kernel."""

    NAMESPACES = "namespaces"
    VIEW = "view"  # a root folder of its own
    CAPABILITIES = "capabilities"  # giving them up
    LANDLOCK = "landlock"  # in place of a view
    SECCOMP = "seccomp"
    NOTIFICATIONS = "notifications"  # of seccomp: a say in every start of a process


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSetup:
    """What a sandbox shows, and which of the kernel's facilities it uses: all, but in tests and to look for a fault."""

    readable: Readable = field(default_factory=find_readable)
    facilities: frozenset[Facility] = frozenset(Facility)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailure:
    """Why the grader's source could not be loaded; `unsure` whether that is its own doing or the machine's."""

    error: str
    unsure: bool


class SandboxProcess:
    """Use `start`, then any number of `ask` one after another, then `end`.

    After a `load_failure`, and once it no longer `serves`, `ask` must not be called.
    """

    def __init__(self, process: asyncio.subprocess.Process, place: "tempfile.TemporaryDirectory[str]") -> None:
        self._process = process
        self._place = place
        self.facts: Mapping[Facility, str | None] = {}
        self.load_failure: LoadFailure | None = None
        self.serves = False

    @classmethod
    async def start(cls, source: str, limits: SandboxLimits, setup: SandboxSetup) -> Self:
        """A process that has loaded `source`, or tried to.

        Raises:
            SandboxBroken: the process did not come up.
        """
        since_s = tree.clock_s()
        place = tempfile.TemporaryDirectory(prefix="agentrft-grader-")
        try:
            process = await _spawn(place.name)
        except OSError as error:
            place.cleanup()
            raise SandboxBroken(f"cannot start {sys.executable}: {error}") from None
        sandbox = cls(process, place)
        try:
            await sandbox._set_up(source, limits, setup)
            await sandbox._wait_for_loading(limits, since_s=since_s)
        except BaseException:
            await sandbox.end()
            raise
        return sandbox

    async def ask(self, request: bytes, *, timeout_s: float) -> Mapping[str, Any]:
        """The reply to one request: `reward` or `error`.

        Raises:
            TimeoutError: no reply in time; the process must be ended.
            SandboxBroken: the process is gone, or the machine left it no means to reply.
        """
        async with self._deadline(timeout_s, since_s=tree.clock_s()):
            await self._write(request)
            reply = await self._read()
        self.serves = not reply.get("last")
        _refuse_blamed_on_machine(reply)
        return reply

    async def end(self) -> None:
        """End the process and everything that it started."""
        assert self._process.stdin is not None
        self._process.stdin.close()  # the launcher takes this as the order to kill the rest
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        finally:
            await asyncio.to_thread(_clean, self._place)

    async def _set_up(self, source: str, limits: SandboxLimits, setup: SandboxSetup) -> None:
        place = Path(self._place.name)
        for name in _FOLDERS:
            (place / name).mkdir(mode=0o700)
        settings = {
            "source": source,
            "facilities": sorted(setup.facilities),
            "paths": setup.readable.packages,
            "readable": setup.readable.paths,
            "hidden": setup.readable.hidden,
            "kept": str(place / _KEPT),
            **{name: str(place / name) for name in _FOLDERS},
            **asdict(limits),
        }
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await self._write(json.dumps(settings).encode())
                facts = (await self._read())["facts"]
        except TimeoutError:
            raise SandboxBroken(f"the sandbox did not come up within {_START_TIMEOUT_S:g} s") from None
        self.facts = {Facility(name): reason for name, reason in facts.items()}

    async def _wait_for_loading(self, limits: SandboxLimits, *, since_s: float) -> None:
        try:
            async with self._deadline(limits.wall_s, since_s=since_s):
                outcome = await self._read()
        except TimeoutError:
            error = f"loading the source took more than {limits.wall_s:g} s"
            self.load_failure = LoadFailure(error=error, unsure=True)
            return
        _refuse_blamed_on_machine(outcome)
        if "error" in outcome:
            self.load_failure = LoadFailure(error=str(outcome["error"]), unsure=outcome.get("blame") == Blame.UNSURE)
        self.serves = self.load_failure is None

    @contextlib.asynccontextmanager
    async def _deadline(self, seconds: float, *, since_s: float) -> AsyncIterator[None]:
        """A TimeoutError when it is over; SandboxBroken where the code inside got hardly any of that time."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            if tree.is_starved(self._process.pid, since_s=since_s, wall_s=seconds):
                message = f"within {seconds:g} s the grader's code was given hardly any processor time"
                raise SandboxBroken(message) from None
            raise

    async def _write(self, content: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(struct.pack("!I", len(content)) + content)
            await self._process.stdin.drain()
        except ConnectionError as error:
            raise SandboxBroken(f"the sandbox process is gone: {error}") from None

    async def _read(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        try:
            (length,) = struct.unpack("!I", await self._process.stdout.readexactly(4))
            if length > _MAX_FRAME_BYTES:
                raise SandboxBroken(f"the sandbox sent a reply of {length} bytes")
            reply = json.loads(await self._process.stdout.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            raise SandboxBroken(f"the sandbox process is gone: {error}") from None
        if not isinstance(reply, dict):
            raise SandboxBroken("the sandbox sent a reply that is no object")
        return reply


def _refuse_blamed_on_machine(reply: Mapping[str, Any]) -> None:
    if reply.get("blame") == Blame.MACHINE:
        raise SandboxBroken(str(reply.get("error")))


async def _spawn(place: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *_PYTHON_FLAGS,
        "-c",
        _START,
        os.fspath(Path(__file__).parent),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=place,
        env=dict.fromkeys(_SINGLE_THREADED, "1"),
        start_new_session=True,
    )


def _clean(place: "tempfile.TemporaryDirectory[str]") -> None:
    for name in (*_FOLDERS, _KEPT):
        with contextlib.suppress(FileNotFoundError):
            scratch.empty(os.path.join(place.name, name))
    place.cleanup()
