"""A run folder's files as a report needs them: every one but ``config.yaml`` may be missing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from sparsenas.errors import UserError
from sparsenas.parsing import parse_json, read_text, typed
from sparsenas.reporting.numbers import number
from sparsenas.rundir.config import read_config
from sparsenas.rundir.folder import Run
from sparsenas.rundir.records import RunInfo

Json = Mapping[str, Any]

_LIMIT = re.compile(r"(\w+)\s*(<=|>=)\s*([0-9][0-9_]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?)\s*([kMG]?)")
_UNIT = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_NOT_COSTS = {"generation", "accuracy", "loss"}


@dataclass(frozen=True)
class Limit:
    """One bound on one cost."""

    cost: str
    upper: bool
    bound: float

    def keeps(self, value: float) -> bool:
        """Whether a cost is within the bound."""
        return value <= self.bound if self.upper else value >= self.bound


@dataclass(frozen=True)
class Question:
    """A choice with its options and, once something was found, the options kept."""

    name: str
    options: tuple[str, ...]
    kept: frozenset[str] | None


@dataclass(frozen=True)
class RunFiles:
    """What the files of a run folder say; what is missing is empty."""

    folder: Path
    config: Json
    space: Json
    log: list[Json]
    candidates: list[Json]
    best: Json
    results: Json
    notes: list[str]
    random: list[Json]
    """What random search scored, to compare with."""
    front: Json
    data: Json
    """What the images are."""
    rank: Json
    ranked: list[Json]
    """Architectures of known accuracy that the supernet scored."""

    @property
    def text(self) -> str:
        """The found architecture as compact text."""
        return str(self.best.get("text", ""))

    @property
    def costs(self) -> dict[str, float]:
        """The found architecture's costs."""
        return numbers(section(self.best, "costs"))

    @property
    def budgets(self) -> list[str]:
        """The budgets of the network that is handed over: what its width was fitted to, else those of the search."""
        return _texts(self.best["scale_to"]) if "scale_to" in self.best else self.searched_under

    @property
    def searched_under(self) -> list[str]:
        """The budgets as given: those the architecture was found under, else those of the flags."""
        return _texts(self.best.get("budgets", self.config.get("budget")) or [])

    @property
    def limits(self) -> list[Limit]:
        """The bounds that the budgets state."""
        return _limits(self.budgets)

    @property
    def search_limits(self) -> list[Limit]:
        """The bounds that the budgets of the search state."""
        return _limits(self.searched_under)

    @property
    def questions(self) -> list[Question]:
        """The choices of the space in the network's order."""
        answers = section(self.best, "arch")
        return [_question(choice, answers) for choice in objects(self.space.get("choices"))]

    @property
    def baselines(self) -> list[Json]:
        """The random architectures trained for comparison that have an accuracy."""
        listed = objects(self.results.get("baselines"))
        return [baseline for baseline in listed if number(baseline.get("accuracy")) is not None]

    @property
    def compared(self) -> list[Json]:
        """The named architectures trained for comparison that have an accuracy."""
        listed = objects(self.results.get("compared"))
        return [entry for entry in listed if number(entry.get("accuracy")) is not None]

    def accuracy(self, which: str) -> float | None:
        """The accuracy that ``results.json`` holds under ``inherited`` or ``retrained``."""
        return number(section(self.results, which).get("accuracy"))

    @property
    def how_trained(self) -> str:
        """How the weights of the found network came about that are handed over."""
        return "trained in one stage" if section(self.results, "retrained").get("one_stage") else "retrained"

    def done(self) -> list[Json]:
        """The log lines that end a stage."""
        return [line for line in self.log if line.get("event") == "done"]

    def training(self) -> dict[str, list[Json]]:
        """The training lines by stage; of a step that was done again after a restart, the last line."""
        stages: dict[str, dict[tuple[Any, Any], Json]] = {}
        for line in self.log:
            if is_training(line):
                stages.setdefault(str(line.get("stage")), {})[line["epoch"], number(line.get("step"))] = line
        return {stage: list(lines.values()) for stage, lines in stages.items()}


