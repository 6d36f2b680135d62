"""`@agentrft.tool`: a function that a model may call."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, TypeVar, overload

from pydantic_core import to_json

from agentrft.toolkit.naming import check_name
from agentrft.toolkit.signature import read_documentation, read_hints, read_parameters

P = ParamSpec("P")
R = TypeVar("R")


class ToolError(Exception):
    """What a tool raises to tell the model what to do better: its text is shown, and the attempt goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The call that is being answered. A tool with a parameter of this type is given it; the model does not see it."""

    trace_id: str  # of the episode: the same for all its calls and for its grader
    call_id: str  # the same for all tries of one call
    item: Mapping[str, Any] = field(default_factory=dict)  # the row; empty when the job keeps it back


class ToolFunction(Generic[P, R]):
    """A function with what a model has to know of it. Called, it is the function itself.

    Raises:
        TypeError: a parameter cannot be passed by name, or its type hint is missing or has no JSON schema.
        ValueError: the name is not one that a tool can have.
    """

    def __init__(self, function: Callable[P, R], *, name: str | None = None, description: str | None = None) -> None:
        functools.update_wrapper(self, function)
        documentation = read_documentation(function)
        hints = read_hints(function)
        self._function = function
        self._call_parameters = [parameter for parameter, hint in hints.items() if hint is Call]
        for parameter in self._call_parameters:
            del hints[parameter]
        self._parameters = read_parameters(function, hints, documentation.parameters)
        self.name = check_name(name or function.__name__)
        self.description = documentation.description if description is None else description
        self.is_async = inspect.iscoroutinefunction(function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        return self._parameters.schema

    def bind(self, arguments: str | Mapping[str, Any], call: Call) -> Callable[[], Any]:
        """The call that a model asked for, ready to be made.

        Raises:
            ValueError: the arguments do not fit, in words that a model can learn from.
        """
        function: Callable[..., Any] = self._function
        values = self._parameters.read(arguments)
        return functools.partial(function, **values, **dict.fromkeys(self._call_parameters, call))


@overload
def tool(function: Callable[P, R], /) -> ToolFunction[P, R]: ...


@overload
def tool(
    *, name: str | None = None, description: str | None = None
) -> Callable[[Callable[P, R]], ToolFunction[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None, /, *, name: str | None = None, description: str | None = None
) -> ToolFunction[P, R] | Callable[[Callable[P, R]], ToolFunction[P, R]]:
    """Make a tool of a function, sync or async; it can be called as before.

    The JSON schema comes from the type hints, the descriptions of the tool and of each parameter from the docstring.
    A `ToolError` that the function raises is shown to the model, and so is a ValueError itself, but none of its
    subclasses; any other exception is the tool's own failure and never held against the model. Sync functions run in
    threads, many at once.

    Args:
        name: default: the function's.
        description: default: the docstring's, without its sections.
    """

    def make(function: Callable[P, R]) -> ToolFunction[P, R]:
        return ToolFunction(function, name=name, description=description)

    return make if function is None else make(function)


def tools_schema(*functions: Callable[..., Any]) -> list[dict[str, Any]]:
    """The `tools` of a data set's row: what these functions look like to a model."""
    tools = [function if isinstance(function, ToolFunction) else tool(function) for function in functions]
    return [
        {
            "type": "function",
            "function": {"name": each.name, "description": each.description, "parameters": dict(each.parameters)},
        }
        for each in tools
    ]


def as_text(value: Any) -> str:
    """What a model reads of a returned value: text as it is, anything else as JSON.

    Raises:
        ValueError: the value cannot be JSON.
    """
    return value if isinstance(value, str) else to_json(value).decode()
