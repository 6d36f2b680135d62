"""A crash of ours is told to the job's owner without its inner text."""

import pytest

from agentrft.store import events
from agentrft.worker.crash import explain_crash


def crashed(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_a_bug_is_named_by_its_type_and_the_attempt_it_showed_in() -> None:
    error = crashed(ZeroDivisionError("Bearer hush"))
    error.add_note("attempt 3 at row 2 in step 5")
    failure = explain_crash(error)
    assert failure.code == "internal_error"
    assert failure.message == (
        "The worker met an internal error (ZeroDivisionError) in agentrft, during attempt 3 at row 2 in step 5. "
        "This is no mistake of the job's. The worker's log has the details; please report them."
    )


def test_the_place_is_the_function_of_ours_that_was_running() -> None:
    with pytest.raises(ValueError, match="format code") as caught:
        events.step_message(1, 2, train_reward="much")  # type: ignore[arg-type]
    assert "in agentrft.store.events.step_message. " in explain_crash(caught.value).message


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_want_of_memory_says_what_to_lower(error: Exception) -> None:
    failure = explain_crash(crashed(error))
    assert failure.code == "out_of_memory"
    assert failure.message.startswith("The worker ran out of memory in agentrft. Lower agentrft.group_size")


def test_a_process_that_was_killed_is_taken_for_want_of_memory() -> None:
    failure = explain_crash(crashed(RuntimeError("a shard has died: a process of the engine ended: EOFError()")))
    assert failure.code == "out_of_memory"
    assert "most likely for want of memory" in failure.message


def test_of_tasks_that_failed_together_want_of_memory_is_what_counts() -> None:
    memory = crashed(MemoryError())
    memory.add_note("attempt 3 at row 2 in step 5")
    group = crashed(ExceptionGroup("tasks", [KeyError("x"), ExceptionGroup("inner", [memory])]))
    failure = explain_crash(group)
    assert failure.code == "out_of_memory"
    assert failure.message.startswith("The worker ran out of memory in agentrft, during attempt 3 at row 2 in step 5.")


def test_a_group_is_named_by_what_is_in_it() -> None:
    failure = explain_crash(crashed(ExceptionGroup("tasks", [KeyError("x"), ValueError("y")])))
    assert failure.code == "internal_error"
    assert "met an internal error (KeyError)" in failure.message
