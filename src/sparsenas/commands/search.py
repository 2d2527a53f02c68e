"""``sparsenas search``: train the supernet and search it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsenas.distributed.fabric import Device
from sparsenas.job.flags import to_config
from sparsenas.job.plugin import Plugin
from sparsenas.job.stages.search import make_method, search_stage
from sparsenas.job.task import make_task
from sparsenas.searching.config import Scoring
from sparsenas.training.recipe import Recipe

SCORE = Scoring()
SEARCH = Recipe(epochs=60, batch=64, lr=0.1, schedule="cosine")


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
