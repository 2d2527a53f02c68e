"""Types and values of flags in words, for messages and help."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

LONGEST = 60
"""Longer values are cut in messages."""
WORDS: Mapping[Any, tuple[str, str]] = {
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "of true or false"),
    str: ("text", "texts"),
    Path: ("a path", "paths"),
    dict[str, Any]: ("names with values, as in {name: 1}", "names with values"),
}
"""One value, and several."""
METAVARS: Mapping[Any, str] = {
    int: "INTEGER",
    float: "NUMBER",
    bool: "[true|false]",
    str: "TEXT",
    Path: "PATH",
    dict[str, Any]: "{NAME: VALUE}",
}


def describe(kind: Any) -> str:
    """What is expected of a value: ``an integer``."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind in WORDS:
        return WORDS[kind][0]
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(describe(part) for part in parts if part is not NoneType))
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin is list:
        return describe(parts[0])
    if origin is tuple:
        many = WORDS[parts[0]][1] if parts[0] in WORDS else "values"
        return f"{many if parts[-1] is Ellipsis else f'{len(parts)} {many}'} separated by commas"
    return "a value"


def metavar(kind: Any) -> str:
    """A type in help: ``INTEGER``, ``cpu|cuda``, ``NUMBER,NUMBER``."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind in METAVARS:
        return METAVARS[kind]
    if origin in (Union, UnionType):
        return "|".join(dict.fromkeys(metavar(part) for part in parts if part is not NoneType))
    if origin is Literal:
        return "|".join(map(str, parts))
    if origin is list:
        return metavar(parts[0])
    if origin is tuple:
        return ",".join("..." if part is Ellipsis else metavar(part) for part in parts)
    return "VALUE"


def short(value: object) -> str:
    """A value in a message."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
