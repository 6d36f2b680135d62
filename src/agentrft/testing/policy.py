"""A policy that a test can train in a second: a table of softmax logits, in pure Python.

It stands behind the same ports as a language model on a GPU, so that the real loop can be seen to learn: it samples by
what it has loaded, and learns by an importance-weighted policy gradient (rl-engine reference, section 1.3) on what the
loop hands to its trainer.
"""

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

from agentrft.domain.episode import Completion, FinishReason
from agentrft.domain.training import Capabilities, Checkpoint, Datum, Loss, UpdateSettings, UpdateStats, Weights
from agentrft.ports import SampleRequest

WEIGHT_CAP = 5.0  # of an importance weight, as in rft-v1

State = tuple[int, ...]
Table = dict[State, list[float]]


class ToyPolicy:
    """Both `ports.Sampler` and `ports.Trainer`: pi(token | last tokens) = softmax(table[last tokens]).

    Args:
        actions: the token ids it can write; every other token it can only read.
        memory: how many of the last tokens it sees.
        bias: logits to start from, by token; 0 for the others.
    """

    def __init__(self, actions: Sequence[int], *, memory: int = 2, bias: Mapping[int, float] | None = None) -> None:
        self._actions = list(actions)
        self._memory = memory
        self._start = [(bias or {}).get(action, 0.0) for action in self._actions]
        self._learned: Table = {}
        self._published: dict[str, Table] = {}
        self._saved: dict[str, Table] = {}
        self._serving: Table = {}
        self._version = 0
        self.open_sessions: set[str] = set()
        self.updates: list[tuple[list[Datum], UpdateSettings]] = []

    async def sample(self, request: SampleRequest) -> Completion:
        if request.stop_sequences or request.deadline_s is not None:
            raise NotImplementedError("stop sequences and deadlines")
        if request.sampling.top_p < 1.0:
            raise ValueError("the toy policy samples untruncated: leave top_p at 1")
        self.open_sessions.add(request.session)
        dice = random.Random(request.seed)
        ids: list[int] = []
        logps: list[float] = []
        while len(ids) < request.max_tokens and not (ids and ids[-1] in request.stop_ids):
            probabilities = self._probabilities(
                self._serving, self._state([*request.prompt, *ids]), request.sampling.temperature
            )
            index = dice.choices(range(len(self._actions)), weights=probabilities)[0]
            ids.append(self._actions[index])
            logps.append(math.log(probabilities[index]))
        stopped = bool(ids) and ids[-1] in request.stop_ids
        return Completion(
            ids=tuple(ids),
            logps=tuple(logps),
            versions=(self._version,) * len(ids),
            finish=FinishReason.STOP if stopped else FinishReason.LENGTH,
        )

    async def release(self, session: str) -> None:
        self.open_sessions.discard(session)

    async def load(self, weights: Weights) -> None:
        self._serving = self._published[weights.location]
        self._version = weights.version

    def capabilities(self) -> Capabilities:
        return Capabilities(
            losses=frozenset({Loss.RFT_V1}),
            lora=False,
            full_weights=True,
            supervised=True,
            max_context_tokens=1 << 20,
        )

    async def update(self, data: Sequence[Datum], settings: UpdateSettings) -> UpdateStats:
        """One step of plain gradient descent on the table, without momentum."""
        if settings.loss not in (None, Loss.RFT_V1):
            raise ValueError(f"the toy policy cannot learn by {settings.loss}")
        self.updates.append((list(data), settings))
        gradient: defaultdict[State, list[float]] = defaultdict(lambda: [0.0] * len(self._actions))
        loss = sum(self._accumulate(datum, gradient, settings) for datum in data) / settings.normaliser
        norm = math.sqrt(math.fsum(slope**2 for slopes in gradient.values() for slope in slopes))
        scale = settings.learning_rate * min(1.0, settings.grad_clip / norm if norm else 1.0)
        for state, slopes in gradient.items():
            row = self._learned.get(state, self._start)
            self._learned[state] = [logit - scale * slope for logit, slope in zip(row, slopes, strict=True)]
        nominal = sum(len(datum.ids) for datum in data)
        tokens = sum(weight > 0 for datum in data for weight in datum.weights)
        return UpdateStats(loss=loss, grad_norm=norm, tokens=tokens, unique_tokens=nominal, nominal_tokens=nominal)

    async def publish(self) -> Weights:
        weights = Weights(version=len(self._published) + 1, location=f"memory:{len(self._published) + 1}")
        self._published[weights.location] = dict(self._learned)
        return weights

    async def save(self, step: int, metrics: Mapping[str, float]) -> Checkpoint:
        self._saved[f"memory:step-{step}"] = dict(self._learned)
        return Checkpoint(step=step, path=f"memory:step-{step}", metrics=metrics)

    async def restore(self, checkpoint: Checkpoint) -> None:
        self._learned = dict(self._saved[checkpoint.path])

    def probability(self, action: int, after: Sequence[int]) -> float:
        """Of writing `action` after these tokens, by the weights that it samples from."""
        return self._probabilities(self._serving, self._state(after), 1.0)[self._actions.index(action)]

    def _accumulate(self, datum: Datum, gradient: Mapping[State, list[float]], settings: UpdateSettings) -> float:
        """Add the slopes of one sequence; returns its share of the loss, not yet normalised."""
        loss = 0.0
        for position, (token, weight) in enumerate(zip(datum.ids, datum.weights, strict=True)):
            if weight == 0.0:
                continue
            state = self._state(datum.ids[max(0, position - self._memory) : position])
            probabilities = self._probabilities(self._learned, state, 1.0)
            chosen = self._actions.index(token)
            logp = math.log(probabilities[chosen])
            push = weight
            if settings.loss is not None:
                push *= datum.advantage * min(math.exp(logp - datum.old_logps[position]), WEIGHT_CAP)
            loss -= push * logp
            for index, probability in enumerate(probabilities):
                gradient[state][index] -= push * ((index == chosen) - probability) / settings.normaliser
        return loss

    def _state(self, ids: Sequence[int]) -> State:
        return tuple(ids[-self._memory :])

    def _probabilities(self, table: Table, state: State, temperature: float) -> list[float]:
        logits = [logit / temperature for logit in table.get(state, self._start)]
        largest = max(logits)
        powers = [math.exp(logit - largest) for logit in logits]
        total = math.fsum(powers)
        return [power / total for power in powers]
