"""From a request to a Job: the one place where every "auto" gets its value (docs/compute.md says the same in prose)."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from agentrft.domain.job import (
    FaultLimits,
    Job,
    LifecycleEndpoint,
    Limits,
    McpAddress,
    McpCommand,
    McpServer,
    Method,
    Optimizer,
    Penalty,
    Reinforcement,
    Sampling,
    Supervised,
    ToolEndpoint,
)
from agentrft.domain.training import LoraConfig, Loss
from agentrft.store.queue import Claim
from agentrft.wire import fine_tuning as wire
from agentrft.wire.mcp_servers import McpServer as WireMcpServer
from agentrft.wire.strict import parse

# Defaults of the rl-engine reference, section 0, for the embedded engine.
GROUP_SIZE = 16  # attempts at each item at compute_multiplier 1
BATCH_SIZE = 4  # items a step: 64 episodes
SUPERVISED_BATCH_SIZE = 8
TARGET_STEPS = 20  # n_epochs "auto" aims at this many
MAX_AUTO_EPOCHS = 10
EVAL_INTERVAL = 5
EVAL_EPISODES = 64  # eval_samples "auto" aims at this many attempts a pass
MAX_EVAL_SAMPLES = 4
MAX_REFILLS = 2
MIN_GROUP = 4  # attempts without a fault that a group needs at least, or half of it, but never more than it has
CONTEXT_TOKENS = 4096
LEARNING_RATE = {Method.REINFORCEMENT: 1e-4, Method.SUPERVISED: 5e-4}
FULL_WEIGHTS_FACTOR = 0.1  # full fine-tuning takes a tenth of an adapter's rate
SUPERVISED_DECAY = 0.1
TURN_TOKENS = {"default": 256, "low": 128, "medium": 256, "high": 1024}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What "auto" depends on beside the request."""

    training_rows: int
    validation_rows: int
    max_context_tokens: int  # of the model
    model_lora: LoraConfig | None = None  # of the adapter that the job goes on from


def settle(claim: Claim, facts: Facts) -> Job:
    """Give every setting its value. Everything here has been validated when the job was created."""
    method = claim.job.method
    kind = wire.Reinforcement if method is Method.REINFORCEMENT else wire.Supervised
    asked: Any = parse(kind, claim.request[method.value])
    ours: Any = asked.agentrft or (
        wire.ReinforcementSettings() if method is Method.REINFORCEMENT else wire.SupervisedSettings()
    )
    reinforcement = _reinforcement(asked, ours, facts) if isinstance(asked, wire.Reinforcement) else None
    supervised = _supervised(asked, ours, facts) if isinstance(asked, wire.Supervised) else None
    effort = reinforcement.reasoning_effort if reinforcement else "default"
    return Job(
        id=claim.job.id,
        method=method,
        base_model=claim.job.base_model,
        suffix=claim.job.suffix,
        seed=claim.job.seed,
        training_file=claim.job.training_file,
        validation_file=claim.job.validation_file,
        sampling=Sampling(
            max_turn_tokens=getattr(ours, "max_turn_tokens", None) or TURN_TOKENS[effort],
            max_context_tokens=min(ours.max_context_tokens or CONTEXT_TOKENS, facts.max_context_tokens),
        ),
        optimizer=_optimizer(method, asked, ours),
        lora=None if ours.full_weights else _lora(ours.lora_rank, facts.model_lora),
        reinforcement=reinforcement,
        supervised=supervised,
    )


