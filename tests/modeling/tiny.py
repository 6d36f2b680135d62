"""Random models in Hugging Face's format: small, but whole in form. And what transformers makes of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers

from agentrft.modeling.adapters import Adapters
from agentrft.modeling.network import apply_layer
from agentrft.modeling.weights import BaseWeights
from agentrft.sampling.cache import causal_attention
from agentrft.sampling.model import build_model
from tests.chat.tiny_tokenizer import tiny_tokenizer

FAMILIES = ("llama", "qwen2", "qwen3")
CONTEXT_TOKENS = 4096
_CLASSES = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {"tie_word_embeddings": False}),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, {"tie_word_embeddings": True}),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM, {"tie_word_embeddings": True, "head_dim": 24}),
}


def random_model(family: str, *, seed: int = 0, **changes: Any) -> transformers.PreTrainedModel:
    """In fp32, with norms and biases that are not trivial either."""
    make_config, make_model, special = _CLASSES[family]
    settings: dict[str, Any] = {
        "vocab_size": tiny_tokenizer().get_vocab_size() + 5,  # as real models have it: more rows than tokens
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT_TOKENS,
        "initializer_range": 0.1,
        "rms_norm_eps": 1e-5,
        **special,
        **changes,
    }
    torch.manual_seed(seed)
    model = make_model(make_config(**settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def write_model(folder: Path, family: str, *, seed: int = 0, **changes: Any) -> transformers.PreTrainedModel:
    """A model folder, and the model that it holds."""
    model = random_model(family, seed=seed, **changes)
    model.save_pretrained(folder)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return model


@torch.no_grad()
def reference_logps(model: transformers.PreTrainedModel, ids: Sequence[int]) -> torch.Tensor:
    """transformers' own log-probability of each token but the first, given those before it: [len - 1]."""
    logits = model(torch.tensor([list(ids)])).logits[0].float()
    return torch.log_softmax(logits[:-1], dim=-1).gather(1, torch.tensor(list(ids[1:]))[:, None])[:, 0]


@torch.no_grad()
def our_logits(base: BaseWeights, ids: Sequence[int], adapters: Adapters | None = None) -> torch.Tensor:
    """Our forward pass over one whole sequence: [len, V]."""
    model = build_model(base, adapters, 0)
    rotary = model.rotary(torch.arange(len(ids)))
    x_NH = F.embedding(torch.tensor(list(ids)), model.embedding_VH)
    for layer in model.layers:
        x_NH = apply_layer(x_NH, layer, model.config, rotary, causal_attention)
    return model.logits(x_NH)


def some_ids(count: int, *, seed: int = 0) -> list[int]:
    """Random tokens of the tiny vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, tiny_tokenizer().get_vocab_size(), (count,), generator=generator).tolist()
