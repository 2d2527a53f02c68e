"""The search stage: supernet.pt, then best.json."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.derive import derive
from sparsenas.core.drawing import Drawing, draw
from sparsenas.errors import UserError
from sparsenas.job.distillation import check_sandwich
from sparsenas.job.flag_groups import Finalists
from sparsenas.job.plugin import Plugin
from sparsenas.job.stages.candidates import architectures, run_search, scored
from sparsenas.job.stages.finalists import FinalistTrainer
from sparsenas.job.stages.measured import measured_first
from sparsenas.job.stages.original import tell_original
from sparsenas.job.task import Task
from sparsenas.methods import Method
from sparsenas.methods.contract import check_contract, check_final
from sparsenas.objectives import Metrics
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.drawing import ArchDrawing
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.networks import SUPERNET, save_net
from sparsenas.rundir.records import RANDOM, Best, Provenance
from sparsenas.rundir.seeds import seed_of
from sparsenas.searching.config import Scoring
from sparsenas.searching.evolution import Parents, RandomSearch, Score, Search, best_first
from sparsenas.searching.population_evaluator import Scorer, score_population
from sparsenas.searching.prior import Prior
from sparsenas.training.loops import train_supernet
from sparsenas.training.recipe import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_method(plugin: Plugin, task: Task, recipe: Recipe, random: int = 0) -> Method:
    """Builds the method for the supernet's training. Raises ``UserError`` for what it lacks and for what it refuses."""
    built = build_method(plugin, task, recipe.epochs)
    with torch.random.fork_rng(devices=[]):
        check_contract(build_method(plugin, task, recipe.epochs))
    if built.one_stage and task.target != task.space:
        raise UserError(
            f"--target: {plugin.name} trains the found network itself, which has the size of the space; use --space"
        )
    check_sandwich(recipe.distill, plugin.name, built)
    if built.prunes and random > 0:
        raise UserError(
            f"--random-search: expected 0, got {random}: {plugin.name} leaves the weights of the found network only"
        )
    return built


def build_method(plugin: Plugin, task: Task, epochs: int = 0) -> Method:
    """Builds a method. Raises ``UserError`` for a callable that does not return one."""
    make, words = plugin.callable("method"), f"--method {plugin.name}"
    if inspect.isabstract(make):
        missing = ", ".join(f"{name}()" for name in sorted(make.__abstractmethods__))  # type: ignore[attr-defined]
        raise UserError(f"{words}: expected a method, got a class without {missing}")
    given = {"epochs": epochs} if epochs else {}
    built = plugin.build("method", task.choices, task.limits, task.seed, **given)
    if not isinstance(built, Method):
        raise UserError(f"{words}: expected a sparsenas.methods.Method, got an object of class {type(built).__name__}")
    return built


def search_stage(
    run: Run,
    task: Task,
    method: Method,
    fabric: Fabric,
    recipe: Recipe,
    scoring: Scoring,
    finalists: Finalists,
    checkpoint_seconds: float,
    random: int = 0,
) -> None:
    """Trains the supernet, searches it, scores random architectures for comparison, and writes best.json.

    A part whose file is there already is skipped.
    """
    if run.has(Best.FILE):
        return
    doubt = tell_original(run, task, scoring, trains=recipe.epochs > 0)
    net = _supernet(run, task, method, fabric, recipe, checkpoint_seconds)
    scorer, learned = task.scorer(net, scoring, RunLogger(run).say), method.final()
    weights: dict[str, list[float]] = {}
    score: Metrics | None = None
    warning = ""
    if learned is not None:
        check_final(method, learned)
        best, gates = learned
        if warning := method.warning():
            RunLogger(run).note("search", warning)
        weights = {name: gate.weights.tolist() for name, gate in gates.items() if gate.weights is not None}
        if method.one_stage:
            save_net(run, derive(net, gates), Provenance(one_stage=True))
        else:
            score = score_population(derive(net, gates), [Arch({}, {})], scorer.eval_batches, task.objective)[0]
    else:
        prior = task.prior(scoring)
        strategy = searching(method, task, scoring.chooses(prior))
        known: Mapping[Arch, Metrics] = run_search(run, task, scorer, strategy, scoring, scored([run], task.choices))
        order, known = ranked(run, task, net, known, scoring, prior)
        order, warning = measured_first(run, task, finalists, order, known)
        trainer = FinalistTrainer(run, task, fabric, finalists, recipe, checkpoint_seconds)
        best = trainer.best(order, known, scoring)
        score = known[best]
    search_randomly(run, task, scorer, scoring, random, [run])
    write_best(run, task, best, score, weights, "; ".join(filter(None, (doubt, warning))))


