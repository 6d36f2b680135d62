"""A policy that says what a script tells it, with the log-probabilities that such a policy really has."""

import itertools
import math
import random
from collections.abc import Callable, Sequence

from agentrft.domain.episode import Completion, FinishReason
from agentrft.domain.training import Weights
from agentrft.ports import SampleRequest
from agentrft.testing.chat import END, WordChat

Script = Callable[[SampleRequest], Sequence[str]]


class FakeSampler:
    """`agentrft.ports.Sampler` that draws one of the texts which its script allows for a turn, each equally likely.

    Args:
        chat: turns texts into tokens.
        script: the allowed texts for a request; or a sequence with those of turn 0, 1, ...

    `requests`, `released` and `loaded` keep what the sampler was asked, in order.
    """

    def __init__(self, chat: WordChat, script: Script | Sequence[Sequence[str]]) -> None:
        self._chat = chat
        self._script = script
        self._turns: dict[str, int] = {}
        self.requests: list[SampleRequest] = []
        self.released: list[str] = []
        self.loaded: list[Weights] = []

    async def sample(self, request: SampleRequest) -> Completion:
        if request.stop_sequences or request.deadline_s is not None:
            raise NotImplementedError("stop sequences and deadlines")
        self.requests.append(request)
        texts = [(*self._chat.encode(text), END) for text in self._allowed(request)]
        chosen = random.Random(request.seed).choice(texts)
        ids = chosen[: request.max_tokens]
        return Completion(
            ids=ids,
            logps=_logps(texts, ids),
            versions=(self.loaded[-1].version if self.loaded else 0,) * len(ids),
            finish=FinishReason.STOP if len(ids) == len(chosen) else FinishReason.LENGTH,
        )

    async def release(self, session: str) -> None:
        self.released.append(session)

    async def load(self, weights: Weights) -> None:
        self.loaded.append(weights)

    def _allowed(self, request: SampleRequest) -> Sequence[str]:
        if callable(self._script):
            return self._script(request)
        turn = self._turns.get(request.session, 0)
        self._turns[request.session] = turn + 1
        return self._script[turn]


def _logps(texts: Sequence[tuple[int, ...]], ids: tuple[int, ...]) -> tuple[float, ...]:
    """log p(token | prefix): the share of the texts that go on with it, of those that begin with the prefix."""
    counts = [sum(text[:length] == ids[:length] for text in texts) for length in range(len(ids) + 1)]
    return tuple(math.log(after / before) for before, after in itertools.pairwise(counts))
