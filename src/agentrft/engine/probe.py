"""Whether a tool answers again: the very call that an episode broke off at is made once more.

It carries the same ids as before. Nothing of its outcome gets into any episode.
"""

from dataclasses import replace

from agentrft.domain.episode import Episode, ToolCall
from agentrft.domain.faults import Fault
from agentrft.engine.rollout import Agent
from agentrft.ports import CallContext


async def call_again(agent: Agent, episode: Episode, *, at: CallContext) -> Fault | None:
    """Repeat the call that ended the episode; None: it is answered now, or there is none to repeat.

    Args:
        episode: with a fault of one of its tools.
        at: where in the job it was played; trace id and attempt are those of the episode.
    """
    failed = _failed_call(episode)
    if failed is None:
        return None
    turn, call = failed
    context = replace(at, trace_id=episode.trace_id, attempt=episode.attempt, turn=turn)
    outcome = await agent.tools.call(call, context)
    return outcome if isinstance(outcome, Fault) else None


def _failed_call(episode: Episode) -> tuple[int, ToolCall] | None:
    """The latest call of the tool at fault, with its turn; one without an answer where there is one."""
    calls = [
        (number, call, call.call_id not in {result.call_id for result in turn.results})
        for number, turn in enumerate(episode.turns)
        for call in turn.message.tool_calls
    ]
    if not calls:
        return None
    where = episode.fault.where if episode.fault is not None else ""
    turn, call, _ = max(calls, key=lambda made: (made[1].name == where, made[2], made[0]))
    return turn, call
