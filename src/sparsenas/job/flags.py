"""Flags: from typed functions to parsers, and from text to spaces, data and methods."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from sparsenas.errors import UserError
from sparsenas.job.plugin import TABLES, Plugin, resolve
from sparsenas.parsing import parse_yaml, read_text, typed
from sparsenas.rundir.config import CONFIG, has_begun, read_config
from sparsenas.rundir.folder import Run
from sparsenas.spaces.published import PUBLISHED

set_parsing_settings(docstring_parse_attribute_docstrings=True)

GIVEN = {"space": {"classes"}, "data": {"seed"}, "method": {"choices", "limits", "seed", "epochs"}}
"""Arguments that a command supplies itself, so that they are no flags."""
LISTS = (".shape", ".widths", ".depths", ".bin_range", ".sizes")
"""Flags of numbers separated by commas."""
RECIPES = Path(__file__).parent / "recipes"
TARGET = "target"
"""The parameter of commands whose flags are those of the space at another size."""


Command = Callable[..., Any]
Flags = TypeVar("Flags")


def parse(command: Command, argv: Sequence[str]) -> dict[str, Any]:
    """The keyword arguments of a command from its flags. Raises ``UserError`` on anything that does not fit.

    Plugin parameters (space, data, method) contribute the flags of the callable they name. With ``--resume`` the flags
    are those of the run folder, and any flag given besides must agree with them.
    """
    argv = _normalised(command, argv)
    saved = _saved(command, argv)
    plugins = _plugin_names(command, argv, saved)
    parser = _parser(command, plugins)
    if TARGET in inspect.signature(command).parameters:
        _add_target(parser, plugins.get("space") or _space_of_run(argv))
    try:
        if saved is None:
            flags = parser.parse_args(list(argv))
            for kind in _optional(command):
                # Only the flags given: a published architecture has its own word on the others.
                flags[kind] = parser.parse_args(list(argv), defaults=False).get(kind)
            return _keywords(command, parser.instantiate(flags), plugins)
        given = parser.parse_args([*_required(plugins, saved), *argv], defaults=False)
        resumed = parser.parse_object({**saved, "out": given.out, "resume": True})
        _check_unchanged(flatten(given.as_dict()), flatten(resumed.as_dict()))
        return _keywords(command, parser.instantiate(resumed), plugins)
    except ArgumentError as error:
        raise UserError(_one_line(str(error)) + _meant(str(error), parser)) from error


def from_config(flags: Callable[..., Flags], config: Mapping[str, Any], where: object) -> Flags:
    """A dataclass of flags from what a run folder keeps of them, checked as flags are. Raises ``UserError``."""
    saved = {name: value for name, value in config.items() if name in inspect.signature(flags).parameters}
    _checked(saved, f"{where}: expected the flags of a run")
    try:
        plugins = _plugin_names(flags, [], saved)
        parser = _parser(flags, plugins)
        _add_target(parser, plugins["space"])
        return flags(**_keywords(flags, parser.instantiate(parser.parse_object(saved)), plugins))
    except (ArgumentError, UserError) as error:
        raise UserError(f"{where}: expected the flags of a run, got: {_one_line(str(error))}") from error


def flatten(flags: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested flags by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in flags.items():
        flat.update(flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value})
    return flat


def _check_unchanged(given: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in ("config", "out", "resume") and value != saved.get(name):
            raise UserError(
                f"--{name}: the run to resume has {saved.get(name)}, got {value}; "
                "leave the flag out or choose another --out"
            )


def _keywords(command: Command, flags: Namespace, plugins: Mapping[str, str]) -> dict[str, Any]:
    values = {name: flags[name] for name in inspect.signature(command).parameters if name != TARGET or TARGET in flags}
    if TARGET in values:
        given = values[TARGET].as_dict() if values[TARGET] is not None else {}
        values[TARGET] = {name: value for name, value in given.items() if value is not None}
    for kind, name in plugins.items():
        if values[kind] is not None:
            plugin = dict(values[kind].as_dict())
            values[kind] = Plugin(plugin.pop("name", name), plugin)
    return values


def _optional(command: Command) -> list[str]:
    """The plugin parameters that may be left open, for a published architecture to fill in."""
    parameters = inspect.signature(command).parameters
    return [kind for kind in TABLES if kind in parameters and parameters[kind].default is None]


def _parser(command: Command, plugins: Mapping[str, str]) -> ArgumentParser:
    name = command.__name__
    summary = inspect.getdoc(command) or ""
    parser = ArgumentParser(
        prog=f"sparsenas {name}",
        usage=f"sparsenas {name} [FLAGS]",
        description=summary.split("\n\nArgs:")[0],
        exit_on_error=False,
    )
    parser.add_argument(
        "--config", action="config", help=f"YAML file of flags, or one of {', '.join(shipped())}; flags after it win"
    )
    add: Callable[..., Any] = parser.add_class_arguments if inspect.isclass(command) else parser.add_function_arguments
    add(command, as_group=False, skip={*plugins, TARGET}, as_positional=True)
    for kind, plugin in plugins.items():
        make = resolve(kind, plugin)
        default = inspect.signature(command).parameters[kind].default
        builtin = ", ".join(TABLES[kind])
        parser.add_argument(
            f"--{kind}.name",
            default=default,
            metavar="NAME",
            help=f"{builtin} or package.module:callable; also --{kind} NAME",
        )
        given = GIVEN[kind] if kind != "space" or "data" in plugins else set()  # only data know their classes
        skip: set[str | int] = {name for name in inspect.signature(make).parameters if name in given}
        if inspect.isclass(make):
            parser.add_class_arguments(make, kind, skip=skip, instantiate=False, fail_untyped=False)
        else:
            parser.add_function_arguments(make, kind, skip=skip, fail_untyped=False)
        if kind == "space" and "shape" not in inspect.signature(make).parameters:
            parser.add_argument("--space.shape", type=tuple[int, int, int], help="channels, height, width of an image")
    return parser


def _add_target(parser: ArgumentParser, space: str) -> None:
    """The flags of a space again, for the network that is trained in the end; by default as in the search."""
    make = resolve("space", space)
    names = [name for name in inspect.signature(make).parameters if name not in ("shape", "classes")]
    parser.add_function_arguments(make, TARGET, skip={"shape", "classes"}, fail_untyped=False)
    parser.set_defaults({f"{TARGET}.{name}": None for name in names})


def _space_of_run(argv: Sequence[str]) -> str:
    """The space of the run folder among the words, else the smallest one."""
    for word in argv:
        if (Path(word) / CONFIG).is_file():
            section = read_config(Run(word)).get("space")
            return str(section.get("name")) if isinstance(section, Mapping) else str(section)
    return next(iter(TABLES["space"]))


def _normalised(command: Command, argv: Sequence[str]) -> list[str]:
    """Flags as the parser wants them: plugin names, lists without brackets, bare switches, repeated budgets."""
    parameters = inspect.signature(command).parameters
    switches = {f"--{name}" for name, parameter in parameters.items() if parameter.default is False}
    repeated: dict[str, list[str]] = {
        f"--{n}": [] for n, p in parameters.items() if str(p.annotation).startswith("list")
    }
    words: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if word.startswith("--"):
            flag = "--" + flag[2:].replace("-", "_")
            word = flag + equals + value
        if flag in switches and not equals and (not rest or rest[0] not in ("true", "false")):
            words.append(f"{flag}=true")
        elif flag == "--config" and (equals or rest):
            words.append(f"{flag}={_config(value if equals else rest.pop(0))}")
        elif flag.removeprefix("--") in TABLES or flag in repeated or flag.endswith(LISTS):
            if not equals and not rest:
                raise UserError(f"{flag}: expected a value, got none")
            value = value if equals else rest.pop(0)
            if flag in repeated:
                repeated[flag].append(value)
            elif flag.removeprefix("--") in TABLES:
                words.append(f"{flag}.name={value}")
            else:
                words.append(f"{flag}={value if value.startswith('[') else f'[{value}]'}")
        else:
            words.append(word)
    return words + [f"{flag}={json.dumps(values)}" for flag, values in repeated.items() if values]


def shipped() -> list[str]:
    """The configurations that come with the library, by name."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def _config(name: str) -> str:
    """The path of a configuration that may be given by its shipped name."""
    return str(RECIPES / f"{name}.yaml") if name in shipped() and not Path(name).is_file() else name


