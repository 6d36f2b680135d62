"""Episode files: `<split>-step-<n>.jsonl.zst` of one job, append-only, readable while they grow.

Each episode is one whole zstd frame, so that a worker that dies loses at most the episode it was writing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import zstandard

from agentrft.store.finite import finite

_NAME = re.compile(r"^([a-z]+)-step-(\d+)\.jsonl\.zst$")
_LEVEL = 3


class EpisodeFiles:
    """The episodes of one job (`run_dir` is `<data>/runs/<job>`). Blocking: call it in a thread from asyncio."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._sound: set[Path] = set()  # files that this writer knows to end with a whole frame

    def append(self, split: str, step: int, episode: Mapping[str, Any]) -> None:
        """Add one episode; it is readable when this returns."""
        # What a judge or a tool said may hold half of a surrogate pair, which no encoding has.
        line = json.dumps(finite(episode), separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n"
        frame = zstandard.ZstdCompressor(level=_LEVEL).compress(line.encode(errors="replace"))
        path = self._path(split, step)
        self._mend(path)
        with path.open("ab") as file:
            file.write(frame)

    def read(self, split: str, step: int) -> Iterator[dict[str, Any]]:
        """The episodes of a step in the order they were written; none when there is no file."""
        path = self._path(split, step)
        content = path.read_bytes() if path.exists() else b""
        for _, line in _frames(content):
            yield json.loads(line)

    def steps(self) -> list[tuple[str, int]]:
        """Which (split, step) there are, in order."""
        names = (_NAME.match(path.name) for path in self._run_dir.glob("*.jsonl.zst"))
        return sorted((name[1], int(name[2])) for name in names if name)

    def discard(self, split: str, step: int) -> None:
        """Forget a step that will be done again."""
        self._path(split, step).unlink(missing_ok=True)

    def _path(self, split: str, step: int) -> Path:
        name = f"{split}-step-{step}.jsonl.zst"
        if not _NAME.match(name):
            raise ValueError(f"no name for an episode file: split {split!r}, step {step}")
        return self._run_dir / name

    def _mend(self, path: Path) -> None:
        if path in self._sound:
            return
        self._run_dir.mkdir(parents=True, exist_ok=True)
        if path.exists():
            content = path.read_bytes()
            whole = max((end for end, _ in _frames(content)), default=0)
            if whole < len(content):
                with path.open("r+b") as file:
                    file.truncate(whole)
        self._sound.add(path)


def _frames(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Each whole frame: where it ends, and what it holds. A frame that broke off ends the walk."""
    rest = content
    while rest:
        frame = zstandard.ZstdDecompressor().decompressobj()
        try:
            line = frame.decompress(rest)
        except zstandard.ZstdError:
            return
        if not frame.eof:
            return
        rest = frame.unused_data
        yield len(content) - len(rest), line
