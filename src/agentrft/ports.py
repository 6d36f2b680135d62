"""The seams of the engine: what it needs from the world, and nothing about who gives it.

Every port can be served by another process or another machine: tokens and numbers go over it, no tensors, no handles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from agentrft.domain.episode import (
    Completion,
    Episode,
    Grade,
    GradedEpisode,
    Item,
    Message,
    Span,
    StopReason,
    ToolCall,
    ToolResult,
    ToolSpec,
)
from agentrft.domain.faults import Fault
from agentrft.domain.job import Sampling
from agentrft.domain.training import Capabilities, Checkpoint, Datum, UpdateSettings, UpdateStats, Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """One turn to sample. `session` is a hint: an engine may keep keys and values between the turns of an episode."""

    session: str
    prompt: tuple[int, ...]  # the whole sequence so far
    max_tokens: int
    stop_ids: frozenset[int]
    sampling: Sampling
    seed: int
    stop_sequences: tuple[tuple[int, ...], ...] = ()  # a completion also ends with one of these
    deadline_s: float | None = None  # from now; what was sampled by then is the completion


class Sampler(Protocol):
    """Tokens in; tokens, log-probabilities and weight version out. Many requests at once; cancelling one frees it."""

    async def sample(self, request: SampleRequest) -> Completion: ...

    async def release(self, session: str) -> None:
        """The episode is over: whatever was kept for it may go."""

    async def load(self, weights: Weights) -> None:
        """Sample from these weights from now on."""


class ChatFormat(Protocol):
    """Messages <-> tokens of one model family, append-only: nothing that was sampled is ever encoded again."""

    @property
    def stop_ids(self) -> frozenset[int]: ...

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Sequence[Span]:
        """The prompt up to the place where the assistant starts to write."""

    def extend(self, results: Sequence[ToolResult], *, stopped: bool) -> Sequence[Span]:
        """What follows a completion: its closing, the tool results, the next assistant header."""

    def demonstration(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Sequence[Span]:
        """A whole conversation to learn from: each assistant message, its stop token included, is one SAMPLED span."""

    def parse(self, ids: Sequence[int]) -> Message:
        """Read a completion. Malformed calls come back as calls with `error` set."""

    def count_reasoning(self, ids: Sequence[int]) -> int:
        """How many tokens of a completion are reasoning."""

    def truncate(self, text: str, max_tokens: int) -> str:
        """`text`, cut to a token budget with a marker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """Who is calling: identifies the episode to the user's endpoints."""

    trace_id: str
    item: Item
    step: int
    attempt: int
    turn: int
    group: str = ""  # what the attempts at one item in one step have in common


class Tools(Protocol):
    """The user's tools. A reply that the model should see is a result; an endpoint that failed is a fault."""

    async def call(self, call: ToolCall, context: CallContext) -> ToolResult | Fault: ...


class Lifecycle(Protocol):
    """Hears of every attempt before its first token and after its grade, so that each can have a machine of its own."""

    async def begin(self, context: CallContext) -> Fault | None:
        """Called once, first of all, and bounded in time; an attempt that cannot begin ends with the fault."""

    def end(self, context: CallContext, stop: StopReason | None) -> None:
        """The attempt is over, whatever happened to it; None: it was cancelled, or we failed.

        Returns at once and never raises: no attempt waits for it, and no cancellation can get in between.
        """


class Grader(Protocol):
    async def grade(self, episode: Episode) -> Grade | Fault: ...


@runtime_checkable
class GroupGrader(Protocol):
    """Grades the attempts of a group against each other, where one alone cannot be graded."""

    async def rank(self, episodes: Sequence[Episode]) -> Sequence[Grade] | Fault:
        """A grade for each attempt at one item, in their order; a fault leaves all of them without."""


class Trainer(Protocol):
    """Moves the weights. `update` is one forward-backward over all data and one optimizer step."""

    def capabilities(self) -> Capabilities: ...

    async def update(self, data: Sequence[Datum], settings: UpdateSettings) -> UpdateStats: ...

    async def publish(self) -> Weights:
        """Make the current weights available to a sampler under a new version."""

    async def save(self, step: int, metrics: Mapping[str, float]) -> Checkpoint: ...

    async def restore(self, checkpoint: Checkpoint) -> None:
        """Take the weights and the optimizer's state of a checkpoint of this job, to go on behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One pass over the validation items."""

    step: int
    episodes: tuple[GradedEpisode, ...]
    seconds: float


class Journal(Protocol):
    """Where the loop writes down what happened, as it happens. Writing must not fail the job for a reader's sake."""

    async def episode(self, split: str, step: int, graded: GradedEpisode) -> None:
        """One episode is finished (split: train, valid). Called in order of completion."""

    async def progress(self, step: int, phase: str, done: int, expected: int) -> None:
        """Where in a step the job is (phase: sampling, training, eval, waiting)."""

    async def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """A step is complete; `metrics` in the flat names of docs/concepts.md."""

    async def checkpoint(self, checkpoint: Checkpoint) -> None: ...

    async def warn(self, message: str, *, data: Mapping[str, Any] | None = None) -> None:
        """Something that the owner of the job should look at; `data` holds its numbers for programs."""
