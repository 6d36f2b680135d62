from pathlib import Path

import pytest

from agentrft.store.episodes import EpisodeFiles


def test_episodes_come_back_as_they_were_written(tmp_path: Path) -> None:
    files = EpisodeFiles(tmp_path / "run")
    rows = [{"trace_id": f"trace_{i}", "text": "ü\n" * i} for i in range(5)]
    for row in rows:
        files.append("train", 3, row)
        assert list(EpisodeFiles(tmp_path / "run").read("train", 3))[-1] == row
    assert list(files.read("train", 3)) == rows
    assert list(files.read("valid", 0)) == []
    files.append("valid", 10, rows[0])
    files.append("valid", 2, rows[0])
    assert files.steps() == [("train", 3), ("valid", 2), ("valid", 10)]
    files.discard("train", 3)
    assert list(files.read("train", 3)) == []


def test_an_episode_that_broke_off_is_dropped_and_writing_goes_on(tmp_path: Path) -> None:
    EpisodeFiles(tmp_path).append("train", 1, {"n": 1})
    EpisodeFiles(tmp_path).append("train", 1, {"n": 2})
    path = tmp_path / "train-step-1.jsonl.zst"
    path.write_bytes(path.read_bytes()[:-3])
    assert list(EpisodeFiles(tmp_path).read("train", 1)) == [{"n": 1}]
    EpisodeFiles(tmp_path).append("train", 1, {"n": 3})
    assert list(EpisodeFiles(tmp_path).read("train", 1)) == [{"n": 1}, {"n": 3}]


def test_a_split_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no name"):
        list(EpisodeFiles(tmp_path).read("../x", 1))


def test_numbers_that_json_cannot_hold_become_null(tmp_path: Path) -> None:
    files = EpisodeFiles(tmp_path)
    files.append("train", 1, {"logps": (0.5, float("nan"))})
    assert list(files.read("train", 1)) == [{"logps": [0.5, None]}]


def test_half_a_surrogate_pair_cannot_end_a_job(tmp_path: Path) -> None:
    files = EpisodeFiles(tmp_path)
    files.append("train", 1, {"said": "a\ud83db"})
    assert list(files.read("train", 1)) == [{"said": "a?b"}]
