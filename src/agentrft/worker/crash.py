"""What the owner of a job is told when our own code crashes: what it was, where, and what to do.

The exception's own text stays in the worker's log: it may quote a header or a row.
"""

import traceback
from collections.abc import Iterator

from agentrft.domain.errors import JobFailed
from agentrft.domain.faults import TABLE, FaultKind, FaultOwner

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory")  # on a CPU, torch raises a plain RuntimeError
_KILLED = "a process of the engine ended"  # worker/replica.py, of one that could say nothing any more
_PACKAGE = __name__.partition(".")[0]


def explain_crash(error: Exception) -> JobFailed:
    """The job's error for an exception that nobody expected, as the fault table has it.

    Of a group, which tasks raise together, it is that of want of memory, if there is one, or else the first.
    """
    causes = [(cause, *_diagnose(cause)) for cause in _leaves(error)]
    cause, happened, kind = next((each for each in causes if each[2] is FaultKind.OUT_OF_MEMORY), causes[0])
    treatment = TABLE[f"{FaultOwner.PLATFORM}.{kind}"]
    notes = [note for each in (error, cause) for note in getattr(each, "__notes__", ())]
    during = "".join(f", during {note}" for note in notes[:1])
    return JobFailed(f"The worker {happened} in {_place(cause)}{during}. {treatment.advice}", code=treatment.code)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for part in error.exceptions:
        yield from _leaves(part)


def _diagnose(error: BaseException) -> tuple[str, FaultKind]:
    said = str(error).lower()
    if isinstance(error, MemoryError) or any(sign in said for sign in _OUT_OF_MEMORY):
        return "ran out of memory", FaultKind.OUT_OF_MEMORY
    if _KILLED in said:
        return "lost a process of its engine, most likely for want of memory,", FaultKind.OUT_OF_MEMORY
    return f"met an internal error ({type(error).__name__})", FaultKind.INTERNAL


def _place(error: BaseException) -> str:
    """The function of ours that was running, with its module."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if frame.f_globals.get("__name__", "").startswith(f"{_PACKAGE}.")]
    return f"{ours[-1].f_globals['__name__']}.{ours[-1].f_code.co_name}" if ours else _PACKAGE
