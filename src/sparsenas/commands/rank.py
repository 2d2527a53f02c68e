"""``sparsenas rank``: how well the supernet's scores rank architectures of known accuracy."""

from __future__ import annotations

import json as json_module
from pathlib import Path

from msgspec import to_builtins
from rich.console import Console
from rich.table import Table

from sparsenas.distributed.fabric import Device
from sparsenas.errors import UserError
from sparsenas.job.stages.rank import cost_measures, read_known, sampled, scorings, standing, supernet_measures
from sparsenas.job.task import open_task
from sparsenas.reporting import report
from sparsenas.rundir.ranking import Ranking, Standing
from sparsenas.searching.benchmark_table import load_benchmark_table
from sparsenas.searching.config import Scoring
from sparsenas.searching.rank_correlation import Agreement


def rank(
    run: Path,
    table: Path | None = None,
    sample: int = 0,
    calibration: list[int] | None = None,
    val: int | None = None,
    shrink: float | None = None,
    block: int = 50,
    json: bool = False,
    accelerator: str = "auto",
    threads: int = 0,
) -> None:
    """Compares the supernet's scores with the true accuracies of architectures: Kendall's tau-b and Spearman's rho.

    Over all rows and over distinct networks only, with batch norm recalibrated on different numbers of images, and for
    cost as a ranking of its own. Also says where the architecture that the search found stands in the table. Leaves
    rank.jsonl (every score; nothing is scored twice) and rank.json in the run folder.

    Args:
        run: the run folder with the supernet.
        table: a file of architectures and their true accuracies: NAS-Bench-Macro's JSON, JSON of accuracies by
            architecture, JSON with a list of objects with arch and accuracy, or CSV with the columns arch and accuracy.
        sample: score so many rows of the table, drawn with the run's seed; 0 = all.
        calibration: training images whose statistics batch norm takes; 0 = it keeps the supernet's own; may be given
            several times. Unless given, 0 and the run's own number.
        val: held-out images an architecture is scored on, 0 = all; unless given, as in the run.
        shrink: also rank by scores moved so far to what an additive model of all of them says, 0 to 1; unless given,
            as in the run.
        block: architectures scored together in a pass over the images.
        json: print one JSON object.
        accelerator: cpu, cuda, mps or auto.
        threads: processor threads; 0 = PyTorch's choice.
    """
    if table is None:
        raise UserError("rank: expected --table FILE, got none")
    truth = load_benchmark_table(table)
    device = Device(accelerator, threads=threads).fabric().device
    task, config = open_task(run, device)
    task.check_split()
    task.run.need("supernet.pt", "search")
    own = Scoring(**config["score"] | ({} if shrink is None else {"shrink": shrink}))
    settings = scorings(task, own, calibration, val)
    if sample < 0 or block < 1:
        raise UserError(f"--sample, --block: expected at least 0 and 1, got {sample} and {block}")
    known = read_known(task, table, truth)
    asked = known.subset(sampled(len(known.archs), sample, task.seed))
    measures = supernet_measures(task, asked, settings, block) + cost_measures(task, asked)
    ranking = Ranking(
        table=table.name,
        rows=len(known.archs),
        networks=len(known.distinct()),
        measures=measures,
        found=standing(task, known),
        truth={arch.text(): accuracy for arch, accuracy in zip(asked.archs, asked.truth, strict=True)},
    )
    task.run.write(ranking)
    if json:
        print(json_module.dumps({name: value for name, value in to_builtins(ranking).items() if name != "truth"}))
    else:
        show(ranking)
    task.logger.say(f"report: {report(task.run.path)}")


def show(ranking: Ranking) -> None:
    """Prints the ranking as a table."""
    title = f"{ranking.table}: {ranking.rows:,} architectures, {ranking.networks:,} distinct networks"
    table = Table("score", title=title, title_justify="left")
    for heading in ("calibration", "rows", "tau", "rho", "distinct", "tau", "rho"):
        table.add_column(heading, justify="right")
    for measure in ranking.measures:
        images = "" if measure.images is None else str(measure.images or "none")
        table.add_row(measure.by, images, *_numbers(measure.all), *_numbers(measure.distinct))
    console = Console()
    console.print(table)
    console.print(_standing(ranking.found), highlight=False, soft_wrap=True, markup=False)


def _numbers(agreed: Agreement) -> list[str]:
    known = ["-" if value is None else f"{value:.3f}" for value in (agreed.tau, agreed.rho)]
    return [f"{agreed.rows:,}", *known]


def _standing(found: Standing | None) -> str:
    if found is None:
        return "the table does not have the architecture that was found, or none was found yet"
    told = f"found {found.text}: true accuracy {found.accuracy:.2%}"
    groups = {"rows": found.all, "distinct networks": found.distinct, "rows within the budget": found.within_budget}
    for among, at in groups.items():
        if at is not None:
            told += f"; rank {at.rank:,} of {at.of:,} {among}, {100 * at.gap:.2f} points below their best"
    return told
