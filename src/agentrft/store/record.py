"""An episode as it is stored: plain JSON with text to look at and tokens to learn from. `replay` reads it back."""

from typing import Any

from agentrft.domain.episode import GradedEpisode, Turn


def episode_record(graded: GradedEpisode) -> dict[str, Any]:
    """One line of an episode file."""
    episode = graded.episode
    fault = graded.fault or episode.fault
    return {
        "trace_id": episode.trace_id,
        "item_index": episode.item.index,
        "attempt": episode.attempt,
        "stop": episode.stop.value,
        "reward": graded.grade.reward if graded.grade else None,
        "grade": {"parts": dict(graded.grade.parts), "errors": dict(graded.grade.errors)} if graded.grade else None,
        "fault": None
        if fault is None
        else {"owner": fault.owner.value, "kind": fault.kind.value, "where": fault.where, "message": fault.message},
        "messages": [{"role": message.role, "content": message.content} for message in episode.item.messages],
        "turns": [_turn(turn) for turn in episode.turns],
        "answer": episode.answer,
        "started_at": episode.started_at,
        "latency_s": episode.latency_s,
        "output_tokens": episode.sampled_tokens,
        "reasoning_tokens": episode.reasoning_tokens,
        "tokens": {
            "turns": list(episode.tokens.turns),
            "ids": list(episode.tokens.ids),
            "kinds": [int(kind) for kind in episode.tokens.kinds],
            "logps": [round(logp, 6) for logp in episode.tokens.logps],
            "versions": list(episode.tokens.versions),
        },
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "content": turn.message.content,
        "reasoning": turn.message.reasoning,
        "tool_calls": [
            {"call_id": call.call_id, "name": call.name, "arguments": call.arguments, "error": call.error}
            for call in turn.message.tool_calls
        ],
        "results": [
            {
                "call_id": result.call_id,
                "output": result.output,
                "status": result.status,
                "is_error": result.is_error,
                "latency_s": round(result.latency_s, 4),
            }
            for result in turn.results
        ],
        "output_tokens": turn.sampled_tokens,
        "reasoning_tokens": turn.reasoning_tokens,
        "latency_s": round(turn.latency_s, 4),
        "started_at": turn.started_at,
    }
