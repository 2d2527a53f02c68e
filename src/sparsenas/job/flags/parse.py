"""From a command line to the arguments of a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, get_type_hints

from sparsenas.errors import UserError
from sparsenas.job.flags.build import build, check_complete, construct, defaults
from sparsenas.job.flags.flag import SWITCHES, Flag, Make, flags_of, is_section, parameters
from sparsenas.job.flags.kinds import as_list
from sparsenas.job.flags.plugins import TARGET, all_flags, check_code, default_names, names, target_flags
from sparsenas.job.flags.saved import check_unchanged, saved_names
from sparsenas.job.flags.sources import GivenFlags, from_words, from_yaml
from sparsenas.job.flags.words import Words, split_words
from sparsenas.job.lookup import canonical, check_trusted, method_of_run
from sparsenas.rundir.config import CONFIG, has_begun, read_config
from sparsenas.rundir.flag_names import NAME, RUN, RUNS
from sparsenas.rundir.folder import Run

Command = Callable[..., Any]
Foreign = Callable[[str, Sequence[str]], Collection[str]]
"""Of a file's names that are no flags of the command: those that other commands have."""
FILES, TRUST = "config", "trust_plugins"


class Line(NamedTuple):
    """A command line and the files that it names."""

    make: Make
    words: Words
    files: list[GivenFlags]
    saved: GivenFlags | None
    """The flags of the run that is to be resumed."""

    def trusted(self) -> list[str]:
        """The plug-ins that a run folder may name."""
        listed = [file.values[TRUST] for file in self.files if TRUST in file.values]
        return [*self.words.of(TRUST), *(str(name) for names in listed for name in as_list(names))]

    def plugins(self) -> dict[str, str]:
        """The names of the space, the data set and the method."""
        sources = [
            *self._of_run(),
            *([self.saved] if self.saved else []),
            *self.files,
            GivenFlags(dict(self.words.flags)),
        ]
        return names(self.make, sources, self.trusted(), self.words.of("arch"))

    def _of_run(self) -> list[GivenFlags]:
        """The method by which the run of ``evolve`` is searched again, where none is given."""
        run = self.words.of(RUN)
        if not run or "method" not in default_names(self.make):
            return []
        return [GivenFlags({"method": method_of_run(run[-1], pareto=bool(self.words.of("pareto")))})]

    def known(self) -> dict[str, Flag]:
        """Every flag that there is, by name."""
        flags = [Flag(FILES, list[str], [], self.make), *all_flags(self.make, self.plugins())]
        if TARGET in parameters(self.make) and "space" not in self.plugins() and self._has_target():
            flags += target_flags(space_of_run(self.words.of(RUN), self.trusted()))
        return {flag.name: flag for flag in flags}

    def _has_target(self) -> bool:
        given = [name for name, _ in self.words.flags] + [name for file in self.files for name in file.values]
        return any(name.startswith(TARGET) for name in given)


def parse(command: Command, argv: Sequence[str], foreign: Foreign = lambda file, names: ()) -> dict[str, Any]:
    """The arguments of a command from its words. Raises ``UserError`` on anything that does not fit.

    Flags on the command line win over ``--config``; ``foreign`` ones of a file are left out. With ``--resume`` they are
    those of the run folder, and others that are given must agree with them.
    """
    make = flags_class(command)
    line = read_line(make, argv)
    known, plugins = line.known(), line.plugins()
    given: dict[str, Any] = {}
    of_files = {name: flag for name, flag in known.items() if name != FILES}
    for file in line.files:
        other = file.unknown(of_files)
        given |= file.read(of_files, foreign(file.file, other) if other else ())
    given |= from_words(line.words, known).read(known)
    before = defaults(known.values())
    if line.saved is not None:
        check_unchanged({kind + NAME: name for kind, name in plugins.items()}, line.saved.plugins())
        saved = line.saved.read(known)
        check_code({n: v for n, v in saved.items() if n not in given}, line.trusted(), line.saved.file)
        before |= saved
        check_unchanged({name: v for name, v in given.items() if name.split(".")[0] in saved_names(make)}, before)
    values = {**before, **given}
    for kind, default in default_names(make).items():
        if default is None:  # a published architecture has its own word on the flags that are not given
            values = {name: v for name, v in values.items() if name in given or not name.startswith(f"{kind}.")}
        if default is not None or any(name.startswith(f"{kind}.") for name in given):
            values[kind + NAME] = plugins[kind]
    check_complete(known.values(), values)
    return build(make, values) if make is command else {_only_parameter(command): construct(make, values)}


def flags_class(command: Command) -> Make:
    """The dataclass that is a command's one argument, else the command itself, whose parameters are flags."""
    hints = [kind for name, kind in get_type_hints(command).items() if name != "return"]
    return hints[0] if len(hints) == 1 and is_section(hints[0]) else command


def read_line(make: Make, argv: Sequence[str]) -> Line:
    """Takes a command line apart and reads its files. Raises ``UserError``."""
    words = split_words(argv, {flag.name for flag in flags_of(make) if flag.kind in SWITCHES})
    if words.positional and RUN in parameters(make):
        words.flags.append((RUN, words.positional.pop(0)))
    while words.positional and RUNS in parameters(make):
        words.flags.append((RUNS, words.positional.pop(0)))
    if words.positional:
        raise UserError(f"expected flags, which begin with --, got {words.positional[0]!r}")
    files = [from_yaml(path) for path in words.of(FILES)]
    return Line(make, words, files, _saved(make, words, files))


def space_of_run(run: Sequence[str], trusted: Sequence[str]) -> str:
    """The space of a run folder. Raises ``UserError`` where there is none, or it is not ``trusted``."""
    if not run:
        raise UserError(f"expected {RUN.upper()}, a run folder, got none")
    folder = Run(run[-1])
    name = GivenFlags(read_config(folder)).plugin("space")
    check_trusted("space", name, trusted, str(folder / CONFIG))
    return canonical("space", name)


def _saved(make: Make, words: Words, files: Sequence[GivenFlags]) -> GivenFlags | None:
    """The flags of the run that is to be resumed, if it has begun."""
    sources = [*files, GivenFlags(dict(words.flags))]
    resume = [source.values["resume"] for source in sources if "resume" in source.values]
    if "resume" not in parameters(make) or not resume or resume[-1] not in (None, True, "true"):
        return None
    flag = next(flag for flag in flags_of(make) if flag.name == "out")
    out = [flag.read(source.values["out"], source.where("out")) for source in sources if "out" in source.values]
    folder = Run(out[-1] if out else flag.default)
    if not has_begun(folder):
        return None
    kept = {name: value for name, value in read_config(folder).items() if name in saved_names(make)}
    return GivenFlags(kept, str(folder / CONFIG), untrusted=True)


def _only_parameter(command: Command) -> str:
    return next(iter(inspect.signature(command).parameters))
