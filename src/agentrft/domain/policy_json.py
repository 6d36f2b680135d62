"""JSON as a policy writes it, read strictly: what two readers could take for two things is refused.

The endpoint reads the same text with a reader of its own. Where ours would quietly keep one of two equal keys, or make
infinity of 1e999, the two would act on different calls. Each message is shown to the model, which must be able to learn
from it.
"""

import json
import math
from typing import Any

MAX_DEPTH = 64
MAX_DIGITS = 300  # of an integer: more than any reader's floating point holds


class PolicyJsonError(ValueError):
    """What is wrong, as a sentence without its subject: "is not valid JSON: ..."."""


def read_policy_json(text: str) -> Any:
    """The value that `text` stands for.

    Raises:
        PolicyJsonError: it is no JSON, or nested too deeply, or has a key twice, or a number that is too large.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_read_float,
            parse_int=_read_int,
            object_pairs_hook=_read_object,
        )
    except json.JSONDecodeError as error:
        raise PolicyJsonError(f"is not valid JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise _too_deep() from None
    if _is_deep(value):
        raise _too_deep()
    if "\\u" in text and not _is_text(value):
        raise PolicyJsonError("is not valid JSON: it has half of a surrogate pair, which stands for no character")
    return value


def _is_text(value: Any) -> bool:
    """Whether all strings in it can be written down: only an escape can smuggle in half a surrogate pair."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_deep() -> PolicyJsonError:
    return PolicyJsonError(f"is nested too deeply: at most {MAX_DEPTH} levels are read")


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return False
    return any(isinstance(node, dict | list) for node in level)


def _refuse_constant(name: str) -> None:
    raise PolicyJsonError(f"is not valid JSON: {name} is no JSON value")


def _read_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise PolicyJsonError(f"has a number that is too large: {text[:20]}")
    return value


def _read_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise PolicyJsonError(f"has a number of {len(text)} digits, which is too large")
    return int(text)


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise PolicyJsonError(f"has the key {twice[:50]!r} twice")
    return read
