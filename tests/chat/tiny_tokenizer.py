"""A tokenizer of a few hundred tokens, ChatML's special ones among them."""

from functools import cache

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKERS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")
_CORPUS = (
    "user assistant system You are a helpful assistant. # Tools You may call one or more functions to assist with the "
    "user query. You are provided with function signatures within <tools></tools> XML tags: For each function call, "
    'return a json object with function name and arguments {"name": "search", "arguments": {"query": "revenue"}} the '
    "answer is 42"
)


@cache
def tiny_tokenizer(*, markers: bool = True) -> Tokenizer:
    """Byte-level BPE; `markers`: the Hermes markers are tokens of their own, as in Qwen, or text, as in SmolLM2."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_CORPUS] * 3, trainer)
    if markers:
        tokenizer.add_tokens([AddedToken(marker, special=False, normalized=False) for marker in MARKERS])
    return tokenizer
