"""The filter for system calls: no sockets, no looking at other processes, no new namespaces, no memory beyond accounts.

A list of what is refused, not of what is allowed: packages for numbers use more of the kernel than anyone could list.
Calls newer than those known here do not exist for the grader. What starts or signals a process is not decided by the
filter but put to the launcher (seccomp_unotify(2)), which counts; that binds root as well, unlike RLIMIT_NPROC.
"""

import ctypes
import errno
import struct
import sys
from collections.abc import Iterable, Sequence

from .kernel import system_call
from .syscalls import ARCHITECTURE, NEWEST, number_of

_NETWORK = ("socket",)
"""Sockets of any family. A pair of connected local ones stays allowed, unless it can be turned to others."""

_OTHERS = (
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "process_mrelease",
    "kcmp",
    "pidfd_getfd",
    "pidfd_send_signal",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "setpriority",
    "ioprio_set",
    "sched_setparam",
    "sched_setscheduler",
    "sched_setattr",
    "sched_setaffinity",
    "migrate_pages",
    "move_pages",
)
"""Looking into or steering other processes."""

_SPACES = (
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "name_to_handle_at",
    "open_by_handle_at",
    "fanotify_init",
)
"""Namespaces, mounts and root folders."""

_UNACCOUNTED = (
    "memfd_create",
    "memfd_secret",
    "shmget",
    "shmat",
    "shmctl",
    "semget",
    "msgget",
    "mq_open",
)
"""Memory that belongs to no process, and outlives it."""

_KERNEL = (
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "add_key",
    "request_key",
    "keyctl",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "swapon",
    "swapoff",
    "reboot",
    "sethostname",
    "setdomainname",
    "acct",
    "quotactl",
    "quotactl_fd",
    "settimeofday",
    "clock_settime",
    "adjtimex",
    "clock_adjtime",
    "iopl",
    "ioperm",
    "modify_ldt",
    "vhangup",
    "syslog",
    "nfsservctl",
    "lookup_dcookie",
)
"""Parts of the kernel that a grader has no business with."""

_ATTRIBUTES = (
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "chown",
    "lchown",
    "fchown",
    "fchownat",
    "utime",
    "utimes",
    "futimesat",
    "utimensat",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "truncate",
)
"""What Landlock does not cover: owners, modes, times and attributes of files."""

STARTS = ("clone", "fork", "vfork")
SIGNALS = ("kill", "tgkill")

_LOAD, _EQUAL, _GREATER, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
_ALLOW, _NOTIFY, _REFUSE, _KILL = 0x7FFF0000, 0x7FC00000, 0x00050000, 0x80000000
_AUDIT_ARCHITECTURES = (0xC000003E, 0xC00000B7)  # of the columns of syscalls.NUMBERS
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8

_CLONE_NAMESPACES_AND_PARENT = 0x7E028080  # CLONE_NEW* and CLONE_PARENT, which would make a child of the launcher
_FCNTL_OWNERS = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals to anybody, by way of a pipe
_IOCTL_OWNERS = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP: the same
_ACCESS_MODE, _TRUNCATE = 0o3, 0o1000
_NOT_LOCAL = 0xFFFFFFFE  # any family above AF_UNIX
_SOCKET_TYPE = 0xF
_DATAGRAMS = (2, 3)  # SOCK_DGRAM, and SOCK_RAW, which is the same to AF_UNIX: each datagram may name whom it goes to

Step = tuple[int, int, int, int]  # code, jump if true, jump if false, constant
Check = tuple[int, int, int]  # argument, mask, wanted value; the value -1 is any but zero


