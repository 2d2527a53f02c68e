"""The flags of a callable: a dataclass of flags, a command, a space, a data set or a method."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple, get_type_hints

from sparsenas.errors import UserError
from sparsenas.job.flags.kind_words import describe, short
from sparsenas.job.flags.kinds import CONVERT_ERRORS, convert
from sparsenas.job.lookup import TABLES
from sparsenas.job.plugin import Plugin
from sparsenas.rundir.flag_names import COUNT, NAME, spelled

Make = Callable[..., Any]
REQUIRED = object()
"""The default of a flag that must be given."""
PLUGINS = (Plugin, Plugin | None)
"""Types of the parameters that are a space, a data set or a method; theirs are the flags of the callable they name."""
SWITCHES = (bool, bool | None)
"""Types of flags that are true where no value follows."""


class UnknownFlag(NamedTuple):
    """A flag that a command does not have; what an error is about."""

    where: str
    """The place where it was given, in words."""
    name: str


@dataclass(frozen=True)
class Flag:
    """One flag, by its dotted name: ``search.epochs``."""

    name: str
    kind: Any
    default: Any
    owner: Make = field(repr=False, compare=False)
    """The callable that has it as a parameter, and describes it."""

    def read(self, value: object, where: str) -> Any:
        """The value as the flag's type. Raises ``UserError`` naming ``where``."""
        try:
            return convert(self.kind, value)
        except CONVERT_ERRORS as error:
            raise UserError(f"{where}: expected {describe(self.kind)}, got {short(value)}") from error


def flags_of(make: Make, prefix: str = "", skip: Collection[str] = ()) -> list[Flag]:
    """The flags of a callable's parameters; a parameter that is a dataclass is a section of flags."""
    found: list[Flag] = []
    for name, kind, default in _parameters(make):
        if name in skip:
            continue
        if kind in PLUGINS:
            plugin = default.name if isinstance(default, Plugin) else None
            found.append(Flag(f"{prefix}{name}{NAME}", str, plugin, make))
        elif is_section(kind):
            parts = flags_of(kind, f"{prefix}{name}.")
            found += [_with_default(flag, default) for flag in parts]
        else:
            found.append(Flag(prefix + name, kind, default, make))
    return found


def is_section(kind: Any) -> bool:
    """Whether a type is a dataclass, whose fields are flags of their own."""
    return inspect.isclass(kind) and is_dataclass(kind) and kind is not Plugin


def parameters(make: Make) -> list[str]:
    """The names of a callable's parameters, or a dataclass's fields."""
    return [name for name, _, _ in _parameters(make)]


def kinds_of(make: Make) -> dict[str, Any]:
    """The types of a callable's parameters by name."""
    return {name: kind for name, kind, _ in _parameters(make)}


def unknown(where: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a flag that does not exist, with the one that was perhaps meant."""
    known = [flag.removesuffix(NAME).removesuffix(COUNT) for flag in known]
    if own := [flag for flag in known if flag.startswith(f"{name}.")]:
        return UserError(f"{where}: expected one of its flags, such as {spelled(own[0])}")
    section = name.rpartition(".")[0]
    siblings = [flag for flag in known if section and flag.rpartition(".")[0] == section]
    section, siblings = (section, siblings) if siblings else ("", known)
    near = get_close_matches(name.removeprefix(section), [flag.removeprefix(section) for flag in siblings], 1)
    if near:
        hint = f"; did you mean {spelled(section + near[0])}?"
    else:
        hint = f"; the chosen {section} has {listed(siblings)}" if section in TABLES else ""
    return UserError(f"{where}: no such flag{hint}", UnknownFlag(where, name))


def listed(flags: Iterable[str]) -> str:
    """Flags for a message; ``no flags`` where there are none."""
    return ", ".join(map(spelled, flags)) or "no flags"


def _with_default(flag: Flag, section: object) -> Flag:
    """A flag of a section whose default is an object with other values than its class."""
    if not is_dataclass(section):
        return flag
    return Flag(flag.name, flag.kind, vars(section)[flag.name.rpartition(".")[2]], flag.owner)


def _parameters(make: Make) -> list[tuple[str, Any, Any]]:
    """Name, type and default of every parameter."""
    hints = {name: kind if isinstance(kind, Hashable) else Any for name, kind in _hints(make).items()}
    if inspect.isclass(make) and is_dataclass(make):
        return [(f.name, hints[f.name], _default(f.default, f.default_factory)) for f in fields(make) if f.init]
    listed = inspect.signature(make).parameters.values()
    named = [p for p in listed if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return [(p.name, hints.get(p.name, Any), REQUIRED if p.default is p.empty else p.default) for p in named]


def _default(default: Any, factory: Any) -> Any:
    if default is not MISSING:
        return default
    return REQUIRED if factory is MISSING else factory()


def _hints(make: Make) -> dict[str, Any]:
    """Types by name; none where they cannot be evaluated, as with imports for type checkers only."""
    target = make.__init__ if inspect.isclass(make) and not is_dataclass(make) else make
    try:
        return get_type_hints(target)
    except (NameError, TypeError, AttributeError):
        return {}
