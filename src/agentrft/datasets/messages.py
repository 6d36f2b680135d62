"""The `messages` of a row: Chat-Completions messages, checked so that a chat format can trust them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from agentrft.datasets.rows import Row
from agentrft.domain.episode import Message, ToolCall, ToolSpec

ROLES = ("system", "developer", "user", "assistant", "tool")
_COMMON_KEYS = frozenset({"role", "content", "name"})
_KEYS = {
    **dict.fromkeys(("system", "developer", "user"), _COMMON_KEYS),
    "assistant": _COMMON_KEYS | {"tool_calls", "reasoning_content"},
    "tool": _COMMON_KEYS | {"tool_call_id"},
}


class _At:
    """One place in a row, so that an error can name it."""

    def __init__(self, row: Row, number: int) -> None:
        self._row = row
        self._number = number

    def refuse(self, problem: str) -> NoReturn:
        self._row.refuse(f", message {self._number} {problem}")


def read_messages(row: Row, tools: Sequence[ToolSpec]) -> tuple[Message, ...]:
    """The conversation of a row; tool calls name one of `tools` and are answered before the talk goes on.

    Raises:
        UserError: naming the example, the message (from 1) and what is wrong with it.
    """
    if "messages" not in row.value:
        row.refuse("is missing key 'messages'")
    raws = row.value["messages"]
    if not isinstance(raws, list) or not raws:
        row.refuse("has no 'messages': expected a list with at least one message")
    messages = tuple(_read_message(raw, _At(row, number)) for number, raw in enumerate(raws, start=1))
    _check_calls(messages, row=row, names={tool.name for tool in tools})
    return messages


def _read_message(raw: Any, at: _At) -> Message:
    if not isinstance(raw, dict):
        at.refuse(f"is not an object but {_name_type(raw)}")
    role = raw.get("role")
    if "role" not in raw:
        at.refuse("Discriminator 'role' is missing in value")
    if role not in ROLES:
        at.refuse(f"has the role {json.dumps(role)}; expected one of {', '.join(ROLES)}")
    extra = next((key for key, value in raw.items() if key not in _KEYS[role] and value is not None), None)
    if extra is not None:
        at.refuse(f'contains an extra "{extra}"; the role {role} has {", ".join(sorted(_KEYS[role]))}')
    calls = _read_calls(raw, at)
    return Message(
        role=role,
        content=_read_content(raw, at, optional=bool(calls)),
        reasoning=_read_text(raw, "reasoning_content", at) or "",
        tool_calls=calls,
        call_id=_read_call_id(raw, at) if role == "tool" else None,
        name=_read_text(raw, "name", at),
    )


def _read_content(raw: Mapping[str, Any], at: _At, *, optional: bool) -> str:
    content = raw.get("content")
    if isinstance(content, str):
        return content
    if content is None:
        return "" if optional else at.refuse("has no 'content'")
    if not isinstance(content, list):
        at.refuse(f"has a 'content' that is {_name_type(content)}; expected a string or a list of text parts")
    return "".join(_read_part(part, number, at) for number, part in enumerate(content, start=1))


def _read_part(part: Any, number: int, at: _At) -> str:
    if not isinstance(part, dict):
        at.refuse(f"has a content part {number} that is {_name_type(part)}; expected an object")
    kind = part.get("type")
    if kind != "text":
        at.refuse(f'has a content part {number} of type {json.dumps(kind)}; only "text" is supported')
    text = part.get("text")
    return text if isinstance(text, str) else at.refuse(f"has a content part {number} without a string 'text'")


def _read_calls(raw: Mapping[str, Any], at: _At) -> tuple[ToolCall, ...]:
    calls = raw.get("tool_calls") or []
    if not isinstance(calls, list):
        at.refuse("has 'tool_calls' that are not a list")
    return tuple(_read_call(call, number, at) for number, call in enumerate(calls, start=1))


def _read_call(call: Any, number: int, at: _At) -> ToolCall:
    here = f"has a tool call {number}"
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or call.get("type", "function") != "function":
        at.refuse(f'{here} that is not of the form {{"id", "type": "function", "function": {{"name", "arguments"}}}}')
    call_id, name, arguments = call.get("id"), function.get("name"), function.get("arguments")
    if not isinstance(call_id, str) or not call_id:
        at.refuse(f"{here} without a string 'id'")
    if not isinstance(name, str) or not name:
        at.refuse(f"{here} without a 'function.name'")
    if not isinstance(arguments, str) or not _is_json_object(arguments):
        at.refuse(f"{here} whose 'function.arguments' is not a string that holds a JSON object")
    return ToolCall(call_id=call_id, name=name, arguments=arguments)


def _read_call_id(raw: Mapping[str, Any], at: _At) -> str:
    call_id = raw.get("tool_call_id")
    return call_id if isinstance(call_id, str) else at.refuse("of the role tool has no string 'tool_call_id'")


def _read_text(raw: Mapping[str, Any], key: str, at: _At) -> str | None:
    value = raw.get(key)
    if value is not None and not isinstance(value, str):
        at.refuse(f"has a '{key}' that is {_name_type(value)}; expected a string")
    return value


def _check_calls(messages: Sequence[Message], *, row: Row, names: set[str]) -> None:
    seen: set[str] = set()
    waiting: dict[str, None] = {}
    for number, message in enumerate(messages, start=1):
        at = _At(row, number)
        if message.role == "tool":
            if message.call_id is None or message.call_id not in waiting:
                at.refuse(f"answers {json.dumps(message.call_id)}, which is not an open tool call before it")
            del waiting[message.call_id]
        elif waiting:
            at.refuse(f"comes before the tool message for {json.dumps(next(iter(waiting)))}")
        for call in message.tool_calls:
            if call.name not in names:
                at.refuse(f"calls {json.dumps(call.name)}, which is not among the row's 'tools'")
            if call.call_id in seen:
                at.refuse(f"uses the tool call id {json.dumps(call.call_id)} a second time")
            seen.add(call.call_id)
            waiting[call.call_id] = None


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _name_type(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
