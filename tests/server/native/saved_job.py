"""A job with episodes behind it, without the training: what its worker would have written down."""

from pathlib import Path
from typing import Any

from agentrft.domain.episode import GradedEpisode
from agentrft.store.episodes import EpisodeFiles
from agentrft.store.record import episode_record
from agentrft.testing import an_item, broken_grader
from tests.analysis.episodes import graded, played

QUESTIONS = 6
SEARCH = {
    "type": "function",
    "function": {"name": "search", "description": "find", "parameters": {"type": "object", "properties": {}}},
}


def rows() -> list[dict[str, Any]]:
    """Items whose answer is 100 and their index."""
    return [
        {
            "messages": [{"role": "user", "content": f"Revenue of {2000 + n}?"}],
            "tools": [SEARCH],
            "reference_answer": str(100 + n),
        }
        for n in range(QUESTIONS)
    ]


def save_episodes(runs_dir: Path, job_id: str) -> None:
    """A baseline and a step of two attempts at each item: a right one, and one that says all that it has seen."""
    files = EpisodeFiles(runs_dir / job_id)
    for split, step in (("valid", 0), ("train", 1)):
        for each in _attempts(f"{split}{step}"):
            files.append(split, step, episode_record(each))


def _attempts(prefix: str) -> list[GradedEpisode]:
    found = []
    for n in range(QUESTIONS):
        item, replies = an_item(n), [f"revenue {100 + n}, costs 7"]
        found.append(graded(1.0, played(item, str(100 + n), replies=replies, trace_id=f"{prefix}-{n}-right")))
        found.append(graded(0.0, played(item, f"7 or {100 + n}", replies=replies, trace_id=f"{prefix}-{n}-wordy")))
    ungraded = played(an_item(0), "101", trace_id=f"{prefix}-0-ungraded")
    return [*found, GradedEpisode(episode=ungraded, grade=None, fault=broken_grader())]
