"""``sparsenas search``: train the supernet and search it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.canonical import canonicalize, meta_skeleton
from sparsenas.core.choice import Choices
from sparsenas.core.derive import derive
from sparsenas.costs.layer import as_number
from sparsenas.distributed.fabric import Device
from sparsenas.errors import UserError
from sparsenas.job.flags import to_config
from sparsenas.job.plugin import Plugin
from sparsenas.job.task import Task, make_task
from sparsenas.methods import Method
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.provenance import keep_trained
from sparsenas.rundir.seeds import seed_of
from sparsenas.searching.additive_smoothing import shrinkage
from sparsenas.searching.config import Scoring
from sparsenas.searching.evolution import (
    MOST_ENUMERATED,
    RandomSearch,
    Score,
    ScoreKey,
    Search,
    SearchProblem,
    best_first,
    by_accuracy,
)
from sparsenas.searching.population_evaluator import Scorer, score_population
from sparsenas.training.loops import train_supernet
from sparsenas.training.recipe import Recipe

SCORE = Scoring()
SEARCH = Recipe(epochs=60, batch=64, lr=0.1, schedule="cosine")
FILES = {"evolution": "archs.jsonl", "random search": "random.jsonl"}
"""Where the scores of a stage are kept."""


def search(
    space: str | Plugin = "tiny",
    data: str | Plugin = "digits",
    method: str | Plugin = "spos",
    budget: list[str] | None = None,
    target: dict[str, Any] | None = None,
    latency: str = "",
    out: Path = Path("runs/search"),
    seed: int = 0,
    search: Recipe = SEARCH,
    score: Scoring = SCORE,
    accelerator: str = "auto",
    devices: str = "1",
    num_nodes: int = 1,
    precision: str = "32-true",
    threads: int = 0,
    checkpoint_seconds: float = 10.0,
    random_search: int = 0,
    resume: bool = False,
) -> None:
    """Trains a supernet and finds the best architecture within the budget.

    Leaves supernet.pt, archs.jsonl (every architecture scored) and best.json in the run folder.

    Args:
        space: the search space.
        data: the images.
        method: how to search.
        budget: a limit, as in flops<=330e6 or params>=1e5; may be given several times.
        target: flags of the space that differ in the network to be trained in the end; budgets apply to that.
        latency: a latency table of a device, made by sparsenas latency; it gives the cost latency_ms.
        out: the run folder.
        seed: all randomness follows from it.
        search: how the supernet is trained.
        score: how candidates are scored.
        accelerator: cpu, cuda, mps or auto.
        devices: how many devices.
        num_nodes: how many machines.
        precision: 32-true, bf16-mixed or another of Lightning Fabric's.
        threads: processor threads; 0 = PyTorch's choice. For very small networks 1 is as fast and disturbs nobody.
        checkpoint_seconds: least time between two checkpoints of training.
        random_search: score so many random architectures as well, to compare with; random.jsonl keeps them.
        resume: continue the run in the folder, or begin it if there is none.
    """
    space, data, method = Plugin.of(space), Plugin.of(data), Plugin.of(method)
    device = Device(accelerator, devices, num_nodes, precision, threads)
    fabric = device.fabric()
    task = make_task(out, space, data, budget or [], seed, fabric.device, latency, target)
    learner = make_method(method, task, search, random_search)
    config = to_config(
        "search", space=space, data=data, method=method, budget=budget or [], target=target or {}, latency=latency,
        seed=seed, search=search, score=score, **vars(device), checkpoint_seconds=checkpoint_seconds,
        random_search=random_search,
    )  # fmt: skip
    task.begin(config, resume)
    search_stage(task, learner, fabric, search, score, checkpoint_seconds, random_search)


def make_method(method: Plugin, task: Task, recipe: Recipe, random: int = 0) -> Method:
    """Builds the method for the supernet's training. Raises ``UserError``."""
    learner: Method = method.build("method", task.choices, task.limits, task.seed, epochs=recipe.epochs)
    if learner.one_stage and task.target != task.space:
        raise UserError(
            f"--target: {method.name} trains the found network itself, which has the size of the space; use --space"
        )
    if learner.prunes and random > 0:
        raise UserError(
            f"--random_search: expected 0, got {random}: {method.name} leaves the weights of its answer only"
        )
    return learner


def search_stage(
    task: Task, learner: Method, fabric: Fabric, recipe: Recipe, scoring: Scoring, every: float, random: int = 0
) -> None:
    """Does what is not yet done of the search: supernet.pt, then best.json, before it the random search to compare."""
    if task.run.has("best.json"):
        return
    net = task.network("supernet")
    if task.run.has("supernet.pt"):
        task.run.restore("supernet.pt", net=net, method=learner)
        fabric.to_device(net)
    else:
        with task.logger.stage("supernet"):
            checkpoint = Checkpoint(task.run, "supernet", every)
            train_supernet(fabric, net, learner, task.data, recipe, task.seed, task.logger, checkpoint)
        task.run.save("supernet.pt", {"net": net.state_dict(), "method": learner.state_dict()})
        checkpoint.finish()
    strategy = learner.search(
        architectures(task, scoring.score_key), np.random.default_rng(seed_of(task.seed, "evolution")), scoring.choose
    )
    scorer = task.scorer(net, scoring)
    weights: dict[str, list[float]] = {}
    score: Score | None = None
    if strategy is None:
        best = learner.arch()
        assert best is not None
        gates = learner.gates()
        weights = {name: gate.weights.tolist() for name, gate in gates.items() if gate.weights is not None}
        if learner.one_stage:
            keep_trained(task.run, derive(net, gates), {"one_stage": True})
        else:
            score = score_population(derive(net, gates), [Arch({}, {})], scorer.eval_batches)[0]
    else:
        run_search(task, scorer, strategy, scored([task.run], task.choices))
        best, score = final(task, net, strategy.scores, scoring)
    search_randomly(task, scorer, random, [task.run])
    write_best(task, best, score, weights)


