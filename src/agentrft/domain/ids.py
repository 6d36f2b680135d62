"""Identifiers in the shapes that OpenAI's clients expect (reference: `ftjob-` + 24 base62, `trace_` + 32 hex)."""

import secrets
import string
import uuid

_BASE62 = string.ascii_letters + string.digits


def base62(length: int) -> str:
    """A random string of `length` characters of [A-Za-z0-9]."""
    return "".join(secrets.choice(_BASE62) for _ in range(length))


def new_id(prefix: str, length: int = 24) -> str:
    """`prefix` and `length` base62 characters, e.g. `new_id("ftjob-")`."""
    return prefix + base62(length)


def new_hex_id(prefix: str) -> str:
    """`prefix` and 32 hexadecimal characters of a uuid4, e.g. `new_hex_id("trace_")`."""
    return prefix + uuid.uuid4().hex
