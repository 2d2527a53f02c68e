"""Flags that a command lacks and other commands have: named in a message, left out of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sparsenas.errors import UserError
from sparsenas.job.flags.flag import UnknownFlag, flags_of
from sparsenas.job.flags.parse import Command, flags_class
from sparsenas.rundir.flag_names import COUNT, NAME

Commands = Mapping[str, Command]
"""All commands by name."""


def known_elsewhere(commands: Commands, command: str, flag: UnknownFlag, error: UserError) -> UserError:
    """The error for a flag that a command lacks, with the commands that have it."""
    having = _others(commands, command, flag.name)
    if not having:
        return error
    told = f"{flag.where}: a flag of {', '.join(having)}, not of {command}"
    return UserError(told + _shape_hint(commands, command, [flag.name]))


def left_out(commands: Commands, command: str, file: str, names: Iterable[str], say: Callable[[str], Any]) -> list[str]:
    """Those flags of a file that only other commands have, which ``say`` is told in one line.

    So the file of a whole run serves the commands for its stages.
    """
    having = {name: found for name in names if (found := _others(commands, command, name))}
    if having:
        told = list(dict.fromkeys(name.removesuffix(NAME).removesuffix(COUNT) for name in having))
        shown = " and ".join(filter(None, [", ".join(told[:-1]), told[-1]]))
        theirs = [name for name in commands if any(name in found for found in having.values())]
        verb = "are" if len(told) > 1 else "is"
        hint = _shape_hint(commands, command, having)
        say(f"{file}: {shown} {verb} for other commands ({', '.join(theirs)}), not used by {command}{hint}")
    return [*having]


def _others(commands: Commands, command: str, flag: str) -> list[str]:
    """The other commands that have a flag; none where this command has the space, data set or method it is of."""
    having = [name for name in commands if _has(commands[name], flag)]
    return [] if command in having else having


def _has(command: Command, flag: str) -> bool:
    """Whether a command has a flag, flags of a section, or the space, data set or method whose flag it is."""
    known = {found.name for found in flags_of(flags_class(command))}
    section = flag.partition(".")[0]
    return bool(known & {flag, flag + COUNT, section + NAME}) or any(name.startswith(f"{flag}.") for name in known)


def _shape_hint(commands: Commands, command: str, flags: Iterable[str]) -> str:
    """What a command says that counts costs and needs no data, where it is given some."""
    if any(flag.partition(".")[0] == "data" for flag in flags) and _has(commands[command], "space"):
        return ", which needs no data; --space.shape C,H,W is the shape of an input"
    return ""
