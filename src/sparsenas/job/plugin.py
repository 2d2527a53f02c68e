"""A space, data set or method with its flags."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from sparsenas.errors import UserError, told
from sparsenas.job.lookup import FLAGS, TABLES, flag_source, resolve
from sparsenas.spaces import SPACES
from sparsenas.spaces.published import PUBLISHED


@dataclass(frozen=True)
class Plugin:
    """A space, data set or method with its own flags.

    Its name is a built-in one, that of an installed entry point, or ``package.module:callable``.
    """

    name: str
    flags: Mapping[str, Any] = field(default_factory=dict)
    make: Callable[..., Any] | None = field(default=None, compare=False, repr=False)
    """The callable itself where it was given in Python; else it is looked up by name."""
    opened: dict[str, nn.Module] = field(default_factory=dict, compare=False, repr=False)
    """Plain networks that were opened, which takes seconds, by their flags and inputs; each use is a copy."""

    @classmethod
    def of(cls, value: object, **flags: Any) -> Plugin:
        """A plug-in from one, its name, or the callable itself. Raises ``UserError`` for anything else."""
        if isinstance(value, Plugin):
            return value
        if isinstance(value, str):
            return cls(value, flags)
        if not callable(value) or isinstance(value, nn.Module):
            raise UserError(f"expected a name, a function or a class, got an object of class {type(value).__name__}")
        builtin = [name for table in TABLES.values() for name, make in table.items() if make is value]
        return cls(builtin[0] if builtin else _name_of(value), flags, value)

    def callable(self, kind: str) -> Callable[..., Any]:
        """The callable itself. Raises ``UserError`` for an unknown name."""
        return self.make or resolve(kind, self.name)

    def build(self, kind: str, *args: Any, **given: Any) -> Any:
        """Calls it with its flags, and with those of ``given`` that it takes. Raises ``UserError`` for wrong flags."""
        make, source = self.callable(kind), flag_source(self.callable(kind))
        takes, flags = inspect.signature(make).parameters, inspect.signature(source).parameters
        unknown = [name for name in self.flags if name not in flags]
        if unknown and unknown != ["shape"]:
            raise UserError(f"--{kind}.{unknown[0]}: {self.name} takes no such flag; expected {', '.join(flags)}")
        arguments = {name: value for name, value in self.flags.items() if name in flags}
        if source is not make:
            arguments = {FLAGS: _flags(kind, source, arguments)}
        arguments |= {name: value for name, value in given.items() if name in takes}
        try:
            inspect.signature(make).bind(*args, **arguments)
        except TypeError as error:
            raise UserError(f"--{kind} {self.name}: cannot be called: {error}") from error
        try:
            return make(*args, **arguments)
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # code of the user's may run here
            if isinstance(error, OSError | ImportError) and self.name in TABLES[kind]:
                raise  # the command line tells of disks and of packages
            raise UserError(f"{self.words(kind)}: cannot be built: {told(error)}") from error

    def words(self, kind: str, **given: Any) -> str:
        """The flags that name it on a command line, with those of ``given`` that it takes or that every space has."""
        takes = inspect.signature(flag_source(self.callable(kind))).parameters
        flags = {**{name: value for name, value in given.items() if name in takes or name == "shape"}, **self.flags}
        words = {n: ",".join(map(str, v)) if isinstance(v, list | tuple) else v for n, v in flags.items()}
        return " ".join([f"--{kind} {self.name}", *(f"--{kind}.{name} {value}" for name, value in words.items())])

    def to_config(self) -> dict[str, Any]:
        """As in ``config.yaml``: the name and the flags side by side."""
        return {"name": self.name, **self.flags}


def _flags(kind: str, source: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """A plug-in's dataclass of flags. Raises ``UserError`` naming the flag that it refuses."""
    try:
        return source(**values)
    except UserError as error:
        raise UserError(f"--{kind}.{error}") from error


def _name_of(make: Callable[..., Any]) -> str:
    """``package.module:callable`` of a function or class; of another object that of its class."""
    named = make if inspect.isroutine(make) or inspect.isclass(make) else type(make)
    return f"{named.__module__}:{named.__qualname__}"


def space_of(arch: str, space: Plugin | None) -> Plugin | None:
    """The space of an architecture as given on the command line: ``space``, unless it is a published name.

    Such a name carries its space and that space's flags; other flags may be given. Raises ``UserError`` when ``space``
    contradicts what the name carries.
    """
    if arch not in PUBLISHED:
        return space
    name, flags, _ = PUBLISHED[arch]
    space = space or Plugin(name)
    if space.callable("space") is not SPACES[name]:
        raise UserError(f"--arch {arch}: expected --space {name}, got --space {space.name}; leave it out")
    for flag, value in flags.items():
        if space.flags.get(flag, value) != value:
            raise UserError(
                f"--arch {arch}: expected --space.{flag} {value}, got {space.flags[flag]}; leave the flag out"
            )
    return Plugin(space.name, {**flags, **space.flags})
