"""The Agent RFT tool protocol: what is sent for a call and what a reply means (API reference, sections 4.1 to 4.3)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from agentrft.domain.episode import ToolCall
from agentrft.outbound.transport import Reply
from agentrft.ports import CallContext

OWNER_STATUSES = frozenset({401, 403, 407})  # 4xx that no other arguments would have avoided
TOO_LARGE = 413


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the model is shown. `misconfigured`: the owner of the endpoint should hear of it too."""

    output: str
    status: int
    is_error: bool = False
    misconfigured: bool = False


def encode_call(call: ToolCall, *, fc_id: str, trace_id: str, item: Mapping[str, Any]) -> bytes:
    """The request body. Every try sends the same ids, so that a server recognises a retry."""
    body = {
        "type": "function_call",
        "id": fc_id,
        "call_id": call.call_id,
        "name": call.name,
        "arguments": call.arguments,
        "trace_id": trace_id,
        "item": item,
    }
    return json.dumps(body).encode("ascii")


def make_fc_id(call_id: str) -> str:
    """The `fc_` id that goes with a `call_` id."""
    return "fc_" + call_id.removeprefix("call_")


def call_headers(call: ToolCall, trace_id: str) -> dict[str, str]:
    """Beyond OpenAI's protocol: lets a server recognise a retry without reading the body."""
    return {"Idempotency-Key": quote(call.call_id), "X-Agentrft-Trace-Id": quote(trace_id)}


def episode_headers(call: ToolCall, context: CallContext) -> dict[str, str]:
    """`call_headers`, and where in the job the call was made."""
    return {
        **call_headers(call, context.trace_id),
        **place_headers(context),
        "X-Agentrft-Turn": str(context.turn),
    }


def place_headers(context: CallContext) -> dict[str, str]:
    """Which attempt of the job it is: attempts of one group are at the same item, in the same step."""
    return {
        "X-Agentrft-Step": str(context.step),
        "X-Agentrft-Group": quote(context.group),
        "X-Agentrft-Attempt": str(context.attempt),
    }


def read_reply(reply: Reply, *, name: str) -> Reading:
    """What a reply that `judge_status` lets pass means for the model."""
    if reply.too_large:
        text = f"Error 413: the reply of {name} is larger than 1 MB; ask for less"
        return Reading(output=text, status=TOO_LARGE, is_error=True)
    payload = _parse(reply.body)
    has_output = isinstance(payload, dict) and "output" in payload
    if reply.status >= 400:
        said = _as_text(payload["output"]) if has_output else _describe(reply)
        return Reading(output=said, status=reply.status, is_error=True, misconfigured=reply.status in OWNER_STATUSES)
    if not has_output:
        said = f"Error: the reply of {name} has no output: {_body_text(reply) or 'it is empty'}"
        return Reading(output=said, status=reply.status, is_error=True, misconfigured=True)
    return Reading(output=_as_text(payload["output"]), status=reply.status)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _as_text(output: Any) -> str:
    return _sound(output if isinstance(output, str) else json.dumps(output, ensure_ascii=False))


def _describe(reply: Reply) -> str:
    return f"Error {reply.status}: {_body_text(reply) or reply.reason or 'no details'}"


def _body_text(reply: Reply) -> str:
    return reply.body.decode("utf-8", errors="replace").strip()


def _sound(text: str) -> str:
    """JSON can escape half a surrogate pair, which no tokenizer and no file can encode."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
