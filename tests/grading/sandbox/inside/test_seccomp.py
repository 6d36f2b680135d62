"""The filter's program, run by an interpreter of its few instructions: also for the architecture that is not here."""

import struct

import pytest

from agentrft.grading.sandbox.inside import seccomp, syscalls

ALLOWED, NOTIFIED, KILLED, REFUSED = 0x7FFF0000, 0x7FC00000, 0x80000000, 0x00050000
EPERM, EAGAIN, ENOSYS = 1, 11, 38


@pytest.fixture(params=[0, 1], ids=["x86_64", "aarch64"])
def column(request, monkeypatch) -> int:
    for module in (seccomp, syscalls):
        monkeypatch.setattr(module, "ARCHITECTURE", request.param)
    return request.param


def judge(column: int, name: str | int, *arguments: int, audit: int | None = None, **settings) -> int:
    """What becomes of a call."""
    number = name if isinstance(name, int) else syscalls.NUMBERS[name][column]
    architecture = seccomp._AUDIT_ARCHITECTURES[column] if audit is None else audit
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=iIQ6Q", number, architecture, 0, *padded)
    program = seccomp._program(**{"alone": False, "files_by_landlock": True, "notify": True, **settings})
    at, value = 0, 0
    while True:
        code, yes, no, constant = program[at]
        at += 1
        match code:
            case 0x20:
                (value,) = struct.unpack_from("=I", data, constant)
            case 0x54:
                value &= constant
            case 0x06:
                return constant
            case 0x15 | 0x25 | 0x45:
                held = {0x15: value == constant, 0x25: value > constant, 0x45: bool(value & constant)}[code]
                at += yes if held else no


def test_what_numbers_and_files_need_is_allowed(column) -> None:
    for kind in (1, 1 | 0o2000000, 5):  # SOCK_STREAM, and SOCK_CLOEXEC, SOCK_SEQPACKET
        assert judge(column, "socketpair", 1, kind) == ALLOWED
    for number in (63, 0, 451):  # some without danger
        assert judge(column, number) == ALLOWED
    assert judge(column, "openat", 0, 0, 0o102) == ALLOWED
    assert judge(column, "fcntl", 3, 4, 0) == ALLOWED
    assert judge(column, "prlimit64", 0, 7) == ALLOWED


@pytest.mark.parametrize("name", ["socket", "ptrace", "unshare", "mount", "memfd_create", "bpf", "keyctl", "tkill"])
def test_what_reaches_beyond_the_grader_is_refused(column, name) -> None:
    assert judge(column, name) == REFUSED | EPERM


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("clone", (0x10000000,), EPERM),  # CLONE_NEWUSER
        ("clone", (0x8000,), EPERM),  # CLONE_PARENT
        ("clone3", (), ENOSYS),
        ("prlimit64", (1234, 7), EPERM),
        ("fcntl", (3, 8, 1234), EPERM),
        ("fcntl", (3, 10, 9), EPERM),
        ("fcntl", (3, 15, 0), EPERM),
        ("ioctl", (3, 0x8901), EPERM),
        ("openat", (0, 0, 0o1000), EPERM),  # O_RDONLY | O_TRUNC
        ("socketpair", (1, 2), EPERM),  # SOCK_DGRAM
        ("socketpair", (1, 2 | 0o2004000), EPERM),  # and SOCK_CLOEXEC | SOCK_NONBLOCK
        ("socketpair", (1, 3), EPERM),  # SOCK_RAW
        ("socketpair", (30, 1), EPERM),  # AF_TIPC
    ],
)
def test_arguments_decide_where_a_call_has_other_uses(column, name, arguments, error) -> None:
    assert judge(column, name, *arguments) == REFUSED | error


def test_starts_and_signals_are_put_to_the_launcher(column) -> None:
    assert judge(column, "clone", 17) == NOTIFIED
    assert judge(column, "kill", 1, 9) == NOTIFIED
    assert judge(column, "kill", 1, 9, alone=True) == ALLOWED
    assert judge(column, "kill", 1, 9, notify=False) == REFUSED | EPERM
    assert judge(column, "clone", 17, notify=False) == ALLOWED


def test_modes_of_files_matter_where_landlock_guards_them(column) -> None:
    assert judge(column, "fchmod") == REFUSED | EPERM
    assert judge(column, "fchmod", files_by_landlock=False) == ALLOWED


def test_calls_that_are_too_new_do_not_exist_and_another_architecture_ends_the_process(column) -> None:
    assert judge(column, 470) == REFUSED | ENOSYS
    assert judge(column, 0x40000001) == REFUSED | ENOSYS
    assert judge(column, "openat", audit=0x40000003) == KILLED
