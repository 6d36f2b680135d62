"""How an answer is scored. The text of this file is the `source` of the job's python grader: it stands on its own."""

import json
import re
from typing import Any


def grade(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """1.0 for exactly the number, 0.5 for the number in a sentence, 0.2 for opening the right report, else 0."""
    expected = float(item["reference_answer"])
    answer = (sample.get("output_text") or "").replace(",", "").strip().rstrip(".")
    if re.fullmatch(r"-?\d+(\.\d+)?", answer) and float(answer) == expected:
        return 1.0
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", answer)]
    # A sentence may name the year before the figure; a list of all the report's figures is no answer.
    if 1 <= len(numbers) <= 2 and numbers[-1] == expected:
        return 0.5
    return 0.2 if item["report"] in opened_reports(sample) else 0.0


def opened_reports(sample: dict[str, Any]) -> set[str]:
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
