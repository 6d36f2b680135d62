"""A chat format small enough to read in a test: every word is one token, every call is one word.

    search(apples) <think> so many </think> the answer is 3

holds a call of `search`, three words of reasoning and an answer. A word with an opening bracket alone is a call that
cannot be read.
"""

import re
from collections.abc import Sequence

from agentrft.domain.episode import Message, Span, TokenKind, ToolCall, ToolResult, ToolSpec

SYSTEM, USER, ASSISTANT, TOOL, END = range(5)
_MARKS = ["|system|", "|user|", "|assistant|", "|tool|", "|end|"]
_HEADERS = {"system": SYSTEM, "developer": SYSTEM, "user": USER, "assistant": ASSISTANT, "tool": TOOL}
_KINDS = {
    "system": TokenKind.SYSTEM,
    "developer": TokenKind.SYSTEM,
    "user": TokenKind.USER,
    "assistant": TokenKind.FORCED,
    "tool": TokenKind.TOOL,
}
_CALL = re.compile(r"(\w+)\((.*)\)")
_BROKEN_CALL = re.compile(r"(\w+)\(.*")


class WordChat:
    """`agentrft.ports.ChatFormat` over words. Words get ids as they are met: one instance is one vocabulary."""

    def __init__(self) -> None:
        self._words = list(_MARKS)
        self._ids: dict[str, int] = {}

    @property
    def stop_ids(self) -> frozenset[int]:
        return frozenset({END})

    def encode(self, text: str) -> tuple[int, ...]:
        """The words of `text`; a mark such as |end| in it is a word like any other."""
        return tuple(self._id(word) for word in text.split())

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(self._words[token] for token in ids)

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Sequence[Span]:
        names = Span(ids=(SYSTEM, *self.encode(" ".join(tool.name for tool in tools)), END), kind=TokenKind.SYSTEM)
        history = [span for message in messages for span in self._message(message, kind=_KINDS[message.role])]
        return [*([names] if tools else []), *history, Span(ids=(ASSISTANT,), kind=TokenKind.TEMPLATE)]

    def extend(self, results: Sequence[ToolResult], *, stopped: bool) -> Sequence[Span]:
        closing = [] if stopped else [Span(ids=(END,), kind=TokenKind.TEMPLATE)]
        answers = [Message(role="tool", content=result.output, call_id=result.call_id) for result in results]
        shown = [span for answer in answers for span in self._message(answer, kind=TokenKind.TOOL)]
        return [*closing, *shown, Span(ids=(ASSISTANT,), kind=TokenKind.TEMPLATE)]

    def demonstration(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Sequence[Span]:
        names = Span(ids=(SYSTEM, *self.encode(" ".join(tool.name for tool in tools)), END), kind=TokenKind.SYSTEM)
        kinds = _KINDS | {"assistant": TokenKind.SAMPLED}
        spoken = [span for message in messages for span in self._message(message, kind=kinds[message.role])]
        return [*([names] if tools else []), *spoken]

    def parse(self, ids: Sequence[int]) -> Message:
        thoughts, rest = self._split(ids)
        calls = [word for word in rest if _BROKEN_CALL.fullmatch(word)]
        return Message(
            role="assistant",
            content=" ".join(word for word in rest if word not in calls),
            reasoning=" ".join(thoughts),
            tool_calls=tuple(_read_call(word, index) for index, word in enumerate(calls)),
        )

    def count_reasoning(self, ids: Sequence[int]) -> int:
        return len(self._split(ids)[0])

    def truncate(self, text: str, max_tokens: int) -> str:
        words = text.split()
        return text if len(words) <= max_tokens else " ".join([*words[: max_tokens - 1], "[truncated]"])

    def _id(self, word: str) -> int:
        if word not in self._ids:
            self._ids[word] = len(self._words)
            self._words.append(word)
        return self._ids[word]

    def _message(self, message: Message, *, kind: TokenKind) -> list[Span]:
        calls = [f"{call.name}({call.arguments})" for call in message.tool_calls]
        thoughts = f"<think> {message.reasoning} </think>" if message.reasoning else ""
        words = self.encode(" ".join([thoughts, *calls, message.content]))
        end = () if message.role == "tool" else (END,)
        return [Span(ids=(_HEADERS[message.role],), kind=TokenKind.TEMPLATE), Span(ids=(*words, *end), kind=kind)]

    def _split(self, ids: Sequence[int]) -> tuple[list[str], list[str]]:
        """Words of reasoning and the other words; the marks of both belong to neither."""
        thoughts: list[str] = []
        rest: list[str] = []
        current = rest
        for word in (self._words[token] for token in ids if token != END):
            if word == "<think>":
                current = thoughts
            elif word == "</think>":
                current = rest
            else:
                current.append(word)
        return thoughts, rest


def _read_call(word: str, index: int) -> ToolCall:
    whole = _CALL.fullmatch(word)
    if whole:
        return ToolCall(call_id=f"call_{index}", name=whole[1], arguments=whole[2])
    name = word.split("(")[0]
    return ToolCall(
        call_id=f"call_{index}", name=name, arguments="", error=f"the call of {name} has no closing bracket"
    )
