"""MCP servers as a job names them, under `method.reinforcement.agentrft.mcp_servers`."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from agentrft.wire.graders import Headers, HttpUrl
from agentrft.wire.strict import Strict

MAX_SERVERS = 32

EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
ToolName = Annotated[str, Field(min_length=1, max_length=64)]


def _check_argument(text: str) -> str:
    if "\0" in text:
        raise ValueError("cannot be passed to a process: it holds a NUL character.")
    return text


Argument = Annotated[str, AfterValidator(_check_argument)]


class McpServer(Strict):
    """One server: `url` for streamable HTTP, or `command` for one that the worker starts.

    Values of `headers` and `env` are secrets.
    """

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    url: HttpUrl | None = None
    headers: Annotated[Headers | None, Field(repr=False)] = None
    command: Annotated[Argument, Field(min_length=1)] | None = None
    args: list[Argument] | None = None
    env: Annotated[dict[EnvironmentName, Argument] | None, Field(repr=False)] = None
    allowed_tools: Annotated[list[ToolName], Field(min_length=1)] | None = None  # default: all that it lists
    timeout_s: Annotated[float, Field(gt=0, le=600)] | None = None  # for one try of a call
    deadline_s: Annotated[float, Field(gt=0, le=3600)] | None = None  # for all tries of one call, connecting included
    max_concurrency: Annotated[int, Field(ge=1, le=1024)] | None = None  # calls under way at once
    rate_limit: Annotated[float, Field(gt=0)] | None = None  # calls a second, retries included

    @model_validator(mode="after")
    def _one_way_to_reach_it(self) -> Self:
        if (self.url is None) == (self.command is None):
            raise ValueError("give either 'url' (streamable HTTP) or 'command' (a process on the worker's machine).")
        if self.url is None and self.headers is not None:
            raise ValueError("'headers' go with 'url'; a process is given its secrets in 'env'.")
        if self.command is None and (self.args is not None or self.env is not None):
            raise ValueError("'args' and 'env' go with 'command'; a URL is given its secrets in 'headers'.")
        return self


def _names_once(servers: list[McpServer]) -> list[McpServer]:
    names = [server.name for server in servers]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ValueError(f"two servers are named '{double}'; give each a name of its own.")
    return servers


McpServers = Annotated[list[McpServer], Field(max_length=MAX_SERVERS), AfterValidator(_names_once)]