def _plugin_names(command: Command, argv: Sequence[str], saved: Mapping[str, Any] | None) -> dict[str, str]:
    """Which plugin each plugin parameter names: in a flag, else in the configuration, else by default."""
    config = saved or _yaml(_value(argv, "--config"))
    names: dict[str, str] = {}
    for kind in TABLES:
        if kind in inspect.signature(command).parameters:
            default = inspect.signature(command).parameters[kind].default
            section = config.get(kind)
            configured = section.get("name") if isinstance(section, Mapping) else section
            names[kind] = _value(argv, f"--{kind}.name") or configured or default or _carried_space(argv)
    return names


def _carried_space(argv: Sequence[str]) -> str:
    """The space of the first published architecture that is asked for, else the smallest one."""
    asked = json.loads(_value(argv, "--arch") or "[]")
    return next((PUBLISHED[name].space for name in asked if name in PUBLISHED), next(iter(TABLES["space"])))


def _value(argv: Sequence[str], flag: str) -> str | None:
    for i, word in enumerate(argv):
        if word.startswith(flag + "="):
            return word.partition("=")[2]
        if word == flag and i + 1 < len(argv):
            return argv[i + 1]
    return None


def _saved(command: Command, argv: Sequence[str]) -> dict[str, Any] | None:
    """The command's flags in the run folder that is to be resumed, if it has been begun."""
    out = _value(argv, "--out")
    if "--resume=true" not in argv or out is None or not has_begun(Run(out)):
        return None
    flags = _checked(read_config(Run(out)), Path(out) / CONFIG)
    return {name: value for name, value in flags.items() if name in inspect.signature(command).parameters}


