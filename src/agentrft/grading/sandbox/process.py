"""One sandbox process, seen from the worker: started, asked, ended."""

import asyncio
import contextlib
import json
import os
import struct
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

_CHILD = Path(__file__).with_name("child.py")
_PYTHON_FLAGS = ("-I", "-S", "-X", "utf8")
_SINGLE_THREADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_MAX_FRAME_BYTES = 1 << 17
_START_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 10.0


class SandboxBroken(Exception):
    """The sandbox itself failed, not the code inside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """Per call, but for the memory, which is that of each process. OpenAI's limits (API reference, section 3.4)."""

    wall_s: float = 120.0
    cpu_s: int = 120
    memory_bytes: int = 2 << 30
    file_bytes: int = 1 << 30
    processes: int = 32


class SandboxProcess:
    """Use `start`, then any number of `ask` one after another, then `end`.

    `load_error` says what the grader's source raised when it was loaded; then `ask` must not be called.
    """

    def __init__(self, process: asyncio.subprocess.Process, scratch: "tempfile.TemporaryDirectory[str]") -> None:
        self._process = process
        self._scratch = scratch
        self.holds: tuple[str, ...] = ()
        self.load_error: str | None = None

    @classmethod
    async def start(cls, source: str, limits: SandboxLimits) -> Self:
        """A process that has loaded `source`, or tried to.

        Raises:
            SandboxBroken: the process did not come up.
        """
        scratch = tempfile.TemporaryDirectory(prefix="agentrft-grader-")
        try:
            process = await _spawn(scratch.name)
        except OSError as error:
            scratch.cleanup()
            raise SandboxBroken(f"cannot start {sys.executable}: {error}") from None
        sandbox = cls(process, scratch)
        try:
            await sandbox._settle(source, limits)
        except BaseException:
            await sandbox.end()
            raise
        return sandbox

    async def ask(self, request: bytes, *, timeout_s: float) -> Mapping[str, Any]:
        """The reply to one request: `reward` or `error`.

        Raises:
            TimeoutError: no reply in time; the process must be ended.
            SandboxBroken: the process is gone.
        """
        async with asyncio.timeout(timeout_s):
            await self._write(request)
            return await self._read()

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
            await asyncio.to_thread(self._scratch.cleanup)

    async def _settle(self, source: str, limits: SandboxLimits) -> None:
        settings = {
            "source": source,
            "paths": [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")],
            "cpu_s": limits.cpu_s,
            "memory_bytes": limits.memory_bytes,
            "file_bytes": limits.file_bytes,
            "processes": limits.processes,
        }
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await self._write(json.dumps(settings).encode())
                self.holds = tuple((await self._read())["holds"])
        except TimeoutError:
            raise SandboxBroken(f"the sandbox did not come up within {_START_TIMEOUT_S:g} s") from None
        try:
            async with asyncio.timeout(limits.wall_s):
                self.load_error = (await self._read())["error"]
        except TimeoutError:
            self.load_error = f"loading the source took more than {limits.wall_s:g} s"
        except SandboxBroken:
            self.load_error = "loading the source ended the process"

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


async def _spawn(scratch: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *_PYTHON_FLAGS,
        os.fspath(_CHILD),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=scratch,
        env={"HOME": scratch, "TMPDIR": scratch, **dict.fromkeys(_SINGLE_THREADED, "1")},
        start_new_session=True,
    )
