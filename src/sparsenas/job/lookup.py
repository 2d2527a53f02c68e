"""Spaces, data sets and methods by name, and which names a run folder may have called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import Any

from sparsenas.data import DATA
from sparsenas.errors import UserError
from sparsenas.methods import METHODS, Method
from sparsenas.objectives import OBJECTIVES
from sparsenas.opening.importing import import_callable
from sparsenas.rundir.config import has_begun, read_config
from sparsenas.rundir.folder import Run
from sparsenas.spaces import BRIDGES, SPACES, Bridge, open_space

TABLES: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "space": {**SPACES, "open": open_space},
    "data": DATA,
    "objective": OBJECTIVES,
    "method": METHODS,
}
"""The built-in ones."""
GROUPS: Mapping[str, str] = {kind: f"sparsenas.{kind}s" if kind != "data" else "sparsenas.data" for kind in TABLES}
"""The groups of entry points by which installed packages offer theirs under a name of their own."""
OBJECT = "object"
"""Begins the name of a plug-in that was an object of Python: only Python can give it again."""
AGAIN = "spos"
"""The method that searches a supernet again where the run's own does not search."""
FLAGS = "flags"
"""The parameter of a plug-in that is a dataclass of its flags. Others have their flags as parameters."""


def canonical(kind: str, name: object) -> str:
    """The name of a plug-in as files keep it; a method's class name is taken too. Raises ``UserError`` for no text."""
    if not isinstance(name, str):
        raise UserError(f"--{kind}: expected a name, got {name!r}")
    if (found := bridge(kind, name)) is not None:
        return f"{found.prefix}:{found.canonical(found.name)}"
    classes = {method.__name__: key for key, method in METHODS.items()} if kind == "method" else {}
    return classes.get(name, name)


def resolve(kind: str, name: str) -> Callable[..., Any]:
    """The callable behind a name: built in, installed, or ``package.module:callable``.

    The module is looked up on the Python path and in the working folder. Raises ``UserError`` when there is none.
    """
    name, table = canonical(kind, name), TABLES[kind]
    if name in table:
        return table[name]
    if (found := bridge(kind, name)) is not None:
        return found
    if entries := list(_installed(kind, name)):
        return import_callable(kind, name, entries[0].module, entries[0].attr)
    module, colon, attribute = name.partition(":")
    if not colon:
        known = [*table, *bridges(kind), *sorted(_installed(kind).names)]
        near = get_close_matches(name, known, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"--{kind}: expected one of {', '.join(known)} or package.module:callable, got {name!r}{meant}")
    return import_callable(kind, name, module, attribute)


def bridges(kind: str) -> list[str]:
    """How networks of other libraries are named."""
    return [f"{prefix}:NAME" for prefix in BRIDGES] if kind == "space" else []


def bridge(kind: str, name: str) -> Bridge | None:
    """The network of another library that a space's name is of, as ``timm:resnet18``; ``None`` for any other name."""
    prefix, colon, network = name.partition(":")
    return BRIDGES[prefix](network) if kind == "space" and colon and prefix in BRIDGES else None


def method_of_run(path: Path | str, pareto: bool = False) -> str:
    """The method that searches the supernet of a run again: the run's own where it searches supernets, else spos.

    A whole Pareto front is searched by spos. Raises ``UserError`` for a damaged folder.
    """
    run = Run(path)
    given = read_config(run).get("method") if has_begun(run) and not pareto else None
    name = given.get("name") if isinstance(given, Mapping) else given
    made = METHODS.get(name) if isinstance(name, str) else None
    return str(name) if made is not None and made.search is not Method.search else AGAIN


def flag_source(make: Callable[..., Any]) -> Callable[..., Any]:
    """What has a plug-in's flags as parameters: the dataclass that it takes as ``flags``, else the plug-in itself."""
    parameter = inspect.signature(make).parameters.get(FLAGS)
    return type(parameter.default) if parameter is not None and is_dataclass(parameter.default) else make


def check_trusted(kind: str, name: object, trusted: Iterable[str], where: str) -> None:
    """As ``check_all_trusted``, of one plug-in."""
    check_all_trusted([(kind, name)], trusted, where)


def check_all_trusted(named: Iterable[tuple[str, object]], trusted: Iterable[str], where: str) -> None:
    """Raises ``UserError`` when a file names plug-ins that are neither built in nor installed nor ``trusted``.

    A run folder may come from somebody else, and names what is called: it could be ``os:system`` and its argument.
    ``named`` are kinds and names.
    """
    missing = [(kind, name) for kind, name in _canonical(named) if _needs_trust(kind, name, trusted, where)]
    if missing:
        told = " and ".join(f"{kind} {name}" for kind, name in missing)
        built_in, theirs = ("is not built in", "its") if len(missing) == 1 else ("are not built in", "their")
        raise UserError(f"{where}: {told} {built_in}; to run {theirs} code, add {trust_flags(missing)}")


def trust_flags(named: Iterable[tuple[str, object]]) -> str:
    """The flags with which a command runs the code of plug-ins; empty where all are built in or installed."""
    return " ".join(f"--trust-plugins {name}" for name in own_code(named))


def own_code(named: Iterable[tuple[str, object]]) -> list[str]:
    """The plug-ins that are neither built in nor installed nor objects: a command calls them only where trusted."""
    names = [(kind, name) for kind, name in _canonical(named) if not name.startswith(f"{OBJECT}:")]
    return list(dict.fromkeys(name for kind, name in names if _needs_trust(kind, name, (), "")))


def _canonical(named: Iterable[tuple[str, object]]) -> list[tuple[str, str]]:
    return [(kind, canonical(kind, name)) for kind, name in named]


def _needs_trust(kind: str, name: str, trusted: Iterable[str], where: str) -> bool:
    if name.startswith(f"{OBJECT}:"):
        raise UserError(
            f"{where}: the {kind} was an object of class {name.partition(':')[2]}, which no folder keeps; use "
            f"network() of what the search returned, or give it again to a function of sparsenas: {kind}=..."
        )
    if ":" not in name or name in trusted:
        return False
    return bridge(kind, name) is None and not (kind in GROUPS and _installed(kind, name))


def _installed(kind: str, name: str | None = None) -> EntryPoints:
    return entry_points(group=GROUPS[kind]) if name is None else entry_points(group=GROUPS[kind], name=name)
