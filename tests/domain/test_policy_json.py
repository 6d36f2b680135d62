"""What a policy writes is read in one way only, or refused in words that it can learn from."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrft.domain.policy_json import MAX_DEPTH, PolicyJsonError, read_policy_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**290), 10**290)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=20,
)


@given(value=VALUES)
def test_sound_json_is_read_as_it_is(value) -> None:
    assert read_policy_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not valid JSON: Expecting value at character 0"),
        ('{"a": }', "is not valid JSON: Expecting value at character 6"),
        ("{'a': 1}", "is not valid JSON"),
        ('{"a": NaN}', "is not valid JSON: NaN is no JSON value"),
        ('{"a": -Infinity}', "-Infinity is no JSON value"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "has the key 'c' twice"),
        ('{"a": 1e999}', "has a number that is too large: 1e999"),
        ('{"a": ' + "9" * 5000 + "}", "has a number of 5000 digits, which is too large"),
        ('{"a": "\\ud83d"}', "it has half of a surrogate pair"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"a":' * 500 + "1" + "}" * 500, "is nested too deeply"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text: str, said: str) -> None:
    with pytest.raises(PolicyJsonError) as caught:
        read_policy_json(text)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 120


def test_the_deepest_value_that_is_read() -> None:
    assert read_policy_json("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None
    with pytest.raises(PolicyJsonError):
        read_policy_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert read_policy_json('"\\ud83d\\ude00"') == "\U0001f600"


def test_a_small_number_is_no_mistake() -> None:
    assert math.isclose(read_policy_json("1e-400"), 0.0)
