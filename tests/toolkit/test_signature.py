import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

import agentrft
from agentrft.domain.episode import ToolCall, ToolSpec
from agentrft.toolkit import Call
from agentrft.tools.arguments import find_problem

CALL = Call(trace_id="trace_1", call_id="call_1")


class Strange:
    """Nothing that JSON could express."""


class Filter(BaseModel):
    year: int
    company: str | None = None


@agentrft.tool
def search(
    query: str,
    kind: Literal["page", "table"] = "page",
    top_k: int = 3,
    only: list[str] | None = None,
    where: Filter | None = None,
    depth: Annotated[int, Field(ge=1, description="Levels to look into.")] = 1,
) -> str:
    """Find passages.

    The best come first.

    Args:
        query: What to look for,
            in words.
        top_k: How many to return.
        depth: Not this one.

    Returns:
        The passages.
    """
    return f"{query} {kind} {top_k} {only} {where} {depth}"


def test_the_schema_comes_from_the_signature_and_the_docstring() -> None:
    assert search.description == "Find passages.\n\nThe best come first."
    assert search.parameters == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to look for, in words."},
            "kind": {"type": "string", "enum": ["page", "table"], "default": "page"},
            "top_k": {"type": "integer", "default": 3, "description": "How many to return."},
            "only": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}], "default": None},
            "where": {"anyOf": [{"$ref": "#/$defs/Filter"}, {"type": "null"}], "default": None},
            "depth": {"type": "integer", "minimum": 1, "default": 1, "description": "Levels to look into."},
        },
        "required": ["query"],
        "additionalProperties": False,
        "$defs": search.parameters["$defs"],
    }


@pytest.mark.parametrize(
    "style", ["Args:\n    a: The number.", "Parameters\n----------\na : int\n    The number.", ":param a: The number."]
)
def test_docstrings_of_every_style_describe_parameters(style: str) -> None:
    def double(a: int) -> int:
        return 2 * a

    double.__doc__ = f"Double it.\n\n{style}\n"
    made = agentrft.tool(double)
    assert (made.description, made.parameters["properties"]["a"]["description"]) == ("Double it.", "The number.")


def test_names_that_pydantic_keeps_for_itself_can_be_parameters() -> None:
    @agentrft.tool
    def odd(schema: str, copy: bool, model_config: int, _private: int = 1) -> str:
        return f"{schema} {copy} {model_config} {_private}"

    given = {"schema": "s", "copy": True, "model_config": 1, "_private": 2}
    assert list(odd.parameters["properties"]) == list(given)
    assert odd.bind(json.dumps(given), CALL)() == "s True 1 2"


def test_arguments_become_values_and_what_is_not_given_stays_the_functions_own_default() -> None:
    assert search.bind('{"query": "revenue"}', CALL)() == "revenue page 3 None None 1"
    given = {"query": "revenue", "kind": "table", "top_k": 5, "only": ["a"], "where": {"year": 2015}, "depth": 2}
    assert search.bind(given, CALL)() == "revenue table 5 ['a'] year=2015 company=None 2"
    assert search("revenue") == "revenue page 3 None None 1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("{}", "argument query: Field required"),
        ('{"query": "x", "kind": "book"}', "argument kind: Input should be 'page' or 'table'"),
        ('{"query": "x", "where": {"year": "long ago"}}', "argument where.year: Input should be a valid integer"),
        ('{"query": "x", "depth": 0}', "argument depth: Input should be greater than or equal to 1"),
        ('{"query": "x", "limit": 1}', "argument limit: Extra inputs are not permitted"),
        ("{", "Invalid JSON"),
        ("[]", "Input should be an object"),
    ],
)
def test_arguments_that_do_not_fit_are_explained(arguments: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        search.bind(arguments, CALL)


def test_what_the_platforms_check_lets_pass_the_function_takes() -> None:
    arguments = '{"query": "x", "top_k": 5.0}'  # an integer to JSON schema
    call = ToolCall(call_id="call_1", name="search", arguments=arguments)
    assert find_problem(call, [ToolSpec(name="search", parameters=search.parameters)]) is None
    assert search.bind(arguments, CALL)() == "x page 5 None None 1"


def variadic(*words: str) -> str: ...
def keywords(**words: str) -> str: ...
def positional(word: str, /) -> str: ...
def untyped(word) -> str: ...  # type: ignore[no-untyped-def]
def without_schema(word: Strange) -> str: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (variadic, "'words' cannot be passed by name"),
        (keywords, "'words' cannot be passed by name"),
        (positional, "'word' cannot be passed by name"),
        (untyped, "'word' needs a type hint"),
        (without_schema, "without_schema: "),
    ],
)
def test_a_function_that_no_schema_can_describe_is_refused(function: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        agentrft.tool(function)
