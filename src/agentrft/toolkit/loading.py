"""Finding decorated functions: `module`, `module:name`, `path.py` or `path.py:name`."""

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from agentrft.toolkit.graders import GraderFunction
from agentrft.toolkit.tools import ToolFunction


class TargetError(Exception):
    """There is nothing to serve at a target; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """What is served, by name."""

    tools: Mapping[str, ToolFunction[..., Any]]
    graders: Mapping[str, GraderFunction[..., Any]]


def load_functions(target: str) -> Functions:
    """All decorated functions that a module holds, its own and imported ones, or those that its `name` stands for.

    Args:
        target: the name after the colon is a decorated function, or a list or tuple of them.

    Raises:
        TargetError: no such module, file or name, nothing decorated in it, or two functions of one name.
    """
    source, colon, name = target.partition(":")
    module = _import_file(Path(source)) if source.endswith(".py") else _import_module(source)
    functions = collect(_named(module, name, target) if colon else vars(module).values())
    if not functions.tools and not functions.graders:
        raise TargetError(f"{target} holds no function with @agentrft.tool or @agentrft.grader")
    return functions


def collect(objects: Iterable[object]) -> Functions:
    """The decorated functions among `objects`. Raises `TargetError` when two have one name."""
    tools: dict[str, ToolFunction[..., Any]] = {}
    graders: dict[str, GraderFunction[..., Any]] = {}
    for each in objects:
        if isinstance(each, ToolFunction) and tools.setdefault(each.name, each) is not each:
            raise TargetError(f"two tools are named '{each.name}'; give one of them another name")
        if isinstance(each, GraderFunction) and graders.setdefault(each.name, each) is not each:
            raise TargetError(f"two graders are named '{each.name}'; give one of them another name")
    return Functions(tools=tools, graders=graders)


def _named(module: ModuleType, name: str, target: str) -> list[object]:
    if not hasattr(module, name):
        raise TargetError(f"{target}: {module.__name__} has no '{name}'")
    found = getattr(module, name)
    objects = list(found) if isinstance(found, list | tuple) else [found]
    strange = next((each for each in objects if not isinstance(each, ToolFunction | GraderFunction)), None)
    if strange is not None:
        raise TargetError(f"{target} holds {strange!r}, which has neither @agentrft.tool nor @agentrft.grader")
    return objects


def _import_module(name: str) -> ModuleType:
    _search(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise TargetError(f"there is no module '{name}' here; for a file, write its path with .py") from None
        raise  # a module that theirs needs: their traceback says which


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise TargetError(f"there is no file {path}")
    _search(path.absolute().parent)
    name = path.stem if path.stem not in sys.modules else f"_served_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _search(folder: Path) -> None:
    """Let modules of `folder` be imported, as Python does for the script that it runs."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
