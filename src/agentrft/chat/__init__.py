"""Messages <-> tokens, one module per way of writing tool calls. No torch: a tokenizer is an argument."""

from agentrft.chat.families import chat_format, supported_family

__all__ = ["chat_format", "supported_family"]
