"""``sparsenas.run``, ``search``, ``retrain``, ``export``, ``publish``, ``report`` and ``compare``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import nn

from sparsenas.errors import UserError
from sparsenas.job.api.found import Found
from sparsenas.job.api.objects import Objects, plugin
from sparsenas.job.api.words import in_python
from sparsenas.job.export_job import export_job
from sparsenas.job.flag_groups import AS_IN_THE_RUN, RETRAIN, SEARCH, Finalists, ScoreOrder
from sparsenas.job.flags.flag import flags_of
from sparsenas.job.flags.kinds import as_list, is_list
from sparsenas.job.jobs import evolve_job, retrain_job, run_job, search_job
from sparsenas.job.lookup import OBJECT, method_of_run
from sparsenas.job.publishing import publish_job
from sparsenas.job.run_flags import EvolveFlags, RetrainFlags, RunFlags, SearchFlags
from sparsenas.reporting import compare as write_comparison
from sparsenas.reporting import report as write_report
from sparsenas.rundir.results import ExportCheck
from sparsenas.searching.config import Scoring
from sparsenas.training.recipe import Recipe

KINDS = ("space", "data", "objective")
Group = TypeVar("Group", Recipe, Scoring, Finalists, ScoreOrder)
Folder = str | Path | Found
"""A run folder, or what was found in it. From a folder alone, only names of spaces and data sets can be looked up."""


@in_python
def run(
    space: object = "tiny",
    data: object = "digits",
    *,
    objective: object = "classification",
    method: object = "spos",
    budget: str | Sequence[str] = (),
    out: str | Path = "runs/run",
    search: Recipe | Mapping[str, Any] | None = None,
    retrain: Recipe | Mapping[str, Any] | None = None,
    score: Scoring | Mapping[str, Any] | None = None,
    teacher: nn.Module | None = None,
    **flags: Any,
) -> Found:
    """Searches, retrains, evaluates, exports and reports, as ``sparsenas run`` does.

    Args:
        space: a network with choices: an ``nn.Module``, whose layers are initialised anew, a function or class that
            makes one, or a name.
        data: a ``Data``, a data set or ``DataLoader`` of torch, a Hugging Face data set, a pair of tensors (inputs,
            targets), several of these as a dictionary of ``train``, ``val``, ``test``, a function that returns one, or
            a name.
        objective: the task: a name (classification, multilabel, segmentation, regression), an ``Objective``, or a loss
            function of output and target.
        method: the search method: a name, a class, or a dictionary such as ``{"name": "spos", "generations": 10}``.
        budget: hard limits on costs, such as ``"flops<=330e6"``: one, or a list.
        out: the run folder; it must be new, unless ``resume=True``.
        search: how the supernet is trained: a ``Recipe``, or those fields of it that differ from the default.
        retrain: how the found network is trained.
        score: how candidates are scored.
        teacher: a trained network whose outputs the retraining learns from as well; see ``distill_weight`` and
            ``distill_temperature`` of ``retrain``. A copy in eval mode is used; ``resume=True`` needs it again.
        flags: any other flag of ``sparsenas run``: ``cost``, ``seed``, ``resume``, ``baselines``,
            ``devices``, ``threads``, ...

    Returns what was found. Raises ``UserError``, a ``ValueError``, for a mistake in what is given, before any training.
    """
    given = _problem(space, data, objective)
    recipes = {
        "search": _group("search", SEARCH, search),
        "retrain": _taught(_group("retrain", RETRAIN, retrain), teacher),
        "score": _group("score", Scoring(), score),
    }
    made = _flags(RunFlags, method=plugin("method", method), budget=_list(budget), out=out, **given, **recipes, **flags)
    run_job(made, teacher)
    return Found(made.out, given)


@in_python
def search(
    space: object = "tiny",
    data: object = "digits",
    *,
    objective: object = "classification",
    method: object = "spos",
    budget: str | Sequence[str] = (),
    out: str | Path = "runs/search",
    search: Recipe | Mapping[str, Any] | None = None,
    score: Scoring | Mapping[str, Any] | None = None,
    **flags: Any,
) -> Found:
    """Trains a supernet and finds the best architecture within the budget, as ``sparsenas search`` does.

    The arguments are those of ``sparsenas.run``. Raises ``UserError``.
    """
    given = _problem(space, data, objective)
    recipes = {"search": _group("search", SEARCH, search), "score": _group("score", Scoring(), score)}
    made = _flags(
        SearchFlags, method=plugin("method", method), budget=_list(budget), out=out, **given, **recipes, **flags
    )
    search_job(made)
    return Found(made.out, given)


@in_python
def evolve_run(
    run: Folder,
    *,
    method: object,
    budget: str | Sequence[str],
    score: Mapping[str, Any] | None,
    out: str | Path,
    **flags: Any,
) -> Found:
    """Searches the supernet of a run again, as ``sparsenas evolve`` does. Raises ``UserError``."""
    path, objects, flags = _folder(run, flags)
    method = method or method_of_run(path, pareto=bool(flags.get("pareto")))
    order = _group("score", AS_IN_THE_RUN, score)
    made = _flags(
        EvolveFlags, run=path, method=plugin("method", method), budget=_list(budget), score=order, out=out, **flags
    )
    evolve_job(made, objects)
    return Found(made.out, objects, tuple(made.trust_plugins))


@in_python
def retrain(
    run: Folder,
    *,
    retrain: Recipe | Mapping[str, Any] | None = None,
    teacher: nn.Module | None = None,
    **flags: Any,
) -> Found:
    """Trains the found network on all examples but the test split, as ``sparsenas retrain`` does.

    Args:
        run: what a search returned, or its run folder.
        retrain: how it is trained: a ``Recipe``, or those fields of it that differ from the default.
        teacher: a trained network that teaches, as for ``sparsenas.run``.
        flags: ``space``, ``data`` and ``objective``, if the run had objects and only its folder is given; any other
            flag of ``sparsenas retrain``: ``target``, ``scale_to``, ``baselines``, ``compare``, ``inherit``, ...

    Returns what was found. Raises ``UserError``.
    """
    path, objects, flags = _folder(run, flags)
    recipe = _taught(_group("retrain", RETRAIN, retrain), teacher)
    made = _flags(RetrainFlags, run=path, retrain=recipe, **flags)
    retrain_job(made, objects, teacher)
    return Found(path, objects, tuple(made.trust_plugins))


@in_python
def export(run: Folder, **flags: Any) -> ExportCheck:
    """Writes ``net.pt2`` and ``net.onnx`` of the trained network, as ``sparsenas export`` does.

    Args:
        run: what a search returned, or its run folder.
        flags: ``space``, ``data``, ``objective`` and ``trust_plugins``, as for ``sparsenas.retrain``.

    Returns how far both are from the network. Raises ``UserError`` where they differ by more than rounding.
    """
    path, objects, flags = _folder(run, flags)
    return export_job(path, flags.pop("trust_plugins"), objects=objects, **flags)


@in_python
def publish(
    run: Folder, to: str | Path, *, license: str = "", upload: str = "", private: bool = False, **flags: Any
) -> str:
    """Writes a model folder that loads without sparsenas, with a model card, as ``sparsenas publish`` does.

    Args:
        run: what a search returned, or its run folder.
        to: the folder: new, empty, or published before.
        license: license of the weights for the card; without it the card states none.
        upload: repository of the Hugging Face hub, as ``OWNER/NAME``, to which the folder is uploaded.
        private: whether a repository that is made for it is private.
        flags: ``space``, ``data``, ``objective`` and ``trust_plugins``, as for ``sparsenas.retrain``.

    Returns the folder, or the address of what was uploaded. Raises ``UserError``.
    """
    path, objects, flags = _folder(run, flags)
    trusted = flags.pop("trust_plugins")
    return publish_job(path, Path(to), license, upload, private, trusted, objects=objects, **flags)


@in_python
def report(run: Folder) -> Path:
    """Writes ``report.html`` from the files of a run folder and returns its path. Raises ``UserError``."""
    return write_report(_folder(run, {})[0])


@in_python
def compare(*runs: Folder, out: str | Path = "compare.html") -> Path:
    """Writes a page on which several runs stand side by side, as ``sparsenas compare`` does, and returns its path.

    Args:
        runs: what searches returned, or their run folders: at least two, perhaps of different spaces and tasks.
        out: the page.

    Raises ``UserError``.
    """
    return write_comparison([_folder(run, {})[0] for run in runs], Path(out))


def _problem(space: object, data: object, objective: object) -> dict[str, Any]:
    return {kind: plugin(kind, value) for kind, value in zip(KINDS, (space, data, objective), strict=True)}


def _folder(run: Folder, flags: Mapping[str, Any]) -> tuple[Path, Objects, dict[str, Any]]:
    """The folder, the objects that its run was given, and the rest of the flags."""
    if not isinstance(run, str | Path | Found):
        raise UserError(f"expected a run folder, or what a search returned, got {type(run).__name__}")
    found = run if isinstance(run, Found) else Found(Path(run))
    given = {kind: plugin(kind, flags[kind]) for kind in KINDS if kind in flags}
    rest = {name: value for name, value in flags.items() if name not in KINDS}
    more = rest.pop("trust_plugins", ())
    trusted = [*found.trusted, *([more] if isinstance(more, str) else more)]
    return found.path, {**found.objects, **given}, {**rest, "trust_plugins": trusted}


def _group(name: str, default: Group, given: Group | Mapping[str, Any] | None) -> Group:
    """A group of flags: the default with the fields that are given. Raises ``UserError``."""
    if not isinstance(given, Mapping | type(default) | None):
        raise UserError(f"{name}: expected a {type(default).__name__} or a dictionary, got {type(given).__name__}")
    values = given if isinstance(given, Mapping) else vars(given or default)
    known = [one.name for one in fields(default)]
    for field in values:
        if field not in known:
            raise UserError(f"{name}.{field}: there is no such field; expected one of {', '.join(known)}")
    try:
        return replace(default, **_typed(type(default), values))
    except UserError as error:
        raise UserError(f"{name}.{error}") from error


def _taught(recipe: Recipe, teacher: nn.Module | None) -> Recipe:
    """The recipe of a network that an object teaches. Raises ``UserError``."""
    if teacher is None:
        return recipe
    if not isinstance(teacher, nn.Module):
        raise UserError(f"teacher: expected an nn.Module, got {type(teacher).__name__}; name others as retrain.distill")
    if recipe.distill:
        raise UserError(f"teacher: expected none beside retrain.distill, got {recipe.distill}")
    return replace(recipe, distill=f"{OBJECT}:{type(teacher).__name__}")


def _flags(make: Any, **values: Any) -> Any:
    known = [one.name for one in fields(make)]
    for name in values:
        if name not in known:
            raise UserError(f"{name}: there is no such flag; expected one of {', '.join(known)}")
    if "finalists" in values:
        given = values.pop("finalists")
        values["finalists"] = _group("finalists", Finalists(), {"count": given} if isinstance(given, int) else given)
    return make(**_typed(make, values))


def _typed(make: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the types of their flags, but functions and objects as they are. Raises ``UserError``."""
    known = {flag.name: flag for flag in flags_of(make)}

    def read(name: str, value: Any) -> Any:
        value = value.item() if isinstance(value, np.generic) else value
        value = list(value) if isinstance(value, tuple) and is_list(known[name].kind) else value
        own = is_list(known[name].kind) and any(map(callable, as_list(value)))
        return value if own else known[name].read(value, name)

    return {name: read(name, value) if name in known else value for name, value in values.items()}


def _list(budget: str | Sequence[str]) -> list[str]:
    return list(budget) if isinstance(budget, list | tuple) else [budget]  # type: ignore[list-item]
