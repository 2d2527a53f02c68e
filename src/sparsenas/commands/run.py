"""``sparsenas run``: the whole job in one run folder."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from sparsenas.commands.evaluate import evaluate_stage
from sparsenas.commands.export import export_stage
from sparsenas.commands.latency import latency_stage
from sparsenas.commands.retrain import RETRAIN, compare_stages, fit_stage, named, retrain_stage
from sparsenas.commands.search import SCORE, SEARCH, make_method, search_stage
from sparsenas.costs.layer import format_cost
from sparsenas.distributed.collectives import rank
from sparsenas.distributed.fabric import Device
from sparsenas.errors import UserError
from sparsenas.job.flags import to_config
from sparsenas.job.plugin import Plugin
from sparsenas.job.task import Task, make_task
from sparsenas.job.width_fit import check_fit, check_target
from sparsenas.methods import Method
from sparsenas.reporting import report
from sparsenas.rundir.results import results
from sparsenas.searching.config import Scoring
from sparsenas.training.recipe import Recipe


def run(
    space: str | Plugin = "tiny",
    data: str | Plugin = "digits",
    method: str | Plugin = "spos",
    budget: list[str] | None = None,
    target: dict[str, Any] | None = None,
    fit: list[str] | None = None,
    latency: str = "",
    out: Path = Path("runs/run"),
    seed: int = 0,
    search: Recipe = SEARCH,
    score: Scoring = SCORE,
    retrain: Recipe = RETRAIN,
    random_search: int = 0,
    baselines: int = 8,
    against: list[str] | None = None,
    accelerator: str = "auto",
    devices: str = "1",
    num_nodes: int = 1,
    precision: str = "32-true",
    threads: int = 0,
    checkpoint_seconds: float = 10.0,
    resume: bool = False,
) -> None:
    """Searches, retrains, tests, exports and reports: the whole job in one run folder.

    Without flags it searches a small space on the embedded handwritten digits, in about a minute.

    Args:
        space: the search space.
        data: the images.
        method: how to search.
        budget: a limit, as in flops<=330e6 or params>=1e5; may be given several times.
        target: flags of the space that differ in the network to be trained in the end; budgets apply to that.
        fit: a limit, as in params<=3e6, that the found network is made as wide as it allows for before it is retrained,
            by the space's flag width; may be given several times.
        latency: a latency table of a device, made by sparsenas latency; it gives the cost latency_ms.
        out: the run folder.
        seed: all randomness follows from it.
        search: how the supernet is trained.
        score: how candidates are scored.
        retrain: how the found network is trained.
        random_search: score so many random architectures as well, to compare with; random.jsonl keeps them.
        baselines: how many random architectures of the same budget band are trained the same way, to compare.
        against: an architecture trained the same way, to compare with, as in uniform:w2a4; may be given several times.
        accelerator: cpu, cuda, mps or auto.
        devices: how many devices.
        num_nodes: how many machines.
        precision: 32-true, bf16-mixed or another of Lightning Fabric's.
        threads: processor threads; 0 = PyTorch's choice. For very small networks 1 is as fast and disturbs nobody.
        checkpoint_seconds: least time between two checkpoints of training.
        resume: continue the run in the folder, or begin it if there is none.
    """
    space, data, method = Plugin.of(space), Plugin.of(data), Plugin.of(method)
    fabric = (device := Device(accelerator, devices, num_nodes, precision, threads)).fabric()
    task = make_task(out, space, data, budget or [], seed, fabric.device, latency, target)
    learner = make_method(method, task, search, random_search)
    config = to_config(
        "run", space=space, data=data, method=method, budget=budget or [], target=target or {}, fit=fit or [],
        latency=latency, seed=seed, search=search, score=score, retrain=retrain, random_search=random_search,
        baselines=baselines, against=against or [], **vars(device), checkpoint_seconds=checkpoint_seconds,
    )  # fmt: skip
    _check(task, learner, target or {}, fit or [], against or [])
    task.begin(config, resume)
    search_stage(task, learner, fabric, search, score, checkpoint_seconds, random_search)
    task = fit_stage(task, fit) if fit else task
    retrain_stage(task, fabric, retrain, checkpoint_seconds)
    compare_stages(task, fabric, retrain, checkpoint_seconds, baselines, against or [])
    finish(task, score)


def _check(task: Task, learner: Method, target: Mapping[str, Any], fit: Sequence[str], against: Sequence[str]) -> None:
    """Raises ``UserError`` for mistakes that are better told now than after the search."""
    named(task, against)
    if fit and learner.one_stage:
        name = type(learner).__name__
        raise UserError(f"--fit: {name} trains the found network itself, which has the size of the space; use --budget")
    if fit:
        check_target(target)
        check_fit(task, fit)


def finish(task: Task, scoring: Scoring) -> None:
    """Tests, exports and reports, in the first process."""
    if rank() > 0:
        return
    task = task.alone()
    evaluate_stage(task, scoring)
    export_stage(task)
    latency_stage(task)
    page = report(task.run.path)
    task.logger.console.print(summary(task))
    task.logger.say(f"report: {page}")


def summary(task: Task) -> Table:
    """The closing table: what was found and how good it is."""
    best, tested = task.run.read_json("best.json"), results(task.run)
    table = Table(title=f"Found {best['text']} in {task.run.path}", show_header=False, title_justify="left")
    for cost, value in best["costs"].items():
        limits = [str(budget) for budget in task.limits.budgets if budget.cost == cost]
        table.add_row(cost, format_cost(value) + (f"  (budget {limits[0]})" if limits else ""))
    latency = tested.get("latency", {})
    if latency.get("measured_ms") is not None:
        whole = format_cost(latency["measured_ms"]), format_cost(latency["spread"])
        table.add_row("latency_ms, measured whole", " +- ".join(whole))
    if "inherited" in tested and "val" in best:
        table.add_row("held-out accuracy, inherited weights", f"{best['val']['accuracy']:.2%}")
        table.add_row("test accuracy, inherited weights", f"{tested['inherited']['accuracy']:.2%}")
    how = "trained in one stage" if tested["retrained"].get("one_stage") else "retrained"
    table.add_row(f"test accuracy, {how}", f"{tested['retrained']['accuracy']:.2%}")
    others = [entry["accuracy"] for entry in tested.get("baselines", [])]
    if others:
        mean, spread = statistics.mean(others), statistics.stdev(others) if len(others) > 1 else 0.0
        verdict = "beaten" if tested["retrained"]["accuracy"] > mean else "NOT beaten"
        table.add_row(f"mean of {len(others)} random networks", f"{mean:.2%} +- {spread:.2%}: {verdict}")
    for entry in tested.get("against", []):
        table.add_row(f"test accuracy, {entry['name']}", f"{entry['accuracy']:.2%}")
    return table
