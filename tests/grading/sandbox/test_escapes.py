"""The escape list. Each test is a real attempt, and looks from outside whether it succeeded."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

import agentrft
from agentrft.grading.sandbox import Guard, SandboxPool, SandboxResult, SandboxSetup
from agentrft.grading.sandbox.process import SandboxLimits
from agentrft.grading.sandbox.readable import find_readable
from agentrft.grading.sandbox.statement import describe
from tests.grading.sandbox.opening import count_descendants, indent, list_commands, opened

SECRET = "sk-this-must-stay-here"


async def attempt(source: str, *, guard: Guard, setup: SandboxSetup, **limits) -> SandboxResult:
    """The result of one call, between two others that the same sandbox must serve."""
    async with opened(source, setup=setup, wall_s=60.0, **limits) as pool:
        assert (await pool.run({}, {})).reward == -1.0
        skip_unless_held(pool, guard)  # before the attempt, which would do real harm
        result = await pool.run({}, {"go": True})
        assert (await pool.run({}, {})).reward == -1.0
    return result


def skip_unless_held(pool: SandboxPool, guard: Guard) -> None:
    missing = describe(pool.facts, SandboxLimits()).missing
    if lacking := [each.how for each in missing if each.guard is guard]:
        pytest.skip(lacking[0])


def on_request(body: str) -> str:
    """A grader that does `body` when the item asks for it."""
    return indent("if not item: return -1\n" + body)


@pytest.fixture
def secret(tmp_path) -> Path:
    path = tmp_path / "data" / "secret.key"
    path.parent.mkdir()
    path.write_text(SECRET)
    return path


# Fork bombs


async def test_a_fork_bomb_stays_small(setup) -> None:
    body = (
        "import os, time\nend = time.time() + 0.5\nwhile time.time() < end:\n"
        "    try: os.fork()\n"
        "    except OSError: pass"
    )
    before, most = count_descendants(), 0
    task = asyncio.create_task(attempt(on_request(body), guard=Guard.PROCESSES, setup=setup, processes=20))
    while not task.done():
        most = max(most, count_descendants() - before)
        await asyncio.sleep(0.05)
    await task
    assert most <= 2 * 20 + 2
    assert count_descendants() == before


async def test_a_bomb_of_threads_is_refused_at_the_limit(setup) -> None:
    body = (
        "import threading\nhold = threading.Event()\nfor count in range(1000):\n"
        "    try: threading.Thread(target=hold.wait, daemon=True).start()\n"
        "    except RuntimeError: return count\n"
        "return 1000"
    )
    result = await attempt(on_request(body), guard=Guard.PROCESSES, setup=setup, processes=20)
    assert 10 <= (result.reward or 0) <= 40


async def test_a_few_children_are_allowed_again_and_again(setup) -> None:
    body = (
        "import subprocess, sys\n"
        "for _ in range(12): subprocess.run([sys.executable, '-I', '-S', '-c', ''], check=True)\n"
        "return 1"
    )
    assert (await attempt(on_request(body), guard=Guard.PROCESSES, setup=setup, processes=6)).reward == 1.0


# Memory bombs


async def test_a_memory_bomb_of_one_process_is_refused(setup) -> None:
    body = "blocks = []\nwhile True: blocks.append(bytearray(1 << 20))"
    result = await attempt(on_request(body), guard=Guard.MEMORY, setup=setup, memory_bytes=256 << 20)
    assert "MemoryError" in (result.error or "")


async def test_a_memory_bomb_in_c_is_refused(setup) -> None:
    body = (
        "import ctypes\nmalloc = ctypes.CDLL(None).malloc\nmalloc.restype = ctypes.c_void_p\n"
        "for count in range(4096):\n    if not malloc(1 << 20): return count\nreturn 4096"
    )
    result = await attempt(on_request(body), guard=Guard.MEMORY, setup=setup, memory_bytes=256 << 20)
    assert 0 < (result.reward or 0) <= 256


async def test_a_memory_bomb_of_many_processes_is_ended(setup) -> None:
    body = (
        "import os, time\nfor _ in range(5):\n    if os.fork() == 0: break\n"
        "block = bytearray(os.urandom(1 << 20)) * 120\ntime.sleep(30)"
    )
    result = await attempt(on_request(body), guard=Guard.MEMORY, setup=setup, memory_bytes=256 << 20)
    assert "more than 256 MiB of memory together" in (result.error or "")


async def test_a_memory_bomb_is_ended_also_while_processes_are_asked_for_without_end(setup) -> None:
    body = (
        "import os, time\nfor _ in range(5):\n    if os.fork() == 0:\n"
        "        block = bytearray(os.urandom(1 << 20)) * 120\n        time.sleep(30)\n"
        "while True:\n    try: os.fork()\n    except OSError: pass"
    )
    result = await attempt(on_request(body), guard=Guard.MEMORY, setup=setup, memory_bytes=256 << 20, processes=10)
    assert "more than 256 MiB of memory together" in (result.error or "")


async def test_memory_that_no_process_owns_is_refused(setup) -> None:
    body = (
        "import ctypes, os\nlibc = ctypes.CDLL(None)\n"
        "try: os.memfd_create('hoard')\nexcept OSError: hoard = False\nelse: hoard = True\n"
        "return hoard + (libc.shmget(0, 1 << 20, 0o1600) >= 0)"
    )
    assert (await attempt(on_request(body), guard=Guard.MEMORY, setup=setup)).reward == 0.0


async def test_the_scratch_folder_is_bounded_as_a_whole(setup) -> None:
    body = (
        "import time\nfor number in range(40): open(str(number), 'wb').write(bytes(1 << 20))\ntime.sleep(10)\nreturn 1"
    )
    result = await attempt(on_request(body), guard=Guard.DISK, setup=setup, scratch_bytes=8 << 20)
    assert result.reward is None
    assert "No space left" in (result.error or "") or "8 MiB of files" in (result.error or "")


# Files


READS = (
    "open(PATH).read()",
    "open('/proc/self/root' + PATH).read()",
    "open('/proc/1/root' + PATH).read()",
    "open('/proc/self/cwd/' + '../' * 30 + PATH[1:]).read()",
    "(os.symlink(PATH, 'link'), open('link').read())",
    "(os.link(PATH, 'hard'), open('hard').read())",
    "(os.rename(PATH, 'moved'), open('moved').read())",
    "os.read(os.open(os.path.basename(PATH), 0, dir_fd=os.open(os.path.dirname(PATH), os.O_PATH)), 99)",
    "subprocess.run([sys.executable, '-c', f'print(open({PATH!r}).read())'], capture_output=True).stdout",
    "subprocess.run(['/bin/cat', PATH], capture_output=True).stdout",
)


async def test_the_key_file_cannot_be_read(secret, setup) -> None:
    source = f"import os, subprocess, sys\nPATH = {str(secret)!r}\n" + on_request(
        "raise ValueError(eval(item['read']))"
    )
    async with opened(source, setup=setup) as pool:
        await pool.run({}, {})
        skip_unless_held(pool, Guard.FILES)
        errors = [(await pool.run({}, {"read": read})).error or "" for read in READS]
    assert all("Error" in error for error in errors)
    assert SECRET not in "".join(errors)
    assert secret.read_text() == SECRET


async def test_the_environment_and_memory_of_the_worker_cannot_be_read(setup) -> None:
    body = (
        f"import os\nread = 0\nfor pid in ({os.getpid()}, {os.getppid()}, os.getppid()):\n"
        "    for name in ('environ', 'maps', 'cmdline', 'status', 'fd/1', 'root/etc/passwd'):\n"
        "        try: open(f'/proc/{pid}/{name}').read(1)\n"
        "        except OSError: continue\n"
        "        read += 1\n"
        "return read"
    )
    assert (await attempt(on_request(body), guard=Guard.FILES, setup=setup)).reward == 0.0


WRITES = (
    "open(PATH, 'w').write('mine')",
    "open(PATH, 'r+').truncate(0)",
    "os.truncate(PATH, 0)",
    "os.open(PATH, os.O_RDONLY | os.O_TRUNC)",
    "os.unlink(PATH)",
    "os.chmod(PATH, 0o777)",
    "os.utime(PATH, (0, 0))",
    "os.setxattr(PATH, 'user.mine', b'1')",
    "os.rename(PATH, PATH + '.old')",
    "open(os.path.dirname(PATH) + '/planted', 'w').write('mine')",
    "os.mkdir(os.path.dirname(PATH) + '/planted')",
    "os.symlink('/', os.path.dirname(PATH) + '/planted')",
    "os.rmdir(os.path.dirname(PATH))",
)


async def test_nothing_outside_can_be_changed(secret, setup) -> None:
    before = secret.stat()
    source = f"import os\nPATH = {str(secret)!r}\n" + on_request("eval(item['write'])\nreturn 1")
    async with opened(source, setup=setup) as pool:
        await pool.run({}, {})
        skip_unless_held(pool, Guard.FILES)
        assert [(await pool.run({}, {"write": write})).reward for write in WRITES] == [None] * len(WRITES)
    assert os.listdir(secret.parent) == [secret.name]
    assert secret.read_text() == SECRET
    assert (secret.stat().st_mode, secret.stat().st_mtime) == (before.st_mode, before.st_mtime)
    assert os.listxattr(secret) == []


@pytest.fixture
def packages(tmp_path, monkeypatch) -> Path:
    """A folder that graders import from, with two packages."""
    folder = tmp_path / "site-packages"
    for name in ("platform_itself", "another"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"NAME = {name!r}\n")
    monkeypatch.syspath_prepend(folder)
    return folder


async def test_the_packages_can_be_read_but_not_changed(packages, setup) -> None:
    target = packages / "another" / "__init__.py"
    before = target.stat()
    body = (
        "import another, os\npath = another.__file__\nopen(path).read()\ndone = 0\n"
        "for act in (lambda: open(path, 'a'), lambda: os.chmod(path, 0o777), lambda: os.unlink(path),\n"
        "            lambda: os.fchmod(os.open(path, 0), 0o777), lambda: os.utime(os.open(path, 0), (0, 0)),\n"
        "            lambda: open(os.path.dirname(path) + '/planted', 'w')):\n"
        "    try: act()\n"
        "    except OSError: continue\n"
        "    done += 1\n"
        "return done"
    )
    assert (await attempt(on_request(body), guard=Guard.FILES, setup=setup)).reward == 0.0
    assert (target.stat().st_mode, target.stat().st_mtime) == (before.st_mode, before.st_mtime)
    assert os.listdir(target.parent) == ["__init__.py"]


def remove(name: str, folders: Sequence[str]) -> list[str]:
    """The folders in which there was a file of that name."""
    found = [folder for folder in folders if Path(folder, name).exists()]
    for folder in found:
        Path(folder, name).unlink()
    return found


async def test_the_scratch_folder_is_the_only_place_to_write(setup) -> None:
    name, folders = f"agentrft-planted-{os.getpid()}", ("/", "/tmp", "/var/tmp", "/dev", "/dev/shm", "/etc", "/root")
    body = (
        f"import os\nfor folder in {folders}:\n"
        f"    try: open(folder + '/{name}', 'w').close()\n"
        "    except OSError: continue\n"
        "open('note', 'w').close()\n"
        "return len(os.listdir())"
    )
    try:
        assert (await attempt(on_request(body), guard=Guard.FILES, setup=setup)).reward in (1.0, 2.0)
        assert remove(name, folders) == []
    finally:
        remove(name, folders)


# Network


async def test_nobody_can_be_reached(setup, tmp_path) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as local,
    ):
        udp.bind(("127.0.0.1", 0))
        local.bind(f"{folder}/socket")
        local.listen()
        body = (
            "import socket\nreached = 0\n"
            f"for kind, address in ((1, {tcp.getsockname()}), (2, {udp.getsockname()})):\n"
            "    try:\n"
            "        with socket.socket(socket.AF_INET, kind) as out: out.connect(address); out.send(b'x')\n"
            "    except OSError: continue\n"
            "    reached += 1\n"
            "try:\n"
            f"    with socket.socket(socket.AF_UNIX) as out: out.connect({folder!r} + '/socket')\n"
            "    reached += 1\n"
            "except OSError: pass\n"
            "return reached"
        )
        result = await attempt(on_request(body), guard=Guard.NETWORK, setup=setup)
        assert result.reward == 0.0
        for listener in (tcp, udp, local):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.recv(1) if listener is udp else listener.accept()


async def test_no_pair_of_sockets_can_be_turned_to_somebody_else(setup) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as sockets:
        names = [f"{folder}/socket", f"\0agentrft-test-{os.getpid()}"]
        listeners = [sockets.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) for _ in names]
        for listener, name in zip(listeners, names, strict=True):
            listener.bind(name)
            listener.setblocking(False)
        body = (
            "import socket\nreached = 0\n"
            "for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET, socket.SOCK_STREAM):\n"
            f"    for name in {names!r}:\n"
            "        try:\n"
            "            near, far = socket.socketpair(socket.AF_UNIX, kind)\n"
            "            with near, far: near.sendto(b'x', name)\n"
            "        except OSError: continue\n"
            "        reached += 1\n"
            "return reached"
        )
        await attempt(on_request(body), guard=Guard.NETWORK, setup=setup)
        for listener in listeners:
            with pytest.raises(BlockingIOError):
                listener.recv(1)


# Other processes


async def test_no_signal_gets_out(setup, victim) -> None:
    body = (
        "import ctypes, fcntl, os, resource, signal\n"
        f"targets = [{victim.pid}, -{victim.pid}]\n"
        "def by_pipe(pid):\n"
        "    ends = os.pipe()\n"
        "    fcntl.fcntl(ends[0], fcntl.F_SETOWN, pid)\n"
        "    fcntl.fcntl(ends[0], 10, signal.SIGKILL)\n"
        "    fcntl.fcntl(ends[0], fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)\n"
        "    os.write(ends[1], b'x')\n"
        "def by_descriptor(pid): signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL)\n"
        "def by_limit(pid): resource.prlimit(pid, resource.RLIMIT_CPU, (0, 0))\n"
        "def by_thread(pid): ctypes.CDLL(None).syscall(200, pid, 9)\n"
        "for act in (by_pipe, by_descriptor, by_limit, by_thread, lambda pid: os.kill(pid, signal.SIGTERM)):\n"
        "    for pid in targets:\n"
        "        try: act(pid)\n"
        "        except OSError: pass\n"
        "return 1"
    )
    await attempt(on_request(body), guard=Guard.SIGNALS, setup=setup)
    assert victim.poll() is None


async def test_a_call_cannot_end_the_process_that_serves_it(setup) -> None:
    body = "import os, signal\ntry: os.kill(os.getppid(), signal.SIGKILL)\nexcept OSError: pass\nreturn 1"
    assert (await attempt(on_request(body), guard=Guard.SIGNALS, setup=setup)).reward == 1.0


def is_traced(pid: int) -> bool:
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()


async def test_no_process_outside_can_be_traced_or_read(setup, victim) -> None:
    body = (
        "import ctypes, os\nlibc = ctypes.CDLL(None)\n"
        f"pids = ({victim.pid}, os.getppid())\n"
        "done = sum(libc.ptrace(kind, pid, 0, 0) == 0 for kind in (16, 0x4206) for pid in pids)\n"
        "here = ctypes.create_string_buffer(8)\n"
        "vector = (ctypes.c_size_t * 2)(ctypes.addressof(here), 8)\n"
        f"done += sum(libc.process_vm_readv({victim.pid}, vector, 1, vector, 1, 0) > 0 for _ in range(1))\n"
        "return done"
    )
    assert (await attempt(on_request(body), guard=Guard.SIGNALS, setup=setup)).reward == 0.0
    assert not is_traced(victim.pid)


async def test_no_new_namespace_and_no_mount_can_be_made(setup) -> None:
    body = (
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "done = sum(libc.unshare(flag) == 0 for flag in (0x10000000, 0x00020000, 0x40000000))\n"
        "done += libc.mount(b'tmpfs', b'.', b'tmpfs', 0, None) == 0\n"
        "done += libc.chroot(b'.') == 0\n"
        "done += libc.syscall(56, 0x10000011, 0, 0, 0, 0) > 0\n"  # clone into a new user namespace
        "return done"
    )
    assert (await attempt(on_request(body), guard=Guard.KERNEL, setup=setup)).reward == 0.0


# The worker's own code


async def test_the_workers_modules_cannot_be_imported_or_read(setup) -> None:
    root = Path(agentrft.__file__).parents[1]
    body = (
        f"import importlib, sys\nsys.path.insert(0, {str(root)!r})\nfound = []\n"
        "for name in ('agentrft', 'agentrft.store', 'agentrft.grading'):\n"
        "    sys.modules.pop(name, None)\n"
        "    importlib.invalidate_caches()\n"
        "    try: found.append(importlib.import_module(name).__file__)\n"
        "    except (ImportError, OSError): pass\n"
        f"try: found.append(open({agentrft.__file__!r}).read())\n"
        "except OSError: pass\n"
        "raise ValueError('found', found)"
    )
    result = await attempt(on_request(body), guard=Guard.FILES, setup=setup)
    assert "('found', [])" in (result.error or "") or "('found', [None])" in (result.error or "")


async def test_the_package_is_hidden_also_where_it_is_installed_beside_others(packages, setup) -> None:
    hiding = SandboxSetup(facilities=setup.facilities, readable=find_readable(packages / "platform_itself"))
    body = (
        "import another\n"
        "try: import platform_itself\nexcept (ImportError, OSError): return 1\n"
        "return 2 if getattr(platform_itself, 'NAME', None) else 1"
    )
    assert (await attempt(on_request(body), guard=Guard.FILES, setup=hiding)).reward == 1.0


# Output, time, leftovers


async def test_endless_output_ends_with_the_call() -> None:
    body = "import sys\nwhile True:\n    print('x' * 100_000)\n    print('y' * 100_000, file=sys.stderr)"
    result = await attempt(on_request(body), guard=Guard.PROCESSES, setup=SandboxSetup(), cpu_s=1)
    assert "CPU time" in (result.error or "")


async def test_no_daemon_outlives_its_call(setup) -> None:
    mark = f"agentrft-daemon-{os.getpid()}"
    body = (
        "import os, subprocess, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        program = 'import time; time.sleep(600)'\n"
        f"        os.execv(sys.executable, [sys.executable, '-I', '-S', '-c', program, {mark!r}])\n"
        "    os._exit(0)\n"
        "os.wait()\nreturn 1"
    )
    async with opened(indent(body), setup=setup) as pool:
        assert (await pool.run({}, {})).reward == 1.0
        assert not [command for command in list_commands() if mark in command]
