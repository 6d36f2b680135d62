"""From a function's signature and docstring to a JSON schema, and from a call's arguments to Python values."""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.json_schema import GenerateJsonSchema

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Documentation:
    """What a docstring says, in Google, NumPy or reST style."""

    description: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The parameters that a model fills in."""

    schema: Mapping[str, Any]  # JSON schema of type "object"
    reader: type[BaseModel]  # its fields have names of our own, as a parameter may be called `schema` or `copy`
    names: Mapping[str, str]  # of the parameters, by field of the reader

    def read(self, arguments: str | Mapping[str, Any]) -> dict[str, Any]:
        """Values by parameter, for those that were given.

        Args:
            arguments: JSON text of an object, or the object.

        Raises:
            ValueError: in words that a model can learn from.
        """
        try:
            if isinstance(arguments, str):
                read = self.reader.model_validate_json(arguments)
            else:
                read = self.reader.model_validate(dict(arguments))
        except ValidationError as error:
            raise ValueError(_explain(error)) from None
        return {name: getattr(read, field) for field, name in self.names.items() if field in read.model_fields_set}


class _Plain(GenerateJsonSchema):
    """Without a title for each field, which only repeats its name and costs tokens."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def read_documentation(function: Callable[..., Any]) -> Documentation:
    """The docstring of a function; empty when it has none."""
    text = inspect.getdoc(function) or ""
    try:
        parsed = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return Documentation(description=text, parameters={})
    described = {param.arg_name: " ".join((param.description or "").split()) for param in parsed.params}
    return Documentation(description=(parsed.description or "").strip(), parameters=described)


def read_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The type hint of each parameter, all of which can be passed by name.

    Raises:
        TypeError: a parameter cannot be passed by name, or has no type hint.
    """
    parameters = inspect.signature(function).parameters
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in parameters.items():
        where = f"{function.__name__}: the parameter '{name}'"
        if parameter.kind not in _BY_NAME:
            raise TypeError(f"{where} cannot be passed by name, as the arguments of tools are")
        if name not in hints:
            raise TypeError(f"{where} needs a type hint, which becomes its JSON schema")
    return {name: hints[name] for name in parameters}


def read_parameters(
    function: Callable[..., Any], hints: Mapping[str, Any], descriptions: Mapping[str, str]
) -> Parameters:
    """The parameters named in `hints`, with their schema.

    Raises:
        TypeError: a type hint has no JSON schema.
    """
    signature = inspect.signature(function).parameters
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    for number, (name, hint) in enumerate(hints.items()):
        default = signature[name].default
        given = {} if default is inspect.Parameter.empty else {"default": default}
        fields[f"p{number}"] = (hint, Field(alias=name, **given))
        names[f"p{number}"] = name
    try:
        reader: type[BaseModel] = create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    except PydanticSchemaGenerationError as error:
        raise TypeError(f"{function.__name__}: {error.message}") from None
    return Parameters(schema=_describe(reader, descriptions), reader=reader, names=names)


def _describe(reader: type[BaseModel], descriptions: Mapping[str, str]) -> dict[str, Any]:
    schema = reader.model_json_schema(schema_generator=_Plain)
    del schema["title"]
    for name, description in descriptions.items():
        if name in schema["properties"] and description:
            schema["properties"][name].setdefault("description", description)
    return schema


def _explain(error: ValidationError) -> str:
    problems = []
    for problem in error.errors(include_url=False):
        path = ".".join(str(step) for step in problem["loc"])
        problems.append(f"argument {path}: {problem['msg']}" if path else problem["msg"])
    return "; ".join(problems)
