"""The `tools` of a row: Chat-Completions function tools. Rows that offer the same tools share one tuple."""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import jsonschema
import jsonschema.exceptions

from agentrft.datasets.rows import Row
from agentrft.domain.episode import ToolSpec

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME_RULE = "needs a 'function.name' of 1 to 64 letters, digits, '_' and '-'"
_FUNCTION_KEYS = frozenset({"name", "description", "parameters", "strict"})
_NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}


class ToolReader:
    """Reads the tools of many rows; a schema is checked once, however many rows repeat it."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[ToolSpec, ...]] = {}

    def read(self, row: Row) -> tuple[ToolSpec, ...]:
        """The tools that a row offers; empty when it has none.

        Raises:
            UserError: naming the example, the tool (from 1) and what is wrong with it.
        """
        raws = row.value.get("tools")
        if raws is None:
            return ()
        if not isinstance(raws, list):
            row.refuse("has 'tools' that are not a list")
        key = json.dumps(raws)
        if key not in self._known:
            self._known[key] = _read_tools(raws, row)
        return self._known[key]


def normalise_tools(raws: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Checked `tools` with defaults filled in, as graders receive them; None stays None."""
    if raws is None:
        return None
    return [{**raw, "function": {**raw["function"], "strict": bool(raw["function"].get("strict"))}} for raw in raws]


def find_tool_problem(name: str, parameters: Any) -> str | None:
    """Why a tool of this name and this JSON schema cannot be offered, or None."""
    if not _NAME.fullmatch(name):
        return _NAME_RULE
    problem = _find_schema_problem(parameters)
    return None if problem is None else f"has 'function.parameters' that {problem}"


def _read_tools(raws: list[Any], row: Row) -> tuple[ToolSpec, ...]:
    tools = tuple(_read_tool(raw, number, row) for number, raw in enumerate(raws, start=1))
    names = [tool.name for tool in tools]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        row.refuse(f"has two tools named '{twice}'")
    return tools


def _read_tool(raw: Any, number: int, row: Row) -> ToolSpec:
    def refuse(problem: str) -> NoReturn:
        row.refuse(f", tool {number} {problem}")

    function = raw.get("function") if isinstance(raw, dict) else None
    if not isinstance(function, dict) or raw.get("type") != "function":
        refuse('is not of the form {"type": "function", "function": {"name", "description", "parameters"}}')
    extra = next(iter([*(raw.keys() - {"type", "function"}), *(function.keys() - _FUNCTION_KEYS)]), None)
    if extra is not None:
        refuse(f'contains an extra "{extra}"')
    name, description = function.get("name"), function.get("description")
    if not isinstance(description, str | None):
        refuse("has a 'function.description' that is not a string")
    if not isinstance(function.get("strict"), bool | None):
        refuse("has a 'function.strict' that is not a boolean")
    parameters = function.get("parameters")
    parameters = _NO_PARAMETERS if parameters is None else parameters
    if not isinstance(name, str):
        refuse(_NAME_RULE)
    problem = find_tool_problem(name, parameters)
    if problem is not None:
        refuse(problem)
    return ToolSpec(name=name, description=description or "", parameters=parameters)


def _find_schema_problem(schema: Any) -> str | None:
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        return 'are not a JSON schema of type "object"'
    try:
        return _find_reference_problem(schema) or _find_rule_problem(schema)
    except RecursionError:
        return "are nested too deeply"


def _find_reference_problem(schema: Any) -> str | None:
    foreign = next((ref for ref in _refs(schema) if not ref.startswith("#")), None)
    if foreign is not None:
        return f"refer to another document: {foreign}"
    return None


def _find_rule_problem(schema: Any) -> str | None:
    try:
        jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator).check_schema(schema)
    except jsonschema.exceptions.SchemaError as error:
        return f"are not a valid JSON schema: {error.json_path}: {error.message}"
    return None


def _refs(node: Any) -> list[str]:
    if isinstance(node, list):
        return [ref for child in node for ref in _refs(child)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [ref for child in node.values() for ref in _refs(child)]
