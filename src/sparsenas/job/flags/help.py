"""What ``--help`` prints."""

from __future__ import annotations

import inspect
import itertools
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Any

import docstring_parser

from sparsenas.job.flags.flag import REQUIRED, Flag, Make, parameters
from sparsenas.job.flags.kind_words import metavar
from sparsenas.job.flags.parse import FILES, Command, Line, flags_class, read_line
from sparsenas.job.flags.plugins import TARGET
from sparsenas.job.flags.sources import shipped
from sparsenas.job.lookup import TABLES, bridges, resolve
from sparsenas.rundir.flag_names import NAME, RUN, RUNS, spelled

WIDTH, INDENT = 100, " " * 6
MANY = 5
"""The short help only names the flags of a section that has more."""


def help_text(command: Command, argv: Sequence[str], whole: bool = True) -> str:
    """The flags of a command, with those of the space, data set and method named in ``argv``.

    Not ``whole``, it names the flags of long sections without explaining them. Raises ``UserError``.
    """
    line = read_line(flags_class(command), argv)
    run = "RUN " if RUN in parameters(line.make) else "RUN RUN... " if RUNS in parameters(line.make) else ""
    about = (inspect.getdoc(command) or "").split("\n\nArgs:")[0]
    usage = f"usage: sparsenas {command.__name__} {run}[FLAGS]"
    return "\n".join([usage, "", about, "", *_entries(line), *_sections(line, whole)])


def _entries(line: Line) -> Iterator[str]:
    """The flags of the command itself."""
    docs = _docs(line.make)
    if RUN in docs:
        yield from _entry(RUN.upper(), docs[RUN])
    if RUNS in docs:
        yield from _entry(f"{RUN.upper()}...", docs[RUNS])
    recipes = f", or a recipe: {', '.join(shipped())}" if "search" in docs else ""
    yield from _entry(f"--{FILES} FILE", f"YAML file of flags{recipes}. Flags on the command line win. Repeatable.")
    for flag in line.known().values():
        if flag.owner is line.make and flag.name not in (RUN, RUNS, FILES):
            yield from _flag(flag)
    if TARGET in docs:
        yield from _entry(f"--{TARGET}.FLAG VALUE", docs[TARGET])


def _sections(line: Line, whole: bool) -> Iterator[str]:
    """The flags of dataclasses and plug-ins, each group under a title."""
    docs, plugins = _docs(line.make), line.plugins()
    others = [flag for flag in line.known().values() if flag.owner is not line.make]
    named = False
    for section, group in itertools.groupby(others, lambda flag: flag.name.partition(".")[0]):
        if section == TARGET:
            continue
        title = f"{section} {plugins[section]}" if section in plugins else section
        about = _summary(resolve(section, plugins[section])) if section in plugins else docs.get(section, "")
        yield from ["", *textwrap.wrap(f"{title}: {about}", WIDTH)]
        flags = list(group)
        if whole or len(flags) <= MANY:
            yield from itertools.chain.from_iterable(map(_flag, flags))
        else:
            yield from _names(flags)
            named = True
    if plugins:
        words = " NAME, --".join(plugins)
        yield from ["", f"With --{words} NAME, --help lists the flags of that one."]
    if named:
        yield from ["", "--help-all explains all flags."]


def _names(flags: Iterable[Flag]) -> list[str]:
    """The names of flags, in few lines."""
    listed = " ".join(spelled(flag.name) for flag in flags)
    return textwrap.wrap(listed, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _flag(flag: Flag) -> Iterator[str]:
    kind = flag.name.removesuffix(NAME)
    about = _docs(flag.owner).get(kind.rpartition(".")[2], "")
    if flag.name.endswith(NAME):
        names = ", ".join([*TABLES[kind], *bridges(kind), "or package.module:callable."])
        return _entry(f"--{kind} NAME", f"{about.rstrip('.')}: {names}{_default(flag)}")
    return _entry(f"{spelled(flag.name)} {metavar(flag.kind)}".rstrip(), about + _default(flag))


def _entry(head: str, text: str) -> Iterator[str]:
    yield f"  {head}"
    yield from textwrap.wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)


def _default(flag: Flag) -> str:
    value = flag.default
    if value is REQUIRED:
        return " Required."
    if value is None or value == "" or value in ([], (), {}) or value is False:
        return ""
    shown = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f" Default: {shown.lower() if isinstance(value, bool) else shown}."


def _summary(make: Make) -> str:
    return (docstring_parser.parse(inspect.getdoc(make) or "").short_description or "").replace("\n", " ")


@cache
def _docs(make: Make) -> dict[str, str]:
    """What the parameters of a callable are, or the fields of a dataclass, by name."""
    parts: Iterable[Any] = [make]
    if inspect.isclass(make):
        parts = [part for cls in reversed(make.__mro__) for part in (cls, vars(cls).get("__init__"))]
    found: dict[str, str] = {}
    for part in parts:
        read = docstring_parser.parse_from_object if is_dataclass(part) else _parse
        found |= {p.arg_name: _sentence(p.description or "") for p in read(part).params}
    return found


def _parse(part: object) -> docstring_parser.Docstring:
    return docstring_parser.parse(inspect.getdoc(part) or "")


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""
