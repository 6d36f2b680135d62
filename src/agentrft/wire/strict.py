"""Reading a request: every key known, every type exact, every mistake named by its dotted path.

Pydantic finds the mistakes; here they become OpenAI's messages and codes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from agentrft.domain.errors import UserError

MASK = "**********"

_JSON_NAMES = {
    bool: "a boolean",
    str: "a string",
    int: "an integer",
    float: "a number",
    dict: "an object",
    list: "an array",
}
_EXPECTED = {
    "string_type": "a string",
    "bool_type": "a boolean",
    "int_type": "an integer",
    "float_type": "a number",
    "dict_type": "an object",
    "list_type": "an array",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "auto_integer": 'an integer or "auto"',
    "auto_number": 'a number or "auto"',
}


class Strict(BaseModel):
    """Base of everything that a client sends: unknown keys and loose types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _integer_or_auto(value: object) -> object:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise PydanticCustomError("auto_integer", 'expected an integer or "auto"')


def _number_or_auto(value: object) -> object:
    if value == "auto" or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise PydanticCustomError("auto_number", 'expected a number or "auto"')


Auto = Literal["auto"]
INTEGER_OR_AUTO = BeforeValidator(_integer_or_auto)
NUMBER_OR_AUTO = BeforeValidator(_number_or_auto)

Request = TypeVar("Request", bound=BaseModel)


def parse(kind: type[Request], body: object, *, at: str = "") -> Request:
    """Read `body` as a `kind`.

    Args:
        at: dotted path of `body` in the request, when it is a part of one.

    Raises:
        UserError: with the dotted path of the first mistake as `param`.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False), body, at) from None


def _explain(errors: Sequence[ErrorDetails], body: object, at: str) -> UserError:
    # An unknown key explains the others: a mistyped name is also a missing one.
    first = next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
    path = _dotted(first["loc"], body, at)
    kind = first["type"]
    if kind == "extra_forbidden":
        return UserError(f"Unknown parameter: '{path}'.", param=path, code="unknown_parameter")
    if kind == "missing":
        return UserError(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")
    if kind in _EXPECTED:
        got = name_type(first["input"])
        message = f"Invalid type for '{path}': expected {_EXPECTED[kind]}, but got {got} instead."
        return UserError(message, param=path or None, code="invalid_type")
    message = f"Invalid '{path}': {_reason(first)}" if path else _reason(first)
    return UserError(message, param=path or None, code="invalid_value")


def _dotted(location: Sequence[str | int], body: object, at: str) -> str:
    """The path as a user would write it. Pydantic adds tags for the members of unions, which no body holds."""
    path = at
    here: Any = body
    for place, step in enumerate(location):
        last = place == len(location) - 1
        if isinstance(step, int) and isinstance(here, list):
            path, here = f"{path}[{step}]", here[step] if step < len(here) else None
        elif isinstance(here, Mapping) and (step in here or last):
            path, here = f"{path}.{step}" if path else str(step), here.get(step)
    return path


def name_type(value: object) -> str:
    """What JSON calls it, with an article."""
    return "null" if value is None else _JSON_NAMES.get(type(value), "something else")


def _reason(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    must = message if error["msg"].startswith("Value error, ") else f"must be {message}"
    return must if must.endswith(".") else f"{must}."
