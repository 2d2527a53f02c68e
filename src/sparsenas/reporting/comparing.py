"""Several runs on one page: why they are not to be compared, their costs, searches and architectures side by side."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sparsenas.reporting.loading import LoadedRun
from sparsenas.reporting.numbers import NONE
from sparsenas.reporting.seeds import Named

SHOWN = 4
"""Names that a sentence lists at most."""


@dataclass(frozen=True)
class SameChoices:
    """Runs whose spaces have the same choices: those of each architecture, and a row for each choice.

    A row is the name of the choice and what each architecture keeps.
    """

    found: list[list[Named]]
    rows: list[tuple[str, list[str]]]

    @property
    def names(self) -> list[str]:
        """Who found each architecture."""
        return [", ".join(one.name for one in some) for some in self.found]

    @property
    def same(self) -> list[str]:
        """A sentence for each architecture that several runs found."""
        several = [[one.name for one in some] for some in self.found if len(some) > 1]
        return [f"{', '.join(some[:-1])} and {some[-1]} found the same architecture." for some in several]

    @property
    def different(self) -> list[tuple[str, list[str]]]:
        """The rows in which the architectures differ."""
        return [(name, kept) for name, kept in self.rows if len(set(kept)) > 1]


class Effort(NamedTuple):
    """What a run took: seconds of the search and of everything, candidates scored, most memory in MiB."""

    search: float | None
    whole: float | None
    candidates: int
    memory: float | None


def effort(run: LoadedRun) -> Effort:
    """What the stages of a run took; the search is all before the first network is trained."""
    before = [*itertools.takewhile(lambda stage: stage.stage != "retrain", run.done)]
    search, whole = (sum(stage.seconds for stage in some) if some else None for some in (before, run.done))
    memory = [stage.peak_memory_mib for stage in run.done if stage.peak_memory_mib is not None]
    return Effort(search, whole, len(run.candidates), max(memory, default=None))


def warnings(runs: Sequence[Named]) -> list[str]:
    """Why the scores of some runs are not to be compared."""
    scores = {one.run.score.name for one in runs}
    told = [f"The runs have different scores: {', '.join(sorted(scores))}."] if len(scores) > 1 else []
    if len({data_of(one.run) for one in runs}) > 1:
        told.append("The runs are not of the same examples, so their scores are not of the same test.")
    methods = {one.run.flag("method") for one in runs}
    if len(methods) > 1 and not any(one.run.results.retrained for one in runs):
        told.append(
            "No found network has been trained and tested yet. Scores on inherited weights are not comparable between "
            "methods, whose supernets differ; sparsenas retrain trains and tests what a search found."
        )
    if len({one.run.info.weights_sha256 for one in runs if one.run.info and one.run.info.weights_sha256}) > 1:
        told.append("The opened networks are not of the same original weights, so a better one may have begun better.")
    return told + _training_warnings({one.name: one.run for one in runs if one.run.results.retrained})


def data_of(run: LoadedRun) -> str:
    """The data and the test examples of a run, as a text that is equal for the same ones."""
    parts = run.data and (run.data.classes, run.data.shape, run.data.parts.get("test"))
    return json.dumps([run.flag("data"), parts], default=str)


def _training_warnings(tested: Mapping[str, LoadedRun]) -> list[str]:
    """One sentence where the found networks of runs were trained in different ways; the runs by name, all tested."""
    ways = {name: run.how_trained for name, run in tested.items()}
    recipes = {name: run.recipe for name, run in tested.items()}
    flags, told = _different([*recipes.values()]), ""
    if len(set(ways.values())) > 1:
        told = f"in different ways ({_by_value(ways)})"
    elif "epochs" in flags:
        lengths = {name: str(recipe["epochs"]) for name, recipe in recipes.items()}
        told = f"for different numbers of epochs ({_by_value(lengths)})"
    elif flags:
        told = f"with different settings ({_listed(flags)})"
    return [f"The found networks were trained {told}, so their scores are not comparable."] if told else []


def _different(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The flags of which recipes have different values; those that an older version did not have are left out."""
    first = recipes[0] if recipes else {}
    shared = [flag for flag in first if all(flag in recipe for recipe in recipes)]
    return [flag for flag in shared if any(recipe[flag] != first[flag] for recipe in recipes)]


def _by_value(values: Mapping[str, str]) -> str:
    """Each value with the names that have it."""
    names = {value: [name for name, its in values.items() if its == value] for value in values.values()}
    return "; ".join(f"{value}: {_listed(some)}" for value, some in names.items())


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:SHOWN], *(["\u2026"] if len(names) > SHOWN else [])])


def groups(runs: Sequence[Named]) -> list[SameChoices]:
    """The found architectures, of runs of the same choices together."""
    found: dict[str, list[Named]] = {}
    for one in runs:
        if one.run.best and one.run.space:
            choices = json.dumps([[choice.name, choice.options] for choice in one.run.space.choices])
            found.setdefault(choices, []).append(one)
    return [_same_choices(some) for some in found.values()]


def _same_choices(runs: Sequence[Named]) -> SameChoices:
    names = [choice.name for choice in runs[0].run.space.choices] if runs[0].run.space else []
    found: dict[tuple[str, ...], list[Named]] = {}
    for one in runs:
        arch = one.run.best.arch if one.run.best else {}
        found.setdefault(tuple(_kept(arch.get(name, "")) for name in names), []).append(one)
    return SameChoices([*found.values()], [(name, [kept[i] for kept in found]) for i, name in enumerate(names)])


def _kept(label: str | list[str]) -> str:
    return label if isinstance(label, str) else ", ".join(label) or NONE
