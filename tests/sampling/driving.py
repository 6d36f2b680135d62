"""Running a shard in the test's own thread, step by step, and checking what it sampled against transformers."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import transformers

from agentrft.domain.episode import Completion
from agentrft.domain.job import Sampling
from agentrft.ports import SampleRequest
from agentrft.sampling.session import Draft
from agentrft.sampling.shard import Shard
from tests.modeling.tiny import reference_logps

TOLERANCE = 1e-4


@dataclass
class Turn:
    """A turn that was asked for; `completion` when it is over."""

    request: SampleRequest
    completion: Completion | None = None
    draft: Draft = field(init=False)

    @property
    def done(self) -> Completion:
        assert self.completion is not None
        return self.completion

    @property
    def history(self) -> list[int]:
        return [*self.request.prompt, *self.done.ids]


class Driver:
    def __init__(self, shard: Shard) -> None:
        self.shard = shard

    def ask(
        self,
        session: str,
        prompt: Sequence[int],
        *,
        max_tokens: int = 6,
        stop: Sequence[int] = (),
        seed: int = 0,
        temperature: float = 1.0,
        top_p: float = 1.0,
        stop_sequences: Sequence[tuple[int, ...]] = (),
        deadline_s: float | None = None,
    ) -> Turn:
        request = SampleRequest(
            session=session,
            prompt=tuple(prompt),
            max_tokens=max_tokens,
            stop_ids=frozenset(stop),
            sampling=Sampling(temperature=temperature, top_p=top_p),
            seed=seed,
            stop_sequences=tuple(stop_sequences),
            deadline_s=deadline_s,
        )
        turn = Turn(request=request)
        turn.draft = Draft(
            request=request, deliver=lambda done: setattr(turn, "completion", done), source=random.Random(seed)
        )
        self.shard.submit(turn.draft)
        return turn

    def run(self, steps: int = 10_000) -> None:
        """Until nothing is left to do, or so many steps."""
        for _ in range(steps):
            if not self.shard.busy:
                return
            self.shard.step()


def check(model: transformers.PreTrainedModel, turn: Turn) -> None:
    """The log-probabilities are those that transformers gives the same sequence."""
    start = len(turn.request.prompt) - 1
    expected = reference_logps(model, turn.history)[start:]
    assert len(turn.done.ids) == len(turn.done.logps) == len(turn.done.versions)
    assert (torch.tensor(turn.done.logps) - expected).abs().max() < TOLERANCE
