"""Objects of Python as plug-ins: modules, functions, classes, data objects, names and dictionaries of flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from sparsenas.errors import UserError
from sparsenas.job.lookup import OBJECT, canonical
from sparsenas.job.plugin import Plugin
from sparsenas.methods import Method
from sparsenas.nn.clone import deep_copy
from sparsenas.nn.fresh import reset
from sparsenas.objectives import Objective
from sparsenas.opening.opened import OpenedNetwork

Objects = Mapping[str, Plugin]
"""The space, data set and objective that were given, by kind: objects, or names that the user trusts."""


def plugin(kind: str, value: object) -> Plugin:
    """A space, data set, objective or method from whatever stands for one.

    Args:
        kind: space, data, objective or method.
        value: a name; ``package.module:callable``; a dictionary of a name and flags, such as ``{"name": "spos",
            "generations": 10}``; a function or class; or the object itself.

    Raises ``UserError`` for anything else.
    """
    if isinstance(value, Plugin):
        return value
    if isinstance(value, str):
        return Plugin(canonical(kind, value))
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return Plugin(canonical(kind, value["name"]), {name: flag for name, flag in value.items() if name != "name"})
    make = _maker(kind, value)
    if make is not None:
        made_of = value.net if isinstance(value, OpenedNetwork) else value
        return Plugin(f"{OBJECT}:{type(made_of).__name__}", {}, make)
    try:
        return Plugin.of(value)
    except UserError as error:
        raise UserError(f"{kind}: {error}") from error


def _maker(kind: str, value: object) -> Callable[[], Any] | None:
    """What makes the object anew; ``None`` for a function or class, which does so itself."""
    if kind == "space" and isinstance(value, nn.Module):
        return lambda: fresh(value)
    if kind == "objective" and isinstance(value, Objective):
        return lambda: value
    if kind == "objective" and isinstance(value, nn.Module):
        return lambda: value
    if kind == "method" and isinstance(value, Method):
        raise UserError(f"method: expected a name or a class, got an object; give the class {type(value).__name__}")
    if kind == "data" and not callable(value):
        return lambda: value
    return None


def fresh(net: nn.Module) -> nn.Module:
    """A copy of a network, initialised anew by ``reset``; one that was opened keeps its weights."""
    made = deep_copy(net)
    return made if isinstance(made, OpenedNetwork) else reset(made)
