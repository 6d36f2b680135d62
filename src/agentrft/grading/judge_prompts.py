"""From a grader's messages to those of Chat Completions, every template in them rendered (API reference, 3.5)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentrft.grading.templates import parse_template
from agentrft.wire.judging import AudioPart, ImagePart, JudgeMessage, Part, TextPart


def render_messages(messages: Sequence[JudgeMessage], values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages as a judge's server takes them.

    Args:
        values: the namespaces of templates by name.

    Raises:
        MissingVariableError: a template names what is not there.
    """
    return [{"role": message.role, "content": _render_content(message.content, values)} for message in messages]


def templates_of(messages: Sequence[JudgeMessage]) -> Iterator[tuple[str, str]]:
    """Every text that is a template, with its path below `input`."""
    for place, message in enumerate(messages):
        at = f"[{place}].content"
        if isinstance(message.content, str):
            yield at, message.content
            continue
        for index, part in enumerate(message.content):
            match part:
                case TextPart():
                    yield f"{at}[{index}].text", part.text
                case ImagePart():
                    yield f"{at}[{index}].image_url", part.image_url
                case AudioPart():
                    yield f"{at}[{index}].input_audio.data", part.input_audio.data


def find_media(messages: Sequence[JudgeMessage]) -> str | None:
    """The path, below `input`, of the first image or sound."""
    for place, message in enumerate(messages):
        for index, part in enumerate(message.content if isinstance(message.content, list) else ()):
            if not isinstance(part, TextPart):
                return f"[{place}].content[{index}]"
    return None


def _render_content(content: str | list[Part], values: Mapping[str, Any]) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return _render(content, values)
    if all(isinstance(part, TextPart) for part in content):  # one text: many servers take no parts
        return "\n".join(_render(part.text, values) for part in content if isinstance(part, TextPart))
    return [_render_part(part, values) for part in content]


def _render_part(part: Part, values: Mapping[str, Any]) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": _render(part.text, values)}
        case ImagePart():
            detail = {"detail": part.detail} if part.detail else {}
            return {"type": "image_url", "image_url": {"url": _render(part.image_url, values), **detail}}
        case AudioPart():
            data = _render(part.input_audio.data, values)
            return {"type": "input_audio", "input_audio": {"data": data, "format": part.input_audio.format}}


def _render(text: str, values: Mapping[str, Any]) -> str:
    return parse_template(text).render(values)
