"""POST JSON to a user's endpoint and live with whatever comes back.

This border is where a flaky network would poison training, so every outcome is one of two values, a reply or a failure;
nothing is raised for what the other side does. One total deadline covers all tries, one reply is read no further than
its size limit, redirects are refused, and no cookie wanders from one episode to the next. Beside the caller's headers
each try carries how long it will be waited for and, where a secret was agreed on, a signature.
"""

import asyncio
import random
import re
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

import httpx2

from agentrft.domain.faults import FaultKind
from agentrft.domain.ids import new_id
from agentrft.outbound.lanes import Lanes
from agentrft.outbound.signature import Signer
from agentrft.outbound.turnstile import Countdown, Turn, Turnstile

MAX_RETRIES = 3
MAX_REPLY_BYTES = 1 << 20
IDEMPOTENCY_HEADER = "Idempotency-Key"
DEADLINE_HEADER = "X-Agentrft-Deadline-Ms"  # for how long the caller waits for the reply to this very request
OVERLOADED_STATUSES = frozenset({408, 425, 429})  # 4xx that say "later", and nothing about the request
_INFLATE_ANY = 47  # zlib's wbits for "gzip or deflate, see the header"
_ENDPOINT_FAILURES = (FaultKind.HTTP_5XX, FaultKind.TIMEOUT, FaultKind.CONNECTION, FaultKind.INVALID_REPLY)
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to POST. Header values are secrets."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 60.0  # for one request, its whole reply included
    deadline_s: float = 180.0  # for all tries and what lies between them, but for queueing behind the owner's limits
    signer: Signer | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A complete HTTP reply; `body` is empty when it was `too_large` to be read."""

    status: int
    body: bytes
    latency_s: float
    reason: str = ""
    location: str = ""
    retry_after_s: float = 0.0  # what the endpoint asked for; 0 when it did not
    too_large: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why no usable reply came. `message` holds no secret."""

    kind: FaultKind
    message: str
    retry: bool = True
    retry_after_s: float = 0.0  # at least, before another try
    attempts: int = 1


def backoff_s(attempt: int) -> float:
    """Seconds to wait after try number `attempt` (from 1): exponential with full jitter, so that bursts spread out."""
    return random.uniform(0.1, min(8.0, 0.5 * 2**attempt))


def find_url_problem(url: object) -> str | None:
    """What is wrong with an endpoint's address, or None."""
    if not isinstance(url, str):
        return "must be a string"
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, UnicodeError) as error:
        return f"is no valid URL: {error}"
    if parsed.scheme not in ("http", "https") or not parsed.host:
        return "must be an absolute http:// or https:// URL"
    return None


def find_header_problem(headers: object) -> str | None:
    """What is wrong with an endpoint's headers, or None. Never quotes a value."""
    if not isinstance(headers, Mapping):
        return "must be an object of strings"
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            return f"has an illegal header name: {name!r}"
        if not isinstance(value, str) or not _is_header_value(value):
            return f"has an illegal value for {name!r}: it must be one line of text without spaces around it"
    return None


def _is_header_value(value: str) -> bool:
    return value == value.strip() and not any(ord(char) < 32 and char != "\t" for char in value)


def public_url(url: str) -> str:
    """`url` without user, password, query and fragment, which may be secrets."""
    parsed = httpx2.URL(url)
    return str(parsed.copy_with(userinfo=b"", query=None, fragment=None))


def excerpt(reply: Reply, *, headers: Mapping[str, str], limit_chars: int = 300) -> str:
    """The start of a reply's text for a person to read, with header values that it echoes blanked out."""
    text = " ".join(reply.body[: 4 * limit_chars].decode("utf-8", errors="replace").split())
    for secret in {part for value in headers.values() for part in (value, *value.split()) if len(part) >= 6}:
        text = text.replace(secret, "***")
    return text[:limit_chars]


