import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from agentrft.chat.text import TextCodec
from agentrft.domain.errors import UserError
from tests.chat.tiny_tokenizer import MARKERS, SPECIAL, tiny_tokenizer

TEXTS = st.lists(st.sampled_from([*SPECIAL, *MARKERS, "<", ">", "a", "\n", "é"]), max_size=8).map("".join)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_content_reads_back_and_holds_no_marker(codec: TextCodec, tokenizer: Tokenizer, text: str) -> None:
    ids = codec.content(text)
    assert codec.decode(ids) == text
    assert not {tokenizer.token_to_id(token) for token in (*SPECIAL, *MARKERS)} & set(ids)


def test_structure_may_hold_markers_but_no_special_token() -> None:
    codec = TextCodec(tiny_tokenizer())
    assert codec.structure("<tool_call>") == (codec.token("<tool_call>"),)
    assert codec.token("<|im_end|>") not in codec.structure("<|im_end|>")


def test_the_callers_tokenizer_stays_as_it_was() -> None:
    tokenizer = tiny_tokenizer()
    TextCodec(tokenizer)
    assert tokenizer.encode_special_tokens is False
    assert tokenizer.encode("<|im_end|>").ids == [tokenizer.token_to_id("<|im_end|>")]


def test_a_token_that_is_not_there_is_named(codec: TextCodec) -> None:
    with pytest.raises(UserError, match="no-such-token"):
        codec.token("<|no-such-token|>")
