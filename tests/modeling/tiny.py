"""Random models and a tokenizer of a few hundred tokens, in Hugging Face's format: small enough for a test, whole in form."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

FAMILIES = ("llama", "qwen2", "qwen3")
CONTEXT_TOKENS = 4096
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKERS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")
_CORPUS = (
    'user assistant system You are a helpful assistant. {"name": "search", "arguments": {"query": "revenue"}} the answer is'
)
_CLASSES = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {"tie_word_embeddings": False}),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, {"tie_word_embeddings": True}),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM, {"tie_word_embeddings": True, "head_dim": 24}),
}


@cache
def tiny_tokenizer(*, markers: bool = True) -> Tokenizer:
    """Byte-level BPE with ChatML's special tokens; `markers`: the Hermes markers are tokens of their own, as in Qwen."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_CORPUS] * 3, trainer)
    if markers:
        tokenizer.add_tokens([AddedToken(marker, special=False, normalized=False) for marker in MARKERS])
    return tokenizer


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
def reference_logps(model: transformers.PreTrainedModel, ids: tuple[int, ...] | list[int]) -> torch.Tensor:
    """transformers' own log-probability of each token but the first, given those before it: [len - 1]."""
    logits = model(torch.tensor([list(ids)])).logits[0].float()
    return torch.log_softmax(logits[:-1], dim=-1).gather(1, torch.tensor(list(ids[1:]))[:, None])[:, 0]
