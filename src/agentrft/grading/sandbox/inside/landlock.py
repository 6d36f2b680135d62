"""Landlock: a process gives up all files but those named (Linux 5.13). For kernels that refuse a view of its own."""

import ctypes
import os
from collections.abc import Iterator, Sequence

from .kernel import system_call

_VERSION = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK, _TRUNCATE = 1 << 6, 1 << 11, 1 << 14
_ALL_OF_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_FOR_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE  # a rule for a file must not ask for more
_BIND_AND_CONNECT_TCP = 3
_SCOPE_SOCKETS_AND_SIGNALS = 3
_PATH_BENEATH = 1
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def restrict(*, readable: Sequence[str], hidden: Sequence[str], writable: str) -> None:
    """Leave this process and its children `readable` without `hidden`, and `writable`.

    Raises:
        OSError: the kernel has no Landlock, or does not allow it.
    """
    abi = system_call("landlock_create_ruleset", None, 0, _VERSION)
    everything = _ALL_OF_ABI[min(abi, 5)]
    rules = _Ruleset(
        everything, _BIND_AND_CONNECT_TCP if abi >= 4 else 0, _SCOPE_SOCKETS_AND_SIGNALS if abi >= 6 else 0
    )
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = system_call("landlock_create_ruleset", ctypes.addressof(rules), size, 0)
    try:
        for path in readable:
            for shown, rights in _expand(path, hidden):
                _allow(ruleset, shown, rights)
        for path in _DEVICES:
            _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
        _allow(ruleset, writable, everything & ~(_MAKE_CHAR | _MAKE_BLOCK))
        system_call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _expand(path: str, hidden: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Rules only ever add: a folder that holds something hidden becomes rules for all else in it."""
    path = os.path.realpath(path)
    if path in hidden:
        return
    if not any(other.startswith(path + os.sep) for other in hidden):
        yield path, _EXECUTE | _READ_FILE | _READ_DIR
        return
    yield path, _READ_DIR
    for name in os.listdir(path):
        yield from _expand(os.path.join(path, name), hidden)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # cannot be read in any case
        return
    try:
        rights &= ~0 if os.path.isdir(path) else _FOR_FILES
        rule = _PathBeneath(rights, folder)
        system_call("landlock_add_rule", ruleset, _PATH_BENEATH, ctypes.addressof(rule), 0)
    finally:
        os.close(folder)
