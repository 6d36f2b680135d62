"""What a request tells a judge model: messages with templates in them, and how to sample the verdict.

The shapes are those of OpenAI's model graders (API reference, section 3.5).
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from agentrft.wire.strict import Strict


class TextPart(Strict):
    type: Literal["input_text", "output_text", "text"]
    text: str


class ImagePart(Strict):
    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class Audio(Strict):
    data: str  # base64
    format: Literal["wav", "mp3"]


class AudioPart(Strict):
    type: Literal["input_audio"]
    input_audio: Audio


Part = Annotated[TextPart | ImagePart | AudioPart, Field(discriminator="type")]


def _listed(content: Any) -> Any:
    """A single part becomes a list of one, bare strings in a list become parts."""
    if isinstance(content, dict):
        content = [content]
    if isinstance(content, list):
        return [{"type": "input_text", "text": part} if isinstance(part, str) else part for part in content]
    return content


def _kind_of(content: Any) -> str:
    return "parts" if isinstance(content, list) else "text"


Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[Part], Field(min_length=1), Tag("parts")],
    Discriminator(_kind_of),
    BeforeValidator(_listed),
]


class JudgeMessage(Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    type: Literal["message"] | None = None


class SamplingParams(Strict):
    """`max_completions_tokens` is OpenAI's odd plural."""

    seed: int | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_completions_tokens: Annotated[int, Field(ge=1)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
