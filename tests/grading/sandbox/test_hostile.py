"""Graders that misbehave inside their sandbox: each harms its own grade only."""

import pytest

from agentrft.grading.sandbox import SandboxResult
from tests.grading.sandbox.opening import indent, opened

FORGED = "struct.pack('!I', 9) + b'r' + struct.pack('!d', {reward})"
FRAME = FORGED.format(reward=7.0)


async def twice(body: str, *, before: str = "", first=None, **limits) -> tuple[SandboxResult, SandboxResult]:
    """The results of a call with an item and of one without, which returns 1 before it comes to `body`."""
    source = f"import os, struct\n{before}\n" + indent("if not item: return 1\n" + body)
    async with opened(source, **{"wall_s": 20.0, **limits}) as pool:
        return await pool.run({}, first or {"go": True}), await pool.run({}, {})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("os.closerange(0, 256)", "exit code 1"),
        ("os.closerange(0, 256)\nos._exit(0)", "exit code 0"),
        ("for fd in range(3, 256):\n    try: os.write(fd, b'\\x00' * 100_000)\n    except OSError: pass", "answer"),
        (
            "for fd in range(3, 256):\n    try: os.write(fd, b'\\xff' * 100_000)\n    except OSError: pass",
            "as its answer",
        ),
        ("def again(n): return again(n + 1)\nagain(0)", "RecursionError"),
        ("import ctypes\nctypes.string_at(0)", "signal 11"),
        ("return 10 ** 400", "OverflowError"),
        ("return float('-inf')", "expected a finite float"),
        ("return 10 ** 5000 % 2 == 0", "returned bool"),
        ("raise MemoryError", "MemoryError"),
        ("raise ValueError('\\udfff')", "\\udfff"),
        ("import threading\nthreading.Thread(target=lambda: os._exit(4)).start()\nwhile True: pass", "exit code 4"),
    ],
)
async def test_what_a_call_breaks_is_its_own_error(body, error) -> None:
    result, after = await twice(body)
    assert result.reward is None
    assert error in (result.error or "")
    assert after.reward == 1.0


@pytest.mark.parametrize(
    "body",
    [
        "import atexit, time\natexit.register(time.sleep, 600)\nreturn 2",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\nreturn 2",
        "if os.fork() == 0:\n    import time; time.sleep(600)\nreturn 2",
        "import signal\nfor number in (1, 2, 13, 15, 17, 24): signal.signal(number, signal.SIG_IGN)\nreturn 2",
        "class Odd:\n    def __del__(self):\n        while True: pass\nodd = Odd()\nodd.me = odd\nreturn 2",
        "os.fork()\nreturn 2",
    ],
)
async def test_what_a_call_leaves_running_delays_nothing(body) -> None:
    result, after = await twice(body)
    assert (result.reward, after.reward) == (2.0, 1.0)


@pytest.mark.parametrize(
    "body",
    [
        "sample.clear(); item.clear(); sample['output_text'] = 'x'\nreturn 2",
        "import json\njson.loads = json.dumps = lambda *_: 1 / 0\nreturn 2",
        "import builtins\nbuiltins.len = builtins.isinstance = lambda *_: 0\nreturn 2",
        "import sys\nsys.modules.clear()\nreturn 2",
        "os.rmdir(os.getcwd())\nreturn 2",
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\nreturn 2",
    ],
)
async def test_what_a_call_changes_is_gone_with_it(body) -> None:
    result, after = await twice(body)
    assert result.reward in (2.0, None)
    assert after.reward == 1.0


@pytest.mark.parametrize(
    "before",
    [
        "import json; json.loads = json.dumps = json.JSONDecoder.decode = lambda *_: 1 / 0",
        "for fd in range(3, 256):\n    try: os.write(fd, b'loaded')\n    except OSError: pass",
        "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()",
        "os.closerange(3, 256)",
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    ],
)
async def test_what_loading_breaks_is_never_the_platforms_fault(before) -> None:
    for result in await twice("return 1", before=before, wall_s=2.0):
        assert result.reward == 1.0 or result.error


