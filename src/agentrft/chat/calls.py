"""Read what a model wrote in the Hermes form: `<think>`, text, and `<tool_call>` JSON, well-formed or not.

A malformed call is the policy's mistake: it comes back as a call with `error` set, is answered with that error, and
stays in the context exactly as it was sampled.
"""

import json
import re
from typing import Any

from agentrft.domain.episode import Message, ToolCall
from agentrft.domain.ids import new_id
from agentrft.domain.policy_json import PolicyJsonError, read_policy_json

CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
THINK_OPEN, THINK_CLOSE = "<think>", "</think>"

_CALL = re.compile(re.escape(CALL_OPEN) + r"(.*?)(?:" + re.escape(CALL_CLOSE) + r"|\Z)", re.DOTALL)
_THINK = re.compile(r"\A\s*" + re.escape(THINK_OPEN) + r"(.*?)(?:" + re.escape(THINK_CLOSE) + r"|\Z)", re.DOTALL)


def parse_assistant(text: str) -> Message:
    """The assistant message that `text`, without its stop token, stands for."""
    thought = _THINK.match(text)
    reasoning = thought.group(1).strip() if thought else ""
    rest = text[thought.end() :] if thought else text
    calls = tuple(_parse_call(match) for match in _CALL.finditer(rest))
    content = _CALL.sub("", rest).replace(CALL_CLOSE, "").strip() if calls else rest.strip()
    return Message(role="assistant", content=content, reasoning=reasoning, tool_calls=calls)


def _parse_call(match: re.Match[str]) -> ToolCall:
    raw = match.group(1).strip()
    if not match.group(0).endswith(CALL_CLOSE):
        return _malformed(raw, f"The call is not closed with {CALL_CLOSE}.")
    try:
        call = read_policy_json(raw)
    except PolicyJsonError as error:
        return _malformed(raw, f"The call {error}.")
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return _malformed(raw, 'A call must be a JSON object with "name" and "arguments".')
    arguments = _arguments(call.get("arguments", {}))
    if arguments is None:
        return _malformed(raw, '"arguments" must be a JSON object.', name=call["name"])
    return ToolCall(call_id=new_id("call_"), name=call["name"], arguments=json.dumps(arguments, ensure_ascii=False))


def _arguments(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):  # some models quote the object
        try:
            value = read_policy_json(value)
        except PolicyJsonError:
            return None
    return value if isinstance(value, dict) else None


def _malformed(raw: str, error: str, name: str = "") -> ToolCall:
    return ToolCall(call_id=new_id("call_"), name=name, arguments=raw, error=error)
