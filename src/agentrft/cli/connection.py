"""Finding the server and the key: from the environment, else from this machine's own data directory."""

import os
from collections.abc import Mapping
from pathlib import Path

import openai
from openai import OpenAI

from agentrft.demo.platform import KEY_FILE
from agentrft.store.settings import Settings

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT_S = 30.0


class NoKey(Exception):
    """No API key was found; the message says where one can be given."""


def connect(environment: Mapping[str, str] = os.environ) -> OpenAI:
    """A client for the server that the environment names. Raises `NoKey`."""
    data_dir = Settings().data_dir
    return OpenAI(
        base_url=find_url(environment), api_key=find_key(environment, data_dir), timeout=TIMEOUT_S, max_retries=1
    )


def find_url(environment: Mapping[str, str]) -> str:
    """The API's base URL, which ends with /v1."""
    url = environment.get("AGENTRFT_URL") or environment.get("OPENAI_BASE_URL") or DEFAULT_URL
    return f"{url.rstrip('/').removesuffix('/v1')}/v1"


def find_key(environment: Mapping[str, str], data_dir: Path) -> str:
    """The API key. OPENAI_API_KEY may be OpenAI's: a local key goes before it, unless OPENAI_BASE_URL is set too."""
    path = data_dir / KEY_FILE
    local = path.read_text().strip() if path.exists() else None
    openai_key = environment.get("OPENAI_API_KEY")
    sdk_first = openai_key if environment.get("OPENAI_BASE_URL") else None
    key = environment.get("AGENTRFT_API_KEY") or sdk_first or local or openai_key
    if not key:
        raise NoKey(
            f"There is no API key. Set AGENTRFT_API_KEY, or start a server here with `agentrft up`, "
            f"which keeps its key in {path}."
        )
    return key


def explain(error: openai.APIError) -> str:
    """What went wrong and what to do about it."""
    url = str(error.request.url.copy_with(path="/", query=None)).rstrip("/")
    if isinstance(error, openai.APIConnectionError):
        return f"No server answers at {url}. Start one with `agentrft up`, or set AGENTRFT_URL to one that runs."
    if isinstance(error, openai.AuthenticationError):
        return f"The server at {url} refuses the API key. Set AGENTRFT_API_KEY to one of its keys."
    where = f" (param: {error.param})" if error.param else ""
    return f"{_message(error)}{where}"


def _message(error: openai.APIError) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    return str(message or error.message)
