"""A real HTTP server on loopback that misbehaves by script: one step per request, the last step for all that follow."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int = 200
    body: Any = b""  # bytes as they are, anything else as JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """Send `prefix`, then nothing more, and keep the connection open."""

    prefix: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Send `prefix` and close the connection."""

    prefix: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """Answer only when `count` requests are waiting at once."""

    count: int
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Drip:
    """Send a reply of 200 a byte at a time, with a pause after each."""

    body: bytes
    pause_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: Any
    raw: bytes = b""


class ScriptedEndpoint:
    """`requests` are all that came; `peak` is how many were waiting for their reply at once, at most."""

    def __init__(self, *steps: Answer | Hang | Break | Gather | Drip) -> None:
        self._steps = list(steps)
        self._closing = asyncio.Event()
        self._gathered = asyncio.Event()
        self._waiting = 0
        self._live = 0
        self.peak = 0
        self.requests: list[Received] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/tool"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._gathered.set()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self.requests.append(await _read_request(reader))
        self._live += 1
        self.peak = max(self.peak, self._live)
        try:
            return await self._reply(writer)
        finally:
            self._live -= 1

    async def _reply(self, writer: asyncio.StreamWriter) -> bool:
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, Hang | Break):
            writer.write(step.prefix)
            await writer.drain()
            if isinstance(step, Hang):
                await self._closing.wait()
            return False
        if isinstance(step, Drip):
            await _drip(step, writer)
            return True
        answer = await self._gather(step) if isinstance(step, Gather) else step
        writer.write(_encode(answer))
        await writer.drain()
        return True

    async def _gather(self, step: Gather) -> Answer:
        self._waiting += 1
        if self._waiting >= step.count:
            self._gathered.set()
        await self._gathered.wait()
        return step.answer


async def _read_request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(path=request_line.split()[1], headers=headers, body=json.loads(body) if body else None, raw=body)


async def _drip(step: Drip, writer: asyncio.StreamWriter) -> None:
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(step.body)}\r\n\r\n".encode())
    for byte in step.body:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(step.pause_s)


def _encode(answer: Answer) -> bytes:
    body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    headers = {"Content-Length": str(len(body)), **answer.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} Scripted\r\n{lines}\r\n".encode() + body
