"""What went wrong in one episode, at which border, and whose it is.

A fault of an endpoint or of the platform never becomes a reward: the episode leaves the group's mean and the loss
(rl-engine reference, section 1.6). The policy's own mistakes are no faults: they stay in the episode and are graded.
"""

from dataclasses import dataclass
from enum import StrEnum


class FaultOwner(StrEnum):
    """Who must mend it."""

    TOOL_ENDPOINT = "tool_endpoint"
    GRADER_ENDPOINT = "grader_endpoint"
    PLATFORM = "platform"


class FaultKind(StrEnum):
    """How a border failed."""

    HTTP_5XX = "http_5xx"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    INVALID_REPLY = "invalid_reply"
    INVALID_SCORE = "invalid_score"
    GRADER_ERROR = "grader_error"
    REFUSAL = "refusal"  # a judge model would not answer
    TRUNCATED = "truncated"  # a judge model's answer ended at its token limit
    DEADLINE = "deadline"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One failure, recorded once, at the border where it happened."""

    owner: FaultOwner
    kind: FaultKind
    where: str  # name of the tool or grader, or of our own part
    message: str  # for the owner: what happened and what was tried; holds no secret
    attempts: int = 1  # requests made before giving up
