"""One platform at a time in a data directory: two workers of different runs would take each other's jobs."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AlreadyRunning(Exception):
    """Another process has this data directory; the message says which and what to do."""


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Hold `data_dir` for this process. The system lets go of it when the process ends, however it ends."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data_dir / "running.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AlreadyRunning(
                f"agentrft already runs in {data_dir} (process {file.read().strip() or 'unknown'}). "
                "Stop that one, or give this one another --data-dir."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
