"""The few system calls that Python has no function for. All of them raise OSError, also where there is no Linux."""

import ctypes
import errno
import os

from .syscalls import number_of

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 1, 4, 36, 38, 24
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def call(function: str, *arguments: int | bytes | None) -> int:
    """Call a function of the C library; numbers go as 64 bits, which is what the variadic ones need."""
    converted = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    try:
        result = getattr(_libc, function)(*converted)
    except AttributeError:
        raise OSError(errno.ENOSYS, f"{function}: {os.strerror(errno.ENOSYS)}") from None
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
    return int(result)


def system_call(name: str, *arguments: int | bytes | None) -> int:
    """A system call that the C library may have no function for."""
    number = number_of(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"{name}: not known on this platform")
    try:
        return call("syscall", number, *arguments)
    except OSError as error:
        raise OSError(error.errno, f"{name}: {os.strerror(error.errno or 0)}") from None


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """As mount(2)."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    call("mount", *encoded[:3], flags, encoded[3])


def drop_capabilities() -> None:
    """Give up every capability, for good, also over programs that are started."""
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(64):
        try:
            call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
        except OSError:  # not a capability of this kernel, or not ours to drop
            continue
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    call("capset", ctypes.addressof(header), ctypes.addressof(nothing))
