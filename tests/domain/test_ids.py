"""Identifiers have the shapes that OpenAI's clients expect."""

import re

from agentrft.domain.ids import new_hex_id, new_id


def test_a_job_id_is_its_prefix_and_24_base62_characters() -> None:
    assert re.fullmatch(r"ftjob-[A-Za-z0-9]{24}", new_id("ftjob-"))
    assert re.fullmatch(r"[A-Za-z0-9]{8}", new_id("", 8))


def test_a_trace_id_is_its_prefix_and_32_hexadecimal_digits() -> None:
    assert re.fullmatch(r"trace_[0-9a-f]{32}", new_hex_id("trace_"))


def test_no_two_ids_are_the_same() -> None:
    assert len({new_id("call_") for _ in range(1000)}) == 1000
