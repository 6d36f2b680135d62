"""ChatML turns with tools in the Hermes / Qwen form, for Qwen2.5, Qwen3 and SmolLM2 (whose own template has no tools).

Every conversation is a sequence of turns `<|im_start|>role\\n ... <|im_end|>\\n`. Each turn is encoded by itself,
between special tokens, so that no merge of the tokenizer crosses a boundary and appending never changes what is there.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby

from agentrft.chat.calls import CALL_CLOSE, CALL_OPEN, THINK_CLOSE, THINK_OPEN, parse_assistant
from agentrft.chat.text import TextCodec
from agentrft.domain.episode import Message, Span, TokenKind, ToolCall, ToolResult, ToolSpec

_TOOLS_HEAD = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
"""
_TOOLS_TAIL = """
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"""
_RESULT_OPEN, _RESULT_CLOSE = "<tool_response>\n", "\n</tool_response>"
_SYSTEM_ROLES = ("system", "developer")


class HermesFormat:
    """Implements ports.ChatFormat.

    Args:
        codec: the model's tokenizer.
        default_system: the system prompt where a conversation brings none.
    """

    def __init__(self, codec: TextCodec, *, default_system: str) -> None:
        self._codec = codec
        self._default_system = default_system
        self._start, self._end = codec.token("<|im_start|>"), codec.token("<|im_end|>")
        self._newline = codec.structure("\n")
        self._assistant = (self._start, *codec.structure("assistant\n"))

    @property
    def stop_ids(self) -> frozenset[int]:
        """See ports.ChatFormat."""
        return frozenset([self._end])

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Sequence[Span]:
        """See ports.ChatFormat."""
        history = [
            Span(ids=span.ids, kind=TokenKind.FORCED if span.kind is TokenKind.SAMPLED else span.kind)
            for span in self.demonstration(messages, tools)
        ]
        return [*history, self._header()]

    def extend(self, results: Sequence[ToolResult], *, stopped: bool) -> Sequence[Span]:
        """See ports.ChatFormat."""
        closing = self._newline if stopped else (self._end, *self._newline)
        spans = [Span(ids=closing, kind=TokenKind.TEMPLATE)]
        if results:
            spans += self._results([result.output for result in results])
        return [*spans, self._header()]

    def demonstration(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Sequence[Span]:
        """See ports.ChatFormat."""
        return list(self._spans(messages, tools))

    def parse(self, ids: Sequence[int]) -> Message:
        """See ports.ChatFormat."""
        body = ids[:-1] if ids and ids[-1] == self._end else ids
        return parse_assistant(self._codec.decode(body))

    def count_reasoning(self, ids: Sequence[int]) -> int:
        """Tokens up to and including the end of the thought, found by bisection over decoded prefixes."""
        text = self._codec.decode(ids)
        if not text.lstrip().startswith(THINK_OPEN):
            return 0
        if THINK_CLOSE not in text:
            return len(ids)
        low, high = 0, len(ids)
        while low < high:
            middle = (low + high) // 2
            if THINK_CLOSE in self._codec.decode(ids[:middle]):
                high = middle
            else:
                low = middle + 1
        return low

    def truncate(self, text: str, max_tokens: int) -> str:
        """See ports.ChatFormat."""
        return self._codec.truncate(text, max_tokens)

    def _spans(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Iterator[Span]:
        system, rest = self._split_system(messages)
        if system or tools:
            yield from self._system(system, tools)
        for is_tool, run in groupby(rest, key=lambda message: message.role == "tool"):
            if is_tool:
                yield from self._results([message.content for message in run])
            else:
                for message in run:
                    yield from self._turn(message)

    def _split_system(self, messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
        if messages and messages[0].role in _SYSTEM_ROLES:
            return messages[0].content, messages[1:]
        return self._default_system, messages

    def _system(self, content: str, tools: Sequence[ToolSpec]) -> Iterator[Span]:
        ids = [self._start, *self._codec.structure("system\n"), *self._codec.content(content)]
        if tools:
            listed = "\n".join(_describe(tool) for tool in tools)
            ids += self._codec.structure(("\n\n" if content else "") + _TOOLS_HEAD)
            ids += self._codec.content(listed) + self._codec.structure(_TOOLS_TAIL)
        yield Span(ids=(*ids, self._end, *self._newline), kind=TokenKind.SYSTEM)

    def _turn(self, message: Message) -> Iterator[Span]:
        if message.role == "assistant":
            yield self._header()
            yield Span(ids=(*self._assistant_body(message), self._end), kind=TokenKind.SAMPLED)
            yield Span(ids=self._newline, kind=TokenKind.TEMPLATE)
            return
        role = "system" if message.role in _SYSTEM_ROLES else "user"
        kind = TokenKind.SYSTEM if role == "system" else TokenKind.USER
        yield Span(ids=(self._start, *self._codec.structure(f"{role}\n")), kind=TokenKind.TEMPLATE)
        yield Span(ids=self._codec.content(message.content), kind=kind)
        yield Span(ids=(self._end, *self._newline), kind=TokenKind.TEMPLATE)

    def _assistant_body(self, message: Message) -> tuple[int, ...]:
        pieces: list[tuple[int, ...]] = []
        if message.reasoning:
            pieces.append(self._codec.structure(f"{THINK_OPEN}\n{message.reasoning}\n{THINK_CLOSE}"))
        if message.content:
            pieces.append(self._codec.content(message.content))
        pieces += [self._codec.structure(_call_text(call)) for call in message.tool_calls]
        joined: tuple[int, ...] = ()
        for piece in pieces:
            joined += (self._newline if joined else ()) + piece
        return joined

    def _results(self, outputs: Sequence[str]) -> Iterator[Span]:
        """Consecutive results share one turn of the user's, as Qwen's template has it."""
        yield Span(ids=(self._start, *self._codec.structure("user\n")), kind=TokenKind.TEMPLATE)
        for index, output in enumerate(outputs):
            opening = ("\n" if index else "") + _RESULT_OPEN
            yield Span(ids=self._codec.structure(opening), kind=TokenKind.TEMPLATE)
            yield Span(ids=self._codec.content(output), kind=TokenKind.TOOL)
            yield Span(ids=self._codec.structure(_RESULT_CLOSE), kind=TokenKind.TEMPLATE)
        yield Span(ids=(self._end, *self._newline), kind=TokenKind.TEMPLATE)

    def _header(self) -> Span:
        return Span(ids=self._assistant, kind=TokenKind.TEMPLATE)


def _describe(tool: ToolSpec) -> str:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return json.dumps({"type": "function", "function": function}, ensure_ascii=False)


def _call_text(call: ToolCall) -> str:
    try:
        arguments = json.loads(call.arguments)
    except json.JSONDecodeError:
        arguments = call.arguments  # a malformed call in a given history
    body = json.dumps({"name": call.name, "arguments": arguments}, ensure_ascii=False)
    for marker in (CALL_OPEN, CALL_CLOSE):  # inside a JSON string: an argument must not end the call
        body = body.replace(marker, "\\u003c" + marker[1:])
    return f"{CALL_OPEN}\n{body}\n{CALL_CLOSE}"
