import os
from pathlib import Path

from agentrft.grading.sandbox.inside import scratch


def test_a_folder_is_emptied_of_everything_and_nothing_behind_its_links(tmp_path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "scratch"
    for path in (outside, folder, folder / "a" / "b" / "c"):
        path.mkdir(parents=True)
    (outside / "file").write_text("stays")
    (folder / "a" / "file").write_text("goes")
    (folder / "link").symlink_to(outside)
    (folder / "a" / "b" / "up").symlink_to(outside)
    os.mkfifo(folder / "pipe")
    (folder / "a" / "b" / "c").chmod(0)
    scratch.empty(str(folder))
    assert os.listdir(folder) == []
    assert os.listdir(outside) == ["file"]


def test_what_is_measured_are_blocks_and_at_least_something_for_each_entry(tmp_path) -> None:
    (tmp_path / "inner").mkdir()
    for number in range(10):
        (tmp_path / "inner" / str(number)).touch()
    (tmp_path / "big").write_bytes(os.urandom(100_000))
    assert 100_000 + 11 * 4096 <= scratch.measure(str(tmp_path), 10**9) < 200_000


def test_measuring_stops_at_enough(tmp_path) -> None:
    for number in range(100):
        (tmp_path / str(number)).mkdir()
    assert scratch.measure(str(tmp_path), 10_000) > 10_000


def test_folders_too_deep_to_be_measured_count_as_too_much(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(30):
        os.mkdir("x" * 200)
        os.chdir("x" * 200)
    assert scratch.measure(str(tmp_path), 10**9) > 10**9
    scratch.empty(str(tmp_path))


def test_what_was_kept_is_put_back(tmp_path) -> None:
    folder, kept = tmp_path / "scratch", tmp_path / "kept"
    (folder / "words").mkdir(parents=True)
    assert not scratch.keep(str(tmp_path / "scratch" / "words"), str(kept))
    (folder / "words" / "list").write_text("a b")
    (folder / "link").symlink_to("words")
    os.mkfifo(folder / "pipe")
    assert scratch.keep(str(folder), str(kept))
    scratch.empty(str(folder))
    scratch.restore(str(folder), str(kept))
    assert Path(folder, "link", "list").read_text() == "a b"
    assert sorted(os.listdir(folder)) == ["link", "words"]
