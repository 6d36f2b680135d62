"""Message contents as clients write them: a string, or parts. Only text can be read."""

from collections.abc import Mapping
from typing import Any

from agentrft.domain.errors import UserError

_TEXT_KEYS: Mapping[str, str] = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
}


def read_text(content: object, *, at: str) -> str:
    """The text of a content; null is empty.

    Raises:
        UserError: it has another shape, or parts that are no text.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        message = f"Invalid type for '{at}': expected a string or an array of parts."
        raise UserError(message, param=at, code="invalid_type")
    return "".join(_read_part(part, f"{at}[{place}]") for place, part in enumerate(content))


def _read_part(part: Any, at: str) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, Mapping) else None
    key = _TEXT_KEYS.get(kind) if isinstance(kind, str) else None
    text = part.get(key) if key is not None else None
    if not isinstance(text, str):
        message = f"Invalid '{at}': only text can be read, as in {{'type': 'input_text', 'text': '...'}}."
        raise UserError(message, param=at, code="unsupported_value" if kind and key is None else "invalid_value")
    return text
