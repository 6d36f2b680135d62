"""Names of fine-tuned models, in OpenAI's form: `ft:{base}:{organization}:{suffix}:{8 base62}`."""

from agentrft.domain.ids import base62


def fine_tuned_name(model: str, *, organization: str, suffix: str | None) -> str:
    """A new name for what a job made of `model`, itself a base model, an alias or an `ft:` model.

    Holds no `/`, which clients would escape in paths, and no `:` of the user's own.
    """
    parts = (_stem(model), organization, suffix or "")
    cleaned = (part.replace("/", "--").replace(":", "-") for part in parts)
    return ":".join(("ft", *cleaned, base62(8)))


def checkpoint_name(name: str, step: int) -> str:
    return f"{name}:ckpt-step-{step}"


def _stem(model: str) -> str:
    return model.split(":")[1] if model.startswith("ft:") and model.count(":") >= 4 else model
