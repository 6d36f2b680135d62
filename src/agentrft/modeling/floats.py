"""bf16 for compiled kernels: reading and writing it, and an exponential that vectorises.

torch's CPU operations on bf16 each read and write memory once, and several are needed where one pass would do. numba
compiles that one pass (docs/decisions/0007-compiled-kernels.md). numpy has no bf16, so kernels see its bits as uint16.

`load` and `cast` are resolved when a kernel is compiled; a kernel that uses them serves bf16 and fp32 alike.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from torch import Tensor

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# Sums may be reordered and products fused; NaN and infinity keep their meaning.
_FASTMATH = {"reassoc", "contract", "arcp", "nsz"}


def kernel(function: Kernel) -> Kernel:
    """Compile on first use for the types that it gets; the machine code is kept on disk where that can be written."""
    options: dict[str, Any] = {"nogil": True, "fastmath": _FASTMATH, "error_model": "numpy"}
    try:
        compiled: Kernel = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba has found no folder that it may write to
        compiled = numba.njit(**options)(function)
    return compiled


def has_kernels(x: Tensor) -> bool:
    """Whether kernels can work on `x`."""
    return x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float32)


def array(x: Tensor) -> Any:
    """The memory of a CPU tensor as kernels see it."""
    x = x.detach()
    return x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()


def _bits_as_float(context, bits):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


def _float_as_bits(context, value):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


_float_of: Any = intrinsic(_bits_as_float)
_bits_of: Any = intrinsic(_float_as_bits)


def load(x):  # type: ignore[no-untyped-def]
    """In kernels: an element of an array as fp32."""
    raise NotImplementedError("for kernels only")


@overload(load)
def _load(x):  # type: ignore[no-untyped-def]
    if x == types.uint16:
        return lambda x: _float_of(np.uint32(x) << np.uint32(16))
    return lambda x: x


def cast(value, like):  # type: ignore[no-untyped-def]
    """In kernels: an fp32 value as an element of an array with elements such as `like`, rounded to even."""
    raise NotImplementedError("for kernels only")


@overload(cast)
def _cast(value, like):  # type: ignore[no-untyped-def]
    if like == types.uint16:
        return lambda value, like: _to_bf16(value)
    return lambda value, like: value


@numba.njit
def _to_bf16(value):  # type: ignore[no-untyped-def]
    bits = _bits_of(value)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.uint16(rounded) if value == value else np.uint16(0x7FC0)


@numba.njit
def exp(x):  # type: ignore[no-untyped-def]
    """In kernels: e^x in fp32 within 2e-7 of its value, for x up to 88; e^-87 for anything below. Vectorises.

    Range reduction and polynomial of Cephes' expf (S. Moshier, netlib.org/cephes).
    """
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    n = np.floor(x * np.float32(1.44269504088896341) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    y = p * r * r + r + np.float32(1.0)
    return y * _float_of(np.uint32(np.int32(n) + np.int32(127)) << np.uint32(23))
