"""Fakes for every port, and a toy policy that learns: for our own tests and for whoever builds on the ports."""

from agentrft.testing.builders import (
    NO_LIMITS,
    a_graded_episode,
    a_group,
    a_job,
    an_episode,
    an_item,
    an_open_gate,
    some_rules,
)
from agentrft.testing.chat import WordChat
from agentrft.testing.endpoints import FunctionGrader, InProcessTools, MemoryLifecycle, broken_grader, broken_tool
from agentrft.testing.journal import MemoryJournal
from agentrft.testing.policy import ToyPolicy
from agentrft.testing.sampler import FakeSampler

__all__ = [
    "NO_LIMITS",
    "FakeSampler",
    "FunctionGrader",
    "InProcessTools",
    "MemoryJournal",
    "MemoryLifecycle",
    "ToyPolicy",
    "WordChat",
    "a_graded_episode",
    "a_group",
    "a_job",
    "an_episode",
    "an_item",
    "an_open_gate",
    "broken_grader",
    "broken_tool",
    "some_rules",
]
