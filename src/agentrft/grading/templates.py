"""`{{ item.answer }}` templates: parsed once, rendered without ever reading the substituted text as a template.

    template := ( text | "{{" path "}}" )*
    path     := ("item" | "sample") ( "." key | "[" int "]" | "[" string "]" )*
    key      := [A-Za-z_][A-Za-z0-9_-]*

Source of the language: API reference, section 3.1.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAMESPACES = ("item", "sample")
_KEY = r"[A-Za-z_][A-Za-z0-9_-]*"
_STRING = r'"(?:[^"\\]|\\.)*"|\'[^\']*\''
_STEP = re.compile(rf"\.(?P<key>{_KEY})|\[\s*(?:(?P<index>\d{{1,9}})|(?P<string>{_STRING}))\s*\]")
_NAMESPACE = re.compile(_KEY)


class TemplateSyntaxError(ValueError):
    """A template that is not of the language; the message says where and why."""


class MissingVariableError(LookupError):
    """A path that leads nowhere in the values at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """`text` as it was written; `steps` are keys and indices, the namespace first."""

    text: str
    steps: tuple[str | int, ...]

    def resolve(self, values: Mapping[str, Any]) -> Any:
        """The value that the path leads to.

        Raises:
            MissingVariableError: there is none.
        """
        value: Any = values
        for step in self.steps:
            value = self._enter(value, step)
        return value

    def _enter(self, value: Any, step: str | int) -> Any:
        fits = isinstance(value, Mapping) if isinstance(step, str) else isinstance(value, list | tuple)
        try:
            if fits:
                return value[step]
        except (KeyError, IndexError):
            pass
        raise MissingVariableError(f"{self.text}: there is no {step!r} here")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    parts: tuple[str | Path, ...]

    def render(self, values: Mapping[str, Any]) -> str:
        """The text with every path replaced: strings as they are, everything else as compact JSON.

        Args:
            values: the namespaces by name.

        Raises:
            MissingVariableError: a path leads nowhere.
        """
        return "".join(part if isinstance(part, str) else _to_text(part.resolve(values)) for part in self.parts)


def parse_template(text: str) -> Template:
    """Read a template.

    Raises:
        TemplateSyntaxError: unclosed braces, a namespace other than `item` and `sample`, or a malformed path.
    """
    parts: list[str | Path] = []
    position = 0
    while (start := text.find("{{", position)) >= 0:
        end = _find_close(text, start + 2)
        parts += [text[position:start], _parse_path(text[start + 2 : end].strip())]
        position = end + 2
    parts.append(text[position:])
    return Template(parts=tuple(part for part in parts if part != ""))


def _find_close(text: str, start: int) -> int:
    """Where "}}" closes the braces; one inside a quoted string does not."""
    token = re.compile(rf"{_STRING}|\}}\}}")
    position = start
    while match := token.search(text, position):
        if match.group() == "}}":
            return match.start()
        position = match.end()
    raise TemplateSyntaxError(f"'{{{{' at character {start - 1} is never closed with '}}}}'")


def _parse_path(text: str) -> Path:
    namespace = _NAMESPACE.match(text)
    if namespace is None or namespace.group() not in NAMESPACES:
        raise TemplateSyntaxError(f"'{text}' does not begin with item or sample, the only namespaces")
    steps: list[str | int] = [namespace.group()]
    position = namespace.end()
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise TemplateSyntaxError(f"'{text}' is no path: cannot read {text[position:]!r}")
        steps.append(_read_step(match))
        position = match.end()
    return Path(text=text, steps=tuple(steps))


def _read_step(match: re.Match[str]) -> str | int:
    key, index, string = match.group("key", "index", "string")
    if index is not None:
        return int(index)
    if key is not None:
        return key
    try:
        return str(json.loads(string)) if string.startswith('"') else string[1:-1]
    except ValueError as error:
        raise TemplateSyntaxError(f"{string} is no JSON string: {error}") from None


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
