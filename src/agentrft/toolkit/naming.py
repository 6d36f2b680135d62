"""Names that tools and graders may have: they become parts of URLs, and tools' names are written by models."""

import re

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_name(name: str) -> str:
    """`name`, or a ValueError that says what a name is made of."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a tool or grader: use 1 to 64 letters, digits, '_' and '-'")
    return name
