"""Can this call be made at all? Malformed calls never leave the house: the model is told what to do better."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jsonschema
import jsonschema.validators
import referencing
import referencing.exceptions

from agentrft.domain.episode import ToolCall, ToolSpec
from agentrft.domain.policy_json import PolicyJsonError, read_policy_json

_MAX_DETAIL_CHARS = 300


def find_problem(call: ToolCall, tools: Sequence[ToolSpec]) -> str | None:
    """What the model did wrong in `call`, in words it can learn from, or None when the call can be sent."""
    if call.error is not None:
        return call.error
    spec = next((tool for tool in tools if tool.name == call.name), None)
    if spec is None:
        known = ", ".join(tool.name for tool in tools)
        return f"there is no tool {_short(repr(call.name))}; the tools are: {known or 'none'}"
    arguments = read_arguments(call.arguments)
    if isinstance(arguments, str):
        return f"{call.name}: {arguments}"
    return _find_mismatch(arguments, spec)


def read_arguments(text: str) -> dict[str, Any] | str:
    """The arguments as an object, or what keeps `text` from being one."""
    try:
        arguments = read_policy_json(text)
    except PolicyJsonError as error:
        return f"the text of the arguments {error}"
    if not isinstance(arguments, dict):
        return f"the arguments must be a JSON object, not {_short(text)}"
    return arguments


def _find_mismatch(arguments: Mapping[str, Any], spec: ToolSpec) -> str | None:
    validator = _compile(json.dumps(spec.parameters, sort_keys=True))
    error = jsonschema.exceptions.best_match(validator.iter_errors(arguments))
    if error is None:
        return None
    path = error.json_path.removeprefix("$").removeprefix(".")
    return f"{spec.name}: {f'argument {path}: ' if path else ''}{_short(error.message)}"


@lru_cache(maxsize=1024)
def _compile(schema_json: str) -> Any:
    """A validator per distinct schema. The empty registry keeps a remote `$ref` from being fetched."""
    schema = json.loads(schema_json)
    chosen = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    return chosen(schema, registry=referencing.Registry())


def _short(text: str) -> str:
    return text if len(text) <= _MAX_DETAIL_CHARS else text[:_MAX_DETAIL_CHARS] + "..."