def _supernet(
    run: Run, task: Task, method: Method, fabric: Fabric, recipe: Recipe, checkpoint_seconds: float
) -> nn.Module:
    """The trained supernet, from supernet.pt if it is there; the method then has its state at the end of training."""
    net, logger = task.network("supernet"), RunLogger(run)
    if run.has(SUPERNET):
        run.restore(SUPERNET, net=net, method=method)
        fabric.to_device(net)
        return net
    if recipe.epochs == 0:
        run.save(SUPERNET, {"net": net.state_dict(), "method": method.state_dict()})
        fabric.to_device(net)
        return net
    with logger.stage("supernet") as clock:
        checkpoint = Checkpoint(run, "supernet", checkpoint_seconds, kept=clock.keep)
        train_supernet(fabric, net, method, task.data, task.objective, recipe, task.seed, logger, checkpoint)
    run.save(SUPERNET, {"net": net.state_dict(), "method": method.state_dict()})
    checkpoint.finish()
    return net


def searching(method: Method, task: Task, choose: Parents | None) -> Search:
    """The method's search of a trained supernet. Raises ``UserError`` for a method that has none."""
    rng = np.random.default_rng(seed_of(task.seed, "evolution"))
    strategy = method.search(architectures(task.limits), rng, choose)
    if strategy is None:
        raise UserError("--method: expected a method that searches a supernet, as spos does")
    return strategy


def ranked(
    run: Run, task: Task, net: nn.Module, known: Mapping[Arch, Metrics], scoring: Scoring, prior: Prior
) -> tuple[list[Arch], Mapping[Arch, Metrics]]:
    """The scored architectures, best first, and their metrics.

    With ``--score.finalists`` so many come in the order of their scores on all validation examples, then the others.
    """

    def scores(known: Mapping[Arch, Metrics]) -> dict[Arch, Score]:
        return {arch: scoring.score(task.objective, metrics) for arch, metrics in known.items()}

    every = scores(known)
    order = best_first(scoring.adjusted(every, prior), len(known))
    if scoring.finalists == 0:
        return order, known
    order, others = order[: scoring.finalists], order[scoring.finalists :]
    logger = RunLogger(run)
    with logger.stage("finalists") as counts, logger.bar("finalists", len(order)) as bar:
        again = task.scorer(net, replace(scoring, val=0, cache_memory=0), logger.say)(order, bar.within)
        bar.advance(by=len(order))
        counts.evaluations, counts.data_passes = len(order), 1
    rescored = dict(zip(order, again, strict=True))
    first = best_first(scoring.adjusted(scores(rescored), prior, every), len(order))
    return [*first, *others], {**known, **rescored}


def search_randomly(
    run: Run, task: Task, scorer: Scorer, scoring: Scoring, count: int, scored_by: Sequence[Run]
) -> None:
    """Scores random legal architectures for comparison; scores that these runs have are reused."""
    if count > 0:
        strategy = RandomSearch(
            architectures(task.limits), np.random.default_rng(seed_of(task.seed, "random search")), count
        )
        run_search(run, task, scorer, strategy, scoring, scored(scored_by, task.choices), RANDOM)


def write_best(
    run: Run,
    task: Task,
    arch: Arch,
    val: Metrics | None,
    weights: dict[str, list[float]] | None = None,
    warning: str = "",
) -> None:
    """Writes drawing.json and best.json; checks the exact costs against the budgets.

    ``val`` are the metrics on validation examples, ``None`` where those were trained on. ``weights`` are the
    weights that a method has learned for the kept options, by choice; ``warning`` is the method's.
    """
    costs = task.costs(arch)
    assert all(budget.allows(costs[budget.cost]) for budget in task.limits.budgets)
    budgets = [str(budget) for budget in task.limits.budgets]
    best = Best(
        arch=arch.to_json(),
        text=arch.text(),
        costs=costs,
        budgets=budgets,
        val=val,
        weights=weights or None,
        warning=warning or None,
    )
    if (drawing := draw(task.limits.table.net, arch)) != Drawing():
        run.write(ArchDrawing(graphs=list(drawing.graphs), notation=drawing.notation), indent=None)
    run.write(best)
