"""The real server with a job that has episodes behind it, for commands that ask it to grade."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openai import OpenAI

from agentrft.server import create_app
from agentrft.store import Settings
from tests.demo.fake_platform import serving
from tests.server.conftest import API_KEY, GRADER, TOOL
from tests.server.native.saved_job import rows, save_episodes


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlatform:
    url: str
    job_id: str
    file_id: str


@contextmanager
def saved_platform(folder: Path) -> Iterator[SavedPlatform]:
    (folder / "models" / "tiny").mkdir(parents=True)
    (folder / "models" / "tiny" / "config.json").write_text(json.dumps({"model_type": "qwen3"}))
    settings = Settings(data_dir=folder / "server", models_dir=folder / "models", api_key=API_KEY)
    with serving(create_app(settings)) as url, OpenAI(base_url=f"{url}/v1", api_key=API_KEY) as client:
        content = "".join(json.dumps(row) + "\n" for row in rows()).encode()
        file = client.files.create(file=("rows.jsonl", content), purpose="fine-tune")
        rules = {"tools": [TOOL], "grader": GRADER, "max_episode_steps": 8}
        job = client.fine_tuning.jobs.create(
            model="tiny",
            training_file=file.id,
            validation_file=file.id,
            method={"type": "reinforcement", "reinforcement": rules},  # type: ignore[typeddict-item]
        )
        save_episodes(settings.data_dir / "runs", job.id)
        yield SavedPlatform(url=url, job_id=job.id, file_id=file.id)
