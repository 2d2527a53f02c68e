"""Whether the networks of several runs were trained in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparsenas.reporting.loading import LoadedRun

SHOWN = 4
"""Names that a sentence lists at most."""


def training_warnings(tested: Mapping[str, LoadedRun]) -> list[str]:
    """One sentence where the found networks of runs were trained in different ways; the runs by name, all tested."""
    ways = {name: run.how_trained for name, run in tested.items()}
    recipes = {name: _recipe(run) for name, run in tested.items()}
    flags, told = _different([*recipes.values()]), ""
    if len(set(ways.values())) > 1:
        told = f"in different ways ({_listed([f'{name}: {way}' for name, way in ways.items()])})"
    elif "epochs" in flags:
        lengths = [f"{name}: {recipe['epochs']}" for name, recipe in recipes.items()]
        told = f"for different numbers of epochs ({_listed(lengths)})"
    elif flags:
        told = f"with different settings ({_listed(flags)})"
    return [f"The found networks were trained {told}, so their scores are not comparable."] if told else []


def _recipe(run: LoadedRun) -> Mapping[str, Any]:
    """The flags by which the found network was trained."""
    tested = run.results.retrained
    found = run.settings.get("search" if tested and tested.one_stage else "retrain")
    return found if isinstance(found, Mapping) else {}


def _different(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The flags of which recipes have different values; those that an older version did not have are left out."""
    first = recipes[0] if recipes else {}
    shared = [flag for flag in first if all(flag in recipe for recipe in recipes)]
    return [flag for flag in shared if any(recipe[flag] != first[flag] for recipe in recipes)]


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:SHOWN], *(["\u2026"] if len(names) > SHOWN else [])])