def install(*, alone: bool, files_by_landlock: bool, notify: bool) -> int | None:
    """Bind this process and its children to the filter, for good.

    Args:
        alone: the process sees only its own, so that it may signal whom it can see.
        files_by_landlock: refuse what Landlock does not cover.
        notify: put starts of processes (and signals, unless `alone`) to whoever holds the listener.

    Returns:
        The listener's descriptor, None without `notify`.

    Raises:
        OSError: the kernel refuses; with `notify` also because somebody else listens already.
    """
    program = b"".join(
        struct.pack("=HBBI", *step)
        for step in _program(alone=alone, files_by_landlock=files_by_landlock, notify=notify)
    )
    steps = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(steps)))
    flags = _NEW_LISTENER if notify else 0
    listener = system_call("seccomp", _SET_MODE_FILTER, flags, ctypes.addressof(header))
    return listener if notify else None


def _program(*, alone: bool, files_by_landlock: bool, notify: bool) -> list[Step]:
    if ARCHITECTURE is None:
        raise OSError(errno.ENOSYS, f"no filter for this platform ({sys.platform})")
    steps: list[Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _AUDIT_ARCHITECTURES[ARCHITECTURE]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_GREATER, 0, 1, NEWEST),
        (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),
    ]
    steps += _refuse((*_NETWORK, *_OTHERS, *_SPACES, *_UNACCOUNTED, *_KERNEL))
    steps += _rule("clone3", _REFUSE | errno.ENOSYS)  # its flags are out of sight; C libraries then use clone
    steps += _rule("clone", _REFUSE | errno.EPERM, [(0, _CLONE_NAMESPACES_AND_PARENT, -1)])
    steps += _rule("prlimit64", _REFUSE | errno.EPERM, [(0, 0xFFFFFFFF, -1)])
    steps += _rule("socketpair", _REFUSE | errno.EPERM, [(0, _NOT_LOCAL, -1)])
    for kind in _DATAGRAMS:
        steps += _rule("socketpair", _REFUSE | errno.EPERM, [(1, _SOCKET_TYPE, kind)])
    for command in _FCNTL_OWNERS:
        steps += _rule("fcntl", _REFUSE | errno.EPERM, [(1, 0xFFFFFFFF, command)])
    for command in _IOCTL_OWNERS:
        steps += _rule("ioctl", _REFUSE | errno.EPERM, [(1, 0xFFFFFFFF, command)])
    if files_by_landlock:
        steps += _uncovered_by_landlock()
    if not alone:
        steps += _refuse(["tkill"])
        for name in SIGNALS:
            steps += _rule(name, _NOTIFY if notify else _REFUSE | errno.EPERM)
    if notify:
        for name in STARTS:
            steps += _rule(name, _NOTIFY)
    return [*steps, (_RETURN, 0, 0, _ALLOW)]


def _uncovered_by_landlock() -> list[Step]:
    steps = _refuse(_ATTRIBUTES)
    steps += _rule("openat2", _REFUSE | errno.ENOSYS)  # its flags are out of sight
    for name, argument in (
        ("open", 1),
        ("openat", 2),
    ):  # reading that cuts the file off, before Landlock's third version
        steps += _rule(name, _REFUSE | errno.EPERM, [(argument, _ACCESS_MODE | _TRUNCATE, _TRUNCATE)])
    return steps


def _refuse(names: Iterable[str]) -> list[Step]:
    return [step for name in names for step in _rule(name, _REFUSE | errno.EPERM)]


def _rule(name: str, action: int, checks: Sequence[Check] = ()) -> list[Step]:
    """`action` for the call if all `checks` hold; the call's number is loaded before and after."""
    number = number_of(name)
    if number is None:
        return []
    inner: list[Step] = []
    for argument, mask, wanted in checks:
        inner.append((_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument))
        inner += [(_ANY_BIT, 0, 255, mask)] if wanted == -1 else [(_AND, 0, 0, mask), (_EQUAL, 0, 255, wanted)]
    inner.append((_RETURN, 0, 0, action))
    if checks:
        inner.append((_LOAD, 0, 0, _NUMBER_AT))
    last = len(inner) - 1  # where a failed check goes: the load
    aimed = [(code, yes, last - at - 1 if no == 255 else no, value) for at, (code, yes, no, value) in enumerate(inner)]
    return [(_EQUAL, 0, len(inner), number), *aimed]
