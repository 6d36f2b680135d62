"""What the `mcp` package raises, as a failure with a kind, and whether another try can help."""

from collections.abc import Iterable, Iterator, Mapping

from mcp.shared.exceptions import MCPError
from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT
from pydantic import ValidationError

from agentrft.domain.faults import FaultKind
from agentrft.domain.job import McpAddress, McpServer
from agentrft.outbound.transport import OVERLOADED_STATUSES, Failure
from agentrft.tools.mcp.http_client import RETRY_AFTER_KEY, STATUS_KEY

_LEAST_SECRET_CHARS = 6
_MAX_TEXT_CHARS = 300


def describe_failure(error: Exception, server: McpServer) -> Failure:
    """The failure behind `error`, which may be a group of what went wrong at once; its text holds no secret."""
    causes = list(_leaves(error))
    cause = next((cause for cause in causes if isinstance(cause, MCPError)), causes[0])
    text = _blank_out(str(cause) or type(cause).__name__, _secrets(server))
    text = " ".join(text.split())[:_MAX_TEXT_CHARS]
    if isinstance(cause, MCPError):
        return _read_error(cause, text)
    if isinstance(cause, TimeoutError):
        return Failure(kind=FaultKind.TIMEOUT, message=text)
    if isinstance(cause, FileNotFoundError | PermissionError):
        return Failure(kind=FaultKind.CONNECTION, message=f"the command cannot be run: {text}", retry=False)
    if isinstance(cause, ValidationError | RuntimeError):  # what the package makes of a reply against the protocol
        return Failure(kind=FaultKind.INVALID_REPLY, message=text)
    return Failure(kind=FaultKind.CONNECTION, message=f"{type(cause).__name__}: {text}")


def _read_error(error: MCPError, text: str) -> Failure:
    data = error.data if isinstance(error.data, Mapping) else {}
    status = data.get(STATUS_KEY)
    if isinstance(status, int) and (status >= 500 or status in OVERLOADED_STATUSES):
        kind = FaultKind.HTTP_5XX if status >= 500 else FaultKind.OVERLOADED
        return Failure(kind=kind, message=text, retry_after_s=_seconds(data.get(RETRY_AFTER_KEY)))
    if isinstance(status, int):
        return Failure(kind=FaultKind.INVALID_REPLY, message=f"{text}; check its url and headers", retry=False)
    if error.code == CONNECTION_CLOSED:
        return Failure(kind=FaultKind.CONNECTION, message=text)
    kind = FaultKind.TIMEOUT if error.code == REQUEST_TIMEOUT else FaultKind.INVALID_REPLY
    return Failure(kind=kind, message=f"error {error.code}: {text}")


def _seconds(value: object) -> float:
    return value if isinstance(value, float) and value > 0 else 0.0


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for part in error.exceptions:
        yield from _leaves(part)


def _secrets(server: McpServer) -> Iterable[str]:
    values = server.at.headers if isinstance(server.at, McpAddress) else server.at.env
    return {part for value in values.values() for part in (value, *value.split()) if len(part) >= _LEAST_SECRET_CHARS}


def _blank_out(text: str, secrets: Iterable[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
