"""Converts values of flags to their types."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from sparsenas.errors import UserError
from sparsenas.parsing import parse_yaml

NULL = "null"


def convert(kind: Any, value: object) -> Any:
    """A value of the command line (text) or of YAML, as a type. Raises ``ValueError`` when it does not fit.

    Types other than those below are not checked: a function of the user's own may have any.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if kind in SIMPLE:
        return SIMPLE[kind](value)
    if origin in (Union, UnionType):
        return _first_that_fits(parts, value)
    if origin is Literal:
        return {str(option): option for option in parts}[str(value)]
    if origin is list:
        return [convert(parts[0], item) for item in as_list(value)]
    if origin is tuple:
        return _tuple(parts, value)
    return _plain(value)


def as_list(value: object) -> list[Any]:
    """A value of YAML that may be a list of one, or the one."""
    return value if isinstance(value, list) else [value]


def is_list(kind: Any) -> bool:
    """Whether a flag may be given several times."""
    return get_origin(kind) is list or any(get_origin(part) is list for part in get_args(kind))


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError
    return int(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or math.isnan(float(value)):
        raise ValueError
    return float(value)


def _boolean(value: object) -> bool:
    return {"true": True, "false": False}[str(value).lower()]


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    return str(value)


def _path(value: object) -> Path:
    if not isinstance(value, str | Path) or value == "":
        raise ValueError
    return Path(value)


def _none(value: object) -> None:
    if value not in (None, NULL):
        raise ValueError


def _mapping(value: object) -> dict[str, Any]:
    loaded = _plain(value)
    if not isinstance(loaded, Mapping) or not all(isinstance(name, str) for name in loaded):
        raise ValueError
    return dict(loaded)


def _first_that_fits(kinds: tuple[Any, ...], value: object) -> Any:
    for kind in sorted(kinds, key=lambda kind: kind is not NoneType):
        try:
            return convert(kind, value)
        except CONVERT_ERRORS:
            continue
    raise ValueError


def _tuple(parts: tuple[Any, ...], value: object) -> tuple[Any, ...]:
    items = value.strip("[]() ").split(",") if isinstance(value, str) else value
    items = [item for item in items if item != ""] if isinstance(items, list | tuple) else [items]
    kinds = [parts[0]] * len(items) if parts[-1] is Ellipsis else list(parts)
    return tuple(convert(kind, item) for kind, item in zip(kinds, items, strict=True))


def _plain(value: object) -> Any:
    """YAML's value of a text."""
    if not isinstance(value, str):
        return value
    for read in (_integer, _number):
        try:
            return read(value)
        except CONVERT_ERRORS:
            continue
    try:
        return parse_yaml(value, "value")
    except UserError:
        return value


SIMPLE: Mapping[Any, Callable[[object], Any]] = {
    int: _integer,
    float: _number,
    bool: _boolean,
    str: _text,
    Path: _path,
    NoneType: _none,
    dict: _mapping,
    dict[str, Any]: _mapping,
}
CONVERT_ERRORS = (ValueError, KeyError, TypeError, OverflowError)
