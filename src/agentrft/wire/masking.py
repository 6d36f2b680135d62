"""What may be shown of a request: values of headers and environments become asterisks, as OpenAI shows headers."""

from collections.abc import Mapping
from typing import Any

from agentrft.wire.strict import MASK


def mask(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a method's settings with every header and `env` value, and the signing secret, replaced."""
    return {key: _mask_value(key, value) for key, value in settings.items()}


def holds_mask(settings: Mapping[str, Any]) -> bool:
    """Whether a header value is asterisks: somebody sends back what was shown, and not the secret itself."""
    for key, value in settings.items():
        inner = value if isinstance(value, list) else [value]
        if key == "headers" and isinstance(value, Mapping) and MASK in value.values():
            return True
        if any(isinstance(part, Mapping) and holds_mask(part) for part in inner):
            return True
    return False


def _mask_value(key: str, value: Any) -> Any:
    if key in ("headers", "env") and isinstance(value, Mapping):
        return dict.fromkeys(value, MASK)
    if key == "signing_secret" and value is not None:
        return MASK
    if key == "graders" and isinstance(value, Mapping):  # the keys below it are names that a user chose
        return {name: mask(grader) if isinstance(grader, Mapping) else grader for name, grader in value.items()}
    if key in ("response_format", "source"):  # may hold a property called "headers", and no secret
        return value
    if isinstance(value, Mapping):
        return mask(value)
    if isinstance(value, list):
        return [mask(item) if isinstance(item, Mapping) else item for item in value]
    return value
