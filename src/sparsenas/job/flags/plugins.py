"""The flags that a command has by way of its space, data set and method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sparsenas.job.flags.flag import PLUGINS, REQUIRED, Flag, Make, flags_of, kinds_of, parameters
from sparsenas.job.flags.kinds import as_list
from sparsenas.job.flags.sources import GivenFlags
from sparsenas.job.lookup import canonical, check_all_trusted, check_trusted, flag_source, resolve
from sparsenas.objectives import is_loss
from sparsenas.rundir.flag_names import NAME
from sparsenas.spaces.published import PUBLISHED

GIVEN = {
    "space": {"classes"},
    "data": {"seed"},
    "objective": {"classes", "outputs"},
    "method": {"choices", "limits", "seed", "epochs"},
}
"""Parameters that a command supplies itself, so that they are no flags."""
TARGET = "target"
"""The parameter of commands whose flags are those of the space at another size."""
CODE = ("space.net", f"{TARGET}.net")
"""Flags that name code: the network to be opened."""
SHAPE = "shape"
"""Flags of every space."""
SMALLEST = "tiny"


def names(
    make: Make, sources: Sequence[GivenFlags], trusted: Iterable[str], archs: Iterable[str] = ()
) -> dict[str, str]:
    """The names of the space, the data set and the method: from the last source that has one, else the default.

    Raises ``UserError`` where a run folder names one that is not ``trusted``.
    """
    found: dict[str, str] = {}
    for place, source in enumerate(sources):
        if source.untrusted:
            _check_plugins(make, source, trusted, sources[place + 1 :])
    for kind, default in default_names(make).items():
        given = [name for source in sources if (name := source.plugin(kind)) is not None]
        found[kind] = canonical(kind, given[-1] if given else default or carried_space(archs))
    return found


def _check_plugins(make: Make, kept: GivenFlags, trusted: Iterable[str], given: Sequence[GivenFlags]) -> None:
    """Raises ``UserError`` with all code that a run folder names, that is not ``trusted`` and not ``given`` again."""
    check_all_trusted(code_of(make, kept, given), trusted, kept.file)


def code_of(make: Make, kept: GivenFlags, given: Sequence[GivenFlags] = ()) -> list[tuple[str, Any]]:
    """The kinds and names of what a run folder names that a command calls, save what is ``given`` again."""
    named: list[tuple[str, Any]] = [("cost", cost) for cost in as_list(kept.values.get("cost", []))]
    for kind in default_names(make):
        if all(source.plugin(kind) is None for source in given):
            named.append((kind, kept.plugin(kind)))
    named += [(code, _code(kept, code)) for code in CODE if all(_code(source, code) is None for source in given)]
    return [(kind, name) for kind, name in named if name is not None]


def _code(source: GivenFlags, flag: str) -> str | None:
    """The code that a flag names, whether its section is nested or not; ``None`` where it is not given."""
    section, _, name = flag.partition(".")
    nested = source.values.get(section)
    value = source.values.get(flag, nested.get(name) if isinstance(nested, Mapping) else None)
    return value if isinstance(value, str) else None


def check_code(values: Mapping[str, Any], trusted: Iterable[str], file: str) -> None:
    """Raises ``UserError`` where flags of a run folder name a network to be opened that is not ``trusted``."""
    for name in CODE:
        if isinstance(value := values.get(name), str):
            check_trusted(name, value, trusted, file)


def default_names(make: Make) -> dict[str, Any]:
    """The default of each of space, data and method that a command has; ``None`` where it may be left open."""
    kinds = {name for name, kind in kinds_of(make).items() if kind in PLUGINS}
    return {flag.name[: -len(NAME)]: flag.default for flag in flags_of(make) if flag.name.removesuffix(NAME) in kinds}


def carried_space(archs: Iterable[str]) -> str:
    """The space of the first published architecture, else the smallest one."""
    return next((PUBLISHED[arch].space for arch in archs if arch in PUBLISHED), SMALLEST)


def all_flags(make: Make, plugins: Mapping[str, str]) -> list[Flag]:
    """The flags of a command and of its plug-ins; where there is a target, those of the space for it again."""
    found = [flag for flag in flags_of(make) if flag.name != TARGET]
    for kind, name in plugins.items():
        # Only a data set knows its classes.
        skip = GIVEN[kind] if kind != "space" or "data" in plugins else set()
        plugin = resolve(kind, name)
        if kind != "objective" or not is_loss(plugin):
            given = kind == "space" and "data" in plugins
            flags = flags_of(flag_source(plugin), f"{kind}.", skip)
            found += [replace(flag, default=None) if given and _is_shape(flag) else flag for flag in flags]
    if "space" in plugins and f"space.{SHAPE}" not in {flag.name for flag in found}:
        found.append(Flag(f"space.{SHAPE}", tuple[int, int, int] | None, None, any_space))
    if TARGET in parameters(make) and "space" in plugins:
        found += target_flags(plugins["space"])
    return found


def any_space(shape: tuple[int, int, int] | None = None) -> None:
    """Any search space.

    Args:
        shape: channels, height and width of one input, as C,H,W. Default: those of the data; where a command takes no
            data, those of the space, which of open are 3,32,32.
    """


def _is_shape(flag: Flag) -> bool:
    """Whether it is the shape of the inputs without a default, which the data have."""
    return flag.name == f"space.{SHAPE}" and flag.default is REQUIRED


def target_flags(space: str) -> list[Flag]:
    """The flags of the space that may differ in the network that is trained in the end."""
    flags = flags_of(resolve("space", space), f"{TARGET}.", {SHAPE, "classes"})
    return [replace(flag, default=None) for flag in flags]
