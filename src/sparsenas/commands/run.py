"""``sparsenas run``: the whole job in one run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsenas.commands.retrain import RETRAIN
from sparsenas.commands.search import SCORE, SEARCH
from sparsenas.distributed.fabric import Device
from sparsenas.errors import UserError
from sparsenas.job.flags import to_config
from sparsenas.job.plugin import Plugin
from sparsenas.job.stages.compare import compare_stages, named
from sparsenas.job.stages.finish import finish
from sparsenas.job.stages.retrain import retrain_stage
from sparsenas.job.stages.scale import scale_stage
from sparsenas.job.stages.search import make_method, search_stage
from sparsenas.job.task import Task, make_task
from sparsenas.job.width_fit import check_scale_to, check_target
from sparsenas.methods import Method
from sparsenas.searching.config import Scoring
from sparsenas.training.recipe import Recipe


def run(
    space: str | Plugin = "tiny",
    data: str | Plugin = "digits",
    method: str | Plugin = "spos",
    budget: list[str] | None = None,
    target: dict[str, Any] | None = None,
    scale_to: list[str] | None = None,
    latency: str = "",
    out: Path = Path("runs/run"),
    seed: int = 0,
    search: Recipe = SEARCH,
    score: Scoring = SCORE,
    retrain: Recipe = RETRAIN,
    random_search: int = 0,
    baselines: int = 8,
    compare: list[str] | None = None,
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
        scale_to: a limit, as in params<=3e6; the found network is made as wide as it allows before it
            is retrained; may be given several times.
        latency: a latency table of a device, made by sparsenas latency; it gives the cost latency_ms.
        out: the run folder.
        seed: all randomness follows from it.
        search: how the supernet is trained.
        score: how candidates are scored.
        retrain: how the found network is trained.
        random_search: score so many random architectures as well, to compare with; random.jsonl keeps them.
        baselines: how many random architectures of the same budget band are trained the same way, to compare.
        compare: an architecture trained the same way, to compare with, as in uniform:w2a4; may be given several times.
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
        "run", space=space, data=data, method=method, budget=budget or [], target=target or {}, scale_to=scale_to or [],
        latency=latency, seed=seed, search=search, score=score, retrain=retrain, random_search=random_search,
        baselines=baselines, compare=compare or [], **vars(device), checkpoint_seconds=checkpoint_seconds,
    )  # fmt: skip
    _check(task, learner, target or {}, scale_to or [], compare or [])
    task.begin(config, resume)
    search_stage(task, learner, fabric, search, score, checkpoint_seconds, random_search)
    task = scale_stage(task, scale_to) if scale_to else task
    retrain_stage(task, fabric, retrain, checkpoint_seconds)
    compare_stages(task, fabric, retrain, checkpoint_seconds, baselines, compare or [])
    finish(task, score)


def _check(
    task: Task, learner: Method, target: Mapping[str, Any], scale_to: Sequence[str], compare: Sequence[str]
) -> None:
    """Raises ``UserError`` for mistakes that are better told now than after the search."""
    named(task, compare)
    if scale_to and learner.one_stage:
        name = type(learner).__name__
        raise UserError(
            f"--scale-to: {name} trains the found network itself, which has the size of the space; use --budget"
        )
    if scale_to:
        check_target(target)
        check_scale_to(task, scale_to)
