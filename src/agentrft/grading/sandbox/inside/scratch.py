"""The scratch folder between two calls: emptied, and put back as loading the source left it."""

import contextlib
import errno
import os
import shutil
import stat

_BLOCK_BYTES = 512
_LEAST_BYTES = 4096  # that any file or folder counts for, an empty one too


def empty(folder: str) -> None:
    """Remove all that is in `folder`. Nothing may still write to it.

    Without recursion, so that no depth of folders is too deep: what is nested is moved up first.
    """
    prefix, number = os.urandom(8).hex(), 0
    while names := os.listdir(folder):
        for name in names:
            path = os.path.join(folder, name)
            if not _is_folder(path):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner in os.listdir(path):
                inner_path = os.path.join(path, inner)
                if _is_folder(inner_path):
                    os.chmod(inner_path, 0o700)  # a folder that is moved must be writable
                    os.rename(inner_path, os.path.join(folder, f"{prefix}-{number}"))
                    number += 1
                else:
                    os.unlink(inner_path)
            os.rmdir(path)


def measure(folder: str, enough: int) -> int:
    """Bytes on disk of all that is in `folder`, counted no further than `enough`; more where that cannot be told."""
    total, waiting = 0, [folder]
    while waiting and total <= enough:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    total += max(status.st_blocks * _BLOCK_BYTES, _LEAST_BYTES)
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(entry.path)
        except OSError as error:  # it has just gone, or lies too deep to be looked at
            total += enough + 1 if error.errno == errno.ENAMETOOLONG else 0
    return total


def keep(folder: str, kept: str) -> bool:
    """Copy what is in `folder` to `kept`, which must not exist yet; whether there was anything."""
    if not os.listdir(folder):
        return False
    with contextlib.suppress(shutil.Error):  # pipes and the like, which cannot be copied
        shutil.copytree(folder, kept, symlinks=True)
    return True


def restore(folder: str, kept: str) -> None:
    """Put back what `keep` copied; `folder` is empty."""
    shutil.copytree(kept, folder, symlinks=True, dirs_exist_ok=True)


def _is_folder(path: str) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)
