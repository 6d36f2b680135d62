"""A job with every "auto" settled: nothing optional, nothing to be looked up later."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agentrft.domain.training import LoraConfig, Loss


class JobStatus(StrEnum):
    VALIDATING_FILES = "validating_files"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"

    @property
    def terminal(self) -> bool:
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


class Method(StrEnum):
    REINFORCEMENT = "reinforcement"
    SUPERVISED = "supervised"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolEndpoint:
    """Where a tool is served. Header values are secrets: never log or print them."""

    name: str
    server_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    send_item: bool = True
    timeout_s: float = 60.0  # for one request
    deadline_s: float = 180.0  # for all tries of one call
    max_concurrency: int | None = None  # requests under way at once; None: any number
    rate_limit: float | None = None  # requests per second, retries included; None: any number


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleEndpoint:
    """Who is told that an episode begins and ends. Header values are secrets: never log or print them."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeEndpoint:
    """Where a judge model answers OpenAI's Chat Completions. Header values are secrets: never log or print them."""

    name: str  # as graders name it
    model: str  # as its server names it
    url: str  # of `/chat/completions`
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    structured: bool = True  # whether it can be held to a JSON schema; if not, it is asked in words
    text_only: bool = False  # whether it reads no images and no sound
    max_concurrency: int = 16  # requests at once
    timeout_s: float = 120.0  # for one request
    deadline_s: float = 300.0  # for all tries of one verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class McpAddress:
    """An MCP server that listens at a URL (streamable HTTP). Header values are secrets."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class McpCommand:
    """An MCP server that the worker starts and talks to over its standard streams. Values of `env` are secrets."""

    argv: tuple[str, ...]  # the program and its arguments
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """A server that brings its tools with their schemas."""

    name: str
    at: McpAddress | McpCommand
    allowed_tools: tuple[str, ...] | None = None  # None: all that it lists
    timeout_s: float = 60.0  # for one try of a call
    deadline_s: float = 180.0  # for all tries of one call, connecting included
    max_concurrency: int | None = None  # calls under way at once; None: any number
    rate_limit: float | None = None  # calls per second, retries included; None: any number


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How completions are drawn. Training samples at temperature 1, untruncated: log-probabilities are then exact."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_turn_tokens: int = 256
    max_context_tokens: int = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Budgets of one episode. Reaching one ends the episode, which is graded on what it has, and says so."""

    max_turns: int = 10
    max_tool_calls: int = 32
    max_tool_output_tokens: int = 512
    wall_clock_s: float = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    """The light efficiency term inside successes (rl-engine reference, section 1.7)."""

    weight: float = 0.05
    reasoning_tokens: float = 1.0
    tool_calls: float = 1.0
    tool_seconds: float = 0.0
    scale_by_pass_rate: bool = True
    keep: float = 0.25  # kappa: the least share of a positive advantage that stays
    success: float = 0.5  # tau: an attempt with at least this reward counts as a success


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultLimits:
    """When a job pauses for its endpoints, and when truncated episodes are left out (rl-engine, sections 1.6 and 4).

    A tool or grader fails too often when at least `min_faults` of its last `window` calls failed, and more than its
    limit of them, a share.
    """

    tool_limit: float = 0.05
    grader_limit: float = 0.03
    window: int = 100
    min_faults: int = 5
    probe_interval_s: float = 5.0  # before the first probe of a pause; doubled after each that fails
    max_pause_s: float = 1800.0  # of one pause; then the job fails
    truncated_limit: float = 0.25  # share of a step's attempts that may run out of tokens and still be in the loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    learning_rate: float
    warmup_steps: int = 3
    grad_clip: float = 1.0
    decay_to: float = 1.0  # share of the learning rate left at the last step, reached linearly after the warm-up


@dataclass(frozen=True, slots=True, kw_only=True)
class Reinforcement:
    """Everything a reinforcement job needs to know, settled."""

    tools: tuple[ToolEndpoint, ...]
    grader: Mapping[str, Any] = field(repr=False)  # validated wire form; may hold secret headers
    response_format: Mapping[str, Any] | None
    batch_size: int  # distinct items a step
    group_size: int  # attempts at each item
    total_steps: int
    eval_interval: int
    eval_samples: int
    reasoning_effort: str
    limits: Limits
    penalty: Penalty
    loss: Loss
    max_refills: int = 2  # further draws of items, each at most a batch, to replace groups without signal
    max_attempts: int = 3  # at one place of a group, where attempts meet faults
    min_group: int = 2  # valid attempts below which a group is skipped
    train_attempts: int | None = None  # of each group, at most so many are trained on (engine/credit.py: thinned)
    lifecycle: LifecycleEndpoint | None = None
    signing_secret: str | None = field(default=None, repr=False)  # of all requests to the user's endpoints
    faults: FaultLimits = field(default_factory=FaultLimits)
    grader_sees_trace: bool = True  # whether graders get the whole way to the answer, under `sample.agentrft`
    mcp_servers: tuple[McpServer, ...] = ()
    monitor_graders: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)  # watch, and are never in the loss
    check_grader: bool = True  # grade some episodes of the baseline twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervised:
    batch_size: int
    n_epochs: int
    total_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    id: str
    method: Method
    base_model: str  # the model to start from: a catalogued base or an `ft:` name
    suffix: str | None
    seed: int
    training_file: str
    validation_file: str | None
    sampling: Sampling
    optimizer: Optimizer
    lora: LoraConfig | None  # None: all weights
    reinforcement: Reinforcement | None = None
    supervised: Supervised | None = None
