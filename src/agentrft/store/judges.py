"""Which judge models this installation can ask: those of its settings, those it serves itself, OpenAI's.

A model of ours is asked over the API server's own `/v1`, by worker and server alike. Both know its address from the
settings, or else from a note that the server leaves in the data directory, and share a key that each derives from the
secret of that directory, so that nobody has to configure anything on one machine.
"""

import asyncio
import os
import re

from agentrft.domain.errors import UserError
from agentrft.domain.job import JudgeEndpoint
from agentrft.store.catalogue import Models
from agentrft.store.settings import JudgeSettings, Settings
from agentrft.store.vault import Vault

OPENAI_URL = "https://api.openai.com/v1"
_OPENAI_NAME = re.compile(r"(gpt-|chatgpt-|o\d)[A-Za-z0-9._-]*")
_TRIES = 2.5  # that a deadline leaves room for, where each takes its whole time
_OWN_CONCURRENCY = 16  # what a worker samples at once, per model
_OWN_TIMEOUT_S = 600.0  # queueing behind a job's own sampling included


class Judges:
    """Looks judges up by the name that graders use."""

    def __init__(self, settings: Settings, models: Models, vault: Vault) -> None:
        self._settings = settings
        self._models = models
        self._own_key = f"sk-rft-judge-{vault.derive('judge')}"
        self._note = settings.data_dir / "server.url"

    @property
    def own_key(self) -> str:
        """The key with which this platform asks its own models; its server accepts it."""
        return self._own_key

    def announce(self, host: str, port: int) -> None:
        """Note where the API server answers. Blocks."""
        draft = self._note.with_name(f"{self._note.name}.{os.getpid()}")
        draft.write_text(_local_url(host, port))
        draft.replace(self._note)

    async def find(self, project_id: str, name: str) -> JudgeEndpoint | None:
        """The judge of that name: of the settings first, then a model of the project's, then OpenAI's.

        Raises:
            UserError: it is configured, but its key is missing.
        """
        configured = self._settings.judges.get(name)
        if configured is not None:
            return _configured(name, configured)
        if await self._models.find(project_id, name) is not None:
            return await asyncio.to_thread(self._own, name)
        key = self._settings.openai_api_key.get_secret_value() if self._settings.openai_api_key else ""
        if not key or not _OPENAI_NAME.fullmatch(name):
            return None
        return JudgeEndpoint(name=name, model=name, url=_completions(OPENAI_URL), headers=_bearer(key))

    def _own(self, name: str) -> JudgeEndpoint:
        return JudgeEndpoint(
            name=name,
            model=name,
            url=_completions(f"{self._server_url()}/v1"),
            headers=_bearer(self._own_key),
            structured=False,
            text_only=True,
            max_concurrency=_OWN_CONCURRENCY,
            timeout_s=_OWN_TIMEOUT_S,
            deadline_s=_OWN_TIMEOUT_S,
        )

    def _server_url(self) -> str:
        if self._settings.server_url is not None:
            return self._settings.server_url.rstrip("/")
        if self._note.exists():
            return self._note.read_text().strip()
        return _local_url(self._settings.host, self._settings.port)


def _configured(name: str, judge: JudgeSettings) -> JudgeEndpoint:
    key = os.environ.get(judge.key_variable) if judge.key_variable else ""
    if key is None:
        message = (
            f"The judge '{name}' has no key: the variable {judge.key_variable}, which AGENTRFT_JUDGES names, "
            "is not set for this process. Set it for server and worker."
        )
        raise UserError(message, code="judge_without_key")
    return JudgeEndpoint(
        name=name,
        model=judge.model or name,
        url=_completions(judge.base_url),
        headers=_bearer(key) if key else {},
        structured=judge.structured_output,
        max_concurrency=judge.max_concurrency,
        timeout_s=judge.timeout_s,
        deadline_s=_TRIES * judge.timeout_s,
    )


def _completions(base_url: str) -> str:
    return f"{base_url.rstrip('/')}/chat/completions"


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.strip()}"}


def _local_url(host: str, port: int) -> str:
    reachable = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return f"http://{f'[{reachable}]' if ':' in reachable else reachable}:{port}"
