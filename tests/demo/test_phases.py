from collections.abc import Iterator

from rich.console import Console

from agentrft.demo.display import PlainDisplay
from agentrft.demo.follow import Progress, StepFigures, read_step
from agentrft.demo.pace import Plan
from agentrft.demo.phases import Phases, watch
from tests.demo.fake_platform import metrics


class Script:
    """A follower that plays what it was given."""

    def __init__(self, *updates: StepFigures | Progress) -> None:
        self._updates = updates

    def updates(self) -> Iterator[StepFigures | Progress]:
        yield from self._updates


class Recorder(PlainDisplay):
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.told: list[tuple[float, str]] = []

    def progress(self, share: float, detail: str, seconds_left: float | None) -> None:
        self.told.append((share, detail))


def test_the_bar_follows_steps_and_what_happens_inside_them() -> None:
    follower = Script(
        Progress(phase="eval", step=0, done=1, expected=2),
        read_step(metrics(0, 2, valid_reward_mean=0.1)),
        Progress(phase="training", step=1, done=0, expected=0),
        read_step(metrics(1, 2, **{"train/loss": 0.5})),
        read_step(metrics(2, 2)),
    )
    plan = Plan(total_steps=2, step_episodes=8, eval_episodes=4, eval_interval=2)
    display, steps = Recorder(), []
    assert watch(follower, plan, display, on_step=steps.append) == steps
    assert [figures.step for figures in steps] == [0, 1, 2]
    shares, details = zip(*display.told, strict=True)
    assert list(shares) == [2 / 24, 4 / 24, 8 / 24, 12 / 24, 1.0]
    assert details == ("step 0: eval 1/2", "step 0/2", "step 1: training", "step 1/2, loss 0.500", "step 2/2")


def test_parts_follow_each_other_without_a_gap() -> None:
    phases = Phases()
    for name in ("start", "baseline"):
        phases.begin(name)
    assert list(phases.seconds()) == ["start", "baseline"]
    assert phases.total_s() >= 0
