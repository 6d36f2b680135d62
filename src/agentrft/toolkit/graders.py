"""`@agentrft.grader`: a function that scores an attempt."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, overload

from agentrft.toolkit.naming import check_name

P = ParamSpec("P")
R = TypeVar("R")


class GraderFunction(Generic[P, R]):
    """A function `grade(sample, item) -> float`. Called, it is the function itself.

    Raises:
        TypeError: the function cannot be called with a sample and an item.
        ValueError: the name is not one that a grader can have.
    """

    def __init__(self, function: Callable[P, R], *, name: str | None = None) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._extra = {"trace_id"} & inspect.signature(function).parameters.keys()
        self.name = check_name(name or function.__name__)
        self.is_async = inspect.iscoroutinefunction(function)
        try:
            inspect.signature(function).bind(None, None, **dict.fromkeys(self._extra))
        except TypeError as error:
            text = f"the grader {self.name} must take (sample, item) or (sample, item, trace_id): {error}"
            raise TypeError(text) from None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    def bind(self, sample: Mapping[str, Any], item: Mapping[str, Any], trace_id: str) -> Callable[[], Any]:
        """The grading of one attempt, ready to be made."""
        function: Callable[..., Any] = self._function
        return functools.partial(function, sample, item, **dict.fromkeys(self._extra, trace_id))


@overload
def grader(function: Callable[P, R], /) -> GraderFunction[P, R]: ...


@overload
def grader(*, name: str | None = None) -> Callable[[Callable[P, R]], GraderFunction[P, R]]: ...


def grader(
    function: Callable[P, R] | None = None, /, *, name: str | None = None
) -> GraderFunction[P, R] | Callable[[Callable[P, R]], GraderFunction[P, R]]:
    """Make a grader of a function `grade(sample, item)` or `grade(sample, item, trace_id)`, sync or async.

    It returns a finite number. Whatever it raises leaves the attempt ungraded, and never scores it zero.

    Args:
        name: default: the function's.
    """

    def make(function: Callable[P, R]) -> GraderFunction[P, R]:
        return GraderFunction(function, name=name)

    return make if function is None else make(function)


def as_score(value: Any) -> float:
    """The finite number that a grader returned; whatever else it returned is a ValueError."""
    try:
        score = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"a grader returns a number, not {value!r}") from None
    if not math.isfinite(score):
        raise ValueError(f"a grader returns a finite number, not {score}")
    return score
