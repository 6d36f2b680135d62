from pathlib import Path

import pytest

from agentrft.cli.connection import NoKey, find_key, find_url
from agentrft.demo.platform import KEY_FILE


@pytest.mark.parametrize("given", ["http://host:1", "http://host:1/", "http://host:1/v1", "http://host:1/v1/"])
def test_an_address_may_be_given_with_or_without_the_api_path(given: str) -> None:
    assert find_url({"AGENTRFT_URL": given}) == "http://host:1/v1"
    assert find_url({"OPENAI_BASE_URL": given}) == "http://host:1/v1"


def test_the_local_server_is_the_default() -> None:
    assert find_url({}) == "http://127.0.0.1:8000/v1"


def test_keys_are_found_in_order(tmp_path: Path) -> None:
    with pytest.raises(NoKey, match="agentrft up"):
        find_key({}, tmp_path)
    assert find_key({"OPENAI_API_KEY": "sdk"}, tmp_path) == "sdk"
    (tmp_path / KEY_FILE).write_text("local\n")
    assert find_key({}, tmp_path) == "local"
    assert find_key({"OPENAI_API_KEY": "sdk"}, tmp_path) == "local"
    assert find_key({"OPENAI_API_KEY": "sdk", "OPENAI_BASE_URL": "http://host"}, tmp_path) == "sdk"
    assert find_key({"OPENAI_API_KEY": "sdk", "AGENTRFT_API_KEY": "ours"}, tmp_path) == "ours"
