import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrft.grading.formula import MAX_CHARS, MAX_DEPTH, FormulaError, parse_formula

VALUES = {"precision": 0.5, "recall": 0.25, "a": 2.0, "b": 3.0, "zero": 0.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 * precision * recall / max(precision + recall, 1e-9)", 1 / 3),
        ("2 * zero * zero / max(zero + zero, 1e-9)", 0.0),
        ("a + b * a", 8.0),
        ("(a + b) * a", 10.0),
        ("a - b - a", -3.0),
        ("b / a / a", 0.75),
        ("2 ^ 3 ^ 2", 512.0),
        ("-2 ^ 2", -4.0),
        ("2 ^ -1", 0.5),
        ("--a", 2.0),
        ("+a - -b", 5.0),
        (".5 + 1. + 1E+1 + 2.5e-1", 11.75),
        ("min(b, a, 7) + max(1, a)", 4.0),
        ("min(a)", 2.0),
        ("abs(-3) + floor(1.9) + ceil(1.1)", 6.0),
        ("exp(0) + sqrt(9) + log(1)", 4.0),
        ("log(exp(a))", 2.0),
        ("\n a\t", 2.0),
    ],
)
def test_a_formula_has_the_value_that_one_works_out_by_hand(text, value) -> None:
    assert parse_formula(text).evaluate(VALUES) == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a number, a variable, a function or '(' at character 1, but got the end"),
        ("a +", "at character 4, but got the end"),
        ("a b", "expected an operator at character 3, but got 'b'"),
        ("(a", "expected ')' at character 3, but got the end"),
        ("a ** b", "at character 4, but got '*'"),
        ("a % b", "cannot read '%' at character 3"),
        ("a[0]", "cannot read '[' at character 2"),
        ("a.b", "cannot read '.' at character 2"),
        ("1 if a", "expected an operator at character 3"),
        ("pow(a, b)", "unknown function 'pow' at character 1; there are: min, max, abs"),
        ("1 + sqrt(a, b)", "sqrt at character 5 takes 1 argument, not 2"),
        ("min()", "at character 5, but got ')'"),
        ("(" * 60 + "a" + ")" * 60, f"nested more than {MAX_DEPTH} deep at character {MAX_DEPTH + 1}"),
        ("-" * 60 + "a", "nested more than"),
        ("a" * (MAX_CHARS + 1), f"it has {MAX_CHARS + 1} characters"),
    ],
)
def test_a_mistake_is_named_with_its_place(text, said) -> None:
    with pytest.raises(FormulaError) as caught:
        parse_formula(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a + 1 / zero", "1 / 0 at character 7 has no value: float division by zero"),
        ("zero ^ -1", "0 ^ -1 at character 6 has no value"),
        ("(-a) ^ 0.5", "-2 ^ 0.5 at character 6 has no value"),
        ("10 ^ 400", "10 ^ 400 at character 4 has no value"),
        ("log(zero)", "log(0) at character 1 has no value"),
        ("sqrt(-a)", "sqrt(-2) at character 1 has no value"),
        ("exp(1e6)", "exp(1e+06) at character 1 has no value"),
        ("floor(1e308 * 10)", "floor(inf) at character 1 has no value"),
        ("1e308 * 10", "the result is inf"),
        ("1e308 * 10 - 1e308 * 10", "the result is nan"),
        ("nobody", "unknown variable 'nobody' at character 1; there are: precision"),
    ],
)
def test_a_value_that_is_none_is_an_error_and_no_number(text, said) -> None:
    with pytest.raises(FormulaError) as caught:
        parse_formula(text).evaluate(VALUES)
    assert said in str(caught.value)


def test_a_long_sum_is_no_deep_tree() -> None:
    assert parse_formula("+".join(["1"] * 2000)).evaluate({}) == 2000.0


def test_variables_are_known_before_there_are_values() -> None:
    formula = parse_formula("max(a, c) + a - d")
    assert [variable.name for variable in formula.variables] == ["a", "c", "d"]
    assert formula.find_unknown({"a": 1, "c": 1, "d": 1}) is None
    assert "'c' at character 8" in (formula.find_unknown({"a": 1}) or "")


def _binary(operands: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(operands, st.sampled_from("+-*/^"), operands).map(lambda parts: f"({parts[0]}{parts[1]}{parts[2]})"),
        st.tuples(operands, st.sampled_from("+-*/"), operands).map(lambda parts: " ".join(parts)),
        operands.map(lambda operand: f"-{operand}"),
        st.lists(operands, min_size=1, max_size=3).map(lambda given: f"max({', '.join(given)})"),
        operands.map(lambda operand: f"abs({operand})"),
    )


ATOMS = st.one_of(
    st.sampled_from(["a", "b", "zero", "1e-3", ".5"]), st.integers(0, 9).map(lambda number: f"{number}.0")
)


def _real(value: float | complex) -> float:
    if isinstance(value, complex):
        raise ValueError("a negative number to a broken power")
    return value


@given(text=st.recursive(ATOMS, _binary, max_leaves=12))
def test_a_formula_means_what_the_same_python_means(text: str) -> None:
    """Python's precedence is the reference, with ** for ^; where Python has no real value, there is none here."""
    names = {**VALUES, "abs": lambda value: abs(_real(value)), "max": lambda *given: max(map(_real, given))}
    try:
        expected = eval(text.replace("^", "**"), {"__builtins__": {}}, names)
    except (ArithmeticError, ValueError):
        expected = None
    if expected is None or isinstance(expected, complex) or not math.isfinite(expected):
        with pytest.raises(FormulaError):
            parse_formula(text).evaluate(VALUES)
    else:
        assert parse_formula(text).evaluate(VALUES) == pytest.approx(expected, rel=1e-12)


@given(text=st.text("ab01.e+-*/^(), max\u00e9", max_size=30))
def test_any_text_is_a_formula_or_a_formula_error(text: str) -> None:
    try:
        value = parse_formula(text).evaluate({"a": 1.0, "b": 2.0})
    except FormulaError:
        return
    assert math.isfinite(value)
