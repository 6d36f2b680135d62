import pytest

from agentrft.grading.sandbox import Facility, Guard, SandboxLimits, SandboxSetup, find_isolation_problem, probe_sandbox
from agentrft.grading.sandbox.statement import describe
from tests.grading.sandbox.opening import SETUPS

PYTHON = {"type": "python", "name": "p", "source": "def grade(sample, item): return 1.0"}
NOTHING = SandboxSetup(facilities=SETUPS["nothing"])


def missing(*refused: Facility, root: bool = True) -> set[Guard]:
    facts = {facility: "Operation not permitted" if facility in refused else None for facility in Facility}
    return {each.guard for each in describe(facts, SandboxLimits(), root=root).missing}


def test_a_kernel_that_allows_all_leaves_nothing_missing() -> None:
    assert missing() == set()


def test_namespaces_alone_can_be_done_without() -> None:
    assert missing(Facility.NAMESPACES, Facility.VIEW) == set()


def test_landlock_alone_can_be_done_without() -> None:
    assert missing(Facility.LANDLOCK) == set()


def test_without_a_view_and_landlock_files_are_open() -> None:
    assert missing(Facility.VIEW, Facility.LANDLOCK) == {Guard.FILES}


def test_without_a_filter_namespaces_still_hold_the_network_and_processes_apart() -> None:
    refused = (Facility.SECCOMP, Facility.NOTIFICATIONS)
    assert missing(*refused) == {Guard.PROCESSES, Guard.MEMORY, Guard.KERNEL}
    assert missing(*refused, root=False) == {Guard.MEMORY, Guard.KERNEL}


def test_only_root_needs_notifications_to_bound_processes() -> None:
    assert missing(Facility.NOTIFICATIONS) == {Guard.PROCESSES}
    assert missing(Facility.NOTIFICATIONS, root=False) == set()


async def test_a_probe_says_of_every_guard_whether_it_holds(setup) -> None:
    statement = await probe_sandbox(setup)
    assert [each.guard for each in statement.protections] == list(Guard)
    assert len(statement.lines()) == len(Guard)
    assert all(": " in line for line in statement.lines())


async def test_a_probe_names_each_protection_that_is_refused_and_why() -> None:
    statement = await probe_sandbox(NOTHING)
    assert {each.guard for each in statement.missing} >= {Guard.NETWORK, Guard.FILES, Guard.SIGNALS, Guard.KERNEL}
    (network,) = [line for line in statement.lines() if line.startswith("network")]
    assert "NOT HELD" in network
    assert "namespaces (not asked for), seccomp (not asked for)" in network


@pytest.mark.parametrize("grader", [PYTHON, {"type": "multi", "graders": {"a": {"type": "string_check"}, "b": PYTHON}}])
async def test_a_job_that_runs_python_is_warned_of_an_open_network_or_open_files(grader) -> None:
    problem = await find_isolation_problem(grader, NOTHING) or ""
    assert "network: the kernel refuses" in problem
    assert "files: the kernel refuses" in problem


async def test_no_other_job_is_warned() -> None:
    assert await find_isolation_problem({"type": "string_check"}, NOTHING) is None


async def test_a_sandbox_that_does_not_start_is_told_to_the_job(monkeypatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    assert "cannot run python graders" in (await find_isolation_problem(PYTHON) or "")
