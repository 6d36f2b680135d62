"""Episodes, groups and jobs in one line each, for tests that need the noun and not how it came about."""

from collections.abc import Sequence

from agentrft.domain.episode import (
    Completion,
    Episode,
    FinishReason,
    Grade,
    GradedEpisode,
    Group,
    Item,
    Message,
    Span,
    StopReason,
    TokenKind,
    ToolCall,
    ToolResult,
    ToolSpec,
    Turn,
)
from agentrft.domain.faults import Fault
from agentrft.domain.ids import new_hex_id
from agentrft.domain.job import (
    FaultLimits,
    Job,
    Limits,
    Method,
    Optimizer,
    Penalty,
    Reinforcement,
    Sampling,
    Supervised,
)
from agentrft.domain.training import Loss
from agentrft.engine.gate import Gate
from agentrft.engine.transcript import Transcript
from agentrft.testing.endpoints import broken_tool
from agentrft.testing.journal import MemoryJournal

NO_LIMITS = FaultLimits(tool_limit=1.0, grader_limit=1.0, truncated_limit=1.0)


def an_item(index: int = 0, *, question: str = "how many ?", tools: Sequence[str] = ("search",)) -> Item:
    """A question by a user, with tools by name."""
    return Item(
        index=index,
        messages=(Message(role="user", content=question),),
        tools=tuple(ToolSpec(name=name) for name in tools),
        row={"index": index},
    )


def an_episode(
    item: Item | None = None,
    *,
    attempt: int = 0,
    sampled_tokens: int = 4,
    tool_calls: int = 0,
    tool_latency_s: float = 0.0,
    stop: StopReason = StopReason.ANSWER,
    fault: Fault | None = None,
) -> Episode:
    """One turn of `sampled_tokens`, in which `tool_calls` calls of the first tool were answered in equal time."""
    item = item or an_item()
    transcript = Transcript()
    transcript.read([Span(ids=(1, 2, 3), kind=TokenKind.USER)], turn=0)
    transcript.write(_completion(sampled_tokens), turn=0)
    calls = tuple(ToolCall(call_id=f"call_{n}", name=item.tools[0].name, arguments="{}") for n in range(tool_calls))
    results = tuple(
        ToolResult(call_id=call.call_id, name=call.name, output="3", latency_s=tool_latency_s / tool_calls)
        for call in calls
    )
    message = Message(role="assistant", content="3", tool_calls=calls)
    return Episode(
        trace_id=new_hex_id("trace_"),
        item=item,
        attempt=attempt,
        turns=(Turn(message=message, results=results, sampled_tokens=sampled_tokens),),
        tokens=transcript.tokens(),
        stop=stop,
        fault=fault,
    )


def a_graded_episode(reward: float | None, episode: Episode | None = None) -> GradedEpisode:
    """An episode with this reward; None: its tool broke down."""
    episode = episode or an_episode()
    if reward is None:
        fault = broken_tool("search")
        return GradedEpisode(episode=episode, grade=None, fault=fault)
    return GradedEpisode(episode=episode, grade=Grade(reward=reward))


def a_group(rewards: Sequence[float | None], *, episodes: Sequence[Episode] | None = None) -> Group:
    """Attempts at one item with these rewards; None marks one that met a fault."""
    item = an_item()
    played = episodes or [an_episode(item, attempt=attempt) for attempt in range(len(rewards))]
    return Group(
        item=item,
        episodes=tuple(a_graded_episode(reward, episode) for reward, episode in zip(rewards, played, strict=True)),
    )


def a_job(
    *,
    seed: int = 1,
    sampling: Sampling | None = None,
    optimizer: Optimizer | None = None,
    reinforcement: Reinforcement | None = None,
    supervised: Supervised | None = None,
) -> Job:
    """A settled job on a toy scale: supervised where that part is given, else reinforcement."""
    method = Method.SUPERVISED if supervised else Method.REINFORCEMENT
    return Job(
        id="ftjob-toy",
        method=method,
        base_model="toy",
        suffix=None,
        seed=seed,
        training_file="file-train",
        validation_file="file-valid",
        sampling=sampling or Sampling(max_turn_tokens=8, max_context_tokens=256),
        optimizer=optimizer or Optimizer(learning_rate=0.1, warmup_steps=0),
        lora=None,
        reinforcement=None if supervised else reinforcement or some_rules(),
        supervised=supervised,
    )


def an_open_gate() -> Gate:
    """A gate that never closes, whatever fails."""
    return Gate(NO_LIMITS, MemoryJournal())


def some_rules(
    *,
    batch_size: int = 2,
    group_size: int = 4,
    total_steps: int = 2,
    eval_interval: int = 1,
    eval_samples: int = 1,
    limits: Limits | None = None,
    penalty: Penalty | None = None,
    max_refills: int = 0,
    max_attempts: int = 3,
    min_group: int = 2,
    faults: FaultLimits | None = None,
) -> Reinforcement:
    """The reinforcement part of a toy job; no efficiency penalty and no limits on faults unless they are given."""
    return Reinforcement(
        tools=(),
        grader={},
        response_format=None,
        batch_size=batch_size,
        group_size=group_size,
        total_steps=total_steps,
        eval_interval=eval_interval,
        eval_samples=eval_samples,
        reasoning_effort="default",
        limits=limits or Limits(wall_clock_s=30.0),
        penalty=penalty or Penalty(weight=0.0),
        loss=Loss.RFT_V1,
        max_refills=max_refills,
        max_attempts=max_attempts,
        min_group=min_group,
        faults=faults or NO_LIMITS,
    )


def _completion(count: int) -> Completion:
    return Completion(
        ids=tuple(range(10, 10 + count)),
        logps=(-0.5,) * count,
        versions=(1,) * count,
        finish=FinishReason.STOP,
    )
