"""What the kernel can take away from a process, without root. Runs inside the sandbox: standard library only.

Each function takes one thing away and says whether it did. Nothing here is needed for correctness; the pool reports
what holds, so that an operator knows what this kernel allows.
"""

import ctypes
import os
import resource

_CLONE_NEWNS = 0x00020000
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000
_MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8
_MS_REC_PRIVATE = 0x4000 | 0x40000
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522
_SIGKILL = 9

_libc = ctypes.CDLL(None, use_errno=True)


def leave_namespaces() -> list[str]:
    """Enter new namespaces and return their names; the process-id namespace holds for children only."""
    uid, gid = os.getuid(), os.getgid()
    everything = _CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWPID | _CLONE_NEWNS | _CLONE_NEWIPC
    if _libc.unshare(everything) == 0:
        names = ["network", "processes", "mounts"]
    elif _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        names = ["network"]
    else:
        return []
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        try:
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
        except OSError:  # the namespace works without a map, only mounting does not
            pass
    return names


def hide_processes() -> bool:
    """Cover /proc, which shows other processes' environments; needs the mount namespace."""
    _libc.mount(None, b"/", None, _MS_REC_PRIVATE, None)
    return any(_libc.mount(kind, b"/proc", kind, _MS_NOSUID_NODEV_NOEXEC, None) == 0 for kind in (b"proc", b"tmpfs"))


def drop_privileges() -> bool:
    """Give up every capability, for good."""
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(64):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    return bool(_libc.capset(header, nothing) == 0)


def die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """Descendants whose parents died become this process's children, so that none can get away."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def limit(name: str, value: int) -> None:
    """Set the soft and the hard limit, never above what is already allowed."""
    kind = getattr(resource, name)
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))
