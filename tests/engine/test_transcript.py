"""The token sequence of an episode only grows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrft.domain.episode import Completion, FinishReason, Span, TokenKind
from agentrft.engine.transcript import Transcript

READ_KINDS = [kind for kind in TokenKind if kind is not TokenKind.SAMPLED]
IDS = st.lists(st.integers(0, 99), max_size=5).map(tuple)
SPANS = st.builds(Span, ids=IDS, kind=st.sampled_from(READ_KINDS))
COMPLETIONS = IDS.map(
    lambda ids: Completion(
        ids=ids, logps=tuple(-0.1 * token for token in ids), versions=(7,) * len(ids), finish=FinishReason.STOP
    )
)


@given(st.lists(st.one_of(SPANS, COMPLETIONS), max_size=8))
def test_what_was_appended_never_changes(pieces: list[Span | Completion]) -> None:
    transcript = Transcript()
    for turn, piece in enumerate(pieces):
        before = transcript.tokens()
        if isinstance(piece, Span):
            transcript.read([piece], turn=turn)
        else:
            transcript.write(piece, turn=turn)
        after = transcript.tokens()
        for column in ("ids", "kinds", "logps", "turns", "versions"):
            assert getattr(after, column)[: len(before)] == getattr(before, column)
            assert len(getattr(after, column)) == len(before) + len(piece.ids)
        assert after.ids[len(before) :] == piece.ids
    assert transcript.ids == tuple(token for piece in pieces for token in piece.ids)


def test_sampled_tokens_keep_their_log_probability_turn_and_version() -> None:
    transcript = Transcript()
    transcript.read([Span(ids=(1, 2), kind=TokenKind.USER)], turn=0)
    transcript.write(Completion(ids=(3, 4), logps=(-0.5, -1.5), versions=(2, 3), finish=FinishReason.STOP), turn=0)
    transcript.read([Span(ids=(5,), kind=TokenKind.TOOL)], turn=0)
    tokens = transcript.tokens()
    assert tokens.logps == (0.0, 0.0, -0.5, -1.5, 0.0)
    assert tokens.versions == (-1, -1, 2, 3, -1)
    assert tokens.kinds[2:4] == (TokenKind.SAMPLED, TokenKind.SAMPLED)
    assert tokens.turns == (0,) * 5
    assert tokens.sampled_count == 2


def test_a_span_cannot_pass_for_sampled_tokens() -> None:
    with pytest.raises(ValueError, match="as a completion"):
        Transcript().read([Span(ids=(1,), kind=TokenKind.SAMPLED)], turn=0)


def test_a_completion_whose_parts_do_not_match_is_refused_whole() -> None:
    transcript = Transcript()
    with pytest.raises(ValueError, match="3 tokens came with 2 log-probabilities and 3 policy versions"):
        transcript.write(
            Completion(ids=(1, 2, 3), logps=(0.0, 0.0), versions=(1, 1, 1), finish=FinishReason.STOP), turn=0
        )
    assert len(transcript) == 0
