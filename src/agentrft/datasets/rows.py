"""JSONL, line by line: a file becomes numbered rows, or an error that says which example is to be mended.

Examples count from 1 and leave out blank lines; the wordings follow OpenAI's (API reference, section 1.4).
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from agentrft.domain.errors import UserError

MAX_LINE_BYTES = 16 << 20
MAX_DEPTH = 100  # what every encoder on a row's way can follow
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a file. `param` is the request's field that named the file, for error messages."""

    index: int  # from 0
    value: Mapping[str, Any]
    param: str

    def refuse(self, problem: str) -> NoReturn:
        """Raise the error that names this example, e.g. `row.refuse("is missing key 'messages'")`."""
        raise invalid_file(f"Example {self.index + 1}{'' if problem.startswith(',') else ' '}{problem}", self.param)


def invalid_file(problem: str, param: str) -> UserError:
    """The error for a file that cannot be used; `param` is `training_file` or `validation_file`."""
    return UserError(f"Invalid file format. {problem}", param=param, code=f"invalid_{param.rpartition('.')[2]}")


def read_rows(path: Path, *, param: str) -> Iterator[Row]:
    """The rows of a JSONL file, one at a time.

    Raises:
        UserError: at the first line that is no JSON object in UTF-8, or at the end of a file without rows.
    """
    index = 0
    with path.open("rb") as file:
        for number, raw in enumerate(_read_lines(file, param=param), start=1):
            if raw.strip():
                value = _parse(raw, example=index + 1, line=number, param=param)
                yield Row(index=index, value=value, param=param)
                index += 1
    if index == 0:
        label = param.replace("_", " ").capitalize()
        text = f"{label} has 0 example(s), but must have at least 1 example"
        raise UserError(text, param=param, code="invalid_n_examples")


def count_rows(path: Path, *, param: str = "file") -> int:
    """How many rows a JSONL file has; the check of an upload, when it is not yet known what the rows must hold.

    Raises:
        UserError: as `read_rows`.
    """
    return sum(1 for _ in read_rows(path, param=param))


def _read_lines(file: BinaryIO, *, param: str) -> Iterator[bytes]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise invalid_file(f"Line {number} is longer than {MAX_LINE_BYTES >> 20} MiB.", param)
        yield line.removeprefix(_BOM) if number == 1 else line


def _parse(raw: bytes, *, example: int, line: int, param: str) -> Mapping[str, Any]:
    try:
        text = raw.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_read_float)
        _check_depth(value, brackets=raw.count(b"[") + raw.count(b"{"))
        if b"\\u" in raw:  # only an escape can smuggle in half a surrogate pair
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError as error:
        raise invalid_file(f"Example {example} is not valid UTF-8: {error} (line {line})", param) from None
    except (ValueError, RecursionError) as error:
        text = f"Example {example} cannot be parsed. Error: line contains invalid json: {error} (line {line})"
        raise invalid_file(text, param) from None
    if not isinstance(value, dict):
        start = json.dumps(text.strip()[:8])
        text = (
            "Expected file to have JSONL format, where every line is a JSON dictionary. "
            f"Example {example} is not a dictionary (line {line}; HINT: line starts with: {start}...)."
        )
        raise invalid_file(text, param)
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _read_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large for a number")
    return value


def _check_depth(value: Any, *, brackets: int) -> None:
    """Raise ValueError for a value nested too deeply; one with few brackets cannot be."""
    level, depth = [value], 0
    while brackets > MAX_DEPTH and level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
        level = [child for node in level for child in _children(node)]


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
