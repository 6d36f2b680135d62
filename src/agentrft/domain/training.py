"""Datum -> Step -> Checkpoint: what the trainer sees and what it gives back. It knows nothing of tools."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Loss(StrEnum):
    """Objectives by the names users know (rl-engine reference, sections 1.2 and 1.3)."""

    RFT_V1 = "rft_v1"
    GRPO = "grpo"
    DR_GRPO = "dr_grpo"
    DAPO = "dapo"
    GSPO = "gspo"
    CISPO = "cispo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    """One sequence to learn from; all tuples have the length of `ids`.

    `weights` is 0 where a token carries no loss. For policy losses it is 1 on sampled tokens; for supervised rows it is
    the share of each assistant token.
    """

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    old_logps: tuple[float, ...] = ()  # as sampled; empty for supervised rows
    advantage: float = 0.0  # of the whole episode; unused for supervised rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    """Adapters on all linear layers, scaled by alpha / rank. Defaults: rl-engine reference, section 0."""

    rank: int = 32
    alpha: float = 32.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSettings:
    """How one batch moves the weights.

    `normaliser` is the constant that the summed loss is divided by, so that packing and micro-batching cannot change a
    result (section 1.3).
    """

    learning_rate: float
    normaliser: float
    loss: Loss | None = None  # None: supervised cross-entropy
    grad_clip: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStats:
    """What one update did. `metrics` are means over action tokens unless the name says otherwise."""

    loss: float
    grad_norm: float
    tokens: int  # action tokens
    unique_tokens: int  # tokens computed after sharing prefixes
    nominal_tokens: int  # tokens of all sequences without sharing
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Published weights: a version, never used twice, and where a sampler finds them (opaque to the engine)."""

    version: int
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Weights and optimizer state that a job can resume from and a model can be served from."""

    step: int
    path: str
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds of one step by part."""

    sampling_s: float = 0.0
    training_s: float = 0.0
    eval_s: float = 0.0
    total_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine can do, so that a job that needs more is refused when it is created."""

    losses: frozenset[Loss]
    lora: bool
    full_weights: bool
    supervised: bool
    max_context_tokens: int