def judge_status(reply: Reply, *, headers: Mapping[str, str]) -> Failure | None:
    """What no endpoint can mean as an answer.

    A 5xx and a status that says "later" are worth another try; a redirect is never followed, as it could carry the
    headers elsewhere.
    """
    if reply.status >= 500 or reply.status in OVERLOADED_STATUSES:
        said = excerpt(reply, headers=headers)
        kind = FaultKind.HTTP_5XX if reply.status >= 500 else FaultKind.OVERLOADED
        text = f"HTTP {reply.status} {said or reply.reason}".strip()
        return Failure(kind=kind, message=text, retry_after_s=reply.retry_after_s)
    if 300 <= reply.status < 400:
        where = public_url(reply.location) if find_url_problem(reply.location) is None else reply.location.split("?")[0]
        text = f"HTTP {reply.status} redirects to {where or 'nowhere'}; redirects are refused, give the final address"
        return Failure(kind=FaultKind.INVALID_REPLY, message=text, retry=False)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What all tries of one call have in common."""

    target: Target
    body: bytes
    headers: Mapping[str, str]
    judge: Callable[[Reply], Failure | None]

    def sign(self, timeout_s: float) -> httpx2.Headers:
        """The headers of one try that is waited for so long."""
        ours = {**self.headers, DEADLINE_HEADER: str(int(1000 * timeout_s))}
        signer = self.target.signer
        if signer is not None:
            ours |= signer.headers(ours[IDEMPOTENCY_HEADER], timestamp_s=int(time.time()), body=self.body)
        return _merge(ours, self.target.headers)


class Transport:
    """The HTTP connections of all episodes of a job. Use as an async context manager.

    Args:
        backoff_s: seconds to pause after the n-th failed try, n from 1.
        pause: waits that long between two tries.
        max_reply_bytes: where reading a reply stops.
    """

    def __init__(
        self,
        *,
        backoff_s: Callable[[int], float] = backoff_s,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        self._backoff_s = backoff_s
        self._pause = pause
        self._max_reply_bytes = max_reply_bytes
        self._lanes = Lanes()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._lanes.close()

    async def post(
        self,
        target: Target,
        body: bytes,
        *,
        headers: Mapping[str, str],
        judge: Callable[[Reply], Failure | None],
        turnstile: Turnstile | None = None,
    ) -> Reply | Failure:
        """POST `body` until a reply passes `judge`, the retries are used up or the deadline comes.

        Args:
            headers: ours; those of the target win. Their `Idempotency-Key` is the id that a signature names.
            judge: names what makes a reply a failure, and whether to try again; None accepts the reply.
            turnstile: gives each try its turn and hears what became of it; None: no limits, and no breaker to remember.
        """
        turnstile = turnstile or Turnstile()
        countdown = Countdown(target.deadline_s)
        if IDEMPOTENCY_HEADER not in headers:
            headers = {**headers, IDEMPOTENCY_HEADER: new_id("msg_")}
        request = _Request(target=target, body=body, headers=headers, judge=judge)
        attempt = 0
        while True:
            async with turnstile.turn(countdown) as turn:
                if turn is None:
                    return _left_alone(target, turnstile, attempts=attempt)
                attempt += 1
                outcome = await self._take(turn, request, left_s=countdown.left_s)
            if isinstance(outcome, Reply):
                return outcome
            pause_s = max(self._backoff_s(attempt), outcome.retry_after_s)
            late = pause_s >= countdown.left_s
            if not outcome.retry or attempt > MAX_RETRIES or late:
                return _conclude(outcome, target=target, attempts=attempt, late=late)
            await self._pause(pause_s)

    async def _take(self, turn: Turn, request: _Request, *, left_s: float) -> Reply | Failure:
        """One try, of which the breaker hears unless we cut it short ourselves."""
        target = request.target
        timeout_s = min(target.timeout_s, left_s)
        outcome = await self._try(target.url, request.body, headers=request.sign(timeout_s), timeout_s=timeout_s)
        failure = request.judge(outcome) if isinstance(outcome, Reply) else outcome
        refused = isinstance(outcome, Reply) and 400 <= outcome.status < 500
        if failure is None or refused or failure.kind not in _ENDPOINT_FAILURES:
            turn.answered()
        elif failure.kind is not FaultKind.TIMEOUT or not cut_short(
            timeout_s, timeout_s=target.timeout_s, deadline_s=target.deadline_s
        ):
            turn.failed(failure.message)
        return failure or outcome

    async def _try(self, url: str, body: bytes, *, headers: httpx2.Headers, timeout_s: float) -> Reply | Failure:
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._lanes.client() as client,
                client.stream("POST", url, content=body, headers=headers) as response,
            ):
                content = await self._read(response)
        except (TimeoutError, httpx2.TimeoutException):
            return Failure(kind=FaultKind.TIMEOUT, message=f"no complete reply within {timeout_s:.3g} s")
        except (httpx2.DecodingError, zlib.error) as error:
            return Failure(kind=FaultKind.INVALID_REPLY, message=f"the reply cannot be decoded: {error}")
        except httpx2.LocalProtocolError:  # its text quotes header values
            return Failure(kind=FaultKind.CONNECTION, message="the request is not valid HTTP; check the headers")
        except httpx2.RequestError as error:
            return Failure(kind=FaultKind.CONNECTION, message=f"{type(error).__name__}: {error}".rstrip(": "))
        return Reply(
            status=response.status_code,
            body=content or b"",
            latency_s=clock() - started,
            reason=response.reason_phrase,
            location=response.headers.get("location", ""),
            retry_after_s=read_retry_after_s(response.headers),
            too_large=content is None,
        )

    async def _read(self, response: httpx2.Response) -> bytes | None:
        """The decoded body, or None as soon as it grows over the limit."""
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip", "deflate"):
            raise httpx2.DecodingError(f"content-encoding {encoding!r} was not asked for")
        inflate = None if encoding == "identity" else zlib.decompressobj(_INFLATE_ANY)
        content = bytearray()
        async for chunk in response.aiter_raw():
            room = self._max_reply_bytes + 1 - len(content)
            content += inflate.decompress(chunk, room) if inflate else chunk[:room]
            if len(content) > self._max_reply_bytes:
                return None
        return bytes(content)


def read_retry_after_s(headers: Mapping[str, str]) -> float:
    """The seconds of a `Retry-After` header; 0 where there is none, or a date, which no two clocks agree on."""
    text = headers.get("retry-after", "").strip()
    return float(text[:9]) if text.isascii() and text.isdecimal() else 0.0  # 9 digits outlast any deadline


def cut_short(try_s: float, *, timeout_s: float, deadline_s: float) -> bool:
    """Whether so little was left of a call's deadline for a try that its timeout says nothing about the endpoint."""
    return 2 * try_s < min(timeout_s, deadline_s)


def _merge(ours: Mapping[str, str], theirs: Mapping[str, str]) -> httpx2.Headers:
    defaults = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
    merged = httpx2.Headers({**defaults, **ours}, encoding="utf-8")
    merged.update(httpx2.Headers(dict(theirs), encoding="utf-8"))
    return merged


def _left_alone(target: Target, turnstile: Turnstile, *, attempts: int) -> Failure:
    text = (
        f"POST {public_url(target.url)}: too many requests failed, so that the endpoint is left alone until a probe is "
        f"answered; none was within {target.deadline_s:g} s; the last failure: {turnstile.breaker.last_failure}"
    )
    return Failure(kind=FaultKind.BREAKER_OPEN, message=text, attempts=attempts)


def _conclude(failure: Failure, *, target: Target, attempts: int, late: bool) -> Failure:
    tries = "1 try" if attempts == 1 else f"{attempts} tries"
    end = f", no time for another within {target.deadline_s:g} s" if failure.retry and late else ""
    message = f"POST {public_url(target.url)}: {failure.message} ({tries}{end})"
    return replace(failure, message=message, attempts=attempts)
