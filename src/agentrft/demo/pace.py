"""How far a job is and how long it will take, from the few numbers that the API gives while it runs."""

from dataclasses import dataclass

from agentrft.demo.follow import Progress

EVAL_PHASE = "eval"
SETTLED_SHARE = 0.02  # before that much is done, an estimate of the time left is worth nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A job as work to be done, in episodes: steps of training and passes over the held-out questions."""

    total_steps: int
    step_episodes: int
    eval_episodes: int = 0  # of one pass; 0 where nothing is evaluated
    eval_interval: int = 1

    @property
    def total(self) -> float:
        return self.after(self.total_steps)

    def after(self, step: int) -> float:
        """Episodes done when `step` and its evaluation are complete."""
        return step * self.step_episodes + self._evaluations(step) * self.eval_episodes

    def at(self, progress: Progress) -> float:
        """Episodes done at a place inside a step."""
        share = progress.done / progress.expected if progress.expected else 0.0
        if progress.phase == EVAL_PHASE:
            return self.after(progress.step) - (1 - share) * self.eval_episodes
        before = self.after(max(0, progress.step - 1))
        # Training follows sampling and takes about as long; only sampling counts its episodes.
        inside = share / 2 if progress.phase == "sampling" else (1 + share) / 2
        return before + inside * self.step_episodes

    def _evaluations(self, step: int) -> int:
        """Passes up to and with `step`: the baseline, one each interval, and the last step."""
        last = step == self.total_steps and step % self.eval_interval != 0
        return 1 + step // self.eval_interval + last if self.eval_episodes else 0


@dataclass(slots=True, kw_only=True)
class Pace:
    """Turns a place in a plan into a share done and seconds left. The share never falls."""

    plan: Plan
    started_s: float
    share: float = 0.0

    def reach(self, episodes: float, now_s: float) -> float | None:
        """Note the work done by now; the seconds left, or None while it is too early to tell."""
        self.share = max(self.share, min(1.0, episodes / self.plan.total))
        if self.share < SETTLED_SHARE:
            return None
        return (now_s - self.started_s) * (1 - self.share) / self.share
