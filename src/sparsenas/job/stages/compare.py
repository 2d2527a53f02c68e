"""Other architectures trained like the found one, to compare with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from sparsenas.core.arch import Arch
from sparsenas.core.canonical import Canonicalizer, canonicalize
from sparsenas.job.named_archs import named_arch
from sparsenas.job.stages.retrain import NetworkTrainer
from sparsenas.job.task import Task
from sparsenas.job.trained import found
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.networks import INT8, NET, ONNX, PT2, SAFETENSORS
from sparsenas.rundir.progress import Following
from sparsenas.rundir.results import Compared, results, update_results
from sparsenas.rundir.seeds import seed_of
from sparsenas.rundir.stage_clock import StageClock, forget
from sparsenas.training.evaluation import evaluate
from sparsenas.training.recipe import Recipe

BANDS = (0.05, 0.1)
"""Random baselines cost at most this share less than the found network, in every cost that has a budget.

They cost at most this share more in that of the first budget; with both bounds for all there may be none. The second
share is for those that are not found within the first.
"""
BASELINES, COMPARE = "baselines", "compare"
"""Names of the stages."""
COMPARED = "against"
"""Beginning of the names of the trainings of named architectures. Another word would give other initial weights."""
SIZE = "params"
"""The cost that random baselines share where there is no budget."""


def compare_stages(trainer: NetworkTrainer, baselines: int, compare: Sequence[str]) -> None:
    """Trains other architectures in the same way: random ones, and named ones."""
    baselines_stage(trainer, baselines, len(compare))
    named_stage(trainer, compare)


def forget_networks(run: Run, teacher: Path) -> None:
    """Removes all that earlier trainings left, save a teacher, which stays for the same command again."""
    for name in (NET, SAFETENSORS, PT2, ONNX, INT8):
        if teacher != (run / name).resolve():
            run.remove(name)
    update_results(run, retrained=None, baselines=[], compared=[], export=None, int8=None)
    forget(run, [BASELINES, COMPARE])


def trainings(random: int, named: int) -> Following:
    """So many trainings to come. Random networks cost what the found one costs; named ones may cost anything."""
    return Following(random + named, alike=named == 0)


def tell_trainings(run: Run, recipe: Recipe, baselines: int, compare: Sequence[str], one_stage: bool) -> None:
    """Says before a search how many trainings follow it; one of one stage trains the found network itself."""
    counts = {"the found network": int(not one_stage), "random ones": baselines, "named ones": len(compare)}
    count = sum(counts.values())
    networks = ", ".join(f"{n} {name}" if name.endswith("ones") else name for name, n in counts.items() if n)
    fewer = "; --baselines 0 leaves out the random ones" if baselines else ""
    if count:
        trainings = "1 training" if count == 1 else f"{count} trainings"
        RunLogger(run).say(f"after the search: {trainings} of {recipe.epochs} epochs ({networks}){fewer}")


def baselines_stage(trainer: NetworkTrainer, count: int, named: int = 0) -> None:
    """Trains random architectures of about the found one's cost like it and tests them; results.json keeps them.

    So many ``named`` ones are trained after them.
    """
    task, run = trainer.task, trainer.run
    archs, known = random_band(task, found(run, task.choices), count), results(run).baselines
    if len(archs) < count:
        RunLogger(run).say(f"only {len(archs)} of {count} random networks that cost about the same were found")
    with RunLogger(run).stage(BASELINES) as clock:
        coming = [trainings(left, named) for left in reversed(range(len(archs)))]
        for tested in _train_each(trainer, "baseline", archs, [""] * len(archs), known, coming, clock):
            update_results(run, baselines=tested)
            clock.keep()


def named_stage(trainer: NetworkTrainer, names: Sequence[str]) -> None:
    """Trains named architectures like the found one and tests them; results.json keeps them.

    Raises ``UserError`` when one is not of the space. One that breaks a budget is trained too; its costs are recorded.
    """
    if names:
        archs, known = named(trainer.task, names), results(trainer.run).compared
        with RunLogger(trainer.run).stage(COMPARE) as clock:
            coming = [trainings(0, left) for left in reversed(range(len(archs)))]
            for tested in _train_each(trainer, COMPARED, archs, names, known, coming, clock):
                update_results(trainer.run, compared=tested)
                clock.keep()


def named(task: Task, names: Sequence[str]) -> list[Arch]:
    """Architectures as the command line names them. Raises ``UserError`` for one that is not of the space."""
    return [canonicalize(task.limits.table.net, named_arch(task.limits.table, name)) for name in names]


def _train_each(
    trainer: NetworkTrainer,
    stage: str,
    archs: Sequence[Arch],
    names: Sequence[str],
    known: Sequence[Compared],
    following: Sequence[Following],
    clock: StageClock,
) -> Iterator[list[Compared]]:
    """Trains and tests architectures in turn, save those that are known; yields all so far after each.

    ``following`` are the trainings after each. The initial weights follow from the name of the stage.
    """
    task = trainer.task
    done: list[Compared] = []
    for i, (arch, name) in enumerate(zip(archs, names, strict=True)):
        if i < len(known) and known[i].text == arch.text():
            done.append(known[i])
            continue
        net = trainer.start(arch, f"{stage}{i + 1}")
        checkpoint = trainer.train(net, f"{stage}{i + 1}", following[i], clock)
        tested = evaluate(net, task.data, task.data.test, task.objective)
        costs, metrics = task.costs(arch), tested.metrics
        done.append(Compared(name=name, text=arch.text(), arch=arch.to_json(), costs=costs, metrics=metrics))
        yield done
        checkpoint.finish()


def random_band(task: Task, best: Arch, count: int, bands: Sequence[float] = BANDS) -> list[Arch]:
    """Legal random architectures that cost what ``best`` costs, within the first share; the missing within the next.

    Without a budget the cost is that of parameters. Fewer where no more are found. None has outputs that do not depend
    on its inputs: better than those is no achievement.
    """
    if count == 0:
        return []
    rng = np.random.default_rng(seed_of(task.seed, "baselines"))
    costs = task.costs(best)
    compared = [budget.cost for budget in task.limits.budgets] or [SIZE]
    canonicalizer, connected, chosen = Canonicalizer(task.limits.table.net), task.connection(), list[Arch]()
    taken = {canonicalizer.representative(best)}

    def wanted(arch: Arch, band: float) -> bool:
        new = _costs_alike(task, arch, costs, compared, band) and canonicalizer.representative(arch) not in taken
        return new and connected(arch)

    for band in bands:
        while len(chosen) < count and (arch := task.limits.draw(rng, partial(wanted, band=band))) is not None:
            chosen.append(canonicalizer.canonicalize(arch))
            taken.add(canonicalizer.representative(arch))
    return chosen


def _costs_alike(task: Task, arch: Arch, costs: Mapping[str, float], compared: Sequence[str], band: float) -> bool:
    ours = task.limits.table([arch])
    enough = all(ours[cost][0] >= (1 - band) * costs[cost] for cost in compared)
    return enough and bool(ours[compared[0]][0] <= (1 + band) * costs[compared[0]])
