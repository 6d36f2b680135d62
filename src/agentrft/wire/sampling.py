"""What Responses and Chat Completions share: function tools, the choice among them, refusals of the rest."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from agentrft.domain.errors import UserError
from agentrft.wire.inference import ToolDefinition
from agentrft.wire.strict import Strict, parse

Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class Function(Strict):
    """A function tool, flat as in Responses or inside `function` as in Chat Completions."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def definition(self) -> ToolDefinition:
        return ToolDefinition(name=self.name, description=self.description or "", parameters=self.parameters or {})


def read_tools(tools: Sequence[object] | None, *, nested: bool) -> list[ToolDefinition]:
    """Function tools; any other kind is refused."""
    found = []
    for place, tool in enumerate(tools or ()):
        at = f"tools[{place}]"
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if not isinstance(tool, Mapping) or kind != "function":
            message = f"Invalid '{at}.type': only 'function' tools are supported."
            raise UserError(message, param=f"{at}.type", code="unsupported_value")
        if nested:
            body, where = tool.get("function"), f"{at}.function"
        else:
            body, where = {key: value for key, value in tool.items() if key != "type"}, at
        found.append(parse(Function, body, at=where).definition())
    return found


def choose_tools(choice: object, tools: list[ToolDefinition]) -> list[ToolDefinition]:
    """The tools that the model is told of. A forced call would need constrained decoding, which is not there yet."""
    if choice in (None, "auto"):
        return tools
    if choice == "none":
        return []
    message = "Invalid 'tool_choice': only 'auto' and 'none' are supported yet."
    raise UserError(message, param="tool_choice", code="unsupported_value")


def refuse_given(values: Mapping[str, object], reason: str = "is not supported yet; leave it out") -> None:
    """Refuse the first of these parameters that was given a value other than null or false."""
    for name, value in values.items():
        if value not in (None, False):
            raise UserError(f"'{name}' {reason}.", param=name, code="unsupported_parameter")


def refuse_format(format: object, *, at: str) -> None:
    """Text is all that can be promised; structured output would need constrained decoding."""
    kind = format.get("type") if isinstance(format, Mapping) else None
    if format is not None and kind != "text":
        message = f"Invalid '{at}': only text output is supported yet. Ask for JSON in the prompt instead."
        raise UserError(message, param=at, code="unsupported_value")
