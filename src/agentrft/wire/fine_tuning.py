"""The request that creates a job, in OpenAI's form, with our own settings under the one key `agentrft`."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from agentrft.domain.job import FaultLimits
from agentrft.domain.signing_secret import read_signing_secret
from agentrft.domain.training import Loss
from agentrft.wire.graders import Headers, HttpUrl
from agentrft.wire.mcp_servers import McpServers
from agentrft.wire.response_format import ResponseFormat
from agentrft.wire.strict import INTEGER_OR_AUTO, NUMBER_OR_AUTO, Auto, Strict

MAX_SEED = 2_147_483_647

BatchSize = Annotated[Annotated[int, Field(ge=1, le=256)] | Auto, INTEGER_OR_AUTO]
Epochs = Annotated[Annotated[int, Field(ge=1, le=50)] | Auto, INTEGER_OR_AUTO]
PositiveOrAuto = Annotated[Annotated[float, Field(gt=0)] | Auto, NUMBER_OR_AUTO]
ComputeMultiplier = Annotated[Annotated[float, Field(gt=0.00001, le=10)] | Auto, NUMBER_OR_AUTO]
CountOrAuto = Annotated[Annotated[int, Field(ge=1)] | Auto, INTEGER_OR_AUTO]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]
Limit = Annotated[float, Field(ge=0, le=1)]
Monitors = Annotated[list[dict[str, Any]], Field(max_length=8)]
LossName = Annotated[Loss, Field(strict=False)]


class Tool(Strict):
    """Where a tool that the data names is served. Header values are secrets."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    server_url: HttpUrl
    headers: Annotated[Headers | None, Field(repr=False)] = None
    send_item: bool | None = None  # whether calls carry the whole row
    timeout_s: Annotated[float, Field(gt=0, le=600)] | None = None  # for one request
    deadline_s: Annotated[float, Field(gt=0, le=3600)] | None = None  # for all tries of one call
    max_concurrency: Annotated[int, Field(ge=1, le=1024)] | None = None  # requests under way at once
    rate_limit: Annotated[float, Field(gt=0)] | None = None  # requests a second, retries included


class LifecycleSettings(Strict):
    """Who is told that an episode begins and ends. Header values are secrets."""

    url: HttpUrl
    headers: Annotated[Headers | None, Field(repr=False)] = None


def _check_secret(secret: str) -> str:
    read_signing_secret(secret)
    return secret


SigningSecret = Annotated[str, AfterValidator(_check_secret)]


def _one_endpoint_for_each_tool(tools: list[Tool]) -> list[Tool]:
    names = [tool.name for tool in tools]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ValueError(f"the tool '{double}' is given twice; give each tool one server_url.")
    return tools


Tools = Annotated[list[Tool], AfterValidator(_one_endpoint_for_each_tool)]


class ReinforcementHyperparameters(Strict):
    batch_size: BatchSize = "auto"  # distinct items a step
    n_epochs: Epochs = "auto"
    learning_rate_multiplier: PositiveOrAuto = "auto"
    compute_multiplier: ComputeMultiplier = "auto"  # attempts at each item: max(2, round(16 x this))
    eval_interval: CountOrAuto = "auto"  # steps
    eval_samples: CountOrAuto = "auto"  # attempts at each validation item
    reasoning_effort: Literal["default", "low", "medium", "high"] = "default"


class SupervisedHyperparameters(Strict):
    batch_size: BatchSize = "auto"
    n_epochs: Epochs = "auto"
    learning_rate_multiplier: PositiveOrAuto = "auto"


class PenaltySettings(Strict):
    """The efficiency term inside successes; each of the three shares of it is a weight."""

    weight: Weight | None = None
    reasoning_tokens: Weight | None = None
    tool_calls: Weight | None = None
    tool_seconds: Weight | None = None
    scale_by_pass_rate: bool | None = None


