"""Reinforcement, from the first evaluation to the last checkpoint: the whole algorithm; the rest is detail.

    baseline evaluation (step 0)
        |
        v
    draw items -> groups of attempts -> advantages -> one update -> publish -> the sampler loads
        ^          (collect.py)         (credit.py)   (trainer)                   |
        |                                                                         v
        +------------------------- next step <----- every eval_interval steps: evaluate, save

Consumes items from `order` and writes everything down in the journal; what is learned leaves as checkpoints.
"""

import time
from collections.abc import Sequence

from agentrft.domain.episode import GradedEpisode, Item
from agentrft.domain.errors import JobFailed
from agentrft.domain.job import Job
from agentrft.domain.training import Checkpoint, Timing, UpdateSettings, UpdateStats
from agentrft.engine.collect import Batch, collect, no_update_warning, training_data, truncation_warning
from agentrft.engine.evaluate import evaluate, no_baseline_message
from agentrft.engine.metrics import mean_sampled_tokens, step_metrics
from agentrft.engine.order import Order
from agentrft.engine.schedule import learning_rate
from agentrft.engine.seeds import derive_seed
from agentrft.engine.summaries import Metrics
from agentrft.engine.world import World
from agentrft.ports import Evaluation, Journal


async def reinforce(
    job: Job,
    world: World,
    *,
    order: Order[Item],
    validation: Sequence[Item],
    journal: Journal,
    resume: Checkpoint | None = None,
) -> Checkpoint:
    """Run a reinforcement job to its end.

    Args:
        job: with `reinforcement` settled.
        world: its trainer holds the weights to start from, those of `resume` where one is given.
        order: training items, without end.
        validation: items to evaluate on; empty: no evaluation, and checkpoints at the same steps all the same.
        resume: the checkpoint of this job to go on from; the baseline evaluation is then not repeated.

    Returns:
        The checkpoint of the last step.

    Raises:
        JobFailed: not one episode of the baseline evaluation could be finished, an endpoint stayed away for too long,
            or the platform failed.
    """
    run = _Run(job=job, world=world, order=order, validation=validation, journal=journal)
    await world.sampler.load(await world.trainer.publish())
    checkpoint = resume
    if checkpoint is None:
        await run.baseline()
    else:
        run.tokens_per_episode = checkpoint.metrics.get("baseline_tokens_per_episode")
    for step in range(checkpoint.step + 1 if checkpoint else 1, run.rules.total_steps + 1):
        checkpoint = await run.step(step) or checkpoint
    if checkpoint is None:
        raise ValueError("a job needs at least one step")
    return checkpoint


class _Run:
    """A job while it runs. `tokens_per_episode` is L0 of section 1.3: measured once, then frozen."""

    def __init__(
        self, *, job: Job, world: World, order: Order[Item], validation: Sequence[Item], journal: Journal
    ) -> None:
        if job.reinforcement is None:
            raise ValueError(f"job {job.id} is no reinforcement job")
        self.job = job
        self.rules = job.reinforcement
        self.world = world
        self.order = order
        self.validation = validation
        self.journal = journal
        self.examiner = world.examiner(job, self.rules, journal)
        self.tokens_per_episode: float | None = None

    async def baseline(self) -> None:
        """Step 0: how good the policy is before it learns, and how long its episodes are."""
        if not self.validation:
            return
        evaluation = await self._evaluate(0)
        self._freeze_length(evaluation.episodes)
        if self.tokens_per_episode is None:
            raise JobFailed(no_baseline_message(evaluation), code="baseline_failed")
        timing = Timing(eval_s=evaluation.seconds, total_s=evaluation.seconds)
        await self.journal.step(0, self._metrics(0, timing, evaluation=evaluation))

    async def step(self, step: int) -> Checkpoint | None:
        """Explore, learn, and at every `eval_interval` and at the end evaluate and save."""
        started = time.monotonic()
        batch = await collect(self.order, examiner=self.examiner, rules=self.rules, step=step, journal=self.journal)
        sampled = time.monotonic()
        stats = await self._learn(batch, step)
        trained = time.monotonic()
        due = step % self.rules.eval_interval == 0 or step == self.rules.total_steps
        evaluation = await self._evaluate(step) if due and self.validation else None
        ended = time.monotonic()
        timing = Timing(
            sampling_s=sampled - started, training_s=trained - sampled, eval_s=ended - trained, total_s=ended - started
        )
        metrics = self._metrics(step, timing, batch=batch, stats=stats, evaluation=evaluation)
        await self.journal.step(step, metrics)
        return await self._save(step, metrics) if due else None

    async def _learn(self, batch: Batch, step: int) -> UpdateStats | None:
        """One update on the useful groups, then everybody samples from the new weights."""
        self._freeze_length(batch.episodes)
        if batch.mask_truncated:
            await self.journal.warn(truncation_warning(batch, self.rules, step))
        learned_from = training_data(batch, self.rules, seed=derive_seed(self.job.seed, step))
        if not learned_from or self.tokens_per_episode is None:
            await self.journal.warn(no_update_warning(batch, self.rules, step))
            return None
        await self.journal.progress(step, "training", 0, len(learned_from))
        settings = UpdateSettings(
            learning_rate=self._learning_rate(step),
            normaliser=batch.useful_rollouts * self.tokens_per_episode,
            loss=self.rules.loss,
            grad_clip=self.job.optimizer.grad_clip,
        )
        stats = await self.world.trainer.update(learned_from, settings)
        await self.world.sampler.load(await self.world.trainer.publish())
        await self.journal.progress(step, "training", len(learned_from), len(learned_from))
        return stats

    async def _evaluate(self, step: int) -> Evaluation:
        return await evaluate(
            self.validation,
            examiner=self.examiner,
            samples=self.rules.eval_samples,
            step=step,
            journal=self.journal,
        )

    async def _save(self, step: int, metrics: Metrics) -> Checkpoint:
        checkpoint = await self.world.trainer.save(step, metrics)
        await self.journal.checkpoint(checkpoint)
        return checkpoint

    def _freeze_length(self, episodes: Sequence[GradedEpisode]) -> None:
        if self.tokens_per_episode is None:
            mean = mean_sampled_tokens(episodes)
            self.tokens_per_episode = None if mean is None else max(1.0, mean)

    def _learning_rate(self, step: int) -> float:
        return learning_rate(self.job.optimizer, step=step, total_steps=self.rules.total_steps)

    def _metrics(
        self,
        step: int,
        timing: Timing,
        *,
        batch: Batch | None = None,
        stats: UpdateStats | None = None,
        evaluation: Evaluation | None = None,
    ) -> Metrics:
        settings = {"learning_rate": self._learning_rate(step)} if batch else {}
        if self.tokens_per_episode is not None:
            settings["baseline_tokens_per_episode"] = self.tokens_per_episode
        measured = step_metrics(
            batch=batch, stats=stats, evaluation=evaluation, timing=timing, penalty=self.rules.penalty
        )
        return measured | settings
