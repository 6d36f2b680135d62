"""How this machine's cores and memory are used: one thread per torch operation, several operations at a time."""

import os
import sys

MAX_SESSIONS = 64  # sequences sampled at once
TRAINING_TOKENS = 2048  # unique tokens of one forward-backward pass; about 0.7 MB each for SmolLM2-135M

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # our own threads share the cores; OpenMP's would fight them
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_ARENA_MAX": "1",  # big buffers are kept and used again by all threads instead of being mapped anew
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
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
