"""Which model family speaks which chat format. A family that is not here is refused by name."""

from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer

from agentrft.chat.hermes import HermesFormat
from agentrft.chat.text import TextCodec
from agentrft.domain.errors import UserError

SMOLLM2_VOCABULARY = 49152

_DEFAULT_SYSTEM = {
    "smollm2": "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    "qwen2": "You are a helpful assistant.",
    "qwen3": "",
}
"""The system prompt that each family's own template puts where a conversation brings none."""


def supported_family(config: Mapping[str, Any]) -> str:
    """The chat family of a model, from its config.json.

    Raises:
        UserError: no chat format for it; names the family.
    """
    kind = str(config.get("model_type"))
    if kind in ("qwen2", "qwen3"):
        return kind
    if kind == "llama" and config.get("vocab_size") == SMOLLM2_VOCABULARY:
        return "smollm2"
    raise UserError(
        f"Models of the family {kind!r} have no chat format here yet. Supported: SmolLM2, Qwen2.5 and Qwen3.",
        param="model",
        code="unsupported_model_family",
    )


def chat_format(config: Mapping[str, Any], tokenizer: Tokenizer) -> HermesFormat:
    """The chat format of a model.

    Raises:
        UserError: unknown family, or a tokenizer without the family's turn markers.
    """
    family = supported_family(config)
    return HermesFormat(TextCodec(tokenizer), default_system=_DEFAULT_SYSTEM[family])
