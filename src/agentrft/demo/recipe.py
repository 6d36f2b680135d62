"""Every number of the demo's training in one place, so that tuning touches no code."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A short cold start on demonstrations, then reinforcement. Steps are optimizer updates."""

    base_model: str = "SmolLM2-135M-Instruct"
    demonstrations: int = 240
    cold_start_learning_rate: float = 1e-3
    cold_start_batch_size: int = 8
    cold_start_epochs: int = 1
    training_questions: int = 240
    held_out_questions: int = 100
    batch_size: int = 4  # distinct questions a step
    group_size: int = 16  # attempts at each question
    train_attempts: int = 8  # of those, that are trained on
    learning_rate: float = 4e-4
    total_steps: int = 8
    eval_interval: int = 8
    eval_samples: int = 1
    penalty_weight: float = 0.4
    penalty_scale_by_pass_rate: bool = False
    max_episode_steps: int = 6
    max_turn_tokens: int = 48
    max_context_tokens: int = 1536
    max_refills: int = 0  # a step is 64 episodes, whatever they score
    lora_rank: int = 32  # of both jobs

    def __post_init__(self) -> None:
        if self.total_steps < 1 or self.eval_interval < 1:
            raise ValueError("total_steps and eval_interval must be at least 1")

    @property
    def reinforcement_epochs(self) -> int:
        """Passes over the training questions that cover all steps (the API counts in epochs)."""
        steps_per_epoch = -(-self.training_questions // self.batch_size)
        return -(-self.total_steps // steps_per_epoch)
