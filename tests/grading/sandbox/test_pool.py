import asyncio
import os
import signal
from pathlib import Path

import pytest

from agentrft.grading.sandbox import Facility, SandboxBroken, SandboxResult, SandboxSetup
from tests.grading.sandbox.opening import SETUPS, indent, list_commands, list_sandboxes, opened


async def run_once(body: str, *, item=None, before: str = "", **limits) -> SandboxResult:
    async with opened(f"{before}\n{indent(body)}", **limits) as pool:
        return await pool.run({"output_text": "94"}, item or {})


async def test_the_function_gets_sample_and_item_and_gives_the_reward() -> None:
    result = await run_once("return float(sample['output_text'] == item['answer'])", item={"answer": "94"})
    assert result == SandboxResult(reward=1.0)


@pytest.mark.parametrize(
    ("value", "reward"), [("1", 1.0), ("-2.5", -2.5), ("__import__('fractions').Fraction(1, 4)", 0.25)]
)
async def test_any_real_number_is_a_reward(value, reward) -> None:
    result = await run_once(f"return {value}")
    assert result.reward == reward
    assert isinstance(result.reward, float)


async def test_numpy_can_be_imported_and_its_numbers_count() -> None:
    pytest.importorskip("numpy")
    result = await run_once("return np.float32(0.5) * np.ones((200, 200)).mean()", before="import numpy as np")
    assert result.reward == 0.5


@pytest.mark.parametrize("value", ["None", "'1.0'", "True", "[1.0]", "float('nan')", "float('inf')", "1j"])
async def test_what_is_no_float_is_an_error(value) -> None:
    result = await run_once(f"return {value}")
    assert result.reward is None
    assert "expected a" in (result.error or "")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("return item['nothing']", "KeyError: 'nothing' (line 3)"),
        ("raise SystemExit(2)", "SystemExit: 2 (line 3)"),
        ("import agentrft", "ModuleNotFoundError"),
        ("raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})()", "Odd:  (line 3)"),
        ("raise ValueError('x' * 10 ** 6)", "ValueError: xxx"),
        ("import os\nos._exit(3)", "grade ended its process with exit code 3"),
        ("import os\nos.abort()", "grade was killed by signal 6"),
    ],
)
async def test_what_the_function_does_wrong_is_described(body, error) -> None:
    result = await run_once(body)
    assert result.reward is None
    assert error in (result.error or "")
    assert len(result.error or "") < 3000


@pytest.mark.parametrize(
    ("before", "error"),
    [
        ("import no_such_module", "ModuleNotFoundError"),
        ("raise SystemExit", "SystemExit"),
        ("import os; os._exit(1)", "loading the source ended the process"),
        ("while True: pass", "loading the source took more than"),
    ],
)
async def test_a_source_that_cannot_be_loaded_is_the_graders_error(before, error) -> None:
    result = await run_once("return 1.0", before=before, wall_s=0.5)
    assert error in (result.error or "")


async def test_an_endless_call_is_ended_and_the_next_one_is_well() -> None:
    async with opened("def grade(sample, item):\n    while item: pass\n    return 1.0", wall_s=0.3) as pool:
        assert (await pool.run({}, {"loop": True})).error == "grade took more than 0.3 s"
        assert (await pool.run({}, {})).reward == 1.0


async def test_a_call_that_eats_memory_is_ended() -> None:
    result = await run_once("return len(bytearray(10 ** 9))", memory_bytes=256 << 20)
    assert "MemoryError" in (result.error or "")


async def test_a_call_that_eats_cpu_time_is_ended() -> None:
    result = await run_once("while True: pass", cpu_s=1)
    assert "CPU time" in (result.error or "")


async def test_a_file_cannot_grow_without_end() -> None:
    result = await run_once("open('big', 'wb').write(b'x' * 100_000)\nreturn 1.0", scratch_bytes=10_000)
    assert result.reward is None


async def test_endless_output_harms_nobody() -> None:
    result = await run_once("for _ in range(2000): print('x' * 10_000)\nreturn 1.0")
    assert result.reward == 1.0


async def test_calls_leave_nothing_to_each_other() -> None:
    source = "seen = []\ndef grade(sample, item):\n    seen.append(1)\n    return len(seen)"
    async with opened(source) as pool:
        assert [(await pool.run({}, {})).reward for _ in range(3)] == [1.0, 1.0, 1.0]


async def test_the_environment_of_the_worker_is_not_there(monkeypatch) -> None:
    monkeypatch.setenv("AGENTRFT_TEST_KEY", "s3cret")
    body = "import os\nraise ValueError(sorted(os.environ))"
    result = await run_once(body)
    assert "HOME" in (result.error or "")
    assert "AGENTRFT_TEST_KEY" not in (result.error or "")


async def test_processes_that_a_call_started_end_with_it() -> None:
    mark = f"agentrft-orphan-{os.getpid()}"
    body = (
        "import subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', '{mark}'], start_new_session=True)\n"
        "return 1.0"
    )
    assert (await run_once(body)).reward == 1.0
    assert not [command for command in list_commands() if mark in command]


