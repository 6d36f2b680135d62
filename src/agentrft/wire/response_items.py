"""The `input` of a response request: items of many shapes become messages of one.

Reasoning, text and calls of one reply come back as separate items; the model must see one assistant message again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentrft.domain.errors import UserError
from agentrft.wire.content import read_text
from agentrft.wire.inference import Call, ChatMessage

Unseal = Callable[[str], str]  # raises ValueError for what we never sealed
_ROLES = ("user", "system", "developer", "assistant")


def read_input(value: object, *, instructions: str | None, unseal: Unseal) -> list[ChatMessage]:
    """Messages of a string or of a list of items.

    Raises:
        UserError: an item has a shape that is not known, with its path, e.g. `input[3].call_id`.
    """
    reader = _Reader(unseal)
    if instructions:
        reader.messages.append(ChatMessage(role="system", content=instructions))
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, Sequence) or not value:
        raise UserError("'input' must be a string or an array of items, not empty.", param="input", code="invalid_type")
    for place, item in enumerate(value):
        reader.read(item, f"input[{place}]")
    reader.end_assistant()
    return reader.messages


class _Reader:
    def __init__(self, unseal: Unseal) -> None:
        self.messages: list[ChatMessage] = []
        self._unseal = unseal
        self._names: dict[str, str] = {}  # call_id -> name of the function
        self._open: dict[str, Any] = {}  # the assistant message under way

    def read(self, item: object, at: str) -> None:
        if not isinstance(item, Mapping):
            raise UserError(f"Invalid type for '{at}': expected an object.", param=at, code="invalid_type")
        kind = item.get("type") or "message"
        readers = {
            "message": self._message,
            "reasoning": self._reasoning,
            "function_call": self._call,
            "function_call_output": self._output,
        }
        if not isinstance(kind, str) or kind not in readers:
            message = f"Invalid '{at}.type': items of type '{kind}' are not supported."
            raise UserError(message, param=f"{at}.type", code="unsupported_value")
        readers[kind](item, at)

    def end_assistant(self) -> None:
        if self._open:
            self.messages.append(ChatMessage(role="assistant", **self._open))
            self._open = {}

    def _message(self, item: Mapping[str, Any], at: str) -> None:
        role = item.get("role")
        if role not in _ROLES:
            message = f"Invalid '{at}.role': must be one of {', '.join(_ROLES)}."
            raise UserError(message, param=f"{at}.role", code="invalid_value")
        text = read_text(item.get("content"), at=f"{at}.content")
        if role != "assistant":
            self.end_assistant()
            self.messages.append(ChatMessage(role=role, content=text))
            return
        if "content" in self._open or "tool_calls" in self._open:
            self.end_assistant()
        self._open["content"] = text

    def _reasoning(self, item: Mapping[str, Any], at: str) -> None:
        self.end_assistant()
        sealed = item.get("encrypted_content")
        if sealed is None:
            return
        try:
            self._open["reasoning"] = self._unseal(str(sealed))
        except ValueError:
            where = f"{at}.encrypted_content"
            message = (
                f"'{where}' was not made by this server. Send reasoning items back as they came, or leave them out."
            )
            raise UserError(message, param=where, code="invalid_encrypted_content") from None

    def _call(self, item: Mapping[str, Any], at: str) -> None:
        call = Call(
            call_id=_text(item, "call_id", at), name=_text(item, "name", at), arguments=_text(item, "arguments", at)
        )
        self._names[call.call_id] = call.name
        self._open.setdefault("tool_calls", []).append(call)

    def _output(self, item: Mapping[str, Any], at: str) -> None:
        self.end_assistant()
        call_id = _text(item, "call_id", at)
        if call_id not in self._names:
            message = f"No function_call with call_id '{call_id}' comes before '{at}'."
            raise UserError(message, param=f"{at}.call_id", code="invalid_value")
        text = read_text(item.get("output"), at=f"{at}.output")
        self.messages.append(ChatMessage(role="tool", content=text, call_id=call_id, name=self._names[call_id]))


def _text(item: Mapping[str, Any], key: str, at: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        code = "missing_required_parameter" if value is None else "invalid_type"
        raise UserError(f"'{at}.{key}' must be a string.", param=f"{at}.{key}", code=code)
    return value