class FaultSettings(Strict):
    """When the job pauses for a tool or grader that fails, and when truncated episodes are left out of the loss.

    Limits are shares; at 1 nothing is ever over the limit. A window has room for `min_faults`.
    """

    tool_limit: Limit | None = None
    grader_limit: Limit | None = None
    window: Annotated[int, Field(ge=1, le=100_000)] | None = None  # calls that a rate is taken over
    min_faults: Count | None = None  # fewer never pause
    probe_interval_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    max_pause_s: Annotated[float, Field(gt=0, le=30 * 86400)] | None = None  # then the job fails
    truncated_limit: Limit | None = None

    @model_validator(mode="after")
    def _a_pause_is_possible(self) -> Self:
        defaults = FaultLimits()
        window, least = self.window or defaults.window, self.min_faults or defaults.min_faults
        if window < least:
            raise ValueError(
                f"a window of {window} calls never holds min_faults ({least}), so that the job would never pause; "
                "raise window or lower min_faults, or give limits of 1 to never pause."
            )
        return self


class Weights(Strict):
    """What both methods let a user say about how weights move. What is not given is settled by the worker."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    lora_rank: Annotated[int, Field(ge=1, le=1024)] | None = None
    full_weights: bool | None = None
    max_context_tokens: Annotated[int, Field(ge=16)] | None = None
    max_steps: Count | None = None

    @model_validator(mode="after")
    def _one_way_to_train(self) -> Self:
        if self.full_weights and self.lora_rank is not None:
            raise ValueError("lora_rank and full_weights exclude each other; give one.")
        return self


class ReinforcementSettings(Weights):
    """`method.reinforcement.agentrft`."""

    group_size: Annotated[int, Field(ge=2, le=1024)] | None = None
    train_attempts: Count | None = None  # of each group
    loss: LossName | None = None
    penalty: PenaltySettings | None = None
    max_tool_calls: Count | None = None
    max_turn_tokens: Count | None = None
    max_tool_output_tokens: Count | None = None
    max_refills: Annotated[int, Field(ge=0)] | None = None
    lifecycle: LifecycleSettings | None = None
    signing_secret: Annotated[SigningSecret | None, Field(repr=False)] = None  # signs what is sent to tools and graders
    max_episode_s: Annotated[float, Field(gt=0, le=86400)] | None = None  # wall clock, and of a grading too
    faults: FaultSettings | None = None
    grader_sees_trace: bool | None = None  # whether graders get the whole way to the answer, under `sample.agentrft`
    mcp_servers: McpServers | None = None
    monitor_graders: Monitors | None = Field(default=None, repr=False)  # read by agentrft.grading
    check_grader: bool | None = None


class SupervisedSettings(Weights):
    """`method.supervised.agentrft`."""


def _absent_means_default(value: object) -> object:
    return {} if value is None else value


class Reinforcement(Strict):
    grader: dict[str, Any] = Field(repr=False)  # read by agentrft.grading
    tools: Tools | None = None
    max_episode_steps: Count | None = None
    response_format: ResponseFormat | None = None
    hyperparameters: Annotated[ReinforcementHyperparameters, BeforeValidator(_absent_means_default)] = (
        ReinforcementHyperparameters()
    )
    agentrft: ReinforcementSettings | None = None


class Supervised(Strict):
    hyperparameters: Annotated[SupervisedHyperparameters, BeforeValidator(_absent_means_default)] = (
        SupervisedHyperparameters()
    )
    agentrft: SupervisedSettings | None = None


class MethodSettings(Strict):
    """Only the part that `type` names is read; SDKs may send the others along."""

    type: Literal["supervised", "reinforcement", "dpo"]
    supervised: Any = None
    reinforcement: Any = None
    dpo: Any = None


MetadataKey = Annotated[str, Field(max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]


class JobRequest(Strict):
    """The outer part of the request; `method` is read by `read_job_request`."""

    model: Annotated[str, Field(min_length=1)]
    training_file: Annotated[str, Field(min_length=1)]
    validation_file: str | None = None
    suffix: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    method: Any = None
    hyperparameters: Any = None  # deprecated by OpenAI, for supervised jobs
    integrations: list[dict[str, Any]] | None = None
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)] | None = None
