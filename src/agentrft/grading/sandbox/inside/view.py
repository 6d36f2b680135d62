"""Namespaces, and in them a root folder that shows nothing but the interpreter, its packages and a scratch folder.

The root is a tmpfs with read-only binds at the same paths as outside; the scratch folder is a tmpfs of limited size. A
user who is not root may do all this in a user namespace of his own, where the kernel allows those.
"""

import os
from collections.abc import Sequence

from . import kernel

SCRATCH = "/tmp"
_EVERYTHING = kernel.CLONE_NEWNET | kernel.CLONE_NEWPID | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_SAFE = kernel.MS_NOSUID | kernel.MS_NODEV
_AT_FDCWD, _AT_RECURSIVE = (1 << 64) - 100, 0x8000
_MAX_FILES = 1 << 16


def enter_namespaces() -> None:
    """Own network, processes (for children), mounts, System V objects and host name.

    Raises:
        OSError: the kernel does not allow it, or not all of it.
    """
    uid, gid = os.getuid(), os.getgid()
    try:
        kernel.call("unshare", _EVERYTHING | kernel.CLONE_NEWUSER)
    except OSError:
        if uid != 0:
            raise
        kernel.call("unshare", _EVERYTHING)  # root may, even where user namespaces are forbidden
    else:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
        kernel.call("prctl", kernel.PR_SET_DUMPABLE, 1, 0, 0, 0)  # so that the launcher may read of its children
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)


def build(root: str, *, readable: Sequence[str], hidden: Sequence[str], scratch_bytes: int) -> None:
    """Make the view in the folder `root`; needs `enter_namespaces`.

    Raises:
        OSError: the kernel allows the namespaces, but not what is needed in them.
    """
    kernel.mount("tmpfs", root, "tmpfs", _SAFE, "size=16m,nr_inodes=8192,mode=755")
    links = [path for path in readable if os.path.islink(path) and os.path.dirname(path) == "/"]
    for link in links:
        os.symlink(os.readlink(link), root + link)
    for path in _outermost([path for path in readable if path not in links]):
        _bind(path, root + path)
        _make_read_only(root + path)
    for path in hidden:
        if os.path.isdir(root + path):
            kernel.mount("tmpfs", root + path, "tmpfs", _SAFE | kernel.MS_RDONLY, "size=4k,mode=755")
    for path in _DEVICES:
        _bind(path, root + path)
    os.symlink(SCRATCH, f"{root}/dev/shm")
    os.mkdir(root + SCRATCH)
    limits = f"size={scratch_bytes},nr_inodes={_MAX_FILES},mode=700"
    kernel.mount("tmpfs", root + SCRATCH, "tmpfs", _SAFE, limits)
    kernel.mount(None, root, None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | _SAFE)


def move_into(root: str) -> None:
    """Make `root` the root folder of this process and let go of the old one; the parent keeps its own."""
    kernel.call("unshare", kernel.CLONE_NEWNS)
    os.chdir(root)
    kernel.system_call("pivot_root", b".", b".")
    kernel.call("umount2", b".", kernel.MNT_DETACH)
    os.chdir(SCRATCH)


def _outermost(paths: Sequence[str]) -> list[str]:
    """Without those inside others."""
    return [path for path in dict.fromkeys(paths) if not any(path.startswith(other + os.sep) for other in paths)]


def _bind(path: str, target: str) -> None:
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.mount(path, target, None, kernel.MS_BIND | kernel.MS_REC)


def _make_read_only(target: str) -> None:
    attributes = kernel.MS_RDONLY | _SAFE  # MOUNT_ATTR_ has the same values
    setting = b"".join(value.to_bytes(8, "little") for value in (attributes, 0, 0, 0))
    try:  # Linux 5.12: what is mounted below it too
        kernel.system_call("mount_setattr", _AT_FDCWD, os.fsencode(target), _AT_RECURSIVE, setting, 32)
    except OSError:
        kept = os.statvfs(target).f_flag & kernel.MS_NOEXEC  # must not be lost, or the kernel refuses
        kernel.mount(None, target, None, kernel.MS_REMOUNT | kernel.MS_BIND | attributes | kept)