async def test_many_calls_share_few_processes() -> None:
    source = "import os\ndef grade(sample, item):\n    return float(item['n'])"
    async with opened(source, size=2) as pool:
        results = await asyncio.gather(*(pool.run({}, {"n": n}) for n in range(64)))
    assert [result.reward for result in results] == [float(n) for n in range(64)]


async def test_a_cancelled_call_frees_its_place() -> None:
    async with opened("def grade(sample, item):\n    while item: pass\n    return 1.0") as pool:
        await pool.run({}, {})
        task = asyncio.create_task(pool.run({}, {"loop": True}))
        await asyncio.sleep(0)  # lets it begin
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await pool.run({}, {})).reward == 1.0


async def test_a_sandbox_that_does_not_start_is_no_error_of_the_grader(monkeypatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    with pytest.raises(SandboxBroken, match="cannot start"):
        await run_once("return 1.0")


async def test_without_any_help_of_the_kernel_calls_are_still_graded_and_swept() -> None:
    mark = f"agentrft-loose-{os.getpid()}"
    source = (
        "import subprocess, sys\n"
        "def grade(sample, item):\n"
        f"    command = [sys.executable, '-c', 'import time; time.sleep(600)', '{mark}']\n"
        "    subprocess.Popen(command, start_new_session=True)\n"
        "    while item: pass\n"
        "    return 1.0\n"
    )
    setup = SandboxSetup(facilities=SETUPS["nothing"])
    async with opened(source, setup=setup, wall_s=1.0) as pool:
        assert (await pool.run({}, {})).reward == 1.0
        assert not [command for command in list_commands() if mark in command]
        assert (await pool.run({}, {"loop": True})).reward is None
        assert pool.facts[Facility.LANDLOCK] == "not asked for"
    assert not [command for command in list_commands() if mark in command]


@pytest.fixture
def module(tmp_path, monkeypatch) -> Path:
    """A module `mine` of the user's, which graders can import."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    path = folder / "mine.py"
    path.write_text("")
    return path


IMPORTS_MINE = "import mine\ndef grade(sample, item):\n    while item: pass\n    return 1.0"


async def test_a_process_that_could_not_load_the_source_is_not_asked_again(module) -> None:
    module.write_text("raise ValueError('not yet')")
    async with opened(IMPORTS_MINE) as pool:
        assert (await pool.run({}, {})).error == "ValueError: not yet (line 1)"
        module.write_text("")
        assert (await pool.run({}, {})).reward == 1.0


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("raise OSError(24, 'Too many open files')", "Too many open files"),
        ("raise MemoryError", "MemoryError"),
        ("import os; os._exit(1)", "ended the process"),
        ("import time; time.sleep(600)", "took more than"),
    ],
)
async def test_what_keeps_a_source_from_loading_that_has_loaded_before_is_the_platforms_fault(
    module, trouble, said
) -> None:
    async with opened(IMPORTS_MINE, wall_s=0.5) as pool:
        assert (await pool.run({}, {})).reward == 1.0
        assert (await pool.run({}, {"loop": True})).error  # and the process is ended
        module.write_text(trouble)
        with pytest.raises(SandboxBroken, match=said):
            await pool.run({}, {})


async def test_an_exception_of_the_source_is_its_own_at_any_time(module) -> None:
    async with opened(IMPORTS_MINE, wall_s=0.5) as pool:
        await pool.run({}, {"loop": True})
        module.write_text("raise ValueError('no more')")
        assert (await pool.run({}, {})).error == "ValueError: no more (line 1)"


async def test_a_call_that_somebody_else_kills_is_no_zero(setup) -> None:
    body = "import os, signal\nif item: os.kill(os.getpid(), signal.SIGKILL)\nreturn 1"  # as the kernel's OOM killer
    async with opened(indent(body), setup=setup) as pool:
        with pytest.raises(SandboxBroken, match="short of memory"):
            await pool.run({}, {"go": True})
        assert (await pool.run({}, {})).reward == 1.0


async def test_a_call_is_graded_though_all_idle_processes_are_dead() -> None:
    async with opened("def grade(sample, item):\n    return 1.0", size=3) as pool:
        await asyncio.gather(*(pool.run({}, {}) for _ in range(3)))
        sandboxes = list_sandboxes()
        assert len(sandboxes) == 3
        for pid in sandboxes:
            os.kill(pid, signal.SIGKILL)
        assert (await pool.run({}, {})).reward == 1.0


async def test_a_process_whose_server_the_grader_ended_serves_no_more_calls() -> None:
    source = "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\ndef grade(sample, item):\n    return 1.0"
    async with opened(source) as pool:
        for _ in range(2):  # the second meets a new process, and not a dead one
            assert (await pool.run({}, {})).error == "the grader ended the process that serves it"


async def test_a_call_that_sleeps_too_long_is_the_graders_error() -> None:
    result = await run_once("import time\ntime.sleep(600)", wall_s=0.3)
    assert result.error == "grade took more than 0.3 s"