def final(task: Task, net: nn.Module, scores: Mapping[Arch, Score], scoring: Scoring) -> tuple[Arch, Score]:
    """The best of everything scored; among the finalists, when such are asked for, by all held-out images."""
    move = shrinkage(scores, scoring.shrink)
    best = best_first(move(scores), max(1, scoring.finalists), scoring.score_key)
    if scoring.finalists > 0:
        with task.logger.stage("finalists") as facts:
            again = Scorer(net, task.eval_batches(replace(scoring, val=0)))(best)
            facts |= {"evaluations": len(best), "data_passes": 1}
        scores = dict(zip(best, again, strict=True))
        best = best_first(move(scores), 1, scoring.score_key)
    winner = best[0]
    return winner, scores[winner]


def search_randomly(task: Task, scorer: Scorer, count: int, cached_scores: Sequence[Run]) -> None:
    """Scores random legal architectures, to compare with; scores that these runs have are reused."""
    if count > 0:
        strategy = RandomSearch(architectures(task), np.random.default_rng(seed_of(task.seed, "random search")), count)
        run_search(task, scorer, strategy, scored(cached_scores, task.choices), "random search")


def architectures(task: Task, score_key: ScoreKey = by_accuracy) -> SearchProblem:
    """What may be proposed: legal architectures, equal networks being one."""
    twin = meta_skeleton(task.limits.table.net)
    return SearchProblem(
        task.choices,
        task.limits.draw,
        lambda archs: [bool(x) for x in task.limits.legal(archs)],
        lru_cache(MOST_ENUMERATED)(lambda arch: canonicalize(twin, arch)),
        score_key,
    )


def run_search(
    task: Task, scorer: Scorer, strategy: Search, cached_scores: Mapping[Arch, Score], stage: str = "evolution"
) -> None:
    """Scores what ``strategy`` asks for until it is satisfied, and keeps the scores in the stage's file.

    Scores ``paid`` for are not computed again: so after a kill the same search is replayed up to where it was.
    """
    run, passes, file = task.run, 0, FILES[stage]
    run.keep_lines(file, lambda record: True)
    known, listed = dict(cached_scores), set(scored([run], task.choices, [file]))
    with task.logger.stage(stage) as facts, task.logger.bar(stage, strategy.planned) as bar:
        while archs := strategy.ask():
            new = [arch for arch in archs if arch not in known]
            known.update(zip(new, scorer(new) if new else [], strict=True))
            passes += bool(new)
            run.append(file, _lines(task, strategy.generation, [a for a in archs if a not in listed], known))
            strategy.tell(archs, [known[arch] for arch in archs])
            bar.advance(f"best {strategy.scores[strategy.best].accuracy:.4f}", len(archs))
        facts |= {"evaluations": len(strategy.scores), "data_passes": passes}


def scored(runs: Iterable[Run], choices: Choices, files: Iterable[str] = FILES.values()) -> dict[Arch, Score]:
    """The scores that run folders have, in order."""
    records = [record for run in runs for file in files for record in run.records(file)]
    return {Arch.from_json(choices, r["arch"]): Score(r["accuracy"], -r["loss"]) for r in records}


def _lines(task: Task, generation: int, archs: list[Arch], scores: Mapping[Arch, Score]) -> list[dict[str, object]]:
    costs = task.limits.table(archs)
    return [
        {
            "generation": generation,
            "arch": arch.to_json(),
            "text": arch.text(),
            "accuracy": scores[arch].accuracy,
            "loss": -scores[arch].negative_loss,
            **{cost: as_number(cost, values[i]) for cost, values in costs.items()},
        }
        for i, arch in enumerate(archs)
    ]


def write_best(task: Task, arch: Arch, score: Score | None, weights: Mapping[str, list[float]] | None = None) -> None:
    """Writes best.json; by then the exact costs are known to keep the budgets.

    ``score`` is that on held-out images, unless those were trained on; ``weights`` are those that a method has learned
    for the options kept, by choice.
    """
    costs = task.costs(arch)
    assert all(budget.allows(costs[budget.cost]) for budget in task.limits.budgets)
    task.run.write_json(
        "best.json",
        {
            "arch": arch.to_json(),
            "text": arch.text(),
            "costs": costs,
            "budgets": [str(budget) for budget in task.limits.budgets],
            **({"val": {"accuracy": score.accuracy, "loss": -score.negative_loss}} if score else {}),
            **({"weights": weights} if weights else {}),
        },
    )