async def test_an_answer_that_a_call_forges_counts_for_that_call_only() -> None:
    body = f"for fd in range(3, 256):\n    try: os.write(fd, {FRAME} * 3)\n    except OSError: pass\nreturn 3"
    result, after = await twice(body)
    assert result.reward in (3.0, 7.0)
    assert after.reward == 1.0


async def test_a_program_that_a_call_starts_cannot_answer_for_it(setup) -> None:
    program = (
        "import os, struct, sys\n"
        "for pid in sys.argv[1:]:\n"
        "    for number in range(256):\n"
        "        try: target = os.open(f'/proc/{pid}/fd/{number}', os.O_WRONLY | os.O_NONBLOCK)\n"
        "        except OSError: continue\n"
        f"        try: os.write(target, {FRAME})\n"
        "        except OSError: pass\n"
    )
    body = (
        "import os, subprocess, sys\n"
        f"command = [sys.executable, '-I', '-S', '-c', {program!r}, str(os.getpid()), str(os.getppid())]\n"
        "subprocess.run(command, check=True)\n"
        "return 0.25"
    )
    async with opened(indent(body), setup=setup) as pool:
        assert [await pool.run({}, {}) for _ in range(2)] == [SandboxResult(reward=0.25)] * 2


@pytest.mark.parametrize("reward", ["float('nan')", "float('inf')"])
async def test_a_forged_answer_that_is_no_number_is_an_error(reward) -> None:
    forged = FORGED.format(reward=reward)
    result, _ = await twice(f"for fd in range(3, 256):\n    try: os.write(fd, {forged})\n    except OSError: pass")
    assert result.reward is None


async def test_calls_find_the_scratch_folder_as_loading_left_it(setup) -> None:
    source = (
        "import os\nos.mkdir('words')\nopen('words/list', 'w').write('a b')\nos.mkfifo('pipe')\n"
        "def grade(sample, item):\n"
        "    found = len(open('words/list').read().split()) + 10 * os.path.exists('left')\n"
        "    open('words/list', 'a').write(' c')\n"
        "    open('left', 'w').close()\n"
        "    return found\n"
    )
    async with opened(source, setup=setup) as pool:
        assert [(await pool.run({}, {})).reward for _ in range(3)] == [2.0, 2.0, 2.0]


async def test_no_depth_of_folders_and_no_mode_is_left_to_the_next_call(setup) -> None:
    body = (
        "import os\nif os.listdir(): return len(os.listdir())\nopen('file', 'w').close()\nos.mkdir('shut', 0)\n"
        "os.mkfifo('pipe')\nfor _ in range(1200):\n    os.mkdir('d')\n    os.chdir('d')\n"
        "return 0"
    )
    async with opened(indent(body), setup=setup) as pool:
        assert [(await pool.run({}, {})).reward for _ in range(2)] == [0.0, 0.0]


async def test_calls_share_no_pipe_that_loading_made() -> None:
    source = (
        "import os\nends = os.pipe()\nos.set_blocking(ends[0], False)\n"
        "def grade(sample, item):\n"
        "    try: found = len(os.read(ends[0], 10))\n"
        "    except BlockingIOError: found = 0\n"
        "    os.write(ends[1], b'xx')\n"
        "    return found\n"
    )
    async with opened(source) as pool:
        assert [(await pool.run({}, {})).reward for _ in range(2)] == [0.0, 0.0]


async def test_a_process_that_loading_started_does_not_meet_the_calls(setup) -> None:
    source = "import os, time\nif os.fork() == 0:\n    time.sleep(600)\ndef grade(sample, item):\n    return 1.0\n"
    async with opened(source, setup=setup) as pool:
        assert (await pool.run({}, {})).reward == 1.0
