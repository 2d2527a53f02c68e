"""JSON and YAML as plain values; input that is too deep, too large or of another form is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sparsenas.errors import UserError

Shape = type | list[Any] | Mapping[Any, Any]
"""``int``, ``float`` (any number), ``str``, ``bool``, ``dict`` or ``list``; ``[shape]`` is a list of such,
``{str: shape}`` an object of such, and ``{"name": shape}`` an object that has this and maybe more; ``"name?"`` may be
missing or null."""

DEEPEST = 50
MOST_VALUES = 10_000_000
"""Aliases count as often as they are used: nine lines of YAML can stand for a billion values."""
NAMES: Mapping[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "an object of named values",
    list: "a list",
}


def parse_json(text: str, where: object, shape: Shape | None = None) -> Any:
    """The value that a JSON text stands for. Raises ``UserError`` naming ``where``."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: expected JSON, got: {error}") from error
    return _checked(value, where, shape)


def parse_yaml(text: str, where: object, shape: Shape | None = None) -> Any:
    """The value that a YAML text stands for; tags of Python are no plain values. Raises ``UserError``."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError) as error:
        raise UserError(f"{where}: expected YAML, got: {error}") from error
    return _checked(value, where, shape)


def read_text(path: Path, where: object) -> str:
    """A file of text. Raises ``UserError`` when it cannot be read as such."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{where}: expected a file of text, got: {reason}") from error


def _checked(value: Any, where: object, shape: Shape | None) -> Any:
    _count(value, where, (), {})
    if shape is not None:
        check(value, shape, where)
    return value


def _count(value: object, where: object, above: tuple[int, ...], known: dict[int, int]) -> int:
    """How many values there are in one, each alias followed."""
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


def check(value: object, shape: Shape, where: object) -> None:
    """Raises ``UserError`` that names the place when a value does not have a shape."""
    kind: type = shape if isinstance(shape, type) else dict if isinstance(shape, Mapping) else list
    kinds: type | tuple[type, ...] = (int, float) if kind is float else kind
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"{where}: expected {NAMES[kind]}, got {_short(value)}")
    if isinstance(shape, list) and isinstance(value, list):
        for i, part in enumerate(value):
            check(part, shape[0], f"{where}, entry {i + 1}")
    if isinstance(shape, Mapping) and isinstance(value, dict):
        for name, part in _parts(value, shape, where):
            check(value[name], part, f"{where}, {name}")


def _parts(value: Mapping[Any, Any], shape: Mapping[Any, Any], where: object) -> list[tuple[Any, Shape]]:
    """The names of an object that have a shape."""
    if str in shape:
        return [(name, shape[str]) for name in value]
    missing = [name for name in shape if not name.endswith("?") and name not in value]
    if missing:
        raise UserError(f"{where}: expected {missing[0]!r}, which is missing")
    wanted = [(name.removesuffix("?"), part) for name, part in shape.items()]
    return [(name, part) for name, part in wanted if value.get(name) is not None or name in shape]


def _short(value: object) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 40 else f"{text[:40]}..."
