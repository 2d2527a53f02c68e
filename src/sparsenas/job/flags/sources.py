"""Where the values of flags come from: the command line, YAML files, run folders."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sparsenas.errors import UserError
from sparsenas.job.flags.flag import SWITCHES, Flag, unknown
from sparsenas.job.flags.kind_words import short
from sparsenas.job.flags.kinds import is_list
from sparsenas.job.flags.words import Words
from sparsenas.job.lookup import TABLES, canonical
from sparsenas.parsing import parse_yaml, typed
from sparsenas.rundir.flag_names import COUNT, NAME, spelled

RECIPES = Path(__file__).parent.parent / "recipes"
FILE_OF_FLAGS = "expected a YAML file of flags"
Flags = Mapping[str, Flag]
"""Flags by name."""


@dataclass(frozen=True)
class GivenFlags:
    """Values of flags as they were given; sections of YAML are nested."""

    values: Mapping[str, Any]
    file: str = ""
    """The YAML file; empty for the command line."""
    untrusted: bool = False
    """A file of a run folder, which may come from somebody else."""

    def where(self, name: str) -> str:
        """A flag in a message."""
        return f"{self.file}: {name.removesuffix(NAME)}" if self.file else spelled(name)

    def plugin(self, kind: str) -> Any:
        """The name of the space, data set or method, ``None`` where it is not given."""
        value = self.values.get(kind + NAME, self.values.get(kind))
        return value.get("name") if isinstance(value, Mapping) else value

    def plugins(self) -> dict[str, str]:
        """The names of the space, the data set and the method that are given, by the flag's name."""
        given = {kind: self.plugin(kind) for kind in TABLES}
        return {kind + NAME: canonical(kind, name) for kind, name in given.items() if name is not None}

    def unknown(self, known: Flags) -> list[str]:
        """The names that are no flags."""
        return [name for name, _ in self._flat(known, self.values) if name not in known]

    def read(self, known: Flags, without: Collection[str] = ()) -> dict[str, Any]:
        """The values by dotted name, as their flags' types. Raises ``UserError``."""
        found: dict[str, Any] = {}
        for name, value in self._flat(known, self.values):
            if name in known:
                found[name] = known[name].read(value, self.where(name))
            elif name not in without:
                raise unknown(self.where(name), name, known)
        return found

    def _flat(self, known: Flags, values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
        for key, value in values.items():
            name = f"{prefix}{key}".replace("-", "_")
            if not isinstance(value, Mapping):
                name = full_name(name, known)
            section = isinstance(value, Mapping) and (not value or any(flag.startswith(f"{name}.") for flag in known))
            if section and name not in known:
                yield from self._flat(known, value, f"{name}.")
            else:
                yield name, value


def full_name(given: str, known: Flags) -> str:
    """The flag that a name with one value stands for: ``space.name`` for ``space``, ``finalists.count``."""
    if given in TABLES:
        return given + NAME
    return given + COUNT if given + COUNT in known else given


def from_words(words: Words, known: Flags) -> GivenFlags:
    """The flags of a command line; a repeated one has a list of values, or the last one. Raises ``UserError``."""
    values: dict[str, Any] = {}
    for given, value in words.flags:
        name = full_name(given, known)
        flag = known.get(name)
        if flag is None:
            raise unknown(f"--{given}", given, known)
        if value is None and flag.kind not in SWITCHES:
            raise UserError(f"{spelled(name)}: expected a value, got none")
        value = "true" if value is None else value
        values[name] = [*values.get(name, []), value] if is_list(flag.kind) else value
    return GivenFlags(values)


def from_yaml(path: str) -> GivenFlags:
    """The flags of a YAML file, which may be given by the name of a shipped recipe. Raises ``UserError``."""
    file = RECIPES / f"{path}.yaml" if path in shipped() and not Path(path).is_file() else Path(path)
    where = f"--config {path}"
    values = parse_yaml(_text(file, where), where)
    if not isinstance(values, Mapping):
        given = "an empty one" if values is None else "a list" if isinstance(values, list) else f"only {short(values)}"
        raise UserError(f"{where}: {FILE_OF_FLAGS}, got {given}; its lines are like seed: 1")
    return GivenFlags(typed(values, dict[str, Any], where), path)


def _text(file: Path, where: str) -> str:
    """The text of a file of flags. Raises ``UserError``."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        near = get_close_matches(file.stem, shipped(), 1)
        hint = f"did you mean {near[0]}?" if near else f"the recipes are {', '.join(shipped())}"
        raise UserError(f"{where}: {FILE_OF_FLAGS} or a recipe, found no such file; {hint}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: {FILE_OF_FLAGS}, got a file that is no text in UTF-8") from error
    except OSError as error:
        given = "a folder" if file.is_dir() else f"a file that cannot be read: {error.strerror}"
        raise UserError(f"{where}: {FILE_OF_FLAGS}, got {given}") from error


def shipped() -> list[str]:
    """The names of the recipes that come with the library."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))
