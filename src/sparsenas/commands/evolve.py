"""``sparsenas evolve``: search a trained supernet again, under other budgets or for a whole Pareto front."""

from __future__ import annotations

import shutil
from pathlib import Path

from sparsenas.costs.budget import check_cost
from sparsenas.distributed.fabric import Device
from sparsenas.job.flags import to_config
from sparsenas.job.plugin import Plugin
from sparsenas.job.stages.evolve import search_again
from sparsenas.job.task import LATENCY_FILE, make_task, open_task
from sparsenas.reporting import report
from sparsenas.rundir.files import write_atomic
from sparsenas.rundir.records import Best
from sparsenas.searching.config import Scoring


def evolve(
    run: Path,
    method: str | Plugin = "spos",
    budget: list[str] | None = None,
    latency: str = "",
    pareto: str = "",
    out: Path = Path("runs/evolved"),
    accelerator: str = "auto",
    threads: int = 0,
    random_search: int = 0,
    resume: bool = False,
) -> None:
    """Searches the supernet of a run again, without training it, and leaves a run folder of its own.

    Scores that the first run cached_scores for are used where they are asked for again.

    Args:
        run: the run folder with the supernet.
        method: how to search: Spos evolves, Random draws.
        budget: a limit, as in flops<=330e6 or params>=1e5; may be given several times.
        latency: a latency table of a device, made by sparsenas latency; the run's own unless given.
        pareto: a cost; finds the whole front of accuracy against it (front.json) instead of one best network.
        out: the new run folder.
        accelerator: cpu, cuda, mps or auto.
        threads: processor threads; 0 = PyTorch's choice.
        random_search: score so many random architectures as well, to compare with; random.jsonl keeps them.
        resume: continue the run in the folder, or begin it if there is none.
    """
    method = Plugin.of(method)
    device = Device(accelerator, threads=threads).fabric().device
    source, config = open_task(run, device)
    source.check_split()
    source.run.need("supernet.pt", "search")
    data = Plugin.from_config(config["data"])
    table = latency or (source.run / LATENCY_FILE if source.latency is not None else "")
    task = make_task(out, source.space, data, budget or [], source.seed, device, table, config.get("target"))
    if pareto:
        check_cost("--pareto", pareto, task.limits.table.costs)
    learner = method.build("method", task.choices, task.limits, task.seed)
    again = {"run": str(run), "method": method, "budget": budget or [], "pareto": pareto, "threads": threads}
    again |= {"latency": latency}
    again |= {"accelerator": accelerator, "random_search": random_search}
    task.begin({**config, **to_config("evolve", **again)}, resume)
    if not task.run.has("supernet.pt"):
        with open(source.run / "supernet.pt", "rb") as supernet:
            write_atomic(task.run / "supernet.pt", lambda file: shutil.copyfileobj(supernet, file))
    if not task.run.has(Best.FILE):
        search_again(task, learner, Scoring(**config["score"]), source.run, pareto, random_search)
    best = task.run.read(Best)
    told = f"{best.val.accuracy:.2%} on validation images, " if best.val else ""
    task.logger.say(f"found {best.text}: {told}{best.costs['flops']:,} flops")
    task.logger.say(f"report: {report(task.run.path)}")
