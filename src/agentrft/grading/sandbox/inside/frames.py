"""Messages between the processes of the sandbox: four bytes of length, then the content."""

import os
import struct
from enum import StrEnum


class Blame(StrEnum):
    """Whom a failure is laid to."""

    GRADER = "grader"
    UNSURE = "unsure"  # the grader, unless its source is known to load
    MACHINE = "machine"  # which is short of memory, as far as one can tell


def read_frame(source: int) -> bytes | None:
    """A frame's content, or None at the end of the stream."""
    head = read_exactly(source, 4)
    if head is None:
        return None
    (length,) = struct.unpack("!I", head)
    return read_exactly(source, length)


def read_exactly(source: int, length: int) -> bytes | None:
    content = bytearray()
    while len(content) < length:
        chunk = os.read(source, min(length - len(content), 1 << 20))
        if not chunk:
            return None
        content += chunk
    return bytes(content)


def write_frame(target: int, content: bytes) -> None:
    rest = memoryview(struct.pack("!I", len(content)) + content)
    while rest:
        rest = rest[os.write(target, rest) :]


def parse_frame(received: bytes | bytearray) -> bytes | None:
    """The content of the first frame in `received`, or None while it is not whole."""
    if len(received) < 4:
        return None
    (length,) = struct.unpack("!I", received[:4])
    return bytes(received[4 : 4 + length]) if len(received) >= 4 + length else None
