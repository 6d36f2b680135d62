"""A stored episode as an `Episode` again, so that it can be graded anew by the code that graded it the first time.

The item itself is not in the record: it is a row of the job's own copy of its files. Files of earlier versions lack the
turn of each token and the reasoning tokens of each turn; these read as 0.
"""

from collections.abc import Mapping
from typing import Any

from agentrft.domain.episode import (
    Episode,
    Grade,
    GradedEpisode,
    Item,
    Message,
    StopReason,
    TokenKind,
    Tokens,
    ToolCall,
    ToolResult,
    Turn,
)
from agentrft.domain.faults import Fault, FaultKind, FaultOwner

Record = Mapping[str, Any]


def read_episode(record: Record, item: Item) -> GradedEpisode:
    """What `episode_record` wrote down; `item` is row `record["item_index"]` of the file of its split."""
    stop = StopReason(record["stop"])
    fault = _fault(record["fault"]) if record["fault"] else None
    episode = Episode(
        trace_id=record["trace_id"],
        item=item,
        attempt=record["attempt"],
        turns=tuple(_turn(turn) for turn in record["turns"]),
        tokens=_tokens(record["tokens"]),
        stop=stop,
        fault=fault if stop is StopReason.FAULT else None,
        started_at=record["started_at"],
        latency_s=record["latency_s"],
    )
    return GradedEpisode(episode=episode, grade=_grade(record), fault=fault)


def _grade(record: Record) -> Grade | None:
    if record["reward"] is None or record["grade"] is None:
        return None
    return Grade(reward=record["reward"], parts=record["grade"]["parts"], errors=record["grade"]["errors"])


def _fault(fault: Record) -> Fault:
    return Fault(
        owner=FaultOwner(fault["owner"]),
        kind=FaultKind(fault["kind"]),
        where=fault["where"],
        message=fault["message"],
    )


def _turn(turn: Record) -> Turn:
    calls = tuple(_call(call) for call in turn["tool_calls"])
    names = {call.call_id: call.name for call in calls}
    return Turn(
        message=Message(role="assistant", content=turn["content"], reasoning=turn["reasoning"], tool_calls=calls),
        results=tuple(_result(result, names.get(result["call_id"], "")) for result in turn["results"]),
        sampled_tokens=turn["output_tokens"],
        reasoning_tokens=turn.get("reasoning_tokens", 0),
        latency_s=turn["latency_s"],
        started_at=turn["started_at"],
    )


def _call(call: Record) -> ToolCall:
    return ToolCall(call_id=call["call_id"], name=call["name"], arguments=call["arguments"], error=call["error"])


def _result(result: Record, name: str) -> ToolResult:
    return ToolResult(
        call_id=result["call_id"],
        name=name,
        output=result["output"],
        latency_s=result["latency_s"],
        status=result["status"],
        is_error=result["is_error"],
    )


def _tokens(tokens: Record) -> Tokens:
    ids = tuple(tokens["ids"])
    return Tokens(
        ids=ids,
        kinds=tuple(TokenKind(kind) for kind in tokens["kinds"]),
        logps=tuple(logp or 0.0 for logp in tokens["logps"]),  # null: a number that JSON cannot hold
        turns=tuple(tokens.get("turns") or (0,) * len(ids)),
        versions=tuple(tokens["versions"]),
    )
