"""Questions as rows of a reinforcement data set."""

import random
from collections.abc import Sequence
from typing import Any

from finqa_agent.pages import Question
from finqa_agent.tools import SYSTEM_PROMPT, TOOL_SCHEMAS


def row(question: Question) -> dict[str, Any]:
    """The agent sees the question alone; the grader reads `value` and `page`."""
    messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": question.text}]
    return {"messages": messages, "tools": list(TOOL_SCHEMAS), "value": question.value, "page": question.path}


def draw(questions: Sequence[Question], count: int, *, seed: int) -> list[dict[str, Any]]:
    """`count` of them at random, or all where there are fewer."""
    return [row(question) for question in random.Random(seed).sample(questions, min(count, len(questions)))]