def read_run(folder: Path) -> RunFiles:
    """Reads a run folder. Raises ``UserError`` when it is none or a file is not what it should be."""
    notes: list[str] = []
    log = _read_lines(folder / "log.jsonl", notes)
    return RunFiles(
        folder=folder,
        config=_read_config(folder),
        space=_read_object(folder / "choices.json"),
        log=log,
        candidates=_read_scored(folder / "archs.jsonl", notes),
        best=_read_object(folder / "best.json"),
        data=_read_object(folder / "data.json"),
        results=_read_object(folder / "results.json"),
        notes=notes,
        random=_read_scored(folder / "random.jsonl", notes),
        front=_flat_front(_read_object(folder / "front.json")),
        rank=_read_object(folder / "rank.json"),
        ranked=_read_lines(folder / "rank.jsonl", notes),
    )


def is_training(line: Json) -> bool:
    """Whether a line of the log is about an epoch of training."""
    return "event" not in line and number(line.get("epoch")) is not None


def finished(line: Json) -> int:
    """How many epochs were finished when a training line was written; the log counts epochs from 0."""
    return int(line["epoch"]) + 1


def section(values: Json, key: str) -> Json:
    """The object under ``key``, empty when there is none."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def objects(values: object) -> list[Json]:
    """The objects of a list, empty when it is none."""
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def numbers(values: Json) -> dict[str, float]:
    """The costs among ``values``: every number that is not a score or a position."""
    read = {key: number(value) for key, value in values.items() if key not in _NOT_COSTS}
    return {key: value for key, value in read.items() if value is not None}


def name_of(value: object) -> str:
    """The name of a flag that is a name or an object with a name."""
    if isinstance(value, dict):
        return str(value.get("name", value.get("class_path", "?")))
    return "?" if value is None else str(value)


def _question(choice: Json, answers: Json) -> Question:
    name = str(choice.get("name", "?"))
    options = choice.get("options")
    labels = tuple(map(str, options)) if isinstance(options, list) else ()
    if name not in answers:
        return Question(name, labels, None)
    answer = answers[name]
    return Question(name, labels, frozenset(map(str, answer if isinstance(answer, list) else [answer])))


def _read_config(folder: Path) -> Json:
    run = Run(folder)
    return {**read_config(run), **asdict(run.read(RunInfo))}


def _read_object(path: Path) -> Json:
    return typed(parse_json(read_text(path, path), path), dict[str, Any], path) if path.exists() else {}


def _read_lines(path: Path, notes: list[str]) -> list[Json]:
    """One object a line. A last line that was cut off while being written does not count."""
    damaged: list[UserError] = []
    read = Run(path.parent).lines(path.name, dict[str, Any], damaged.append)
    if damaged:
        notes.append(f"{path.name}: {len(damaged)} unreadable line(s) left out.")
    return [_flat(line) for line in read]


def _flat(line: Json) -> Json:
    """A line with the costs, and the figures of the method, beside the other values."""
    flat = {**line, **section(line, "method"), **section(line, "costs")}
    return {name: value for name, value in flat.items() if (name, value) != ("event", "epoch")}


def _flat_front(front: Json) -> Json:
    return {**front, **({"points": [_flat(point) for point in objects(front["points"])]} if "points" in front else {})}


def _read_scored(path: Path, notes: list[str]) -> list[Json]:
    """The candidates of a search; of one that was scored again after a restart, the last line."""
    scored = _read_lines(path, notes)
    unique = {(str(line.get("generation")), str(line.get("text", i))): line for i, line in enumerate(scored)}
    return list(unique.values())


def _texts(given: Any) -> list[str]:
    return [str(text) for text in (given if isinstance(given, list) else [given])]


def _limits(budgets: Sequence[str]) -> list[Limit]:
    found = [match.groups() for text in budgets for match in _LIMIT.finditer(text)]
    return [Limit(cost, relation == "<=", float(bound) * _UNIT[unit]) for cost, relation, bound, unit in found]
