"""How this machine's cores and memory are used: one thread per torch operation, several operations at a time."""

import ctypes
import os
import sys

MAX_SESSIONS = 100  # sequences sampled at once: an evaluation of the demo in one go
TRAINING_TOKENS = 1152  # unique tokens of one forward-backward pass; about 0.75 MB each for SmolLM2-135M

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # our own threads share the cores; OpenMP's would fight them
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_ARENA_MAX": "1",
    # Freed memory is kept for the next buffer: a fresh page costs more than the operation that writes to it.
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256",  # prepared products: about a megabyte each
    "TOKENIZERS_PARALLELISM": "false",
}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare_process() -> None:
    """Start this process over with the environment that its libraries read at load time, unless it has it."""
    missing = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
    if missing and hasattr(os, "execve"):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **missing})


def prepare_torch() -> None:
    """One thread per operation. Process-wide."""
    import torch

    torch.set_num_threads(1)


def release_memory() -> None:
    """Give freed memory back to the system, between phases that need it for different things."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
