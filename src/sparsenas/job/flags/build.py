"""From values by name to the arguments of a callable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from sparsenas.errors import UserError
from sparsenas.job.flags.flag import PLUGINS, REQUIRED, Flag, Make, is_section, kinds_of
from sparsenas.job.flags.plugins import SHAPE, TARGET
from sparsenas.job.lookup import flag_source, resolve
from sparsenas.job.plugin import Plugin
from sparsenas.rundir.flag_names import NAME, spelled

Made = TypeVar("Made")


def defaults(flags: Iterable[Flag]) -> dict[str, Any]:
    """The values of flags that are not given."""
    return {flag.name: flag.default for flag in flags if flag.default is not REQUIRED}


def check_complete(flags: Iterable[Flag], values: Mapping[str, Any]) -> None:
    """Raises ``UserError`` for a flag that must be given and is not."""
    for flag in flags:
        if flag.default is REQUIRED and flag.name not in values:
            hint = "; a loss has two arguments, output and target" if flag.name.startswith("objective.") else ""
            raise UserError(f"expected {spelled(flag.name)}, got none{hint}")


def build(make: Make, values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The arguments of a callable: sections, plug-ins and plain values. Raises ``UserError``."""
    arguments: dict[str, Any] = {}
    for name, kind in kinds_of(make).items():
        key = prefix + name
        if kind in PLUGINS:
            arguments[name] = _plugin(name, values)
        elif is_section(kind):
            arguments[name] = construct(kind, values, f"{key}.")
        elif key == TARGET:
            arguments[name] = _target(values)
        elif key in values:
            arguments[name] = values[key]
    return arguments


def _plugin(kind: str, values: Mapping[str, Any]) -> Plugin | None:
    name = values.get(kind + NAME)
    if name is None:
        return None
    source = flag_source(resolve(kind, name))
    flags = build(source, values, f"{kind}.")
    if is_section(source):
        construct(source, values, f"{kind}.")  # refuses what does not fit
    shape = values.get(f"{kind}.{SHAPE}")
    if shape is None:
        flags.pop(SHAPE, None)
    return Plugin(name, flags if shape is None else {**flags, SHAPE: shape})


def _target(values: Mapping[str, Any]) -> dict[str, Any]:
    """The flags of the space that differ in the final network."""
    given = {name: value for name, value in values.items() if name.startswith(f"{TARGET}.") and value is not None}
    return {name.removeprefix(f"{TARGET}."): value for name, value in given.items()}


def construct(make: Callable[..., Made], values: Mapping[str, Any], prefix: str = "") -> Made:
    """A dataclass of flags. What it refuses of a field is said of the flag. Raises ``UserError``."""
    arguments = build(make, values, prefix)
    try:
        return make(**arguments)
    except UserError as error:
        field, _, told = str(error).partition(":")
        raise UserError(f"{spelled(prefix + field)}:{told}" if field in arguments else str(error)) from error
