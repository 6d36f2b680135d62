"""One tool call on a client's behalf: what `POST /v1/fine_tuning/alpha/tool/run` does (API reference, section 4.4)."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from agentrft.domain.episode import ToolCall
from agentrft.domain.errors import UserError
from agentrft.domain.faults import Fault, FaultOwner
from agentrft.domain.ids import new_hex_id, new_id
from agentrft.outbound.transport import (
    Failure,
    Target,
    Transport,
    backoff_s,
    find_header_problem,
    find_url_problem,
    judge_status,
)
from agentrft.tools.arguments import read_arguments
from agentrft.tools.protocol import call_headers, encode_call, make_fc_id, read_reply


async def run_tool(
    request: Mapping[str, Any],
    *,
    timeout_s: float = 60.0,
    deadline_s: float = 180.0,
    backoff_s: Callable[[int], float] = backoff_s,
) -> dict[str, Any] | Fault:
    """Make the call that `request` describes, at the `server_url` it names.

    Whether that address may be reached at all is for the caller to decide before.

    Returns:
        The `function_call_output` object, also for the agent's own errors; a `Fault` when the endpoint failed.

    Raises:
        UserError: the request itself is malformed.
    """
    call, target = _read_call(request), _read_target(request, timeout_s=timeout_s, deadline_s=deadline_s)
    fc_id = str(request.get("id") or make_fc_id(call.call_id))
    arguments = read_arguments(call.arguments)
    if isinstance(arguments, str):
        return _answer(call, f"Error: {call.name}: {arguments}", fc_id=fc_id)
    trace_id = request.get("trace_id") or new_hex_id("trace_")
    body = encode_call(call, fc_id=fc_id, trace_id=str(trace_id), item=_object(request, "item"))
    async with Transport(backoff_s=backoff_s) as transport:
        outcome = await transport.post(
            target,
            body,
            headers=call_headers(call, str(trace_id)),
            judge=lambda reply: judge_status(reply, headers=target.headers),
        )
    if isinstance(outcome, Failure):
        owner = FaultOwner.TOOL_ENDPOINT
        return Fault(
            owner=owner, kind=outcome.kind, where=call.name, message=outcome.message, attempts=outcome.attempts
        )
    return _answer(call, read_reply(outcome, name=call.name).output, fc_id=fc_id)


def _read_call(request: Mapping[str, Any]) -> ToolCall:
    name = request.get("name")
    if not isinstance(name, str) or not name:
        raise UserError("'name' must be the name of the tool.", param="name", code="invalid_value")
    arguments = request.get("arguments", "{}")
    if isinstance(arguments, Mapping):  # OpenAI's own example server tolerates an object
        arguments = json.dumps(arguments)
    if not isinstance(arguments, str):
        raise UserError("'arguments' must be a JSON-encoded string.", param="arguments", code="invalid_type")
    call_id = request.get("call_id") or new_id("call_")
    return ToolCall(call_id=str(call_id), name=name, arguments=arguments)


def _read_target(request: Mapping[str, Any], *, timeout_s: float, deadline_s: float) -> Target:
    url, headers = request.get("server_url"), _object(request, "headers")
    for key, problem in (("server_url", find_url_problem(url)), ("headers", find_header_problem(headers))):
        if problem is not None:
            raise UserError(f"'{key}' {problem}.", param=key, code="invalid_value")
    return Target(url=str(url), headers=headers, timeout_s=timeout_s, deadline_s=deadline_s)


def _object(request: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = request.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UserError(f"'{key}' must be an object.", param=key, code="invalid_type")
    return value


def _answer(call: ToolCall, output: str, *, fc_id: str) -> dict[str, Any]:
    return {
        "type": "function_call_output",
        "call_id": call.call_id,
        "id": fc_id,
        "output": output,
    }
