"""``sparsenas search``: train the supernet and search it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric
from torch import nn

from sparsenas.args import to_config
from sparsenas.choice import Arch, Choices
from sparsenas.derive import skeleton, tidy
from sparsenas.evolution import Score, Search, Space
from sparsenas.methods import Method
from sparsenas.plugin import Plugin
from sparsenas.runs import Run
from sparsenas.score import Exam, score_population
from sparsenas.task import Device, Scoring, Task, make_task
from sparsenas.train import Checkpoint, Recipe, seed_of, train_supernet

SCORE = Scoring()
SEARCH = Recipe(epochs=60, batch=64, lr=0.1, schedule="cosine")


def search(
    space: str | Plugin = "tiny",
    data: str | Plugin = "digits",
    method: str | Plugin = "Spos",
    budget: list[str] | None = None,
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
    resume: bool = False,
) -> None:
    """Trains a supernet and finds the best architecture within the budget.

    Leaves supernet.pt, archs.jsonl (every architecture scored) and best.json in the run folder.

    Args:
        space: the search space.
        data: the images.
        method: how to search.
        budget: a limit, as in flops<=330e6 or params>=1e5; may be given several times.
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
        resume: continue the run in the folder, or begin it if there is none.
    """
    space, data, method = Plugin.of(space), Plugin.of(data), Plugin.of(method)
    device = Device(accelerator, devices, num_nodes, precision, threads)
    fabric = device.fabric()
    task = make_task(out, space, data, budget or [], seed, fabric.device)
    learner = method.build("method", task.choices, task.limits, seed)
    config = to_config(
        "search", space=space, data=data, method=method, budget=budget or [], seed=seed, search=search, score=score,
        **vars(device), checkpoint_seconds=checkpoint_seconds,
    )  # fmt: skip
    task.begin(config, resume)
    search_stage(task, learner, fabric, search, score, checkpoint_seconds)


def search_stage(task: Task, learner: Method, fabric: Fabric, recipe: Recipe, scoring: Scoring, every: float) -> None:
    """Does what is not yet done of the search: supernet.pt, then best.json."""
    if task.run.has("best.json"):
        return
    net = task.network("supernet")
    if task.run.has("supernet.pt"):
        state = task.run.load("supernet.pt")
        net.load_state_dict(state["net"])
        learner.load_state_dict(state["method"])
        fabric.to_device(net)
    else:
        with task.journal.stage("supernet"):
            checkpoint = Checkpoint(task.run, "supernet", every)
            train_supernet(fabric, net, learner, task.data, recipe, task.seed, task.journal, checkpoint)
        task.run.save("supernet.pt", {"net": net.state_dict(), "method": learner.state_dict()})
        task.run.remove(Checkpoint.NAME)
    strategy = learner.search(architectures(task), np.random.default_rng(seed_of(task.seed, "evolution")))
    exam = task.exam(scoring)
    if strategy is None:
        best = learner.arch()
        assert best is not None
        write_best(task, best, score_population(net, [best], exam)[0])
    else:
        run_search(task, net, strategy, exam, scored(task.run, task.choices))
        write_best(task, strategy.best, strategy.scores[strategy.best])


def architectures(task: Task) -> Space:
    """What may be proposed: legal architectures, equal networks being one."""
    twin = skeleton(task.limits.table.net)
    return Space(
        task.choices,
        task.limits.draw,
        lambda archs: [bool(x) for x in task.limits.legal(archs)],
        lambda a: tidy(twin, a),
    )


def run_search(task: Task, net: nn.Module, strategy: Search, exam: Exam, paid: Mapping[Arch, Score]) -> None:
    """Scores what ``strategy`` asks for until it is satisfied, and keeps the scores in archs.jsonl.

    Scores ``paid`` for are not computed again: so after a kill the same search is replayed up to where it was.
    """
    run, passes = task.run, 0
    run.keep("archs.jsonl", lambda record: True)
    known, listed = dict(paid), set(scored(run, task.choices))
    bar = task.journal.bar("evolution", strategy.planned)
    with task.journal.stage("evolution") as facts, bar:
        while archs := strategy.ask():
            new = [arch for arch in archs if arch not in known]
            known.update(zip(new, score_population(net, new, exam) if new else [], strict=True))
            passes += bool(new)
            run.append("archs.jsonl", _lines(task, strategy.generation, [a for a in archs if a not in listed], known))
            strategy.tell(archs, [known[arch] for arch in archs])
            bar.advance(f"best {strategy.scores[strategy.best].accuracy:.4f}", len(archs))
        facts |= {"evaluations": len(strategy.scores), "data_passes": passes}


def scored(run: Run, choices: Choices) -> dict[Arch, Score]:
    """The scores a run folder has, in order."""
    records = run.records("archs.jsonl")
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
            **{cost: int(values[i]) for cost, values in costs.items()},
        }
        for i, arch in enumerate(archs)
    ]


def write_best(task: Task, arch: Arch, score: Score) -> None:
    """Writes best.json; by then the exact costs are known to keep the budgets."""
    costs = task.costs(arch)
    assert all(budget.allows(costs[budget.cost]) for budget in task.limits.budgets)
    task.run.write_json(
        "best.json",
        {
            "arch": arch.to_json(),
            "text": arch.text(),
            "costs": costs,
            "budgets": [str(budget) for budget in task.limits.budgets],
            "held_out": {"accuracy": score.accuracy, "loss": -score.negative_loss},
        },
    )
