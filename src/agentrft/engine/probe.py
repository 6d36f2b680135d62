"""Whether a tool answers again: a call that an episode made is made once more.

It carries the same call id as before. Nothing of its outcome gets into any episode.
"""

from dataclasses import replace

from agentrft.domain.episode import Episode, ToolCall
from agentrft.domain.faults import Fault
from agentrft.engine.rollout import Agent
from agentrft.ports import CallContext


async def call_again(agent: Agent, episode: Episode, tool: str, *, at: CallContext) -> Fault | None:
    """Repeat the latest call of `tool`, rather one without an answer; None: it is answered now, or there is none.

    Args:
        at: where in the job, and the trace id and attempt to call with.
    """
    made = _latest_call(episode, tool)
    if made is None:
        return None
    turn, call = made
    outcome = await agent.tools.call(call, replace(at, turn=turn))
    return outcome if isinstance(outcome, Fault) else None


def _latest_call(episode: Episode, tool: str) -> tuple[int, ToolCall] | None:
    """With its turn. Where no call is the tool's, that of another one."""
    calls = [
        (number, call, call.call_id not in {result.call_id for result in turn.results})
        for number, turn in enumerate(episode.turns)
        for call in turn.message.tool_calls
    ]
    if not calls:
        return None
    turn, call, _ = max(calls, key=lambda made: (made[1].name == tool, made[2], made[0]))
    return turn, call