def _required(plugins: Mapping[str, str], saved: Mapping[str, Any]) -> list[str]:
    """The flags without a default, as they were: they need not be given again to resume."""
    made = {kind: inspect.signature(resolve(kind, name)).parameters.values() for kind, name in plugins.items()}
    needed = [f"{kind}.{p.name}" for kind, parameters in made.items() for p in parameters if p.default is p.empty]
    return [f"--{name}={value}" for name, value in flatten(saved).items() if name in needed]


def _yaml(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    where = f"--config {path}: expected a YAML file of flags"
    return _checked(typed(parse_yaml(read_text(Path(path), where), where), dict[str, Any], where), where)


def _checked(flags: dict[str, Any], where: object) -> dict[str, Any]:
    """The flags of a file, if their target has flags of its own, which the parser does not check."""
    if flags.get(TARGET) is not None:
        typed(flags[TARGET], dict[str, Any], f"{where}, {TARGET}")
    return flags


def _one_line(text: str) -> str:
    line = " ".join(text.split()).replace("Parser key ", "--").replace('"', "")
    return re.sub(r"the following arguments are required: ([\w.]+).*", r"expected --\1, got none", line)


def _meant(message: str, parser: ArgumentParser) -> str:
    """The flag that an unknown one is nearly."""
    unknown = re.findall(r"--[\w.]+", message.lower().partition("unrecognized arguments:")[2])
    if not unknown:
        return ""
    known = [f"--{name}" for name in flatten(parser.get_defaults().as_dict())]
    near = get_close_matches(unknown[0], known, 1)
    return f"; did you mean {near[0].removesuffix('.name')}?" if near else ""


def to_config(command: str, **flags: Any) -> dict[str, Any]:
    """What ``config.yaml`` keeps of a command's arguments."""
    return {"command": command, **{name: _plain(value) for name, value in flags.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Plugin):
        return _plain(value.to_config())
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, Path):
        return str(value.absolute())
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
