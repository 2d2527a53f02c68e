"""JSON and YAML as plain or typed values; input that is too deep, too large or of another form is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from sparsenas.errors import UserError

T = TypeVar("T")
DEEPEST = 50
MOST_VALUES = 10_000_000
"""An aliased YAML value counts at each use: nine lines of YAML can expand to a billion values."""
TYPES: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "an object of named values",
    "array": "a list",
    "null": "null",
}
"""What messages call the types of JSON, by msgspec's names."""


def parse_json(text: str, where: object) -> Any:
    """The plain values of a JSON text. Raises ``UserError`` naming ``where``."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: expected JSON, got: {error}") from error
    _count(value, where, (), {})
    return value


def parse_yaml(text: str, where: object) -> Any:
    """The plain values of a YAML text, which may not create other objects. Raises ``UserError`` naming ``where``."""
    try:
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        place = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(
            f"{where}: expected YAML, got: {error.problem}{place}; values with special characters need quotes"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError) as error:
        raise UserError(f"{where}: expected YAML, got: {error}") from error
    _count(value, where, (), {})
    return value


def read_text(path: Path, where: object, errors: str = "strict") -> str:
    """The text of a file in UTF-8; ``errors`` as in ``open``. Raises ``UserError`` when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors=errors)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{where}: expected a file of text, got: {reason}") from error


def typed(value: object, kind: type[T], where: object) -> T:
    """Plain values as an object of a type: a record, a list, a dictionary, ...

    Raises ``UserError`` with the place inside the value, the expected type and the actual one.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        raise UserError(f"{where}{_place(place)}: {_message(message)}") from error


def _count(value: object, where: object, above: tuple[int, ...], known: dict[int, int]) -> int:
    """The number of values inside one; an alias counts at each use."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) in above:
        raise UserError(f"{where}: expected plain values, got one that contains itself")
    if len(above) == DEEPEST:
        raise UserError(f"{where}: expected values nested at most {DEEPEST} deep, got more")
    if id(value) not in known:
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(part, where, (*above, id(value)), known) for part in parts)
        if known[id(value)] > MOST_VALUES:
            raise UserError(f"{where}: expected at most {MOST_VALUES:,} values, got more")
    return known[id(value)]


def _place(path: str) -> str:
    """Msgspec's path in words: ``$.choices[0].name`` is choices, entry 1, name."""
    words = ["a name"] if path.startswith("`key`") else []
    for name, index, value in re.findall(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])", path):
        words.append("a value" if value else f"entry {int(index) + 1}" if index else name)
    return "".join(f", {word}" for word in words)


def _message(told: str) -> str:
    """Msgspec's message in the words of this library."""
    if missing := re.fullmatch(r"Object missing required field `(.+)`", told):
        return f"expected {missing[1]!r}, which is missing"
    if other := re.fullmatch(r"Invalid (?:enum )?value (.+)", told):
        return f"expected another value, got {other[1]}"
    if "`" not in told:
        return f"expected another value, got: {told}"
    return re.sub("`([^`]+)`", lambda names: _names(names[1]), told[0].lower() + told[1:])


def _names(types: str) -> str:
    names = types.split(" | ")
    return " or ".join(TYPES.get(name, name) for name in names if name != "int" or "float" not in names)
