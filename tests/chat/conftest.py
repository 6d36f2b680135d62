import pytest
from tokenizers import Tokenizer

from agentrft.chat.hermes import HermesFormat
from agentrft.chat.text import TextCodec
from tests.chat.tiny_tokenizer import tiny_tokenizer


@pytest.fixture(scope="session", params=[True, False], ids=["markers-are-tokens", "markers-are-text"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return tiny_tokenizer(markers=request.param)


@pytest.fixture(scope="session")
def codec(tokenizer: Tokenizer) -> TextCodec:
    return TextCodec(tokenizer)


@pytest.fixture(scope="session")
def chat(codec: TextCodec) -> HermesFormat:
    return HermesFormat(codec, default_system="Be brief.")
