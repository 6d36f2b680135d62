"""From the body of a job request to its settled shape: every part read, names of defaults filled in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agentrft.domain.errors import UserError
from agentrft.domain.job import Method
from agentrft.wire.fine_tuning import JobRequest, MethodSettings, Reinforcement, Supervised
from agentrft.wire.masking import mask, refuse_mask
from agentrft.wire.mcp_servers import McpServer
from agentrft.wire.strict import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A well-formed request. Whether its files and model exist, and what its grader is worth, is not known yet."""

    method: Method
    model: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int | None
    metadata: Mapping[str, str] | None
    tools: tuple[str, ...]  # names of the tools that the job serves over HTTP
    mcp_servers: tuple[McpServer, ...]
    settings: Mapping[str, Any] = field(repr=False)  # `{"type": ..., <type>: {...}}` with defaults, secrets in clear

    @property
    def grader(self) -> Mapping[str, Any] | None:
        grader: Mapping[str, Any] | None = self.settings[self.method.value].get("grader")
        return grader

    def with_grader(self, grader: Mapping[str, Any]) -> "JobSpec":
        """The same job with this grader, in normal form, in place of what was sent."""
        inner = {**self.settings[self.method.value], "grader": grader}
        return replace(self, settings={**self.settings, self.method.value: inner})

    @property
    def mcp_tools(self) -> frozenset[str] | None:
        """The tools that MCP servers may serve; None when that is not known before they are asked."""
        allowed = [server.allowed_tools for server in self.mcp_servers]
        return None if None in allowed else frozenset(name for names in allowed for name in names or ())

    @property
    def monitor_graders(self) -> Sequence[Mapping[str, Any]]:
        """As they were sent, or in normal form after `with_monitors`."""
        ours = self.settings[self.method.value].get("agentrft") or {}
        return tuple(ours.get("monitor_graders") or ())

    def with_monitors(self, graders: Sequence[Mapping[str, Any]]) -> "JobSpec":
        """The same job with these monitor graders in place of those that were sent."""
        inner = self.settings[self.method.value]
        inner = {**inner, "agentrft": {**(inner.get("agentrft") or {}), "monitor_graders": list(graders)}}
        return replace(self, settings={**self.settings, self.method.value: inner})

    @property
    def masked_settings(self) -> Mapping[str, Any]:
        """`settings` as they may be shown."""
        return mask(self.settings)


def read_job_request(body: object) -> JobSpec:
    """Read the body of `POST /v1/fine_tuning/jobs`.

    Raises:
        UserError: something is unknown, missing, of the wrong type, out of range or not supported.
    """
    request = parse(JobRequest, body)
    if request.integrations:
        raise UserError("Integrations are not supported yet.", param="integrations", code="unsupported_value")
    method = _read_method(request)
    settings = _read_settings(method, request)
    inner = settings[method.value]
    tools = tuple(tool["name"] for tool in inner.get("tools") or ())
    servers = (inner.get("agentrft") or {}).get("mcp_servers") or ()
    mcp_servers = tuple(McpServer.model_validate(server) for server in servers)
    _check_names(tools, mcp_servers)
    return JobSpec(
        method=method,
        model=request.model,
        training_file=request.training_file,
        validation_file=request.validation_file,
        suffix=request.suffix,
        seed=request.seed,
        metadata=request.metadata,
        tools=tools,
        mcp_servers=mcp_servers,
        settings=settings,
    )


def _read_method(request: JobRequest) -> Method:
    if request.method is None:
        return Method.SUPERVISED
    kind = parse(MethodSettings, request.method, at="method").type
    if kind == "dpo":
        message = "The method 'dpo' is not supported. Use 'reinforcement' or 'supervised'."
        raise UserError(message, param="method.type", code="unsupported_value")
    return Method(kind)


def _read_settings(method: Method, request: JobRequest) -> dict[str, Any]:
    at = f"method.{method.value}"
    given = (request.method or {}).get(method.value)
    if method is Method.REINFORCEMENT:
        return {"type": method.value, method.value: _read_reinforcement(given, at, request.hyperparameters)}
    body, at = _with_old_hyperparameters(given, request.hyperparameters, at)
    supervised = parse(Supervised, body, at=at).model_dump(exclude_none=True)
    return {"type": method.value, method.value: supervised}


def _read_reinforcement(given: object, at: str, old_hyperparameters: object) -> dict[str, Any]:
    if given is None:
        raise UserError(f"Missing required parameter: '{at}'.", param=at, code="missing_required_parameter")
    if old_hyperparameters:
        message = f"Give the hyperparameters of a reinforcement job in '{at}.hyperparameters'."
        raise UserError(message, param="hyperparameters", code="invalid_value")
    refuse_mask(given, at=at)
    read = parse(Reinforcement, given, at=at)
    settings = read.model_dump(exclude_none=True, by_alias=True, mode="json")
    return {"response_format": None, "tools": [], **settings}


def _check_names(tools: Sequence[str], servers: Sequence[McpServer]) -> None:
    """Refuse a tool that two would serve. What servers list beyond `allowed_tools` is known to the worker only."""
    owners = dict.fromkeys(tools, "the job's 'tools'")
    for index, server in enumerate(servers):
        for name in server.allowed_tools or ():
            if name in owners:
                param = f"method.reinforcement.agentrft.mcp_servers[{index}].allowed_tools"
                message = f"Invalid '{param}': the tool '{name}' is served by {owners[name]} already; leave one out."
                raise UserError(message, param=param, code="invalid_value")
            owners[name] = f"the MCP server '{server.name}'"


def _with_old_hyperparameters(given: object, old: object, at: str) -> tuple[object, str]:
    """Supervised settings and the path to name in errors; OpenAI still takes `hyperparameters` at the top."""
    if not old:
        return given or {}, at
    if given:
        message = f"Give hyperparameters once, in '{at}.hyperparameters'."
        raise UserError(message, param="hyperparameters", code="invalid_value")
    return {"hyperparameters": old}, ""
