"""The dataclass of flags as ``config.yaml`` keeps it, and back."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from sparsenas.errors import UserError
from sparsenas.job.flags.build import check_complete, construct, defaults
from sparsenas.job.flags.flag import Make, parameters
from sparsenas.job.flags.plugins import all_flags, check_code, names
from sparsenas.job.flags.sources import GivenFlags
from sparsenas.job.plugin import Plugin
from sparsenas.rundir.flag_names import spelled

Flags = TypeVar("Flags")
UNSAVED = {"saved": False}
MOVABLE = ("data.root", "space.weights")
"""May change when a run is resumed: whether the data and the weights are the same is checked in another way."""

RETRAINING = ("retrain", "inherit", "scale_to", "baselines", "compare")
"""Flags of ``run`` that ``retrain`` has too."""
EVOLVED = ("method.", "budget")
"""The flags of a search that ``evolve`` takes as well."""
EVOLVES = "; `sparsenas evolve RUN --out NEW` searches its trained supernet with other settings of spos or random"


def unsaved(default: Any) -> Any:
    """A field of a dataclass of flags that ``config.yaml`` does not keep."""
    if isinstance(default, list):
        return field(default_factory=lambda: [*default], metadata=UNSAVED)
    return field(default=default, metadata=UNSAVED)


def saved_names(make: Make) -> list[str]:
    """The parameters that ``config.yaml`` keeps."""
    hidden = [f.name for f in fields(make) if f.metadata == UNSAVED] if is_dataclass(make) else []
    return [name for name in parameters(make) if name not in hidden]


def to_config(flags: object) -> dict[str, Any]:
    """What ``config.yaml`` keeps of a dataclass of flags."""
    return {name: plain(vars(flags)[name]) for name in saved_names(type(flags))}


def from_config(make: Callable[..., Flags], config: Mapping[str, Any], file: str, trusted: Iterable[str]) -> Flags:
    """A dataclass of flags from a run folder, checked as flags are.

    Of the folder's plug-ins those are called that are built in, installed or ``trusted``. Raises ``UserError``.
    """
    source = GivenFlags(
        {name: value for name, value in config.items() if name in parameters(make)}, file, untrusted=True
    )
    plugins = names(make, [source], trusted)
    known = {flag.name: flag for flag in all_flags(make, plugins)}
    values = {**defaults(known.values()), **source.read(known)}
    check_code(values, trusted, file)
    try:
        check_complete(known.values(), values)
        return construct(make, values)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def plain(value: Any) -> Any:
    """A value as YAML has it."""
    if isinstance(value, Plugin):
        return {"name": value.name, **plain(value.flags)}
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if inspect.isroutine(value):
        return f"{value.__module__}:{value.__qualname__}"
    if isinstance(value, Path):
        return os.path.abspath(value)
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def check_whole(names: Iterable[str], config: Mapping[str, Any], file: object) -> None:
    """Raises ``UserError`` where ``config.yaml`` lacks flags that every such file has."""
    missing = [name for name in names if name not in config]
    if missing:
        raise UserError(f"{file}: expected all flags of a run, found no {', '.join(missing)}: the file is damaged")


def check_unchanged(given: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Raises ``UserError`` for a flag that is not as in the run that is to be resumed."""
    for name, value in given.items():
        if name in saved and name not in MOVABLE and plain(value) != plain(saved[name]):
            raise UserError(
                f"{spelled(name)}: the run to resume has {plain(saved[name])}, got {plain(value)}; "
                f"leave the flag out or choose another --out{_other_command(name, plain(value))}"
            )


def _other_command(name: str, value: Any) -> str:
    """The other command that takes a flag of the retraining or of the method, for the end of a message."""
    if name.startswith(EVOLVED):
        return EVOLVES
    if name.split(".")[0] not in RETRAINING:
        return ""
    return f"; `sparsenas retrain RUN {spelled(name)} {value}` trains the found network with it"


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