def settled_hyperparameters(job: Job, asked: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """What the job object shows in place of each "auto"."""
    shown = {"learning_rate_multiplier": _or(asked.get("learning_rate_multiplier"), 1.0)}
    if job.supervised is not None:
        return shown | {"batch_size": job.supervised.batch_size, "n_epochs": job.supervised.n_epochs}
    rules = job.reinforcement
    if rules is None:
        return shown
    return shown | {
        "batch_size": rules.batch_size,
        "n_epochs": _or(asked.get("n_epochs"), ceil(rules.total_steps / ceil(facts.training_rows / rules.batch_size))),
        "eval_interval": rules.eval_interval,
        "eval_samples": rules.eval_samples,
        "compute_multiplier": rules.group_size / GROUP_SIZE,
        "reasoning_effort": rules.reasoning_effort,
    }


def _lora(rank: int | None, had: LoraConfig | None) -> LoraConfig:
    """A job that goes on from an adapter keeps its shape unless told otherwise."""
    if rank is None:
        return had or LoraConfig()
    return LoraConfig(rank=rank)


def _reinforcement(asked: wire.Reinforcement, ours: Any, facts: Facts) -> Reinforcement:
    hyper = asked.hyperparameters
    batch_size = min(_or(hyper.batch_size, BATCH_SIZE), facts.training_rows)
    steps_per_epoch = ceil(facts.training_rows / batch_size)
    epochs = _or(hyper.n_epochs, min(MAX_AUTO_EPOCHS, ceil(TARGET_STEPS / steps_per_epoch)))
    total_steps = min(epochs * steps_per_epoch, ours.max_steps or epochs * steps_per_epoch)
    samples = min(MAX_EVAL_SAMPLES, ceil(EVAL_EPISODES / max(1, facts.validation_rows)))
    group_size = ours.group_size or max(2, round(GROUP_SIZE * _or(hyper.compute_multiplier, 1.0)))
    if asked.grader.get("type") == "ruler":
        samples = max(2, samples)  # a single attempt has nothing to be compared with
    return Reinforcement(
        tools=tuple(_endpoint(tool) for tool in asked.tools or ()),
        grader=asked.grader,
        response_format=asked.model_dump(mode="json", by_alias=True).get("response_format"),
        batch_size=batch_size,
        group_size=group_size,
        total_steps=total_steps,
        eval_interval=_or(hyper.eval_interval, min(EVAL_INTERVAL, total_steps)),
        eval_samples=_or(hyper.eval_samples, samples),
        reasoning_effort=hyper.reasoning_effort,
        limits=_limits(asked, ours),
        penalty=_penalty(ours.penalty),
        loss=Loss(ours.loss or Loss.RFT_V1),
        train_attempts=ours.train_attempts,
        max_refills=MAX_REFILLS if ours.max_refills is None else ours.max_refills,
        lifecycle=_lifecycle(ours.lifecycle),
        signing_secret=ours.signing_secret,
        min_group=min(group_size, max(MIN_GROUP, ceil(group_size / 2))),
        faults=_fault_limits(ours.faults),
        grader_sees_trace=ours.grader_sees_trace is not False,
        mcp_servers=tuple(_mcp_server(server) for server in ours.mcp_servers or ()),
        monitor_graders=tuple(ours.monitor_graders or ()),
        check_grader=ours.check_grader is not False,
    )


def _supervised(asked: wire.Supervised, ours: Any, facts: Facts) -> Supervised:
    hyper = asked.hyperparameters
    batch_size = min(_or(hyper.batch_size, SUPERVISED_BATCH_SIZE), facts.training_rows)
    epochs = _or(hyper.n_epochs, 1 if facts.training_rows >= 200 else 3)
    steps = epochs * ceil(facts.training_rows / batch_size)
    return Supervised(batch_size=batch_size, n_epochs=epochs, total_steps=min(steps, ours.max_steps or steps))


def _optimizer(method: Method, asked: Any, ours: Any) -> Optimizer:
    rate = LEARNING_RATE[method] * (FULL_WEIGHTS_FACTOR if ours.full_weights else 1.0)
    rate = ours.learning_rate or rate
    decay = SUPERVISED_DECAY if method is Method.SUPERVISED else 1.0
    return Optimizer(learning_rate=rate * _or(asked.hyperparameters.learning_rate_multiplier, 1.0), decay_to=decay)


def _endpoint(tool: wire.Tool) -> ToolEndpoint:
    given = {
        "send_item": tool.send_item,
        "timeout_s": tool.timeout_s,
        "deadline_s": tool.deadline_s,
        "max_concurrency": tool.max_concurrency,
        "rate_limit": tool.rate_limit,
    }
    return ToolEndpoint(
        name=tool.name,
        server_url=tool.server_url,
        headers=dict(tool.headers or {}),
        **{key: value for key, value in given.items() if value is not None},  # type: ignore[arg-type]
    )


def _lifecycle(given: wire.LifecycleSettings | None) -> LifecycleEndpoint | None:
    return LifecycleEndpoint(url=given.url, headers=dict(given.headers or {})) if given else None


def _mcp_server(server: WireMcpServer) -> McpServer:
    given: dict[str, Any] = {
        "timeout_s": server.timeout_s,
        "deadline_s": server.deadline_s,
        "max_concurrency": server.max_concurrency,
        "rate_limit": server.rate_limit,
    }
    if server.url is not None:
        at: McpAddress | McpCommand = McpAddress(url=server.url, headers=dict(server.headers or {}))
    else:
        at = McpCommand(argv=(server.command or "", *(server.args or ())), env=dict(server.env or {}))
    return McpServer(
        name=server.name,
        at=at,
        allowed_tools=tuple(server.allowed_tools) if server.allowed_tools is not None else None,
        **{key: value for key, value in given.items() if value is not None},
    )


def _limits(asked: wire.Reinforcement, ours: Any) -> Limits:
    given = {
        "max_turns": asked.max_episode_steps,
        "max_tool_calls": ours.max_tool_calls,
        "max_tool_output_tokens": ours.max_tool_output_tokens,
        "wall_clock_s": ours.max_episode_s,
    }
    return Limits(**{key: value for key, value in given.items() if value is not None})


def _penalty(given: wire.PenaltySettings | None) -> Penalty:
    return Penalty(**(given.model_dump(exclude_none=True) if given else {}))


def _fault_limits(given: wire.FaultSettings | None) -> FaultLimits:
    return FaultLimits(**(given.model_dump(exclude_none=True) if given else {}))


def _or(value: Any, default: Any) -> Any:
    return default if value in (None, "auto") else value
