"""Text <-> token ids, with structure and content kept apart.

Content (data, tool output, arguments) is encoded so that it can never become structure: special tokens are read as
plain characters, and so are tokens such as `<tool_call>` that a tokenizer treats as one piece.
"""

import re
from collections.abc import Sequence

from tokenizers import Tokenizer

from agentrft.domain.errors import UserError

TRUNCATED = "\n[truncated]"


class TextCodec:
    """A tokenizer seen from a chat format."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        whole = [token.content for token in self._tokenizer.get_added_tokens_decoder().values() if not token.special]
        self._whole = re.compile("|".join(map(re.escape, whole))) if whole else None

    def token(self, content: str) -> int:
        """The id of a structural token.

        Raises:
            UserError: the tokenizer lacks it.
        """
        found = self._tokenizer.token_to_id(content)
        if found is None:
            raise UserError(
                f"The model's tokenizer has no token {content!r}, which its chat format needs.",
                param="model",
                code="unsupported_model_family",
            )
        return int(found)

    def content(self, text: str) -> tuple[int, ...]:
        """Ids of text from outside; nothing in it is structure."""
        if self._whole is None:
            return self._encode(text)
        ids: tuple[int, ...] = ()
        start = 0
        for match in self._whole.finditer(text):
            # Cut inside the marker, so that no piece holds it whole.
            ids += self._encode(text[start : match.start() + 1])
            start = match.start() + 1
        return ids + self._encode(text[start:])

    def structure(self, text: str) -> tuple[int, ...]:
        """Ids of our own template text; a marker such as `<tool_call>` is one token where the tokenizer has it."""
        return self._encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens written out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def truncate(self, text: str, max_tokens: int) -> str:
        """`text` if it has at most `max_tokens` tokens, else its beginning and a marker, together within the budget.

        A budget smaller than the marker leaves the beginning alone.
        """
        ids = self.content(text)
        if len(ids) <= max_tokens:
            return text
        kept = max_tokens - len(self.content(TRUNCATED))
        if kept < 0:
            return self.decode(ids[:max_tokens]).rstrip("\ufffd")  # there is no room for the marker
        return self.decode(ids[:kept]).rstrip("\ufffd") + TRUNCATED

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids) if text else ()
