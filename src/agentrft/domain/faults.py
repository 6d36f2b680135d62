"""What can go wrong in an episode, whose it is, and what follows from it: the one table that decides.

A failure of an endpoint or of the platform never becomes a reward: scored zero, it would teach the policy not to call
tools (rl-engine reference, section 1.6). Such a failure is recorded as a `Fault`. The policy's own mistakes are no
faults: they stay in the episode and are graded. docs/faults.md shows the same table; a test holds the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class FaultOwner(StrEnum):
    """Where it failed, and so who must mend it."""

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
    OVERLOADED = "overloaded"  # it asked to be called again later: 408, 425 or 429, and that to the last try
    BREAKER_OPEN = "breaker_open"  # the endpoint failed others so often that it was left alone
    DEADLINE = "deadline"
    INTERNAL = "internal"
    OUT_OF_MEMORY = "out_of_memory"


class Whose(StrEnum):
    POLICY = "policy"
    USER = "user's endpoint"
    PLATFORM = "platform"


class EpisodeFate(StrEnum):
    """`REPLACED`: a new attempt takes its place, and where the last one fails too, the place stays empty."""

    KEPT = "kept and graded"
    REPLACED = "new attempt, then dropped"
    DROPPED = "dropped"


class Statistics(StrEnum):
    """Whether the episode is in the mean of its group, and in the loss.

    `GUARDED`: in both, but out of the loss in a step where `FaultLimits.truncated_limit` of the attempts end like this.
    """

    IN = "in"
    GUARDED = "in, under a guard"
    OUT = "out of both"


class JobFate(StrEnum):
    """`PAUSES`: once the rate at one tool or grader passes its limit in `FaultLimits`."""

    GOES_ON = "goes on"
    PAUSES = "pauses over the limit"
    FAILS = "fails"


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """A row of the table."""

    whose: Whose
    episode: EpisodeFate
    statistics: Statistics
    job: JobFate
    new_attempts: int = 0  # that may take the place of the episode
    code: str = ""  # of the job's error, where the job ends of it
    advice: str = ""  # to the job's owner, where the job ends of it


_POLICY = Treatment(whose=Whose.POLICY, episode=EpisodeFate.KEPT, statistics=Statistics.IN, job=JobFate.GOES_ON)
_TRUNCATED = replace(_POLICY, statistics=Statistics.GUARDED)
_TOOL = Treatment(
    whose=Whose.USER,
    episode=EpisodeFate.REPLACED,
    statistics=Statistics.OUT,
    job=JobFate.PAUSES,
    new_attempts=2,
    code="tool_unavailable",
    advice="Mend the tool's server, then start the job again, from its last checkpoint if it has one.",
)
_GRADER = replace(
    _TOOL,
    code="grader_unavailable",
    advice="Mend the grader, then start the job again, from its last checkpoint if it has one.",
)
_PLATFORM = Treatment(
    whose=Whose.PLATFORM,
    episode=EpisodeFate.DROPPED,
    statistics=Statistics.OUT,
    job=JobFate.FAILS,
    code="internal_error",
    advice="This is no mistake of the job's. The worker's log has the details; please report them.",
)
_OUT_OF_MEMORY = replace(
    _PLATFORM,
    code="out_of_memory",
    advice="Lower agentrft.group_size, batch_size, agentrft.max_context_tokens or agentrft.lora_rank, "
    "or run the worker on a machine with more memory.",
)
_TOO_SLOW = replace(
    _PLATFORM,
    code="too_slow",
    advice="This machine is too slow for the job: leaving its long episodes out would teach the model to be brief. "
    "Lower agentrft.max_turn_tokens, max_episode_steps, agentrft.group_size or batch_size, or raise "
    "agentrft.max_episode_s.",
)

TABLE: Mapping[str, Treatment] = {
    "malformed_call": _POLICY,  # bad JSON, or arguments that do not fit the tool's schema
    "unknown_tool": _POLICY,
    "max_turns": _POLICY,  # this and the next three: stop reasons of an episode without a final answer
    "max_tool_calls": _POLICY,
    "max_tokens": _TRUNCATED,
    "context": _TRUNCATED,
    "tool_endpoint.http_5xx": _TOOL,
    "tool_endpoint.timeout": _TOOL,
    "tool_endpoint.connection": _TOOL,
    "tool_endpoint.invalid_reply": _TOOL,
    "tool_endpoint.overloaded": _TOOL,
    "tool_endpoint.breaker_open": _TOOL,
    "tool_endpoint.deadline": replace(_TOOL, new_attempts=1),  # each costs the whole wall clock of an episode
    "grader_endpoint.http_5xx": _GRADER,
    "grader_endpoint.timeout": _GRADER,
    "grader_endpoint.connection": _GRADER,
    "grader_endpoint.invalid_reply": _GRADER,
    "grader_endpoint.invalid_score": _GRADER,
    "grader_endpoint.grader_error": _GRADER,
    "grader_endpoint.refusal": _GRADER,
    "grader_endpoint.truncated": _GRADER,
    "grader_endpoint.overloaded": _GRADER,
    "grader_endpoint.breaker_open": _GRADER,
    "grader_endpoint.deadline": replace(_GRADER, new_attempts=1),
    "platform.internal": _PLATFORM,
    "platform.out_of_memory": _OUT_OF_MEMORY,
    "platform.deadline": _TOO_SLOW,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One failure, recorded once, at the border where it happened.

    Raises:
        ValueError: the table has no row for it: whoever adds a kind of failure must say what follows from it.
    """

    owner: FaultOwner
    kind: FaultKind
    where: str  # name of the tool or grader, or of our own part
    message: str  # for the owner: what happened and what was tried; holds no secret
    attempts: int = 1  # requests made before giving up

    def __post_init__(self) -> None:
        if f"{self.owner}.{self.kind}" not in TABLE:
            raise ValueError(f"the fault table has no row '{self.owner}.{self.kind}': add it to domain/faults.py")

    @property
    def treatment(self) -> Treatment:
        """What follows from it."""
        return TABLE[f"{self.owner}.{self.kind}"]
