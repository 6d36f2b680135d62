"""The zygote gives up all that it may, before it sees a line of the user's code."""

import contextlib
import os
import resource
import signal
from collections.abc import Callable, Mapping
from typing import Any

from . import kernel, landlock, seccomp, view

Facts = dict[str, str | None]
"""Facility to None where it holds, else to the reason why it does not."""

Settings = Mapping[str, Any]
_SPARE_TASKS = 8  # of the zygote itself, where only RLIMIT_NPROC counts
_MAX_DESCRIPTORS = 256


def attempt(facility: str, facts: Facts, settings: Settings, act: Callable[[], None]) -> bool:
    """Do `act` and note how it went; what the settings leave out is not tried."""
    try:
        if facility not in settings["facilities"]:
            raise OSError("not asked for")
        act()
        facts[facility] = None
    except OSError as error:
        facts[facility] = error.strerror or str(error)
    return facts[facility] is None


def confine(facts: Facts, settings: Settings, *, root: str | None) -> int | None:
    """Confine this process and its children; `facts` says what holds.

    Args:
        root: the view of files that the launcher has built, if it could.

    Returns:
        The descriptor of the listener for starts of processes, if there is one.
    """
    _set_limits(settings)
    moved = root is not None and attempt("view", facts, settings, lambda: view.move_into(root))
    folder = view.SCRATCH if moved else settings["scratch"]
    os.chdir(folder)
    os.environ.update(HOME=folder, TMPDIR=folder)
    attempt("capabilities", facts, settings, kernel.drop_capabilities)
    _die_with_parent()
    if not moved:
        names = {"readable": settings["readable"], "hidden": settings["hidden"]}
        attempt("landlock", facts, settings, lambda: landlock.restrict(**names, writable=folder))
        _close_to_others()
    listener = _filter_calls(facts, settings, files_by_landlock=not moved)
    if listener is None:
        limit("RLIMIT_NPROC", settings["processes"] + _SPARE_TASKS)  # does not bind root
    return listener


def _filter_calls(facts: Facts, settings: Settings, *, files_by_landlock: bool) -> int | None:
    found: list[int | None] = [None]
    alone = facts["namespaces"] is None

    def install(notify: bool) -> None:
        found[0] = seccomp.install(alone=alone, files_by_landlock=files_by_landlock, notify=notify)

    if "seccomp" not in settings["facilities"] or not attempt("notifications", facts, settings, lambda: install(True)):
        facts.setdefault("notifications", "not asked for")
        attempt("seccomp", facts, settings, lambda: install(False))
    else:
        facts["seccomp"] = None
    return found[0]


def _die_with_parent() -> None:
    with contextlib.suppress(OSError):  # no Linux; the end of the requests ends it then
        kernel.call("prctl", kernel.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        kernel.call("prctl", kernel.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _close_to_others() -> None:
    """Keep a program that a call starts from writing an answer into our pipes by way of /proc, which it can reach."""
    with contextlib.suppress(OSError):  # no Linux, no such way
        kernel.call("prctl", kernel.PR_SET_DUMPABLE, 0, 0, 0, 0)


def _set_limits(settings: Settings) -> None:
    limit("RLIMIT_AS", settings["memory_bytes"])
    limit("RLIMIT_FSIZE", settings["scratch_bytes"])
    limit("RLIMIT_NOFILE", _MAX_DESCRIPTORS)
    limit("RLIMIT_CORE", 0)
    limit("RLIMIT_MEMLOCK", 0)
    if hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        first = 2 * settings["turn"] % len(cpus)
        os.sched_setaffinity(0, {cpus[(first + offset) % len(cpus)] for offset in range(settings["cpus"])})


def limit(name: str, value: int) -> None:
    """Set the soft and the hard limit, never above what is already allowed."""
    kind = getattr(resource, name, None)
    if kind is None:
        return
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(OSError, ValueError):  # some systems have the limit, but do not let it be set
        resource.setrlimit(kind, (value, value))
