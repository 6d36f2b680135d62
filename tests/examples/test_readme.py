import re
from pathlib import Path

import pytest

from agentrft.domain.episode import StopReason
from agentrft.wire.job_request import read_job_request
from tests.demo.fake_platform import KEY, fake_platform

ROOT = Path(__file__).parents[2]


def test_the_snippet_of_the_readme_runs_and_its_job_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    snippet = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    with fake_platform() as platform:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{platform.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        names: dict[str, object] = {}
        exec(snippet, names)
        names["client"].close()  # type: ignore[attr-defined]
    [job] = platform.jobs.values()
    body = {key: job[key] for key in ("model", "training_file", "method")}
    assert read_job_request({**body, "validation_file": "file-1"}).tools == ("search",)


def test_the_glossary_knows_every_way_an_episode_ends() -> None:
    text = (ROOT / "docs" / "concepts.md").read_text()
    assert all(f"`{reason}`" in text for reason in StopReason)


def test_links_in_the_readme_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert [target for target in targets if not (ROOT / target).exists()] == []
