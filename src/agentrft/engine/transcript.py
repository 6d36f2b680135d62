"""The one token sequence of an episode while it grows. It has no way to change or remove what it holds.

Sampled tokens are kept as the sampler gave them: rendering and encoding them again would give other tokens than those
that were sampled, and with them wrong importance weights (rl-engine reference, sections 2.1 and 2.3).
"""

from collections.abc import Iterable

from agentrft.domain.episode import Completion, Span, TokenKind, Tokens


class Transcript:
    """Grows by spans (what the model reads) and completions (what it writes).

    Every token belongs to a turn: the opening and the first completion to turn 0, and what follows a completion to the
    turn of that completion, as in `domain.episode.Turn`.
    """

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._kinds: list[TokenKind] = []
        self._logps: list[float] = []
        self._turns: list[int] = []
        self._versions: list[int] = []

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> tuple[int, ...]:
        """Everything so far: the prompt of the next turn."""
        return tuple(self._ids)

    def read(self, spans: Iterable[Span], *, turn: int) -> None:
        """Append tokens that were not sampled.

        Raises:
            ValueError: when a span says that it was sampled; only a completion has log-probabilities.
        """
        for span in spans:
            if span.kind is TokenKind.SAMPLED:
                raise ValueError("a sampled span must come as a completion, with its log-probabilities")
            count = len(span.ids)
            self._append(span.ids, kind=span.kind, logps=[0.0] * count, versions=[-1] * count, turn=turn)

    def write(self, completion: Completion, *, turn: int) -> None:
        """Append what the policy sampled.

        Raises:
            ValueError: when the log-probabilities or versions do not match the ids one by one.
        """
        if not len(completion.ids) == len(completion.logps) == len(completion.versions):
            raise ValueError(
                f"a completion of {len(completion.ids)} tokens came with {len(completion.logps)} log-probabilities "
                f"and {len(completion.versions)} policy versions"
            )
        self._append(
            completion.ids,
            kind=TokenKind.SAMPLED,
            logps=completion.logps,
            versions=completion.versions,
            turn=turn,
        )

    def tokens(self) -> Tokens:
        """The sequence as it stands, as a value that later growth does not touch."""
        return Tokens(
            ids=tuple(self._ids),
            kinds=tuple(self._kinds),
            logps=tuple(self._logps),
            turns=tuple(self._turns),
            versions=tuple(self._versions),
        )

    def _append(
        self, ids: Iterable[int], *, kind: TokenKind, logps: Iterable[float], versions: Iterable[int], turn: int
    ) -> None:
        before = len(self._ids)
        self._ids.extend(ids)
        added = len(self._ids) - before
        self._kinds.extend([kind] * added)
        self._logps.extend(logps)
        self._turns.extend([turn] * added)
        self._versions.extend(versions)
