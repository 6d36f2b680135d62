"""How an answer is scored. The text of this file is the `source` of the job's python grader: it stands on its own."""

import json
import re
from typing import Any

TOLERANCE = 0.01  # relative


def grade(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """1.0 for the right value, 0.1 for opening the right page, else 0."""
    expected = item["value"]
    answer = (sample.get("output_text") or "").strip().lower()
    right = _says(answer, expected) if isinstance(expected, str) else _has_value(answer, float(expected))
    if right:
        return 1.0
    return 0.1 if item["page"] in _opened(sample) else 0.0


def _says(answer: str, expected: str) -> bool:
    """Yes or no, as the first word."""
    words = re.findall(r"[a-z]+", answer)
    return bool(words) and words[0] == expected


def _has_value(answer: str, expected: float) -> bool:
    """Whether the last number is the value; one with a percent sign may mean the fraction or the percentage."""
    found = re.findall(r"(-?\$?\s*-?\d[\d,]*\.?\d*)\s*(%?)", answer)
    if not found:
        return False
    text, percent = found[-1]
    value = float(re.sub(r"[$,\s]", "", text).replace("--", "-"))
    candidates = [value, value / 100] if percent else [value]
    return any(abs(candidate - expected) <= TOLERANCE * abs(expected) + 1e-9 for candidate in candidates)


def _opened(sample: dict[str, Any]) -> set[str]:
    """The paths of all well-formed `cat` calls of the episode."""
    paths = set()
    for call in sample.get("output_tools") or []:
        if call["function"]["name"] == "cat":
            try:
                arguments = json.loads(call["function"]["arguments"])
            except ValueError:
                continue
            if isinstance(arguments, dict):
                paths.add(str(arguments.get("path", "")).strip("/ "))
    return paths
