"""Graded episodes by what matters to an alarm: the item, the answer, the reward, and what tools said."""

from collections.abc import Sequence

from agentrft.domain.episode import (
    Episode,
    Grade,
    GradedEpisode,
    Item,
    Message,
    StopReason,
    Tokens,
    ToolCall,
    ToolResult,
    Turn,
)
from agentrft.testing import an_item

NO_TOKENS = Tokens(ids=(), kinds=(), logps=(), turns=(), versions=())


def played(
    item: Item | int,
    answer: str,
    *,
    replies: Sequence[str] = (),
    broken: bool = False,
    tokens: int = 10,
    stop: StopReason = StopReason.ANSWER,
    trace_id: str | None = None,
) -> Episode:
    """A turn with a call for each reply, if there are any, and one with the answer."""
    item = an_item(item) if isinstance(item, int) else item
    calls = tuple(ToolCall(call_id=f"c{n}", name="search", arguments="{}") for n in range(len(replies)))
    results = tuple(
        ToolResult(call_id=call.call_id, name="search", output=reply, is_error=broken)
        for call, reply in zip(calls, replies, strict=True)
    )
    asking = Turn(message=Message(role="assistant", tool_calls=calls), results=results, sampled_tokens=tokens)
    last = Turn(message=Message(role="assistant", content=answer), sampled_tokens=tokens)
    return Episode(
        trace_id=trace_id or f"trace_{item.index}_{answer}",
        item=item,
        attempt=0,
        turns=(asking, last) if calls else (last,),
        tokens=NO_TOKENS,
        stop=stop,
    )


def graded(reward: float, episode: Episode) -> GradedEpisode:
    return GradedEpisode(episode=episode, grade=Grade(reward=reward))
