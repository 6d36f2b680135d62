"""What may be shown of a request: values of headers and environments become asterisks, as OpenAI shows headers.

And asterisks that come back are refused: whoever copies what was shown means the secret behind them.
"""

from collections.abc import Mapping
from typing import Any

from agentrft.domain.errors import UserError
from agentrft.wire.strict import MASK

_SECRETS = ("headers", "env")
_NO_SECRETS = ("response_format", "source")  # may hold a property called "headers"


def mask(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a method's settings with every header and `env` value, and the signing secret, replaced."""
    return {key: _mask_value(key, value) for key, value in settings.items()}


def holds_mask(settings: object) -> bool:
    """Whether a secret is asterisks: somebody sends back what was shown, and not the secret itself."""
    return find_mask(settings, at="") is not None


def refuse_mask(settings: object, *, at: str) -> None:
    """Refuse settings in which a secret is asterisks: every request would be refused, and the refusals graded.

    Args:
        settings: as they were sent, well-formed or not.
        at: their dotted path in the request.

    Raises:
        UserError: with the dotted path of one such secret.
    """
    path = find_mask(settings, at=at)
    if path is not None:
        message = f"Invalid '{path}': {MASK} is what is shown in place of a secret. Give its real value."
        raise UserError(message, param=path, code="invalid_value")


def find_mask(settings: object, *, at: str) -> str | None:
    """The dotted path of a secret that is asterisks, or None."""
    waiting: list[tuple[object, str, bool]] = [(settings, at, True)]  # with whether its keys are those of settings
    while waiting:
        here, path, ours = waiting.pop()
        if isinstance(here, list):
            waiting += [(each, f"{path}[{index}]", True) for index, each in enumerate(here)]
        for key, value in here.items() if isinstance(here, Mapping) else ():
            below = f"{path}.{key}"
            kind = key if ours else None
            if kind in _SECRETS and isinstance(value, Mapping) and MASK in value.values():
                return f"{below}.{next(name for name, secret in value.items() if secret == MASK)}"
            if kind == "signing_secret" and value == MASK:
                return below
            if kind not in _NO_SECRETS:
                # The keys below `graders` are names that a user chose, unless it is a single grader.
                named = kind == "graders" and isinstance(value, Mapping) and not isinstance(value.get("type"), str)
                waiting.append((value, below, not named))
    return None


def _mask_value(key: str, value: Any) -> Any:
    if key in _SECRETS and isinstance(value, Mapping):
        return dict.fromkeys(value, MASK)
    if key == "signing_secret" and value is not None:
        return MASK
    if key == "graders" and isinstance(value, Mapping):  # the keys below it are names that a user chose
        return {name: mask(grader) if isinstance(grader, Mapping) else grader for name, grader in value.items()}
    if key in _NO_SECRETS:
        return value
    if isinstance(value, Mapping):
        return mask(value)
    if isinstance(value, list):
        return [mask(item) if isinstance(item, Mapping) else item for item in value]
    return value
