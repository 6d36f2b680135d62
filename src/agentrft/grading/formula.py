"""`calculate_output` of multi graders: a small language of arithmetic, parsed once and evaluated for each grade.

    expr   := term (("+" | "-") term)*
    term   := factor (("*" | "/") factor)*
    factor := ("+" | "-") factor | power
    power  := atom ("^" factor)?                      right-associative: 2^3^2 = 2^9, and -2^2 = -4
    atom   := NUMBER | NAME | NAME "(" expr ("," expr)* ")" | "(" expr ")"

Source of the language: API reference, section 3.7. Python's own `eval` would be another language (`^` is XOR there)
and would run whatever else is written.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_CHARS = 4096
MAX_DEPTH = 50  # of nested parentheses, signs and powers
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>[-+*/^(),]))"
)
_FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "min": lambda *values: min(values),
    "max": lambda *values: max(values),
    "abs": abs,
    "floor": lambda value: float(math.floor(value)),
    "ceil": lambda value: float(math.ceil(value)),
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}
_ANY_NUMBER_OF_ARGUMENTS = ("min", "max")


class FormulaError(ValueError):
    """A formula that cannot be read, or has no value for these variables; the message says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    value: float

    def evaluate(self, values: Mapping[str, float]) -> float:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    name: str
    place: int

    def evaluate(self, values: Mapping[str, float]) -> float:
        if self.name not in values:
            raise FormulaError(_unknown(self, values))
        return values[self.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Negation:
    operand: "Node"

    def evaluate(self, values: Mapping[str, float]) -> float:
        return -self.operand.evaluate(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Operators of one rank, from left to right: flat, so that a long sum is no deep tree."""

    first: "Node"
    rest: tuple[tuple[str, int, "Node"], ...]  # operator, its place, right-hand side

    def evaluate(self, values: Mapping[str, float]) -> float:
        total = self.first.evaluate(values)
        for operator, place, node in self.rest:
            total = _apply(operator, place, total, node.evaluate(values))
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    function: str
    place: int
    arguments: tuple["Node", ...]

    def evaluate(self, values: Mapping[str, float]) -> float:
        given = [argument.evaluate(values) for argument in self.arguments]
        try:
            return _FUNCTIONS[self.function](*given)
        except (ValueError, OverflowError) as error:
            shown = ", ".join(f"{value:g}" for value in given)
            raise FormulaError(f"{self.function}({shown}) at character {self.place} has no value: {error}") from None


Node = Number | Variable | Negation | Chain | Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """A parsed formula; `variables` in the order in which they first occur."""

    root: Node
    variables: tuple[Variable, ...]

    def evaluate(self, values: Mapping[str, float]) -> float:
        """The finite value.

        Raises:
            FormulaError: a variable is missing, or there is no finite value (division by zero, log of 0, overflow).
        """
        result = self.root.evaluate(values)
        if not math.isfinite(result):
            raise FormulaError(f"the result is {result}")
        return result

    def find_unknown(self, names: Mapping[str, object]) -> str | None:
        """What is wrong with the first variable that is not in `names`, or None."""
        return next((_unknown(variable, names) for variable in self.variables if variable.name not in names), None)


def parse_formula(text: str) -> Formula:
    """Raises FormulaError for what is not of the language."""
    if len(text) > MAX_CHARS:
        raise FormulaError(f"it has {len(text)} characters, and may have {MAX_CHARS}")
    parser = _Parser(text)
    root = parser.expression()
    parser.expect_end()
    return Formula(root=root, variables=tuple(parser.variables.values()))


def _unknown(variable: Variable, names: Mapping[str, object]) -> str:
    return f"unknown variable '{variable.name}' at character {variable.place}; there are: {', '.join(names)}"


def _apply(operator: str, place: int, left: float, right: float) -> float:
    try:
        match operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return left / right
            case _:
                return math.pow(left, right)
    except (ValueError, ArithmeticError) as error:
        raise FormulaError(f"{left:g} {operator} {right:g} at character {place} has no value: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    kind: str  # number, name, sign, end
    text: str
    place: int  # of its first character, from 1


class _Parser:
    """Recursive descent, a method for each rule; `_next` is the token not read yet."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._depth = 0
        self.variables: dict[str, Variable] = {}
        self._next = self._scan()

    def expression(self) -> Node:
        return self._chain(self._term, "+-")

    def expect_end(self) -> None:
        if self._next.kind != "end":
            raise self._unexpected("an operator")

    def _term(self) -> Node:
        return self._chain(self._factor, "*/")

    def _chain(self, operand: Callable[[], Node], operators: str) -> Node:
        first, rest = operand(), []
        while self._next.kind == "sign" and self._next.text in operators:
            operator = self._take()
            rest.append((operator.text, operator.place, operand()))
        return Chain(first=first, rest=tuple(rest)) if rest else first

    def _factor(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FormulaError(f"it is nested more than {MAX_DEPTH} deep at character {self._next.place}")
        node = self._signed()
        self._depth -= 1
        return node

    def _signed(self) -> Node:
        if self._next.text == "-":
            self._take()
            return Negation(operand=self._factor())
        if self._next.text == "+":
            self._take()
            return self._factor()
        base = self._atom()
        if self._next.text != "^":
            return base
        operator = self._take()
        return Chain(first=base, rest=((operator.text, operator.place, self._factor()),))

    def _atom(self) -> Node:
        token = self._next
        if token.kind == "number":
            self._take()
            return Number(value=float(token.text))
        if token.kind == "name":
            self._take()
            return self._call(token) if self._next.text == "(" else self._variable(token)
        if token.text != "(":
            raise self._unexpected("a number, a variable, a function or '('")
        self._take()
        node = self.expression()
        self._expect(")")
        return node

    def _variable(self, token: _Token) -> Variable:
        return self.variables.setdefault(token.text, Variable(name=token.text, place=token.place))

    def _call(self, token: _Token) -> Call:
        if token.text not in _FUNCTIONS:
            known = ", ".join(_FUNCTIONS)
            raise FormulaError(f"unknown function '{token.text}' at character {token.place}; there are: {known}")
        self._expect("(")
        arguments = [self.expression()]
        while self._next.text == ",":
            self._take()
            arguments.append(self.expression())
        self._expect(")")
        if len(arguments) > 1 and token.text not in _ANY_NUMBER_OF_ARGUMENTS:
            raise FormulaError(f"{token.text} at character {token.place} takes 1 argument, not {len(arguments)}")
        return Call(function=token.text, place=token.place, arguments=tuple(arguments))

    def _expect(self, sign: str) -> None:
        if self._next.text != sign:
            raise self._unexpected(f"'{sign}'")
        self._take()

    def _take(self) -> _Token:
        token, self._next = self._next, self._scan()
        return token

    def _scan(self) -> _Token:
        match = _TOKEN.match(self._text, self._position)
        if match is None:
            rest = self._text[self._position :].lstrip()
            place = len(self._text) - len(rest) + 1
            if rest:
                raise FormulaError(f"cannot read {rest[0]!r} at character {place}")
            return _Token(kind="end", text="", place=place)
        self._position = match.end()
        kind = str(match.lastgroup)
        return _Token(kind=kind, text=match.group(kind), place=match.start(kind) + 1)

    def _unexpected(self, wanted: str) -> FormulaError:
        got = f"'{self._next.text}'" if self._next.text else "the end"
        return FormulaError(f"expected {wanted} at character {self._next.place}, but got {got}")
