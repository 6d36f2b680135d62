"""Item -> Episode -> GradedEpisode -> Group: what the model did, as one token sequence that only grows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from agentrft.domain.faults import TABLE, Fault, Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as the model sees it; `parameters` is a JSON schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call as the policy wrote it. `arguments` is the JSON text; `error` says why it cannot be made, if so."""

    call_id: str
    name: str
    arguments: str
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What the model is shown for one call. An endpoint that failed gives a `Fault` instead of this."""

    call_id: str
    name: str
    output: str
    latency_s: float = 0.0
    status: int = 200  # HTTP status of the reply; 400 for a malformed call that was never sent
    is_error: bool = False  # the policy's mistake or a 4xx, shown to the model

    @property
    def sent(self) -> bool:
        """Whether an endpoint answered; a call that was refused before it was sent took no time."""
        return self.latency_s > 0.0 or not self.is_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation. Roles: system, developer, user, assistant, tool."""

    role: str
    content: str = ""
    reasoning: str = ""  # assistant only: text inside <think>
    tool_calls: tuple[ToolCall, ...] = ()  # assistant only
    call_id: str | None = None  # tool only: the call this answers
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One row of a data set: what the model is asked, and the fields the grader reads."""

    index: int  # position in its file, from 0
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    parallel_tool_calls: bool = True
    row: Mapping[str, Any] = field(default_factory=dict)  # the normalised row, as graders and tools receive it


class TokenKind(IntEnum):
    """Where a token came from. Only SAMPLED tokens carry a log-probability and enter the loss."""

    SYSTEM = 0
    USER = 1
    SAMPLED = 2
    FORCED = 3  # assistant text that was not sampled, such as history given in the item
    TOOL = 4
    TEMPLATE = 5  # headers, separators


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Consecutive tokens of one kind, ready to be appended to an episode."""

    ids: tuple[int, ...]
    kind: TokenKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The token sequence of an episode; parallel tuples of one length. `logps` is 0.0 where nothing was sampled."""

    ids: tuple[int, ...]
    kinds: tuple[TokenKind, ...]
    logps: tuple[float, ...]
    turns: tuple[int, ...]
    versions: tuple[int, ...]  # policy version per token; -1 where nothing was sampled

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def sampled_count(self) -> int:
        return sum(kind is TokenKind.SAMPLED for kind in self.kinds)


class FinishReason(StrEnum):
    """Why the sampler stopped."""

    STOP = "stop"
    LENGTH = "length"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a sampler returns for one turn: ids (a stop token included when sampled), log-probabilities, version."""

    ids: tuple[int, ...]
    logps: tuple[float, ...]  # natural log, under the policy as sampled
    versions: tuple[int, ...]
    finish: FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One generation and the tool results that followed it."""

    message: Message
    results: tuple[ToolResult, ...] = ()
    sampled_tokens: int = 0
    reasoning_tokens: int = 0
    latency_s: float = 0.0  # time spent sampling
    started_at: float = 0.0  # unix seconds


class StopReason(StrEnum):
    """Why an episode ended."""

    ANSWER = "answer"
    MAX_TURNS = "max_turns"
    MAX_TOOL_CALLS = "max_tool_calls"
    MAX_TOKENS = "max_tokens"  # a completion reached its token budget without a stop token
    CONTEXT = "context"  # no room left in the context window
    FAULT = "fault"

    @property
    def truncated(self) -> bool:
        """Whether the episode ran out of tokens, so that a step with many of these leaves them out of its loss."""
        return self in TABLE and TABLE[self].statistics is Statistics.GUARDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One attempt at one item. A `fault` means that it says nothing about the policy."""

    trace_id: str
    item: Item
    attempt: int  # 0..G-1 within the group, and on for refills
    turns: tuple[Turn, ...]
    tokens: Tokens
    stop: StopReason
    fault: Fault | None = None
    started_at: float = 0.0
    latency_s: float = 0.0

    @property
    def answer(self) -> str:
        """The final assistant text; empty when the episode ended without one."""
        return self.turns[-1].message.content if self.turns and self.stop is StopReason.ANSWER else ""

    @property
    def tool_calls(self) -> int:
        return sum(len(turn.message.tool_calls) for turn in self.turns)

    @property
    def sampled_tokens(self) -> int:
        return sum(turn.sampled_tokens for turn in self.turns)

    @property
    def reasoning_tokens(self) -> int:
        return sum(turn.reasoning_tokens for turn in self.turns)

    @property
    def tool_latency_s(self) -> float:
        return sum(result.latency_s for turn in self.turns for result in turn.results)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """Tokens that a judge model read and wrote for a grade."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0  # of the prompt's, those that the judge's server had in its own cache

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """A reward and its parts by grader name. A grader that failed gives a `Fault` instead of this."""

    reward: float
    parts: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)  # flags of section 3.9 that are set, with their details
    latency_s: float = 0.0
    usage: Mapping[str, TokenUsage] = field(default_factory=dict)  # by judge model


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedEpisode:
    """An episode and its grade, or no grade when the episode or its grader met a fault."""

    episode: Episode
    grade: Grade | None
    fault: Fault | None = None

    @property
    def valid(self) -> bool:
        return self.grade is not None

    @property
    def reward(self) -> float:
        if self.grade is None:
            raise ValueError("an episode with a fault has no reward")
        return self.grade.reward


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The attempts at one item."""

    item: Item
    episodes: tuple[GradedEpisode, ...]

    @property
    def valid(self) -> Sequence[GradedEpisode]:
        """The attempts that say something about the policy."""
        return [graded for graded in self.episodes if graded.valid]

    @property
    def has_signal(self) -> bool:
        """Whether the rewards differ, so that the attempts can be told apart."""
        rewards = [graded.reward for graded in self.valid]
        return len(rewards) > 1 and max(rewards) - min(rewards) > 1e-9
