"""The `sample` namespace: what a grader is told about an episode (API reference, sections 3.1 and 3.8).

OpenAI's fields come first. Under `agentrft` comes the whole way to the answer, so that a grader may pay for opening the
right page or charge for a detour; its size is bounded, because a request to a grader is.
"""

import json
from collections.abc import Mapping
from typing import Any

from agentrft.domain.episode import Episode, StopReason, ToolCall, ToolResult, Turn
from agentrft.domain.faults import Fault

MAX_EXTRA_BYTES = 256 * 1024
_TEXT_LIMITS_CHARS = (16_384, 2_048, 256, 0)  # tried in turn until the extra part is small enough
_FINISH_REASONS = {
    StopReason.ANSWER: "stop",
    StopReason.MAX_TURNS: "tool_calls",
    StopReason.MAX_TOOL_CALLS: "tool_calls",
    StopReason.MAX_TOKENS: "length",
    StopReason.CONTEXT: "length",
    StopReason.FAULT: "stop",
}


def sample_from_episode(episode: Episode, *, structured: bool, trace: bool = True) -> dict[str, Any]:
    """The namespace of one attempt.

    Args:
        structured: whether the job set a `response_format`, so that `output_json` is to be read from the answer.
        trace: whether the way to the answer is told, under `agentrft`.
    """
    last = episode.turns[-1] if episode.turns else None
    sample = {
        "choices": [_choice(episode.answer, last, _FINISH_REASONS[episode.stop])],
        "output_text": episode.answer,
        "output_json": _parse_json(episode.answer) if structured else None,
        "output_tools": [_wire_call(call) for turn in episode.turns for call in turn.message.tool_calls],
        "output_reasoning_summary": (last.message.reasoning or None) if last else None,
        "output_audio": None,
    }
    return sample | ({"agentrft": _extra(episode)} if trace else {})


def sample_from_text(text: str, *, trace_id: str) -> dict[str, Any]:
    """The namespace for a bare output, as `graders/run` is given it; `output_json` whenever the text is JSON."""
    turn = {"content": text, "reasoning": "", "tool_calls": []}
    counts = {"sampled_tokens": 0, "reasoning_tokens": 0, "latency_s": 0.0}
    return {
        "choices": [_choice(text, None, "stop")],
        "output_text": text,
        "output_json": _parse_json(text),
        "output_tools": [],
        "output_reasoning_summary": None,
        "output_audio": None,
        "agentrft": {
            "trace_id": trace_id,
            "item_index": None,
            "stop_reason": StopReason.ANSWER,
            "fault": None,
            "attempt": 0,
            "context_tokens": 0,
            "token_ids": [],
            "tool_latency_s": 0.0,
            **counts,
            "turns": [{**turn, **counts}],
            "truncated": False,
        },
    }


def _choice(text: str, last: Turn | None, finish_reason: str) -> dict[str, Any]:
    calls = [_wire_call(call) for call in last.message.tool_calls] if last else []
    return {
        "index": 0,
        "message": {"role": "assistant", "content": text, "tool_calls": calls},
        "finish_reason": finish_reason,
    }


def _wire_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _extra(episode: Episode) -> dict[str, Any]:
    """The `agentrft` part. Where it would be too large, the token ids give way first, then texts, and turns last."""
    extra: dict[str, Any] = {}
    for limit in _TEXT_LIMITS_CHARS:
        whole = _extra_within(episode, limit)
        extra = {**whole, "token_ids": [], "truncated": bool(whole["truncated"] or whole["token_ids"])}
        for found in (whole, extra):
            if len(json.dumps(found)) <= MAX_EXTRA_BYTES:
                return found
    return {**extra, "turns": [], "truncated": True}


def _extra_within(episode: Episode, limit_chars: int) -> dict[str, Any]:
    cut = _Cut(limit_chars)
    turns = [_turn(turn, episode.fault, cut) for turn in episode.turns]
    return {
        "trace_id": episode.trace_id,
        "item_index": episode.item.index,
        "stop_reason": episode.stop,
        "fault": _fault(episode.fault, cut),
        "attempt": episode.attempt,
        "context_tokens": len(episode.tokens),
        "token_ids": list(episode.tokens.ids),
        "tool_latency_s": episode.tool_latency_s,
        "sampled_tokens": episode.sampled_tokens,
        "reasoning_tokens": episode.reasoning_tokens,
        "latency_s": episode.latency_s,
        "turns": turns,
        "truncated": cut.happened,
    }


class _Cut:
    """Cuts texts and remembers whether it had to."""

    def __init__(self, limit_chars: int) -> None:
        self._limit_chars = limit_chars
        self.happened = False

    def __call__(self, text: str) -> str:
        self.happened = self.happened or len(text) > self._limit_chars
        return text[: self._limit_chars]


def _turn(turn: Turn, fault: Fault | None, cut: _Cut) -> dict[str, Any]:
    results = {result.call_id: result for result in turn.results}
    return {
        "content": cut(turn.message.content),
        "reasoning": cut(turn.message.reasoning),
        "tool_calls": [_call(call, results.get(call.call_id), fault, cut) for call in turn.message.tool_calls],
        "sampled_tokens": turn.sampled_tokens,
        "reasoning_tokens": turn.reasoning_tokens,
        "latency_s": turn.latency_s,
    }


def _call(call: ToolCall, result: ToolResult | None, fault: Fault | None, cut: _Cut) -> Mapping[str, Any]:
    """A call and its reply; a call that was not made, as after the last turn, has a null output.

    `error` is the policy's mistake, `fault` is the endpoint's failure that left the call without a reply.
    """
    failed = fault if result is None and fault is not None and fault.where == call.name else None
    return {
        "call_id": call.call_id,
        "name": cut(call.name),
        "arguments": cut(call.arguments),
        "error": call.error,
        "fault": _fault(failed, cut),
        "output": cut(result.output) if result else None,
        "status": result.status if result else None,
        "is_error": result.is_error if result else None,
        "latency_s": result.latency_s if result else None,
    }


def _fault(fault: Fault | None, cut: _Cut) -> Mapping[str, Any] | None:
    """A grader is rarely shown one: an episode with a fault is graded only when somebody regrades what is stored."""
    if fault is None:
        return None
    return {"owner": fault.owner, "kind": fault.kind, "where": cut(fault.where), "message": cut(fault.message)}
