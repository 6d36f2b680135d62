"""Graders that misbehave inside their sandbox: each harms its own grade only."""

from collections.abc import Iterable

import pytest

from agentrft.grading.sandbox import SandboxResult
from tests.grading.sandbox.opening import indent, opened

FORGED = "struct.pack('!I', 9) + b'r' + struct.pack('!d', {reward})"
FRAME = FORGED.format(reward=7.0)


DOES_AS_TOLD = """
import os, struct
def grade(sample, item):
    if not item:
        return 1
    scope = {"os": os, "struct": struct}
    exec("def act(sample, item):\\n" + item["act"], scope)
    return scope["act"](sample, item)
"""


async def do_each(bodies: Iterable[str]) -> dict[str, SandboxResult]:
    """The result of each, after which the same sandbox graded another call as it should."""
    results = {}
    async with opened(DOES_AS_TOLD, wall_s=20.0) as pool:
        for body in bodies:
            results[body] = await pool.run({}, {"act": "".join(f"    {line}\n" for line in body.splitlines())})
            assert (await pool.run({}, {})).reward == 1.0, body
    return results


BREAKS = {
    "os.closerange(0, 256)": "exit code 1",
    "os.closerange(0, 256)\nos._exit(0)": "exit code 0",
    "for fd in range(3, 256):\n    try: os.write(fd, b'\\x00' * 100_000)\n    except OSError: pass": "answer",
    "for fd in range(3, 256):\n    try: os.write(fd, b'\\xff' * 100_000)\n    except OSError: pass": "as its answer",
    "def again(n): return again(n + 1)\nagain(0)": "RecursionError",
    "import ctypes\nctypes.string_at(0)": "signal 11",
    "return 10 ** 400": "OverflowError",
    "return float('-inf')": "expected a finite float",
    "return 10 ** 5000 % 2 == 0": "returned bool",
    "return '1.0'": "returned str",
    "raise MemoryError": "MemoryError",
    "raise ValueError('\\udfff')": "\\udfff",
    "import threading\nthreading.Thread(target=lambda: os._exit(4)).start()\nwhile True: pass": "exit code 4",
}


async def test_what_a_call_breaks_is_its_own_error() -> None:
    results = await do_each(BREAKS)
    assert [body for body, error in BREAKS.items() if error not in (results[body].error or "")] == []
    assert {result.reward for result in results.values()} == {None}


async def test_what_a_call_leaves_running_delays_nothing() -> None:
    results = await do_each(
        [
            "import atexit, time\natexit.register(time.sleep, 600)\nreturn 2",
            "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\nreturn 2",
            "if os.fork() == 0:\n    import time; time.sleep(600)\nreturn 2",
            "import signal\nfor number in (1, 2, 13, 15, 17, 24): signal.signal(number, signal.SIG_IGN)\nreturn 2",
            "class Odd:\n    def __del__(self):\n        while True: pass\nodd = Odd()\nodd.me = odd\nreturn 2",
            "os.fork()\nreturn 2",
        ]
    )
    assert {result.reward for result in results.values()} == {2.0}


async def test_what_a_call_changes_is_gone_with_it() -> None:
    results = await do_each(
        [
            "sample.clear(); item.clear(); sample['output_text'] = 'x'\nreturn 2",
            "import json\njson.loads = json.dumps = lambda *_: 1 / 0\nreturn 2",
            "import builtins\nbuiltins.len = builtins.isinstance = lambda *_: 0\nreturn 2",
            "import sys\nsys.modules.clear()\nreturn 2",
            "try: os.rmdir(os.getcwd())\nexcept OSError: pass\nreturn 2",
            "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\nreturn 2",
        ]
    )
    assert {result.reward for result in results.values()} <= {2.0, None}  # an error is as good


@pytest.mark.parametrize(
    "before",
    [
        "import json; json.loads = json.dumps = json.JSONDecoder.decode = lambda *_: 1 / 0",
        "for fd in range(3, 256):\n    try: os.write(fd, b'loaded')\n    except OSError: pass",
        "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()",
        "os.closerange(3, 256)",
        "import fcntl\nfor fd in range(3, 9):\n    try: fcntl.fcntl(fd, 4, os.O_NONBLOCK)\n    except OSError: pass",
        *(f"try: os.close({number})\nexcept OSError: pass" for number in range(3, 12)),
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    ],
)
async def test_what_loading_breaks_is_never_the_platforms_fault(before) -> None:
    async with opened(f"import os\n{before}\n{indent('return 1')}", wall_s=2.0) as pool:
        for result in (await pool.run({}, {}), await pool.run({}, {})):
            assert result.reward == 1.0 or result.error


async def test_an_answer_that_a_call_forges_counts_for_that_call_only_and_must_be_a_number() -> None:
    each = "for fd in range(3, 256):\n    try: os.write(fd, {frame})\n    except OSError: pass\nreturn 3"
    forged = [each.format(frame=FORGED.format(reward=reward)) for reward in (7.0, "float('nan')", "float('inf')")]
    results = [result.reward for result in (await do_each(forged)).values()]
    assert results == [7.0, None, None]


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
