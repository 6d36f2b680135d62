import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE

from agentrft.chat import chat_format, supported_family
from agentrft.domain.episode import Message
from agentrft.domain.errors import UserError
from tests.chat.tiny_tokenizer import tiny_tokenizer


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"model_type": "qwen2"}, "qwen2"),
        ({"model_type": "qwen3"}, "qwen3"),
        ({"model_type": "llama", "vocab_size": 49152}, "smollm2"),
    ],
)
def test_the_families_with_a_chat_format_are_known(config: dict[str, object], family: str) -> None:
    assert supported_family(config) == family


@pytest.mark.parametrize("config", [{"model_type": "gemma3"}, {"model_type": "llama", "vocab_size": 128256}, {}])
def test_another_family_is_refused_by_its_name(config: dict[str, object]) -> None:
    with pytest.raises(UserError, match=repr(str(config.get("model_type")))) as refused:
        supported_family(config)
    assert (refused.value.code, refused.value.param) == ("unsupported_model_family", "model")


def test_a_tokenizer_without_the_turn_markers_is_refused() -> None:
    with pytest.raises(UserError, match="im_start"):
        chat_format({"model_type": "qwen2"}, Tokenizer(BPE()))


@pytest.mark.parametrize(("family", "says"), [("qwen2", True), ("qwen3", False)])
def test_a_conversation_without_system_prompt_gets_the_one_of_its_family(family: str, says: bool) -> None:
    chat = chat_format({"model_type": family}, tiny_tokenizer())
    ids = [token for span in chat.open([Message(role="user", content="Hi")], []) for token in span.ids]
    assert tiny_tokenizer().decode(ids, skip_special_tokens=False).startswith("<|im_start|>system\n") is says
