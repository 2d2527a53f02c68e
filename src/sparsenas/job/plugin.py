"""Spaces, data sets and methods by name."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from sparsenas.data import DATA
from sparsenas.errors import UserError, first_line
from sparsenas.methods import METHODS
from sparsenas.spaces import SPACES
from sparsenas.spaces.published import PUBLISHED

OWN = __name__.partition(".")[0]
TABLES: Mapping[str, Mapping[str, Callable[..., Any]]] = {"space": SPACES, "data": DATA, "method": METHODS}


@dataclass(frozen=True)
class Plugin:
    """A space, data set or method by name, with its own flags.

    The name is a built-in one or ``package.module:callable``, looked up on the Python path and in the working folder.
    """

    name: str
    flags: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, value: str | Plugin, **flags: Any) -> Plugin:
        """A plugin from its name, with flags."""
        return value if isinstance(value, Plugin) else cls(value, flags)

    def callable(self, kind: str) -> Callable[..., Any]:
        """What the name stands for. Raises ``UserError`` for an unknown one."""
        return resolve(kind, self.name)

    def build(self, kind: str, *args: Any, **given: Any) -> Any:
        """Calls it with its flags, and with those of ``given`` that it takes. Raises ``UserError`` for wrong flags."""
        make = self.callable(kind)
        takes = inspect.signature(make).parameters
        arguments = {**self.flags, **{name: value for name, value in given.items() if name in takes}}
        unknown = [name for name in arguments if name not in takes]
        if unknown and unknown != ["shape"]:
            raise UserError(f"--{kind}.{unknown[0]}: {self.name} takes no such flag; expected {', '.join(takes)}")
        arguments = {name: value for name, value in arguments.items() if name in takes}
        try:
            inspect.signature(make).bind(*args, **arguments)
        except TypeError as error:
            raise UserError(f"--{kind} {self.name}: cannot be called as a {kind}: {error}") from error
        try:
            return make(*args, **arguments)
        except (RuntimeError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
            if isinstance(error, UserError) or self.name not in TABLES[kind]:
                raise  # in code of the user's own the whole traceback is wanted
            raise UserError(f"--{kind} {self.words(kind)}: cannot be built: {first_line(error)}") from error

    def words(self, kind: str, **given: Any) -> str:
        """The flags that name it on a command line, with those of ``given`` that it takes or that every space has."""
        takes = inspect.signature(self.callable(kind)).parameters
        flags = {**{name: value for name, value in given.items() if name in takes or name == "shape"}, **self.flags}
        words = {n: ",".join(map(str, v)) if isinstance(v, list | tuple) else v for n, v in flags.items()}
        return " ".join([f"--{kind} {self.name}", *(f"--{kind}.{name} {value}" for name, value in words.items())])

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> Plugin:
        """The inverse of ``to_config``."""
        return cls(section["name"], {name: value for name, value in section.items() if name != "name"})

    def to_config(self) -> dict[str, Any]:
        """As in ``config.yaml``: the name and the flags side by side."""
        return {"name": self.name, **self.flags}


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


def resolve(kind: str, name: str) -> Callable[..., Any]:
    """The callable behind a name. Raises ``UserError`` when there is none."""
    table = TABLES[kind]
    if not isinstance(name, str):
        raise UserError(f"--{kind}: expected a name, got {type(name).__name__}")
    if name in table:
        return table[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise UserError(f"--{kind}: expected one of {', '.join(table)} or package.module:callable, got {name!r}")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"--{kind} {name}: expected an importable module, got: {error}") from error
    target: Callable[..., Any] | None = vars(found).get(attribute)
    if not callable(target):
        raise UserError(f"--{kind} {name}: expected a callable in {module}, found no {attribute!r}")
    if target not in table.values() and not _uses_sparsenas(found):
        raise UserError(f"--{kind} {name}: expected a callable in a package that uses sparsenas, got another package")
    return target


def _uses_sparsenas(module: ModuleType) -> bool:
    """Whether the package of a module speaks of this library, as one of spaces, data or methods must.

    A run folder names what is called: else it could name ``os:system`` and its argument, or anything like it.
    """
    top = module.__name__.partition(".")[0]
    modules = [m for name, m in list(sys.modules.items()) if name == top or name.startswith(f"{top}.")]
    files = [Path(str(vars(m).get("__file__"))) for m in modules]
    sources = (file.read_bytes() for file in files if file.suffix == ".py" and file.is_file())
    return top != OWN and any(OWN.encode() in source for source in sources)
