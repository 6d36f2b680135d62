"""`response_format` in both spellings that users know, kept in the one of Chat Completions."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from agentrft.wire.strict import Strict


class JsonSchema(Strict):
    name: Annotated[str, Field(min_length=1, max_length=64)]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None
    description: str | None = None


class Format(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


def _nest(value: object) -> object:
    """The flat spelling of the Responses API becomes the nested one."""
    if not isinstance(value, dict) or value.get("type") != "json_schema" or "json_schema" in value:
        return value
    return {"type": "json_schema", "json_schema": {key: value[key] for key in value if key != "type"}}


ResponseFormat = Annotated[Format, BeforeValidator(_nest)]
